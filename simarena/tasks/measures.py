"""Public budgets: measures with a cost and an effect on every group, and all affordable packages enumerated.

A package is a set of measures within the budget; a group's utility is its base utility plus the effects of the
package's measures on it, in rubric points. Own formalisation of the setting of negotiative alignment.
"""

from __future__ import annotations

from functools import lru_cache
from random import Random
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from simarena import seeds
from simarena.errors import ScenarioError
from simarena.records import JSON
from simarena.tasks import welfare
from simarena.tasks.base import Family, Knobs, Task

MAX_DRAWS = 1_000


class Instance(NamedTuple):
    """A package problem in numbers; hashable, so that its enumeration is kept."""

    base: tuple[int, ...]
    """Utility of each group without any measure."""
    costs: tuple[int, ...]
    """Cost of each measure, 1 or more."""
    effects: tuple[tuple[int, ...], ...]
    """Measure -> group -> points."""
    budget: int
    """What a package may cost."""


class MeasureParams(Knobs):
    """Knobs of the package problems."""

    groups: int = Field(4, ge=2, le=12)
    """Stakeholder groups."""
    measures: int = Field(8, ge=1, le=14)
    """Measures to choose from; 2 to their number packages are enumerated."""
    budget: float = Field(0.5, gt=0, le=1)
    """Share of the cost of all measures that a package may cost (rounded down; always enough for the cheapest)."""
    max_cost: int = Field(5, ge=1, le=1000)
    """Costs are drawn from 1 to here."""
    base: tuple[int, ...] | Literal["drawn"] = "drawn"
    """Base utility of each group under the base design; drawn: 6 to 14 points, so that it serves groups unequally."""
    costs: tuple[int, ...] | Literal["drawn"] = "drawn"
    """Cost of each measure."""
    effects: tuple[tuple[int, ...], ...] | Literal["drawn"] = "drawn"
    """Measure -> group -> points; drawn: -2 to 4, and every measure helps somebody."""
    rubric: Literal["public", "private"] = "public"
    """public: all see all effects; private: each group sees those on itself alone."""
    improvable: bool = True
    """Draw again until some package is better for the worst-off group than none."""

    @model_validator(mode="after")
    def _fits(self) -> MeasureParams:
        if self.base != "drawn" and len(self.base) != self.groups:
            raise ValueError(f"base has {len(self.base)} numbers for {self.groups} groups")
        if self.costs != "drawn" and (len(self.costs) != self.measures or min(self.costs) < 1):
            raise ValueError(f"costs needs {self.measures} numbers of 1 or more")
        if self.effects != "drawn" and [len(row) for row in self.effects] != [self.groups] * self.measures:
            raise ValueError(f"effects needs {self.measures} rows of {self.groups} numbers")
        return self


