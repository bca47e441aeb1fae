"""From single judgements to margins, winners, ranks and labels: pure arithmetic over what judges gave.

A sheet is what a judge had in front of it: answers, by number, in the order in which it read them. A judgement is a
sheet with one value an answer. All comparisons rest on margins: how much better one judge found answer a than b. A
judge's own zero point (one is strict, one gives log-probabilities around -40) cancels in them.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import NamedTuple


class Judgement(NamedTuple):
    """What one judge gave on one sheet."""

    sheet: Sequence[int]
    """Numbers of the answers, in reading order."""
    values: Sequence[float]
    """One value an answer; greater is better."""


Margins = Mapping[tuple[int, int], float]
"""(a, b) -> how much better answer a is than answer b; holds (b, a) too, with the other sign."""


def ordered(sheets: Iterable[Sequence[int]], orders: str, random: Random) -> list[list[int]]:
    """`sheets` as a judge is shown them, one after the other: "given", in "random" order, or in "both" orders."""
    found = [list(sheet) for sheet in sheets]
    if orders == "random":
        for sheet in found:
            random.shuffle(sheet)
    if orders == "both":
        return [order for sheet in found for order in (sheet, sheet[::-1])]
    return found


def whole(judgements: Iterable[Judgement], twice: bool) -> list[Judgement]:
    """One judge's judgements that count: where every sheet is read in both orders, those given in both.

    One order alone would count the judge's preference for a place as its preference for an answer.
    """
    given = list(judgements)
    if not twice:
        return given
    orders = Counter(tuple(sorted(sheet)) for sheet, _ in given)
    return [each for each in given if orders[tuple(sorted(each.sheet))] == 2]


def pair_margins(judgements: Iterable[Judgement]) -> dict[tuple[int, int], float]:
    """One judge's margins from pairwise sheets: the mean over the sheets that hold both. Cycles stay cycles."""
    found: dict[tuple[int, int], list[float]] = {}
    for sheet, values in judgements:
        for (a, x), (b, y) in combinations(zip(sheet, values, strict=True), 2):
            found.setdefault((a, b), []).append(x - y)
            found.setdefault((b, a), []).append(y - x)
    return {pair: math.fsum(each) / len(each) for pair, each in found.items()}


def point_margins(judgements: Iterable[Judgement]) -> dict[tuple[int, int], float]:
    """One judge's margins from points: differences of each answer's mean value over all its sheets."""
    found: dict[int, list[float]] = {}
    for sheet, values in judgements:
        for answer, value in zip(sheet, values, strict=True):
            found.setdefault(answer, []).append(value)
    mean = {answer: math.fsum(each) / len(each) for answer, each in found.items()}
    return {(a, b): mean[a] - mean[b] for a in mean for b in mean if a != b}


def pooled(margins: Mapping[str, Margins], weights: Mapping[str, float]) -> dict[tuple[int, int], float]:
    """All judges' margins as one: the weighted mean over the judges who compared the pair.

    SPARTA's weighted mean score s_i - s_j, with reputations for weights (arXiv:2506.04721).
    """
    total: dict[tuple[int, int], list[float]] = {}
    for judge, own in margins.items():
        for pair, value in own.items():
            entry = total.setdefault(pair, [0.0, 0.0])
            entry[0] += weights[judge] * value
            entry[1] += weights[judge]
    return {pair: value / weight for pair, (value, weight) in total.items()}


def sign(value: float, margin: float = 0.0) -> int:
    """1 or -1 where `value` is beyond `margin`, else 0."""
    return (value > margin) - (value < -margin)


def grades(margins: Margins, answers: int) -> list[float]:
    """Each answer's mean margin over the others that it was compared with; 0.0 where it was not compared."""
    found: list[list[float]] = [[] for _ in range(answers)]
    for (a, _), value in margins.items():
        found[a].append(value)
    return [math.fsum(each) / len(each) if each else 0.0 for each in found]


def standard_ranks(values: Sequence[float], margin: float = 0.0) -> list[float]:
    """Ranks of `values`, greatest best, as standard scores: mean 0, and variance 1 where nothing is tied.

    Values within `margin` of one another count as tied. The sum is 0 whatever the ties.
    """
    size = len(values)
    spread = math.sqrt((size * size - 1) / 3)  # of the net number of others beaten, i.e. of 1-n, 3-n, ..., n-1
    return [sum(sign(a - b, margin) for b in values) / spread for a in values]


class Labels(NamedTuple):
    """How comparisons agree with the truth."""

    pairs: int
    """Comparisons."""
    decisive: int
    """Of them, beyond the margin."""
    one_right: int
    """Of them, with exactly one right answer."""
    labelled: int
    """Of them, both."""
    hits: int
    """Of `labelled`, those in which the right answer was preferred."""

    @property
    def accuracy(self) -> float | None:
        """Share of labels that are right; None where there are no labels."""
        return self.hits / self.labelled if self.labelled else None


def labels(margins: Margins, right: Sequence[bool], pairs: Iterable[tuple[int, int]], margin: float) -> Labels:
    """Hold the comparisons `pairs` against the truth."""
    count = decisive = one_right = labelled = hits = 0
    for a, b in pairs:
        said, true = sign(margins.get((a, b), 0.0), margin), right[a] - right[b]
        count += 1
        decisive += said != 0
        one_right += true != 0
        labelled += said * true != 0
        hits += said * true > 0
    return Labels(count, decisive, one_right, labelled, hits)


def agreement(own: Margins, others: Margins, pairs: Iterable[tuple[int, int]]) -> float:
    """How a judge's signs agree with others' over the pairs that it compared: 1 always, -1 never, 0 undecided."""
    found = [sign(own[pair]) * sign(others.get(pair, 0.0)) for pair in pairs if pair in own]
    return sum(found) / len(found) if found else 0.0


def softmax(logprobs: Sequence[float]) -> list[float]:
    """Probabilities from log-probabilities of alternatives, whatever mass was left to other texts."""
    top = max(logprobs)
    shares = [math.exp(value - top) for value in logprobs]
    total = math.fsum(shares)
    return [share / total for share in shares]
