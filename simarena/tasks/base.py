"""What a task family is: seed in, a task with its truth and verifier out.

Pure: no model, network, clock or global random state. Knows nothing of environments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from simarena.records import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One generated instance. Plain JSON throughout, so that a snapshot can hold it."""

    family: str
    seed: int
    public: dict[str, JSON]
    """What every seat may know and is shown, in words."""
    structure: dict[str, JSON] = field(default_factory=dict)
    """The same knowledge as data, for policies and solvers; prompts leave it out."""
    private: dict[str, dict[str, JSON]] = field(default_factory=dict)
    """Role or seat -> what it alone knows."""
    truth: JSON = None
    """The right answer and whatever a verifier needs; never shown to a seat."""

    @property
    def known(self) -> dict[str, JSON]:
        """Everything public: words and structure."""
        return {**self.public, **self.structure}


class Knobs(BaseModel):
    """Base of a family's parameters: strict, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Family:
    """A seeded generator. Subclasses set `name` and `Params` and give `generate` and `verify`."""

    name: ClassVar[str]
    Params: ClassVar[type[Knobs]] = Knobs

    def __init__(self, **params: Any) -> None:
        self.params: Any = self.Params(**params)

    def generate(self, seed: int) -> Task:
        """The task of this seed; the same on every machine."""
        raise NotImplementedError  # abstract: every family gives it

    def verify(self, task: Task, answer: JSON) -> float:
        """How right `answer` is, 0..1; anything that cannot be read is 0, never an error."""
        raise NotImplementedError  # abstract: every family gives it


class QuestionFamily(Family):
    """A family of questions with one right answer, written as text: what solvers, contestants and debaters share.

    `public` holds "question" (str), "options" (list of str: possible answers, the right one among them, in a seeded
    order; empty where the answer is open) and "format" (str: how an answer is written, in words).
    `truth` holds "answer" (str), in the canonical writing, and "reason" (str), a short valid derivation.
    An answer has one or more items (a knight/knave/spy answer has one per person).
    """

    def items(self, task: Task) -> list[str]:
        """Names of the answer's items; [""] where it has just one."""
        return [""]

    def values(self, task: Task, item: str) -> list[str]:
        """Possible values of an item; for open answers a plausible handful, the right one among them."""
        raise NotImplementedError  # abstract: every family gives it

    def parse(self, task: Task, answer: JSON) -> list[str] | None:
        """`answer` as one canonical value per item, or None where it cannot be read."""
        raise NotImplementedError  # abstract: every family gives it

    def write(self, task: Task, values: list[str]) -> str:
        """One value per item as canonical answer text; the inverse of `parse`."""
        return values[0]

    def wrong(self, task: Task, seed: int) -> str:
        """A plausible wrong answer, the same for the same seed, in canonical writing."""
        raise NotImplementedError  # abstract: every family gives it

    def verify(self, task: Task, answer: JSON) -> float:
        """1.0 where every item is right, else 0.0 (`share` gives part marks)."""
        return float(self.share(task, answer) == 1.0)

    def share(self, task: Task, answer: JSON) -> float:
        """Share of items that are right, 0..1."""
        values, right = self.parse(task, answer), self.parse(task, task.truth["answer"])
        if values is None or right is None:
            return 0.0
        return sum(a == b for a, b in zip(values, right, strict=True)) / len(right)