class Measures(Family):
    """Package problems; truth holds the numbers and the enumerated optima."""

    name = "measures"
    Params = MeasureParams

    def generate(self, seed: int) -> Task:
        """Public: budget, costs and, where the rubric is public, each group's card. Private: the cards otherwise."""
        return self.task(self._draw(seed), seed)

    def task(self, instance: Instance, seed: int) -> Task:
        """The task of an instance, dealt as the rubric says."""
        public: dict[str, JSON] = {
            "budget": instance.budget,
            "costs": {measure(i): cost for i, cost in enumerate(instance.costs)},
        }
        cards: dict[str, dict[str, JSON]] = {group(g): card(instance, g) for g in range(len(instance.base))}
        shown, private = (cards, {}) if self.params.rubric == "public" else ({}, cards)
        return Task(family=self.name, seed=seed, public={**public, **shown}, private=private, truth=truth(instance))

    def verify(self, task: Task, answer: JSON) -> float:
        """Share of the possible rise of the worst-off group that a package reaches, 0..1; 0 for no legal package."""
        instance = as_instance(task.truth)
        bits = bits_of(instance, answer)
        if bits is None or cost_of(instance, bits) > instance.budget:
            return 0.0
        start, goal = min(instance.base), min(task.truth["maximin"]["utilities"])
        rise = min(utilities_of(instance, bits)) - start
        return float(goal == start) if goal <= start else max(0.0, min(1.0, rise / (goal - start)))

    def _draw(self, seed: int) -> Instance:
        for draw in range(MAX_DRAWS):
            instance = self._instance(seeds.rng(self.name, seed, draw))
            worst = table(instance).min(axis=0)
            if not self.params.improvable or worst.max() > min(instance.base):
                return instance
        raise ScenarioError(
            f"measures: {MAX_DRAWS} draws had no package that helps the worst-off group; "
            f"raise budget={self.params.budget} or measures={self.params.measures}, or set improvable to false"
        )

    def _instance(self, rng: Random) -> Instance:
        p = self.params
        base = tuple(rng.randint(6, 14) for _ in range(p.groups)) if p.base == "drawn" else p.base
        costs = tuple(rng.randint(1, p.max_cost) for _ in range(p.measures)) if p.costs == "drawn" else p.costs
        effects = tuple(draw_effects(rng, p.groups) for _ in range(p.measures)) if p.effects == "drawn" else p.effects
        return Instance(base, costs, effects, max(min(costs), int(p.budget * sum(costs))))


def draw_effects(rng: Random, groups: int) -> tuple[int, ...]:
    """Points for every group, -2 to 4; somebody is helped."""
    points = [rng.randint(-2, 4) for _ in range(groups)]
    if max(points) <= 0:
        points[rng.randrange(groups)] = rng.randint(1, 4)
    return tuple(points)


def group(number: int) -> str:
    """Seat of a group."""
    return f"group_{number}"


def measure(number: int) -> str:
    """Name of a measure: m1, m2, ..."""
    return f"m{number + 1}"


def card(instance: Instance, number: int) -> dict[str, JSON]:
    """A group's base utility and what every measure does for it."""
    return {"base": instance.base[number], **{measure(i): row[number] for i, row in enumerate(instance.effects)}}


def read_public(public: dict[str, Any]) -> Instance | None:
    """The instance that a public part tells in full; None where the rubric is private."""
    seats = sorted((key for key in public if key.startswith("group_")), key=lambda seat: int(seat[6:]))
    if not seats:
        return None
    return Instance(
        tuple(public[seat]["base"] for seat in seats),
        tuple(public["costs"].values()),
        tuple(tuple(public[seat][name] for seat in seats) for name in public["costs"]),
        public["budget"],
    )


def as_instance(data: dict[str, Any]) -> Instance:
    """An instance from a task's truth."""
    return Instance(
        tuple(data["base"]), tuple(data["costs"]), tuple(tuple(row) for row in data["effects"]), int(data["budget"])
    )


def bits_of(instance: Instance, package: JSON) -> list[int] | None:
    """A list of measure names as 0/1 per measure; None where it holds anything else or a name twice."""
    if not isinstance(package, list):
        return None
    names = [measure(i) for i in range(len(instance.costs))]
    if not all(isinstance(name, str) and name in names for name in package) or len(set(package)) != len(package):
        return None
    return [int(name in package) for name in names]


def write_package(bits: Any) -> list[str]:
    """0/1 per measure as a list of names, in order."""
    return [measure(i) for i, bit in enumerate(bits) if bit]


def cost_of(instance: Instance, bits: Any) -> int:
    """What a package costs."""
    return int(sum(cost for cost, bit in zip(instance.costs, bits, strict=True) if bit))


def utilities_of(instance: Instance, bits: Any) -> list[int]:
    """Points of every group under a package."""
    rows = [row for row, bit in zip(instance.effects, bits, strict=True) if bit]
    return [points + sum(row[g] for row in rows) for g, points in enumerate(instance.base)]


