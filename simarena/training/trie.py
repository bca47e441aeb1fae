"""Sequences that begin alike, merged into tries and laid out in rows: each shared token is computed once.

In: token ids and which of them carry loss. Out: rows of tensors. A trie is laid out in pre-order, so that what descends
from a token is one interval behind it, and "ancestor or self" is two comparisons. Knows no model and no loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from simarena.errors import SimArenaError


@dataclass(frozen=True, slots=True)
class Sequence:
    """A whole prompt and response."""

    ids: tuple[int, ...]
    """Tokens from the first of the prompt to the last of the response."""
    mask: tuple[bool, ...]
    """Per token: the learner sampled it itself, and it carries loss. Never the first: nothing comes before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """T tokens of one or more tries, and the M among them that carry loss."""

    ids: Tensor
    """[T] tokens, in pre-order."""
    position: Tensor
    """[T] depth in the trie: what the model is told as position."""
    end: Tensor
    """[T] one past the last descendant: token q attends to token k where k <= q < end[k]."""
    source: Tensor
    """[M] index into the row of the token from whose hidden state a target is read: its parent."""
    target: Tensor
    """[M] token ids that carry loss, each once however many sequences share it."""
    members: tuple[int, ...]
    """Which sequences lie here, as indices into what was packed."""
    slots: tuple[Tensor, ...]
    """Per member: [n] indices into `target` of its own tokens, in their order."""
    flat: int
    """Tokens of all members one by one; T / flat is what is left to compute."""

    @property
    def tokens(self) -> int:
        """How many are computed."""
        return len(self.ids)


def pack(sequences: Many[Sequence], *, budget: int) -> list[Row]:
    """Rows of at most `budget` tokens that hold every sequence once; a longer sequence gets a row of its own.

    No row is longer than the largest trie: rows are computed side by side, and attention grows with the square of their
    length. Tries that are too large are cut where their branches have least in common. SimArenaError where a mask
    is empty, of another length than its ids, or asks for the first token.
    """
    for number, sequence in enumerate(sequences):
        check(number, sequence)
    order = sorted(range(len(sequences)), key=lambda n: sequences[n].ids)
    shared = [0] + [common(sequences[a].ids, sequences[b].ids) for a, b in pairwise(order)]
    sizes = [len(sequences[n].ids) - kept for n, kept in zip(order, shared, strict=True)]
    lengths = Sorted(sizes, shared)
    runs = list(cut(lengths, range(len(order)), budget))
    return [lay_out(sequences, [order[n] for run in row for n in run]) for row in bins(runs, lengths, budget)]


def check(number: int, sequence: Sequence) -> None:
    """Refuse what has no log-probability."""
    if len(sequence.ids) != len(sequence.mask):
        raise SimArenaError(f"sequence {number}: {len(sequence.ids)} ids and a mask of {len(sequence.mask)}")
    if not any(sequence.mask):
        raise SimArenaError(f"sequence {number}: its mask is empty, so there is nothing to learn from it; drop it")
    if sequence.mask[0]:
        raise SimArenaError(f"sequence {number}: its first token carries loss, but nothing comes before it")


def common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """How many tokens two sequences begin with alike."""
    least = min(len(a), len(b))
    if a[:least] == b[:least]:
        return least
    return next(n for n in range(least) if a[n] != b[n])


class Sorted:
    """Sequences in the order of their ids, where those that begin alike are neighbours."""

    def __init__(self, sizes: list[int], shared: list[int]) -> None:
        self.shared = shared
        """Tokens that each has in common with the one before it."""
        self.before = [0, *accumulate(sizes)]
        """Tokens of the trie of all that come before."""

    def size(self, run: range) -> int:
        """Tokens of the trie of neighbouring sequences."""
        return self.before[run.stop] - self.before[run.start] + self.shared[run.start] if run else 0


def cut(lengths: Sorted, run: range, budget: int) -> Iterator[range]:
    """Neighbours whose trie fits the budget, cut where they have least in common."""
    if len(run) <= 1 or (lengths.size(run) <= budget and min(lengths.shared[run.start + 1 : run.stop]) > 0):
        yield from [run] if run else []
        return
    least = min(lengths.shared[run.start + 1 : run.stop])
    edges = [run.start, *(n for n in run[1:] if lengths.shared[n] == least), run.stop]
    parts = [part for a, b in pairwise(edges) for part in cut(lengths, range(a, b), budget)]
    yield from joined(lengths, parts, budget) if least else parts


def joined(lengths: Sorted, parts: list[range], budget: int) -> list[range]:
    """Neighbouring parts of one trie, put together again as far as the budget goes."""
    made = parts[:1]
    for part in parts[1:]:
        both = range(made[-1].start, part.stop)
        if lengths.size(both) <= budget:
            made[-1] = both
        else:
            made.append(part)
    return made


def bins(runs: list[range], lengths: Sorted, budget: int) -> list[list[range]]:
    """Tries into rows: largest first, each into the first row with room for it."""
    rows: list[list[range]] = []
    room: list[int] = []
    longest = min(budget, max(map(lengths.size, runs), default=0))
    for run in sorted(runs, key=lengths.size, reverse=True):
        size = lengths.size(run)
        place = next((n for n, free in enumerate(room) if size <= free), None)
        if place is None:
            rows.append([])
            room.append(longest)
            place = len(rows) - 1
        rows[place].append(run)
        room[place] -= size
    return rows


def lay_out(sequences: Many[Sequence], members: list[int]) -> Row:
    """One row of the tries of `members`, which come in the order of their ids within each trie."""
    ids: list[int] = []
    position: list[int] = []
    end: list[int] = []
    source: list[int] = []
    target: list[int] = []
    slot: dict[int, int] = {}  # token of the row -> its place among the targets
    slots: list[list[int]] = []
    path: list[int] = []  # from the root to the last token laid out
    before: tuple[int, ...] = ()
    for sequence in (sequences[n] for n in members):
        kept = common(before, sequence.ids)
        for left in path[kept:]:
            end[left] = len(ids)
        path = path[:kept] + list(range(len(ids), len(ids) + len(sequence.ids) - kept))
        ids += sequence.ids[kept:]
        position += range(kept, len(sequence.ids))
        end += [0] * (len(sequence.ids) - kept)
        own = [n for n, carries in enumerate(sequence.mask) if carries]
        for n in own:
            if path[n] not in slot:
                slot[path[n]] = len(target)
                source.append(path[n - 1])
                target.append(sequence.ids[n])
        slots.append([slot[path[n]] for n in own])
        before = sequence.ids
    for left in path:
        end[left] = len(ids)
    return Row(
        ids=torch.tensor(ids),
        position=torch.tensor(position),
        end=torch.tensor(end),
        source=torch.tensor(source),
        target=torch.tensor(target),
        members=tuple(members),
        slots=tuple(torch.tensor(each) for each in slots),
        flat=sum(len(sequences[n].ids) for n in members),
    )


def saved(rows: Iterable[Row]) -> tuple[int, int]:
    """(tokens computed, tokens that the same sequences have one by one)."""
    counts = [(row.tokens, row.flat) for row in rows]
    return sum(tokens for tokens, _ in counts), sum(flat for _, flat in counts)
