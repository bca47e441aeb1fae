"""Which decisions each optimiser step learns from, and how they are cut to fit into memory.

In: decisions, sizes and a seed. Out: indices. Decisions of one match's side stay together, because their sequences
begin alike and a trie reads a common beginning once. The plan is a function of its arguments: a number resumes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from simarena import seeds
from simarena.training.data import Decision
from simarena.training.trie import Sequence as Tokens


def epoch(decisions: Sequence[Decision], among: Sequence[int], batch: int, seed: int, number: int) -> list[list[int]]:
    """One pass over the decisions `among`: steps of `batch` decisions, sides shuffled but each kept together."""
    sides: dict[tuple[str, str], list[int]] = {}
    for index in among:
        side = decisions[index].side
        sides.setdefault(side if side[0] else ("", str(index)), []).append(index)
    order = list(sides.values())
    seeds.rng("epoch", seed, number).shuffle(order)
    flat = [index for side in order for index in side]
    return [flat[start : start + batch] for start in range(0, len(flat), batch)]


def micro(decisions: Sequence[Decision], budget: int) -> Iterator[list[Decision]]:
    """Consecutive decisions whose tries hold `budget` tokens together at most, one decision at least."""
    group: list[Decision] = []
    held: list[Tokens] = []
    spent = 0
    for decision in decisions:
        cost = trie_tokens(decision.sequences, held)
        if group and spent + cost > budget:
            yield group
            group, held, spent = [], [], 0
            cost = trie_tokens(decision.sequences)
        group.append(decision)
        held += decision.sequences
        spent += cost
    if group:
        yield group


def trie_tokens(sequences: Sequence[Tokens], beside: Sequence[Tokens] = ()) -> int:
    """Tokens that these sequences add to a trie which holds those `beside` them."""
    seen, total = [each.ids for each in beside], 0
    for each in sequences:
        total += len(each.ids) - max((common(each.ids, other) for other in seen), default=0)
        seen.append(each.ids)
    return total


def common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens two sequences begin alike with; by bisection, as slices compare fast."""
    low, high = 0, min(len(one), len(other))
    if not high or one[0] != other[0]:
        return 0
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if one[low:middle] == other[low:middle] else (low, middle - 1)
    return low


def stages(order: Sequence[int], count: int) -> list[list[int]]:
    """`order` in `count` consecutive parts of as even a size as can be."""
    edges = [len(order) * n // count for n in range(count + 1)]
    return [list(order[a:b]) for a, b in pairwise(edges)]
