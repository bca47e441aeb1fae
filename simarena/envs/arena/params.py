"""Parameters of the arena, and what of them can stand together. Knows no match."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from simarena.envs.base import Params
from simarena.envs.phases import ReadingOrder
from simarena.registry import TASKS, lookup
from simarena.tasks.base import QuestionFamily

Judging = Literal["score", "verdict", "options", "likelihood", "solve"]
LARGEST = 26
"""Answers that can stand side by side: one letter each."""


class ArenaParams(Params):
    """Who meets, how answers are judged, and what is paid."""

    task: str = "kks"
    """Family of the prompts: any question family, or "matrix" for matrix games."""
    mode: Literal["duel", "panel", "population", "matrix_game"] = "duel"
    """duel: two contestants, the rest judge. panel: all answer and grade one another. population: one policy against
    several opponents, the rest judge. matrix_game: simultaneous moves, payoffs from a table."""
    m: PositiveInt | None = None
    """Members in a match, judges included. None: 4; matrix games have 2 and no judge."""
    opponents: PositiveInt = 2
    """population: opponents of contestant_0."""
    history: NonNegativeInt = 2
    """population: of the opponents, the last so many are earlier checkpoints of contestant_0; for metrics alone."""
    samples: PositiveInt = 1
    """population: independent answers of contestant_0, none of which it sees again."""
    opponent_logprobs: bool = False
    """population: opponents weigh the samples afterwards, i.e. history log-probabilities."""
    judging: Judging = "score"
    """score: points for each answer. verdict: A, B or tie for each pair. options: probabilities of the possible
    verdicts. likelihood: log-probability of each answer, had the judge written it. solve: the judge answers the
    prompt itself, and an answer is right where it equals the judge's."""
    orders: Literal["both", "given", "random"] = "both"
    """In which order judges read answers. both: twice, the second time reversed, averaged; given: seat order;
    random: once, an order of its own for each judge."""
    show: Literal["together", "alone"] = "together"
    """score: all answers on one sheet, or each on a sheet of its own. Of no account to likelihood and solve."""
    judge_scale: int = Field(10, ge=2, le=100)
    """score: points run from 1 to this."""
    ties: bool = True
    """verdict, options: whether "tie" may be chosen."""
    margin: NonNegativeFloat = 0.0
    """A comparison is decisive only above this; in points, in wins (-1..1), in probability, in nats, in 0/1."""
    weigh: Literal["answer", "reply"] = "answer"
    """likelihood: weigh the bare answer, or the whole reply with its reason."""
    per_token: bool = False
    """likelihood: divide by the number of tokens."""
    reasons: bool = True
    """Contestants write a reason before their answer, and judges read it."""
    words: PositiveInt = 60
    """Word limit of a reason."""
    criteria: tuple[str, ...] = Field(("right answers",), min_length=1)
    """What judges who read answers are told to judge by."""
    source: Literal["all", "contestants", "none"] = "all"
    """Who reads the text that a question is about, where it has one (story)."""
    weights: Literal["reputation", "equal"] = "reputation"
    """How judges are weighted against one another."""
    reputation: dict[str, PositiveFloat] = Field(default_factory=dict)
    """Seat -> reputation in this match; a list gives those of the judging seats in order."""
    start: PositiveFloat = 100.0
    """Reputation of seats that are not named."""
    grader_reward: Literal["none", "consensus", "truth"] = "none"
    """What judges are paid for, -1..1: agreement with the other judges together, or with the truth."""
    rounds: PositiveInt = 1
    """matrix_game: moves per match."""

    @model_validator(mode="before")
    @classmethod
    def _by_mode(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("mode") == "sandbox":
            raise ValueError("mode 'sandbox' is not offered; use duel, panel, population or matrix_game")
        if data.get("mode") == "matrix_game" and "task" not in data:
            return {**data, "task": "matrix"}
        return data

    @field_validator("reputation", mode="before")
    @classmethod
    def _listed(cls, value: Any, info: Any) -> Any:
        """A list by position: resolved to seats once the mode is known."""
        if not isinstance(value, list):
            return value
        role = "member" if info.data.get("mode") == "panel" else "judge"
        return {f"{role}_{i}": each for i, each in enumerate(value)}

    @model_validator(mode="after")
    def _possible(self) -> ArenaParams:
        matrix = self.mode == "matrix_game"
        question = issubclass(lookup(TASKS, "task family", self.task), QuestionFamily)
        if matrix == question:
            raise ValueError(f"mode {self.mode!r} cannot play task {self.task!r}; {NEEDS[matrix]}")
        if matrix and self.m not in (None, 2):
            raise ValueError(f"a matrix game is for two (got m={self.m}); leave m out")
        if not matrix:
            self._seats_fit()
            self._judging_fits()
        return self

    def _seats_fit(self) -> None:
        if self.mode == "panel" and self.members < 3:
            raise ValueError(f"a panel needs m >= 3 (got {self.members}): each answer is graded by the others")
        if self.mode != "panel" and self.judges < 1:
            raise ValueError(
                f"m={self.members} leaves no judge beside {self.members - self.judges} contestants; raise m"
            )
        if self.members > LARGEST or self.contestants + self.samples > LARGEST:
            raise ValueError(f"at most {LARGEST} members and answers")
        if self.mode != "population" and (self.samples > 1 or self.opponent_logprobs):
            raise ValueError(f"samples and opponent_logprobs belong to mode 'population', not {self.mode!r}")
        if self.mode == "population" and self.history > self.opponents:
            raise ValueError(f"history={self.history} of opponents={self.opponents}; lower history")
        if unknown := sorted(set(self.reputation) - set(self.graders)):
            raise ValueError(f"reputation names {unknown}, but the judging seats are {self.graders}")

    def _judging_fits(self) -> None:
        if self.judging == "likelihood" and self.weigh == "reply" and not self.reasons:
            raise ValueError("weigh 'reply' needs reasons: true; without them the reply is the answer")
        if self.show == "alone" and self.judging in ("verdict", "options"):
            raise ValueError(f"judging {self.judging!r} compares answers, which show 'alone' keeps apart")
        others = self.members - 3 if self.mode == "panel" else self.judges - 1
        if self.grader_reward == "consensus" and others < 1:
            raise ValueError("grader_reward 'consensus' needs a second judge for each pair of answers; raise m")

    @property
    def members(self) -> int:
        """Seats in a match of answers."""
        return self.m or 4

    @property
    def contestants(self) -> int:
        """Seats that answer."""
        return {"duel": 2, "panel": self.members, "population": 1 + self.opponents}[self.mode]

    @property
    def judges(self) -> int:
        """Seats that do nothing but judge."""
        return self.members - self.contestants

    @property
    def writers(self) -> list[str]:
        """Seats that answer, in order."""
        if self.mode == "panel":
            return [f"member_{i}" for i in range(self.members)]
        if self.mode == "duel":
            return ["contestant_0", "contestant_1"]
        return ["contestant_0", *(f"opponent_{i}" for i in range(self.opponents))]

    @property
    def graders(self) -> list[str]:
        """Seats that judge, in order."""
        return self.writers if self.mode == "panel" else [f"judge_{i}" for i in range(self.judges)]

    @property
    def answers(self) -> int:
        """Answers in a match."""
        return self.contestants - 1 + self.samples

    @property
    def alone(self) -> bool:
        """Whether each answer has a sheet of its own."""
        return self.show == "alone" and self.judging == "score"

    @property
    def twice(self) -> bool:
        """Whether judges read every sheet in both orders, one after the other."""
        return self.orders == "both" and not self.alone and self.judging not in ("likelihood", "solve")

    def order_of(self, number: int) -> ReadingOrder:
        """The order in which judges read sheet `number`, from 0."""
        if self.alone or self.judging in ("likelihood", "solve"):
            return "none"
        if self.orders == "random":
            return "random"
        return "reversed" if self.twice and number % 2 else "dealt"

    @property
    def sheet_size(self) -> int:
        """Answers that a judge has before it at once."""
        return 1 if self.alone else 2 if self.judging == "verdict" else self.graded

    @property
    def passes(self) -> int:
        """Sheets that each judge judges, one after the other."""
        if self.judging in ("likelihood", "solve"):
            return 1
        if self.alone:
            return self.graded
        pairs = len(self.compared(range(self.graded))) if self.judging == "verdict" else 1
        return pairs * (2 if self.twice else 1)

    def compared(self, answers: Iterable[int]) -> list[tuple[int, int]]:
        """The pairs among `answers` that verdicts are asked for: opponents of a population are not compared."""
        return [(a, b) for a, b in combinations(answers, 2) if self.mode != "population" or a < self.samples]

    @property
    def moot(self) -> bool:
        """Whether equal answers need no judgement: judges are to see nothing but what is answered."""
        if self.judging == "likelihood":
            return self.weigh == "answer"
        return self.judging == "solve" or not self.reasons

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """The comparisons that count, as numbers of answers: all, but of a population only samples with opponents."""
        if self.mode == "population":
            return [(i, j) for i in range(self.samples) for j in range(self.samples, self.answers)]
        return list(combinations(range(self.answers), 2))

    @property
    def graded(self) -> int:
        """Answers that each judge judges."""
        return self.members - 1 if self.mode == "panel" else self.answers

    def weight(self, seat: str) -> float:
        """What this judge's opinion counts."""
        return 1.0 if self.weights == "equal" else self.reputation.get(seat, self.start)


NEEDS: dict[bool, str] = {True: "matrix games need task: matrix", False: "it needs a question family such as kks"}
