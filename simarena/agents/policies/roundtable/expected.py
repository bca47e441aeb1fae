"""What teams of the scripted solvers come to, computed: no match is played here.

A voter is right with its own chance, else one of `wrong` mistakes that are all alike (knight / knave / spy: 2 for each
person; open numbers: 6; options: all but one).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import comb, prod
from typing import Literal

from simarena.agents.policies.roundtable.problem import certain
from simarena.records import JSON
from simarena.tasks.kks import Puzzle

Votes = tuple[int, tuple[int, ...]]
"""Votes for the right value, and for each mistake that was made, most frequent first."""


def binomial_tail(n: int, p: float) -> float:
    """Chance that more than half of `n` independent voters are right: .784 for n=3, p=.7."""
    return sum(comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n // 2 + 1, n + 1))


def vote_law(accuracies: Sequence[float], wrong: int) -> dict[Votes, float]:
    """The law of the votes, voter by voter; mistakes coincide as often as chance has it."""
    law: dict[Votes, float] = {(0, ()): 1.0}
    for p in accuracies:
        after: dict[Votes, float] = defaultdict(float)
        for (right, counts), chance in law.items():
            after[right + 1, counts] += chance * p
            for i in range(len(counts)):
                grown = sorted((count + (j == i) for j, count in enumerate(counts)), reverse=True)
                after[right, tuple(grown)] += chance * (1 - p) / wrong
            if len(counts) < wrong:
                after[right, (*counts, 1)] += chance * (1 - p) * (wrong - len(counts)) / wrong
        law = dict(after)
    return law


def majority(accuracies: Sequence[float], wrong: int, tie: Literal["undecided", "random"] = "undecided") -> float:
    """Chance that the most frequent answer is right; a tie counts as wrong, or is drawn.

    For three voters without draws this is the binomial tail, whatever `wrong` is. For more, mistakes that do not
    coincide lose to fewer right votes: it is more than the tail.
    """
    total = 0.0
    for (right, counts), chance in vote_law(accuracies, wrong).items():
        top = counts[0] if counts else 0
        if right > top:
            total += chance
        elif right == top and right and tie == "random":
            total += chance / (1 + counts.count(top))
    return total


def absolute(accuracies: Sequence[float], wrong: int, supervisor: float) -> float:
    """Chance of a right decision where more than half decide, and else a supervisor with accuracy `supervisor`."""
    total = 0.0
    for (right, counts), chance in vote_law(accuracies, wrong).items():
        if 2 * right > len(accuracies):
            total += chance
        elif not counts or 2 * counts[0] <= len(accuracies):
            total += chance * supervisor
    return total


def any_right(accuracies: Sequence[float]) -> float:
    """Chance that somebody is right: what a team of verifiers that all hear one another comes to."""
    return 1 - prod(1 - p for p in accuracies)


def deducer(known: Mapping[str, JSON], statements: int) -> float:
    """Expected share of right items of a deducer that holds `statements` statements in mind at a time."""
    puzzle = Puzzle.read(known)
    sure = certain(puzzle, statements)
    return sum(1 / len(puzzle.possible(name, (), sure)) for name in puzzle.people) / len(puzzle.people)


def mad(first: float, second: float, disagreement: float, moderator: float) -> float:
    """Chance of a right ruling on two sides.

    The affirmative side is right with chance `first`. The negative side disagrees with chance `disagreement`: it then
    thinks for itself and is right with chance `second`; else it repeats what it heard. Where just one side is right,
    the moderator sees it with chance `moderator`.
    """
    both = first * (1 - disagreement) + first * disagreement * second
    one = disagreement * (first * (1 - second) + (1 - first) * second)
    return both + one * moderator


def mad_agreed(first: float, second: float, disagreement: float, wrong: int) -> float:
    """Chance that the two sides say the same, so that the moderator stops after the first round."""
    alike = first * second + (1 - first) * (1 - second) / wrong
    return 1 - disagreement * (1 - alike)
