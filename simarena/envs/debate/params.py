"""The parameters of a debate: who speaks for what, in which order, with which checks, and how the verdict is given.

Knows no task and no phase; impossible combinations are refused here, with the way out.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from simarena.envs.base import Params


def _off(value: Any) -> Any:
    """YAML reads a bare `off` as false."""
    return "off" if value is False else value


class Part(BaseModel):
    """Base of a group of parameters: strict, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Words(Part):
    """Length of a speech in words."""

    least: NonNegativeInt = 0
    """Shorter speeches are illegal."""
    told: PositiveInt = 100
    """What the speaker is told."""
    most: PositiveInt = 150
    """Longer speeches are cut here."""

    @model_validator(mode="after")
    def _ordered(self) -> Words:
        if not self.least <= self.told <= self.most:
            raise ValueError(f"words: least {self.least} <= told {self.told} <= most {self.most} does not hold")
        return self


class Beliefs(Part):
    """What is asked and told about beliefs."""

    elicit: bool = False
    """Ask every debater for its own belief before anything else, out of band."""
    planted: bool = True
    """Tell the debaters the belief that the task plants, where it plants one; false: whatever they believe counts."""
    persona: Literal["none", "opposed", "aligned"] = "none"
    """Belief that the judge is given, relative to the one that debater_0 stated."""


class Swap(Part):
    """Copies of a match with something the other way round; a sweep over them, with paired seeds, averages it out."""

    answers: bool | Literal["both"] = False
    """True: the judge reads the answers in the other order. "both": it judges both orders, and they are averaged."""
    speakers: bool = False
    """The last speaker speaks first."""
    sides: bool = False
    """Every debater defends the answer of the next one."""


class DebateParams(Params):
    """Parameters of `debate`. The direct protocols have no debaters: of the rest, only the judge's apply to them."""

    task: str = "story"
    """Family that the questions come from; any family of questions, or beliefs."""
    protocol: Literal["direct", "direct_with_source", "consultancy", "debate", "open_consultancy", "open_debate"] = (
        "debate"
    )
    """direct: the judge answers alone (with_source: having read the source). consultancy: one debater defends one
    answer. debate: every answer has its debater. open_*: debater_0 chooses its answer, whatever `assignment` says."""
    order: Literal["simultaneous", "sequential", "first_blind"] = "simultaneous"
    """Speeches of a round: unseen by one another; one after the other; or that way after an unseen first round."""
    rounds: PositiveInt = 3
    """Speeches per debater."""
    words: Words = Words()
    """Length of a speech."""
    thinking: bool = False
    """A debater's action has a private field to think in."""
    options: int = Field(2, ge=2, le=4)
    """Answers to choose from, and debaters in a debate."""
    judges: int = Field(1, ge=1, le=9)
    """Judges; their probabilities are averaged."""
    judge_mode: Literal["static", "interactive", "prior_then_post"] = "static"
    """static: reads, then judges. interactive: asks a question before each round from the second on.
    prior_then_post: also says what it believes before the first speech, and in the end who argued better."""
    judging: Literal["written", "options", "likelihood"] = "written"
    """written: the judge writes an answer and its confidence. options: probability of each named answer as the judge's
    own reply, nothing sampled. likelihood: the same, where the question is put openly and no answer is named."""
    source_access: Literal["debaters", "all", "none"] = "debaters"
    """Who reads the source, where the task has one."""
    quotes: Annotated[Literal["off", "checked", "checked_and_required"], BeforeValidator(_off)] = "checked"
    """Whether speeches carry quotations that are checked against the source, and must have one. Without effect where
    the task has no source."""
    assignment: Literal["fixed", "coin", "chooser", "both_sides"] = "coin"
    """fixed: debater i defends answer i. coin: drawn. chooser: debater_0 picks. both_sides: two halves, sides exchanged
    in the second, each half with judges of its own; results are averaged."""
    beliefs: Beliefs = Beliefs()
    """Elicited beliefs and the judge's persona."""
    best_of: int = Field(1, ge=1, le=16)
    """Private candidates for each speech. The debater's critic says how likely a judge would be to take the debater's
    answer after each; the likeliest is spoken."""
    refine: int = Field(0, ge=0, le=4)
    """Times that the debater's critic comments on a draft, privately, and the debater writes it anew."""
    swap: Swap = Swap()
    """What is the other way round."""
    debater_reward: Literal["persuasion", "win"] = "persuasion"
    """persuasion: the judge's probability of the own answer, less 1/answers in a debate. win: +1, 0 (tie) or -1."""
    judge_reward: Literal["log", "accuracy"] = "log"
    """log: natural logarithm of the right answer's probability, at least -7. accuracy: 1, or 0, or a share at a tie.
    0 where there is no truth."""
    fake_quote_cost: float = Field(0.0, ge=0.0)
    """Taken from a debater for each quotation that is not in the source."""

    @model_validator(mode="after")
    def _possible(self) -> DebateParams:
        if self.beliefs.persona != "none" and not self.beliefs.elicit:
            raise ValueError("beliefs.persona is relative to a stated belief: set beliefs.elicit to true")
        if self.beliefs.persona != "none" and self.options != 2:
            raise ValueError(f"beliefs.persona needs options 2, not {self.options}: one to hold and one to oppose")
        if self.quotes == "checked_and_required" and self.source_access == "none":
            raise ValueError("quotes are required but source_access is none: let the debaters read the source")
        return self

    @property
    def direct(self) -> bool:
        """Whether the judge is alone."""
        return self.protocol in ("direct", "direct_with_source")

    @property
    def advised(self) -> bool:
        """Whether there is one debater only."""
        return self.protocol in ("consultancy", "open_consultancy")

    @property
    def opened(self) -> bool:
        """Whether the protocol lets debater_0 choose its answer."""
        return self.protocol in ("open_consultancy", "open_debate")

    @property
    def chosen(self) -> bool:
        """Whether debater_0 chooses its answer, for either reason."""
        return not self.direct and (self.opened or self.assignment == "chooser")

    @property
    def debaters(self) -> int:
        """How many there are."""
        return 0 if self.direct else 1 if self.advised else self.options

    @property
    def critics(self) -> int:
        """One per debater where drafts are compared or commented on."""
        return self.debaters if self.best_of > 1 or self.refine else 0

    @property
    def halves(self) -> int:
        """2 where sides are exchanged half-way."""
        return 2 if self.assignment == "both_sides" and not (self.direct or self.opened) else 1