@lru_cache(maxsize=256)
def packages(costs: tuple[int, ...], budget: int) -> NDArray[np.int64]:
    """(P, measures): all affordable packages as 0/1, the empty one first."""
    every = np.indices((2,) * len(costs)).reshape(len(costs), -1).T
    return np.asarray(every[every @ np.asarray(costs) <= budget])


@lru_cache(maxsize=256)
def table(instance: Instance) -> NDArray[np.int64]:
    """(groups, P): points of every group under every affordable package."""
    chosen = packages(instance.costs, instance.budget)
    return np.asarray((chosen @ np.asarray(instance.effects) + np.asarray(instance.base)).T)


@lru_cache(maxsize=256)
def front(instance: Instance) -> NDArray[np.int64]:
    """(groups, F): points under the Pareto-efficient packages."""
    points = table(instance)
    return points[:, welfare.pareto(points)]


def optimum(instance: Instance, objective: welfare.Objective) -> dict[str, JSON]:
    """The affordable package with the most welfare, and its utilities."""
    place = welfare.best(table(instance), objective)
    chosen = packages(instance.costs, instance.budget)[place]
    return {"package": write_package(chosen), "utilities": [int(u) for u in table(instance)[:, place]]}


def truth(instance: Instance) -> dict[str, JSON]:
    """The numbers of an instance, and what enumeration says about them."""
    points = table(instance)
    return {
        "base": list(instance.base),
        "costs": list(instance.costs),
        "effects": [list(row) for row in instance.effects],
        "budget": instance.budget,
        "packages": int(points.shape[1]),
        "low": [int(u) for u in points.min(axis=1)],
        "high": [int(u) for u in points.max(axis=1)],
        "maximin": optimum(instance, "worst_then_total"),
        "nash": optimum(instance, "nash"),
        "total": optimum(instance, "total"),
    }


class Amendment(NamedTuple):
    """A change to a package: one measure in, one out, or both; "none" where nothing is."""

    add: str
    drop: str

    def apply(self, package: list[str]) -> list[str]:
        """The changed package, measures in order."""
        kept = [name for name in package if name != self.drop] + [self.add] * (self.add != NONE)
        return sorted(kept, key=lambda name: int(name[1:]))


NONE = "none"


def amendments(instance: Instance, package: list[str]) -> list[Amendment]:
    """All affordable changes to a package: additions, removals and exchanges."""
    names = [measure(i) for i in range(len(instance.costs))]
    found = []
    for add in [NONE, *(name for name in names if name not in package)]:
        for drop in [NONE, *package]:
            change = Amendment(add, drop)
            if (add, drop) != (NONE, NONE) and price(instance, change) <= left(instance, package):
                found.append(change)
    return found


def price(instance: Instance, change: Amendment) -> int:
    """What a change adds to the cost; negative where it saves."""
    cost = {measure(i): c for i, c in enumerate(instance.costs)} | {NONE: 0}
    return cost[change.add] - cost[change.drop]


def left(instance: Instance, package: list[str]) -> int:
    """What is left of the budget after a package."""
    return instance.budget - cost_of(instance, bits_of(instance, package))


def points_under(instance: Instance, package: list[str]) -> list[int]:
    """Points of every group under a package by name."""
    return utilities_of(instance, bits_of(instance, package))


def merged(instance: Instance, package: list[str], changes: list[Amendment]) -> list[str]:
    """The package after the change that does most for the worst-off group, then in total, per unit of cost.

    A change that costs nothing or saves counts as costing one unit. Unchanged where no change helps.
    """
    before = points_under(instance, package)

    def gain(change: Amendment) -> tuple[float, float]:
        after, unit = points_under(instance, change.apply(package)), max(1, price(instance, change))
        return (min(after) - min(before)) / unit, (sum(after) - sum(before)) / unit

    best = max(changes, key=gain, default=None)
    return best.apply(package) if best is not None and gain(best) > (0.0, 0.0) else package
