"""Several question families in one: each seed draws a family, then that family's task of the same seed."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from pydantic import Field, NonNegativeFloat, model_validator

from simarena.records import JSON
from simarena.registry import TASKS, lookup
from simarena.seeds import rng
from simarena.tasks.base import Knobs, QuestionFamily, Task


class MixtureParams(Knobs):
    """Which families, how often, with which parameters."""

    weights: dict[str, NonNegativeFloat] = Field(
        default_factory=lambda: dict.fromkeys(("arithmetic", "kks", "logic_chain", "trap_math"), 1.0), min_length=1
    )
    """Family -> how often it is drawn, relative to the others."""
    params: dict[str, dict[str, JSON]] = Field(default_factory=dict)
    """Family -> its own parameters."""

    @model_validator(mode="after")
    def _possible(self) -> MixtureParams:
        if not sum(self.weights.values()) > 0:
            raise ValueError("all weights are 0; give one family a positive weight")
        if surplus := sorted(set(self.params) - set(self.weights)):
            raise ValueError(f"params name {surplus}, which weights do not hold")
        for name in self.weights:
            family = lookup(TASKS, "task family", name)
            if not issubclass(family, QuestionFamily) or family is Mixture:
                raise ValueError(f"{name!r} is no family of questions")
        return self


class Mixture(QuestionFamily):
    """Questions of several families; a task's `family` says which one it is of, and that family reads its answers."""

    name = "mixed"
    Params = MixtureParams

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        p: MixtureParams = self.params
        self.families: dict[str, QuestionFamily] = {
            name: lookup(TASKS, "task family", name)(**p.params.get(name, {})) for name in sorted(p.weights)
        }

    def generate(self, seed: int) -> Task:
        """The task of this seed of a family drawn by seed."""
        names = list(self.families)
        bounds = list(accumulate(self.params.weights[name] for name in names))
        (name,) = rng("mixed", seed).choices(names, cum_weights=bounds)
        return self.families[name].generate(seed)

    def of(self, task: Task) -> QuestionFamily:
        """The family that `task` is of."""
        return self.families[task.family]

    def items(self, task: Task) -> list[str]:
        """Those of the task's family."""
        return self.of(task).items(task)

    def values(self, task: Task, item: str) -> list[str]:
        """Those of the task's family."""
        return self.of(task).values(task, item)

    def parse(self, task: Task, answer: JSON) -> list[str] | None:
        """As the task's family reads it."""
        return self.of(task).parse(task, answer)

    def write(self, task: Task, values: list[str]) -> str:
        """As the task's family writes it."""
        return self.of(task).write(task, values)

    def wrong(self, task: Task, seed: int) -> str:
        """A mistake that the task's family plans."""
        return self.of(task).wrong(task, seed)
