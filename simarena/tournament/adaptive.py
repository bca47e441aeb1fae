"""Adaptive pairing: play what tells most, and stop when the question is answered.

In: results. Out: pairings. The strengths and their covariance come from the Bradley-Terry fit; knows no points.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, PositiveInt

from simarena.tournament.bradley_terry import Bools, Fit, fit
from simarena.tournament.intervals import quantile
from simarena.tournament.results import Floats, Ints, compare
from simarena.tournament.schedule import Format, Pairing, Played, seatings

LOOK = 1.25
"""The question is asked again when there are so many times as many units as at the last look."""


@dataclass(slots=True)
class Looks:
    """When the question has been asked. Looking often finds a fluke sooner or later, so each look asks for more.

    Look number l spends 1/(l(l+1)) of the error allowed; these shares sum to 1 however often one looks.
    """

    count: int = 0
    units: int = 0

    def due(self, units: int) -> bool:
        """Whether to look now; counts the look if so."""
        if self.count and units < math.ceil(LOOK * self.units):
            return False
        self.count, self.units = self.count + 1, units
        return True

    def needed(self, confidence: float, questions: int, clusters: int) -> float:
        """Standard errors by which a difference must exceed 0 at this look, `questions` being asked at once."""
        error = (1 - confidence) / (self.count * (self.count + 1) * questions)
        return quantile(1 - error, clusters - 1 if clusters else math.inf)


class Course:
    """A tournament told from its start: which units of which pairs have been played, and what they say."""

    def __init__(self, names: Sequence[str], games: int, played: Played) -> None:
        self.first, self.second = np.triu_indices(len(names), 1)
        pairs = [(names[i], names[j]) for i, j in zip(self.first, self.second, strict=True)]
        self.units = [[seatings(pair, task) for task in range(games)] for pair in pairs]
        self.done: Ints = np.zeros(len(pairs), dtype=np.intp)
        """(pairs,): units played, in the order of their tasks."""
        every = played.results(p for pair in self.units for unit in pair for p in unit)
        results = [result for result in every if result.decided]  # each is one row of the data
        self._data = compare(results, names)
        self._rows: defaultdict[str, list[int]] = defaultdict(list)
        for row, result in enumerate(results):
            self._rows[result.unit].append(row)

    def next(self, more: Ints) -> list[Pairing]:
        """The pairings of so many more units of each pair."""
        units = (u for pair, n, m in zip(self.units, self.done, more, strict=True) for u in pair[n : n + m])
        return [pairing for unit in units for pairing in unit]

    def fit(self) -> Fit:
        """Strengths from the units played so far in this telling, whatever else the history holds."""
        return fit(self._data.take(np.array([row for rows in self._told() for row in rows], dtype=np.intp)))

    def games(self) -> float:
        """Of a unit told so far, on average: more than two where a unit is played in several cells."""
        told = self._told()
        return sum(map(len, told)) / len(told)

    def _told(self) -> list[list[int]]:
        """Rows of the results of each unit told so far."""
        return [self._rows[unit[0].unit] for pair, n in zip(self.units, self.done, strict=True) for unit in pair[:n]]


class Adaptive(Format):
    """Each round plays the pairs whose next unit shrinks the joint uncertainty most (D-optimal), until sure enough.

    D-optimal: the greatest gain in the log-determinant of the Fisher information, log(1 + w v), where w is the
    information of a unit of the pair at the fitted strengths and v the variance of their difference. Pairs whose order
    is settled are left alone.
    """

    floor: PositiveInt = 2
    """Units that every pair plays first."""
    games: PositiveInt = 20
    """Most units of a pair: never more in all than a round robin of as many."""
    batch: PositiveInt | None = None
    """Units of a round, played at the same time; None: a quarter of those played so far, but one an agent at least."""
    goal: Literal["order", "best"] = "order"
    """When to stop: every rank is settled, or only who is best."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Chance that what is settled is right, over all looks and pairs together."""

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        names, looks = sorted(agents), Looks()
        course, order = Course(names, self.games, played), sorted(agents)
        more = np.full(len(course.units), min(self.floor, self.games))
        settled = np.zeros((len(names), len(names)), dtype=np.bool_)
        while more.any():
            pending = played.pending(course.next(more))
            if pending:
                return pending, order
            course.done = course.done + more
            fitted = course.fit()
            order = [names[i] for i in np.argsort(-fitted.strength, kind="stable")]
            if looks.due(int(course.done.sum())):
                settled = self._settled(fitted, looks)
            more = self._choose(fitted, course, self._open(fitted.strength, settled))
        return [], order

    def _settled(self, fitted: Fit, looks: Looks) -> Bools:
        """(agents, agents): whether the row's agent is surely better than the column's."""
        n = len(fitted.strength)
        questions = n * (n - 1) // 2 if self.goal == "order" else n - 1
        gap, error = fitted.gaps()
        settled: Bools = gap > looks.needed(self.confidence, questions, fitted.clusters) * error
        return settled

    def _open(self, strength: Floats, settled: Bools) -> Bools:
        """(agents, agents): whose order is still in question; nothing once the goal is reached."""
        order = np.argsort(-strength, kind="stable")
        unsure: Bools = np.logical_not(settled | settled.T)
        if self.goal == "best":
            rivals = np.asarray(~settled.any(axis=0), dtype=np.bool_)
            return unsure & rivals[:, None] & rivals
        if not unsure[order[:-1], order[1:]].any():
            return np.zeros_like(unsure)
        return unsure

    def _choose(self, fitted: Fit, course: Course, wanted: Bools) -> Ints:
        """(pairs,): how many units of each pair to play next; greedy, one unit at a time."""
        first, second = course.first, course.second
        left = np.where(wanted[first, second], self.games - course.done, 0)
        size = min(self.batch or max(len(wanted), int(course.done.sum()) // 4), int(left.sum()))
        more = np.zeros_like(left)
        covariance = fitted.model[: len(fitted.strength), : len(fitted.strength)].copy()
        weight = unit_information(fitted.strength[first] - fitted.strength[second], fitted.tie) * course.games() / 2
        for _ in range(size):
            spread = covariance[:, first] - covariance[:, second]
            pairs = np.arange(len(left))
            variance = spread[first, pairs] - spread[second, pairs]
            best = int(np.argmax(np.where(more < left, weight * variance, -np.inf)))
            more[best] += 1
            gained = spread[:, best]
            covariance -= np.outer(gained, gained) * weight[best] / (1 + weight[best] * variance[best])
        return more


def unit_information(difference: Floats, tie: float) -> Floats:
    """Fisher information, per square nat, of two games with sides swapped between agents so far apart.

    Davidson's model without seat effect, whose first order the swap cancels; never quite 0.
    """
    up, down = np.exp(difference / 2), np.exp(-difference / 2)
    norm = up + down + tie
    information: Floats = 2 * ((up + down) / norm / 4 - ((up - down) / norm / 2) ** 2)
    return np.maximum(information, 1e-9)
