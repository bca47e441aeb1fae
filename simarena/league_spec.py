"""What a scenario file says of a league: how many rounds, who meets whom, what is learnt from it, when it stops.

Strict, and pure: names of builders and losses are looked up by the league itself, which knows those rooms.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from simarena.agents.spec import Seating
from simarena.records import JSON

Share = Annotated[float, Field(ge=0, le=1)]
Opponents = Literal["tribe", "nearest", "random", "history", "self"]
Weights = Literal["equal", "reputation", "reliability"]
LearnFrom = Literal["all", "own", "others"]
Measure = Literal["gain", "gain_low", "best_gain", "final", "label_accuracy", "last_label_accuracy", "rounds"]


class Strict(BaseModel):
    """A misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Pairs(Strict):
    """How a round's matches become preferences."""

    builder: str = Field("duel", description="As `simarena list builders` names it.")
    params: dict[str, JSON] = Field(default_factory=dict, description="The builder's own parameters.")
    filters: dict[str, JSON] = Field(default_factory=dict, description="Filters of `simarena pairs --filter`.")
    limit: NonNegativeInt = Field(0, description="At most so many for each member and round, drawn by seed; 0: all.")


class Branch(Strict):
    """Where a round's matches are forked once they are over, so that one position has several actions."""

    role: str = Field(description="At turns of this role, or of this very seat.")
    phase: str = Field("", description='In phases whose names begin so; "": in all.')
    n: PositiveInt = Field(4, description="Forks of each; one has new turns of all who act unseen by one another.")
    turns: NonNegativeInt = Field(
        0, description="A fork ends after so many turns of its own; 0: it is played to its end, as returns need it."
    )


class Training(Strict):
    """How a member learns from its preferences."""

    loss: str = Field("dpo", description="As `simarena list losses` names it.")
    params: dict[str, JSON] = Field(default_factory=dict, description="The loss's own parameters.")
    arguments: dict[str, JSON] = Field(
        default_factory=dict, description="Of the trainer: learning_rate, epochs, batch, ...; seed by the league's."
    )
    rivals: Literal["none", "tribe", "history"] = Field(
        "none", description="Whom losses of games compare with: nobody, other members, or own earlier versions."
    )
    most_rivals: PositiveInt = Field(2, description="At most so many.")


class Exam(Strict):
    """Questions kept from play, on which progress is measured."""

    questions: PositiveInt = Field(
        100, description="For each family, at the end of each round; roll-back looks at them."
    )
    final: PositiveInt = Field(
        100, description="For each family, others yet: asked before the first round and at the end."
    )
    families: list[str] = Field(default_factory=list, description="Of those that are played; []: all.")
    metric: str | None = Field(
        None,
        description="A measure of matches, from 0 to 1: the exam is then a match on each held-out question, the member "
        "in all seats that are not the judges'; null: the member answers the questions alone.",
    )
    changes: dict[str, JSON] | None = Field(
        None, description="Dotted keys of the scenario that are otherwise in such matches."
    )

    @model_validator(mode="after")
    def _in_matches(self) -> Exam:
        if self.changes and not self.metric:
            raise ValueError("changes are of matches: set metric too")
        return self


class Guards(Strict):
    """Against collapse: what has to hold before anything is trained on (0: nothing), and the way back."""

    label_accuracy: Share = Field(0.6, description="Least share of right labels among pairs of known truth.")
    known: PositiveInt = Field(20, description="Least number of such pairs for a guard to judge by.")
    roll_back: NonNegativeFloat | Literal["never"] = Field(
        0.02, description="A member whose held-out accuracy fell by more than this goes back to what it was."
    )


class Stop(Strict):
    """When a league ends before its last round."""

    patience: NonNegativeInt = Field(0, description="After so many rounds in a row (0: never) without ...")
    gain: float = Field(0.0, description="... a rise of the tribe's best held-out mean so far by more than this.")


class Check(Strict):
    """A range that the played league's measure should lie in."""

    measure: Measure
    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _some_end(self) -> Check:
        if self.min is None and self.max is None:
            raise ValueError("needs min or max")
        return self


class League(Strict):
    """Rounds of play, preferences, training and exams."""

    members: list[Seating] = Field(
        default_factory=list, description="Who plays and learns; []: the first role's agents."
    )
    changes: dict[str, JSON] = Field(
        default_factory=dict, description="Dotted keys of the scenario that are otherwise in a league, as under scale."
    )
    rounds: PositiveInt = Field(3, description="At most.")
    matches: PositiveInt = Field(200, description="In each round, every one on a question of its own.")
    repeats: PositiveInt = Field(
        1, description="Plays of each, by the same agents: several replies to one prompt, as builder truth compares."
    )
    opponents: Opponents = Field(
        "tribe",
        description="tribe: everyone in turn. nearest: by SPARTA's rule, of like reputation. random: anyone. history: "
        "earlier versions of oneself. self: a member has every seat, judges of the rest included.",
    )
    judge_weights: Weights = Field(
        "equal",
        description="equal; reputation: earned in earlier rounds by SPARTA's rule; reliability: RE-PO's estimate, by "
        "judge and family, of earlier rounds.",
    )
    branch: Branch | None = Field(None, description="Fork every match; null: no forks.")
    learn_from: LearnFrom = Field(
        "all", description="all: everyone from all pairs. own: from own matches. others: from what others won with."
    )
    pairs: Pairs = Pairs()
    train: Training = Training()
    exam: Exam = Exam()
    guards: Guards = Guards()
    stop: Stop = Stop()
    expect: list[Check] = Field(default_factory=list, description="Checked at the end of a league.")
