"""Scenarios' `expect` blocks: play at a small scale with the scenario's own agents, then check means and their order.

In: a scenario. Out: one line per check, with the value found. Checks compare means over tasks; where two cells are
compared, they are paired by task.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simarena.agents.members import Member, member
from simarena.casting import role
from simarena.execution import Settings
from simarena.records import JSON
from simarena.scenario import Expectation, Scenario
from simarena.scenario_check import singly
from simarena.store import Result
from simarena.studies import Study, run_scenario
from simarena.summary import Mean, coordinate, matching, mean, task_means

SLACK = 1e-9
"""Sums of many numbers miss a bound by rounding alone."""
TINY = 500_000_000
"""Bytes of weights below which a model is a toy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What came of one expectation."""

    metric: str
    passed: bool
    said: str
    """What is expected, in words."""
    found: Mean | None
    """The mean, or the difference of the two means; None: nothing was measured."""
    why: str = ""
    """Why nothing was measured."""
    skipped: bool = False
    """It is about cells that this call does not play: neither passed nor failed."""


def verify(
    scenario: Scenario, name: str, folder: Path, settings: Settings | None = None, held: Collection[str] = ()
) -> tuple[Study, list[Check]]:
    """Play a scenario and check what it expects; `held`: axes of its sweep that were fixed from outside."""
    study = run_scenario(scenario, name, folder, settings=settings)
    return study, [check(expectation, study.results, held) for expectation in scenario.expect]


def check(expected: Expectation, results: Sequence[Result], held: Collection[str] = ()) -> Check:
    """One expectation against what was measured."""
    said = words(expected)
    fixed = sorted({*expected.where, *(expected.higher or {}), *(expected.than or {})} & set(held))
    if fixed:
        why = f"{', '.join(fixed)} does not vary here"
        return Check(metric=expected.metric, passed=False, said=said, found=None, why=why, skipped=True)
    if expected.higher is not None:
        return ordering(expected, results, said)
    found = measured(results, expected.where, expected.metric)
    if isinstance(found, str):
        return Check(metric=expected.metric, passed=False, said=said, found=None, why=found)
    here = mean(list(found.values()))
    low = expected.min is None or here.mean >= expected.min - SLACK
    high = expected.max is None or here.mean <= expected.max + SLACK
    return Check(metric=expected.metric, passed=low and high, said=said, found=here)


def ordering(expected: Expectation, results: Sequence[Result], said: str) -> Check:
    """Whether some cells' mean is higher than others'."""
    above = measured(results, {**expected.where, **(expected.higher or {})}, expected.metric)
    below = measured(results, {**expected.where, **(expected.than or {})}, expected.metric)
    if isinstance(above, str) or isinstance(below, str):
        why = above if isinstance(above, str) else str(below)
        return Check(metric=expected.metric, passed=False, said=said, found=None, why=why)
    gap = difference(above, below)
    return Check(metric=expected.metric, passed=gap.mean > expected.by, said=said, found=gap)


def difference(above: Mapping[int, float], below: Mapping[int, float]) -> Mean:
    """The difference of two means over tasks, paired where both have the same tasks."""
    if set(above) == set(below):
        return mean([above[task] - below[task] for task in above])
    gap = mean(list(above.values())).mean - mean(list(below.values())).mean
    return Mean(mean=gap, low=None, high=None, tasks=min(len(above), len(below)))


def measured(results: Sequence[Result], where: Mapping[str, JSON], metric: str) -> dict[int, float] | str:
    """Task -> mean of a measure in these cells, or why there is none."""
    found = matching(results, where)
    if not found:
        return "no finished match in these cells"
    means = task_means(found, metric)
    known = ", ".join(sorted({name for result in found for name in result.metrics}))
    return means or f"no match measured it (they measured {known})"


def words(expected: Expectation) -> str:
    """An expectation as a line."""
    where = f" where {cells(expected.where)}" if expected.where else ""
    if expected.higher is not None:
        by = f" by more than {expected.by:g}" if expected.by else ""
        return (
            f"{expected.metric} higher with {cells(expected.higher)} than with {cells(expected.than or {})}{by}{where}"
        )
    if expected.min is not None and expected.min == expected.max:
        return f"{expected.metric} exactly {expected.min:g}{where}"
    low = f"at least {expected.min:g}" if expected.min is not None else ""
    high = f"at most {expected.max:g}" if expected.max is not None else ""
    return f"{expected.metric} {' and '.join(filter(None, (low, high)))}{where}"


def cells(where: Mapping[str, JSON]) -> str:
    """Coordinates as words."""
    return ", ".join(f"{key} {coordinate(value)}" for key, value in where.items()) or "everything"


def toy(scenario: Scenario) -> bool:
    """Whether only scripted policies and tiny models play: that a mechanism works says nothing about large ones."""
    cells = [scenario.at(cell) for cell in singly(scenario)]
    parts = [agents for here in cells for part in (here.roster, here.judges) for agents in part.values()]
    return all(small(member(entry)) for agents in parts if isinstance(agents, list) for entry in agents)


def small(who: Member) -> bool:
    """Whether an agent is scripted or has few weights."""
    if who.spec.backend == "scripted":
        return True
    weights = Path(role(who).model).glob("*.safetensors") if who.spec.backend == "transformers" else []
    sizes = [path.stat().st_size for path in weights]
    return bool(sizes) and sum(sizes) < TINY
