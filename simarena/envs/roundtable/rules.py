"""What a roundtable may be like: its parameters, which of them go together, and the fields of its actions.

Knows nothing of a match. Protocols: the controlled study of multi-agent debate on knight / knave / spy puzzles
(ControlMAD), multi-agent debate (Du et al. 2023), and debate with a moderator (MAD, Liang et al. 2023).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, PositiveInt, model_validator

from simarena.envs.base import Params
from simarena.reading import Fields
from simarena.registry import TASKS, lookup
from simarena.tasks.base import QuestionFamily

Stage = Literal["initial", "per_item", "self_adjust", "final"]
STAGES: tuple[Stage, ...] = ("initial", "per_item", "self_adjust", "final")
TIT_FOR_TAT = "tit_for_tat_with_moderator"
NONE = "none"
"""What a seat writes that gives no answer, or names no side. It then keeps the answer it gave last."""


class RoundtableParams(Params):
    """Parameters of the roundtable."""

    task: str = "kks"
    """A family of questions: kks, arithmetic, trap_math, logic_chain, questions (a file of your own), ..."""
    n: int = Field(3, ge=1, le=16)
    """Solvers."""
    depth: PositiveInt = 1
    """Rounds of discussion: for each item, or on the whole answer (see `discuss`)."""
    phases: tuple[Stage, ...] = STAGES
    """initial: everybody alone. per_item: the discussion. self_adjust: a private full answer after each item discussed.
    final: a last full answer, unheard by the others."""
    discuss: Literal["item", "answer"] = "item"
    """item: one item of the answer after the other (a question with a single item is always discussed whole), and the
    others see labels first, reasons after. answer: the whole answer, with reasons, from the start."""
    structure: Literal["all_to_all", "tit_for_tat_with_moderator", "ring", "star"] = "all_to_all"
    """Who hears whom. ring: each the solver before it. star: solver_0 hears all, the others hear it alone.
    tit_for_tat_with_moderator: solver_0 speaks first, the others (the negative side) answer, then the moderator."""
    order: Literal["given", "agent_chosen"] = "given"
    """Order of items in the discussion. agent_chosen: solvers each propose one; the sum of ranks decides."""
    confidence_visible: bool = False
    """Solvers state a confidence of 1-10 with each answer, and it is shown wherever the answer is."""
    decision: Literal["majority", "supervisor", "moderator", "judge_extract"] = "majority"
    """majority: each item's most frequent last answer. supervisor: what more than half say; where nothing, a supervisor
    decides. moderator: the moderator's last answer. judge_extract: the moderator's answer if it ended the discussion,
    else a supervisor lists the candidates and picks one."""
    tie: Literal["undecided", "first", "random"] = "undecided"
    """An item with several most frequent answers: no answer (which is wrong), the first solver's, or a draw."""
    early_stop: bool = False
    """No more rounds once all solvers agree, or, with a moderator, once it says so."""
    stubborn: Annotated[float, Field(ge=0, le=1)] | None = None
    """Level of disagreement that the negative side is told; 0: agree where the other is right, 1: never agree.
    None: .5 with `structure: tit_for_tat_with_moderator`; nobody is negative elsewhere."""
    reward: Literal["team", "individual", "delta"] = "team"
    """What a solver is paid: the mark of the decision, of its own last answer, or of that less its initial one."""
    grade: Literal["share", "solved"] = "share"
    """The mark. share: share of items right. solved: 1 if all are, else 0."""
    probes: tuple[Literal["samples"], ...] = ()
    """samples: before all else, each solver answers alone as often as it will act, out of band: the majority of these
    is the baseline of the same budget (self-consistency)."""
    words: PositiveInt = 80
    """Word limit of an explanation."""

    @property
    def moderated(self) -> bool:
        """Whether a moderator sits at the table."""
        return self.structure == TIT_FOR_TAT or self.decision == "moderator"

    @property
    def supervised(self) -> bool:
        """Whether a supervisor does."""
        return self.decision in ("supervisor", "judge_extract")

    @property
    def disagreement(self) -> float:
        """Level of disagreement of the negative side."""
        return 0.5 if self.stubborn is None else self.stubborn

    @model_validator(mode="after")
    def _possible(self) -> RoundtableParams:
        if problem := self._script_problem() or self._seat_problem() or self._task_problem():
            raise ValueError(problem)
        return self

    def _script_problem(self) -> str:
        if not self.phases or list(self.phases) != [stage for stage in STAGES if stage in self.phases]:
            return f"phases: {list(self.phases)} should name one or more of {list(STAGES)}, in this order, once each"
        talking = "per_item" in self.phases
        if "self_adjust" in self.phases and not talking:
            return "phases: self_adjust follows a discussion; add per_item or leave it out"
        if self.moderated and not talking:
            return "a moderator needs a discussion; add per_item to phases, or choose another structure and decision"
        if self.order == "agent_chosen" and not (talking and self.discuss == "item"):
            return "order: agent_chosen is about items; set discuss: item and add per_item to phases"
        if self.reward == "delta" and "initial" not in self.phases:
            return "reward: delta compares with the initial answer; add initial to phases"
        return ""

    def _seat_problem(self) -> str:
        if self.moderated and self.discuss == "item":
            return "a moderator judges whole answers; set discuss: answer"
        if self.structure == TIT_FOR_TAT and self.n < 2:
            return f"structure: {TIT_FOR_TAT} has two sides; set n to 2 or more (got {self.n})"
        if self.stubborn is not None and self.structure != TIT_FOR_TAT:
            return f"stubborn: only {TIT_FOR_TAT} has a negative side; leave it out, or set that structure"
        if self.decision == "moderator" and self.n == 1:
            return "decision: moderator weighs several solvers; set n to 2 or more"
        return ""

    def _task_problem(self) -> str:
        if self.task in TASKS and not issubclass(lookup(TASKS, "task family", self.task), QuestionFamily):
            return (
                f"task: {self.task!r} asks no question with one right answer; take kks, arithmetic or another that does"
            )
        return ""


class Answer(Fields):
    """The whole answer."""

    explanation: str
    answer: str


class SureAnswer(Answer):
    """The whole answer, and how sure the solver is."""

    confidence: int = Field(ge=1, le=10)


class Say(Answer):
    """A word in the discussion: the answer under discussion, and with whom the solver agrees."""

    agree: list[str] = Field(default_factory=list)
    disagree: list[str] = Field(default_factory=list)


class SureSay(SureAnswer):
    """The same, and how sure the solver is."""

    agree: list[str] = Field(default_factory=list)
    disagree: list[str] = Field(default_factory=list)


class Order(Fields):
    """In which order the items should be discussed."""

    order: list[str]


class Ruling(Fields):
    """A moderator's word after a round."""

    reason: str
    side: str
    """The solver that is right, or "none"."""
    answer: str
    stop: bool
    """Whether the matter is clear and the discussion may end."""


class Extract(Fields):
    """A judge's choice among the answers that were given."""

    candidates: list[str]
    explanation: str
    answer: str


def answer_fields(sure: bool, talk: bool) -> type[BaseModel]:
    """The fields of a solver's action."""
    if talk:
        return SureSay if sure else Say
    return SureAnswer if sure else Answer
