"""Results to tables: means of measures by cell of the sweep, returns by agent, each with an interval over tasks.

In: results. Out: plain records that print and that JSON writes. Matches of one task are averaged first, since they are
not independent; intervals are Student's t over tasks, 95 %. What a match does not define is left out of means.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simarena.records import JSON
from simarena.store import Result
from simarena.tournament.intervals import two_sided
from simarena.tournament.results import READ

CONFIDENCE = 0.95
FEW = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776}
"""Degrees of freedom -> half-width in standard errors, where the expansion in `intervals` is too short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean:
    """A mean over tasks."""

    mean: float
    low: float | None
    """Ends of its interval; None for a single task."""
    high: float | None
    tasks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CellRow:
    """What came of one cell."""

    cell: dict[str, JSON]
    matches: int
    failed: int
    undecided: int
    """Of `matches`, those that no judge decided: returns are taken of the others."""
    metrics: dict[str, Mean]
    invalid_rate: float
    """Share of turns whose reply could not be applied as meant."""
    returns: dict[str, Mean | None]
    """Agent -> sum of its rewards in a match; an agent in several seats counts by their average. None: it sat in no
    match that was decided."""


def mean(values: Sequence[float]) -> Mean:
    """Mean and interval of one number per task."""
    n, centre = len(values), statistics.fmean(values)
    if n < 2:
        return Mean(mean=centre, low=None, high=None, tasks=n)
    degrees = n - 1
    reach = FEW.get(degrees, 0.0) or two_sided(CONFIDENCE, degrees)
    half = reach * statistics.stdev(values) / math.sqrt(n)
    return Mean(mean=centre, low=centre - half, high=centre + half, tasks=n)


def by_task(pairs: Iterable[tuple[int, float]]) -> dict[int, float]:
    """(task, value) pairs -> task -> average."""
    found: dict[int, list[float]] = {}
    for task, value in pairs:
        found.setdefault(task, []).append(value)
    return {task: statistics.fmean(values) for task, values in sorted(found.items())}


def cell_rows(results: Iterable[Result]) -> list[CellRow]:
    """One row per cell, in the order of their first match; forks of matches are left out."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        if not result.match.parent:
            groups.setdefault(json.dumps(result.match.cell, sort_keys=True), []).append(result)
    return [cell_row(group) for group in groups.values()]


def cell_row(results: Sequence[Result]) -> CellRow:
    """The row of one cell's results."""
    done = [result for result in results if result.status == "done"]
    decided = [result for result in done if result.decided]
    names = sorted({name for result in done for name in result.metrics})
    agents = sorted({agent for result in done for agent in result.match.seats.values()})
    return CellRow(
        cell=dict(results[0].match.cell),
        matches=len(done),
        failed=sum(result.status == "failed" for result in results),
        undecided=len(done) - len(decided),
        metrics={name: mean(list(task_means(done, name).values())) for name in names},
        invalid_rate=invalid_rate(done),
        returns={agent: mean_return(decided, agent) for agent in agents},
    )


def task_means(results: Iterable[Result], metric: str) -> dict[int, float]:
    """Task -> mean of a measure over the task's matches that define it."""
    return by_task((r.match.task_seed, float(r.metrics[metric])) for r in results if metric in r.metrics)


def mean_return(decided: Iterable[Result], agent: str) -> Mean | None:
    """An agent's mean return over tasks; None where it sat in none of these matches."""
    values = list(by_task(returns_of(decided, agent)).values())
    return mean(values) if values else None


def returns_of(results: Iterable[Result], agent: str) -> Iterable[tuple[int, float]]:
    """(task, return) of an agent in each of its matches."""
    for result in results:
        mine = [result.returns[seat] for seat, name in result.match.seats.items() if name == agent]
        if mine:
            yield result.match.task_seed, statistics.fmean(mine)


def invalid_rate(results: Iterable[Result], agent: str = "") -> float:
    """Share of turns that could not be applied as meant; of one agent's turns where one is named."""
    turns = bad = 0
    for result in results:
        for seat, counts in result.outcomes.items():
            if agent in ("", result.match.seats[seat]):
                turns += sum(counts.values())
                bad += sum(n for outcome, n in counts.items() if outcome not in READ)
    return bad / turns if turns else 0.0


def matching(results: Iterable[Result], where: Mapping[str, JSON]) -> list[Result]:
    """Finished results of the cells that have these coordinates."""
    return [
        result
        for result in results
        if result.status == "done" and all(same(result.match.cell.get(key), value) for key, value in where.items())
    ]


def coordinate(value: JSON) -> str:
    """A sweep's value in words; agents by their names."""
    if isinstance(value, list):
        return "+".join(map(coordinate, value))
    if isinstance(value, dict) and ("policy" in value or "model" in value):
        return str(value.get("name") or value.get("policy") or value["model"])
    return value if isinstance(value, str) else json.dumps(value)


def coordinates(cell: Mapping[str, JSON]) -> str:
    """Where a cell is, in words."""
    return ", ".join(f"{axis}={coordinate(value)}" for axis, value in cell.items())


def same(one: JSON, other: JSON) -> bool:
    """Whether two coordinates are equal; true and 1 are not."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
