"""Finished matches as ratings and schedules see them, and their expansion into pairwise comparisons.

In: results (who sat where, what each seat scored). Out: `Comparisons`, columns of numbers that a fit can add up fast.
Knows no environment, model or file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from simarena.records import JSON, Trajectory

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]

LOSS, TIE, WIN = 0, 1, 2
"""Outcome of a comparison, seen from the seat that comes first."""

TIE_MARGIN = 1e-9
"""Scores closer than this are a tie: sums of rewards that differ by rounding alone decide nothing."""

READ = frozenset({"ok", "repaired"})
"""Outcomes of a turn whose action was applied as meant; every other one counts as invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One finished match."""

    match: str
    """Its id."""
    unit: str
    """The matches that swap or rotate the same agents on the same task share it: they are one comparison."""
    task: str
    """The task played; results on the same task may err together, so errors are clustered by it."""
    seats: tuple[str, ...]
    """Labels of the rated seats, first to move first."""
    agents: tuple[str, ...]
    """Who sat there, in the same order."""
    scores: tuple[float, ...]
    """What each seat got; higher is better."""
    invalid: tuple[int, ...] = ()
    """Turns of each seat whose reply could not be applied as meant; empty: none."""
    turns: tuple[int, ...] = ()
    """Turns of each seat; empty: not counted."""
    cell: Mapping[str, JSON] = field(default_factory=dict)
    """Where in a sweep it was played: axis -> value."""
    decided: bool = True
    """False where no judge decided it: its scores say nothing, and no comparison is made of it."""

    def __post_init__(self) -> None:
        assert len(self.seats) == len(self.agents) == len(self.scores), f"match {self.match}: one agent, one score each"
        assert all(map(math.isfinite, self.scores)), f"match {self.match}: scores {self.scores} are not all finite"


def result_of(trajectory: Trajectory, seats: Sequence[str]) -> Result:
    """A finished match as a result, `seats` being the rated ones, first to move first."""
    match, outcomes = trajectory.match, [trajectory.outcomes.get(seat, {}) for seat in seats]
    return Result(
        match=match.id,
        unit=match.unit,
        task=f"{match.env}/{match.task_seed}",
        seats=tuple(seats),
        agents=tuple(match.seats[seat] for seat in seats),
        scores=tuple(trajectory.returns[seat] for seat in seats),
        invalid=tuple(sum(n for outcome, n in counts.items() if outcome not in READ) for counts in outcomes),
        turns=tuple(sum(counts.values()) for counts in outcomes),
        cell=match.cell,
        decided=trajectory.decided,
    )


def cell_key(cell: Mapping[str, JSON]) -> str:
    """The same text for the same coordinates; true and 1 are not the same."""
    return json.dumps(cell, sort_keys=True)


def by_cell(results: Iterable[Result], axes: Iterable[str] | None = None) -> list[tuple[dict[str, JSON], list[Result]]]:
    """(coordinates, results) of each cell, in the order of their first match; along these axes alone, where given."""
    kept, groups = axes if axes is None else set(axes), dict[str, tuple[dict[str, JSON], list[Result]]]()
    for result in results:
        at = {axis: value for axis, value in result.cell.items() if kept is None or axis in kept}
        groups.setdefault(cell_key(at), (at, []))[1].append(result)
    return list(groups.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparisons:
    """Pairwise comparisons, one row each; all columns are (rows,)."""

    agents: tuple[str, ...]
    """Names that `first` and `second` index, sorted."""
    seats: tuple[str, ...]
    """Labels that `first_seat` and `second_seat` index, in order of play."""
    first: Ints
    second: Ints
    first_seat: Ints
    second_seat: Ints
    outcome: Ints
    """LOSS, TIE or WIN of `first`."""
    weight: Floats
    task: Ints
    """Which task, from 0."""
    unit: Ints
    """Which unit, from 0."""

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Ints) -> Comparisons:
        """Only these rows; names and numbers of tasks and units stay as they are."""
        columns = ("first", "second", "first_seat", "second_seat", "outcome", "weight", "task", "unit")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})


def compare(results: Sequence[Result], agents: Iterable[str] = (), tie_margin: float = TIE_MARGIN) -> Comparisons:
    """Every pair of rated seats of every decided match as one comparison; an agent is never compared with itself.

    A match of k seats makes k(k-1)/2 comparisons and weighs each 1/(k-1), so that it counts once for everyone who sat
    in it. The comparisons of one match are not independent: counted in full, ten seats would pass for nine matches.
    `agents` adds names that have not played.
    """
    names = tuple(sorted({*agents, *(name for result in results for name in result.agents)}))
    seats = _seat_order(results)
    index, place = {name: i for i, name in enumerate(names)}, {seat: i for i, seat in enumerate(seats)}
    task, unit = _codes(result.task for result in results), _codes(result.unit for result in results)
    rows: list[NDArray[np.float64]] = [np.empty((0, 8))]
    sizes = np.array([len(result.agents) * result.decided for result in results], dtype=np.intp)
    for k in sorted(set(sizes.tolist())):
        chosen = np.flatnonzero(sizes == k)
        some = [results[i] for i in chosen.tolist()]
        who = np.array([[index[name] for name in result.agents] for result in some], dtype=np.intp)
        where = np.array([[place[seat] for seat in result.seats] for result in some], dtype=np.intp)
        score = np.array([result.scores for result in some], dtype=np.float64)
        for s, t in combinations(range(k), 2):
            gap = score[:, s] - score[:, t]
            outcome = np.where(np.abs(gap) <= tie_margin, TIE, np.where(gap > 0, WIN, LOSS))
            weight = np.full(len(some), 1 / (k - 1))
            columns = (who[:, s], who[:, t], where[:, s], where[:, t], outcome, weight, task[chosen], unit[chosen])
            rows.append(np.stack(columns, axis=1).astype(np.float64))
    table = np.concatenate(rows)
    table = table[table[:, 0] != table[:, 1]]
    first, second, first_seat, second_seat, outcome = table[:, :5].astype(np.intp).T
    return Comparisons(
        agents=names,
        seats=seats,
        first=first,
        second=second,
        first_seat=first_seat,
        second_seat=second_seat,
        outcome=outcome,
        weight=table[:, 5],
        task=table[:, 6].astype(np.intp),
        unit=table[:, 7].astype(np.intp),
    )


def _seat_order(results: Sequence[Result]) -> tuple[str, ...]:
    """Seat labels by their earliest place in a match, whatever order the results come in."""
    earliest: dict[str, int] = {}
    for seats in {result.seats for result in results}:
        for place, seat in enumerate(seats):
            earliest[seat] = min(place, earliest.get(seat, place))
    return tuple(sorted(earliest, key=lambda seat: (earliest[seat], seat)))


def _codes(labels: Iterable[str]) -> Ints:
    """Labels as numbers from 0, in order of first appearance."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(label, len(known)) for label in labels], dtype=np.intp)
