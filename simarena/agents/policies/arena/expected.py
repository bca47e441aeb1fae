"""What the arena's reference policies come to, by formula or enumeration; nothing here is observed.

Contestants have a chance each of a right answer, independent of one another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from statistics import NormalDist
from typing import NamedTuple

from simarena.tasks.skills import STYLES, Grader, cycle


class Odds(NamedTuple):
    """Chances of the three ends of a comparison; they sum to 1."""

    win: float
    draw: float
    loss: float

    @property
    def value(self) -> float:
        """Expected return: wins less losses."""
        return self.win - self.loss


def duel(p: float, q: float) -> Odds:
    """Contestant of skill `p` against one of skill `q` under judges who know the answer.

    A win is a right answer against a wrong one, p(1-q); both right and both wrong are draws. The value is p - q.
    """
    return Odds(p * (1 - q), p * q + (1 - p) * (1 - q), q * (1 - p))


def panel(skills: Sequence[float]) -> list[float]:
    """Expected standard rank of each member of a panel that grades truthfully: the sum of its duels' values, scaled."""
    size = len(skills)
    spread = math.sqrt((size * size - 1) / 3)
    return [sum(p - q for q in skills) / spread for p in skills]


def population(p: float, opponents: Sequence[float]) -> float:
    """Expected return of a policy of skill `p` against several opponents, however many samples it draws."""
    return sum(duel(p, q).value for q in opponents) / len(opponents)


def grade_odds(grader: Grader, right: bool, place: int) -> dict[int, float]:
    """Grade -> chance that this grader gives it to an answer that is `right` or not, read at `place`."""
    found: dict[int, float] = {}
    for seen, chance in ((right, grader.sight), (not right, 1 - grader.sight)):
        mean = (0.8 if seen else 0.3) * grader.scale + grader.bias + grader.first * (place == 0)
        for grade, share in _rounded(mean, grader.noise, grader.scale).items():
            found[grade] = found.get(grade, 0.0) + chance * share
    return found


def _rounded(mean: float, noise: float, scale: int) -> dict[int, float]:
    """A normal draw, rounded and cut to 1..scale."""
    if noise == 0:
        return {min(scale, max(1, round(mean))): 1.0}
    normal = NormalDist(mean, noise)
    below = [0.0, *(normal.cdf(grade + 0.5) for grade in range(1, scale)), 1.0]
    return {grade: below[grade] - below[grade - 1] for grade in range(1, scale + 1)}


def margin_odds(grader: Grader, right: bool, other: bool, right_first: bool = True) -> dict[int, float]:
    """Margin -> its chance, for an answer that is `right` over one that is `other`; the first is read first or not."""
    found: dict[int, float] = {}
    one = grade_odds(grader, right, 0 if right_first else 1)
    two = grade_odds(grader, other, 1 if right_first else 0)
    for (a, p), (b, q) in product(one.items(), two.items()):
        found[a - b] = found.get(a - b, 0.0) + p * q
    return found


def both_orders(grader: Grader, right: bool, other: bool, verdicts: bool = False) -> dict[float, float]:
    """Margin averaged over both reading orders -> its chance. `verdicts`: each order says only which is better."""
    found: dict[float, float] = {}
    orders = [margin_odds(grader, right, other, first) for first in (True, False)]
    for (a, p), (b, q) in product(orders[0].items(), orders[1].items()):
        mean = ((a > 0) - (a < 0) + (b > 0) - (b < 0)) / 2 if verdicts else (a + b) / 2
        found[mean] = found.get(mean, 0.0) + p * q
    return found


def label(margins: Sequence[Mapping[float, float]], weights: Sequence[float]) -> Odds:
    """Whom independent judges prefer together, from each judge's chances of margins and its weight."""
    win = draw = 0.0
    for ends in product(*(each.items() for each in margins)):
        chance = math.prod(p for _, p in ends)
        total = math.fsum(weight * margin for weight, (margin, _) in zip(weights, ends, strict=True))
        win += chance * (total > 1e-9)
        draw += chance * (abs(total) <= 1e-9)
    return Odds(win, draw, 1 - win - draw)


def style_payoffs(strength: float = 1.0) -> list[list[float]]:
    """Style against style: expected return of the first under a style judge. Antisymmetric; its value is 0."""
    return [[2 * chance - 1 for chance in row] for row in cycle(len(STYLES), strength)]
