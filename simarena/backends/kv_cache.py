"""Keys and values of replies in the making, in buffers that are written in place.

Rows stand flush right: all write their next key at the same column, and what stands left of a row is masked.
Rows join and leave without a copy of the others. Knows no token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

Past = list[tuple[Tensor, Tensor]]
"""What was computed for a row of tokens: per layer keys and values, each [heads, tokens, head size]."""

SLACK = 256
"""Columns kept free to the right: everything is moved once in so many steps."""


class Span:
    """Which part of the buffers is alive; the layers share it."""

    __slots__ = ("end", "rows", "start")

    def __init__(self, rows: int, start: int, end: int) -> None:
        self.rows, self.start, self.end = rows, start, end


class BufferLayer(DynamicLayer):  # type: ignore[misc]  # transformers is untyped here
    """One layer's keys and values, each [rows, heads, columns, head size]."""

    def __init__(self, span: Span, key: Tensor, value: Tensor, rows: int, columns: int) -> None:
        super().__init__()
        self.span = span
        self.keys = key.new_empty(rows, key.shape[1], columns, key.shape[3])
        self.values = value.new_empty(rows, value.shape[1], columns, value.shape[3])
        self.is_initialized = True

    def put(self, rows: int | slice, end: int, key: Tensor, value: Tensor) -> None:
        """Let `rows` be what is given, up to column `end`; before it zeros, since masked garbage may be NaN."""
        begin = end - key.shape[-2]
        for buffer, tensor in ((self.keys, key), (self.values, value)):
            buffer[rows, :, begin:end] = tensor
            buffer[rows, :, :begin] = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Write one column; all that is alive, the new column included."""
        span, end = self.span, self.span.end + key_states.shape[2]
        self.keys[: span.rows, :, span.end : end] = key_states
        self.values[: span.rows, :, span.end : end] = value_states
        return self.keys[: span.rows, :, span.start : end], self.values[: span.rows, :, span.start : end]

    def get_seq_length(self) -> int:
        """Columns alive."""
        return self.span.end - self.span.start


@dataclass(frozen=True, slots=True)
class Filled:
    """The cache of prompts read together. A row's tokens stand flush right in two blocks: known before, and fresh."""

    cache: Cache
    known: list[int]
    fresh: list[int]

    def row(self, place: int) -> Past:
        """What was computed for one row, padding left out."""
        before = max(self.known)
        total = self.cache.layers[0].keys.shape[2]
        columns = torch.cat(
            [torch.arange(before - self.known[place], before), torch.arange(total - self.fresh[place], total)]
        )
        return [(layer.keys[place, :, columns], layer.values[place, :, columns]) for layer in self.cache.layers]


def left_padded(pasts: Sequence[Past | None]) -> tuple[Cache, list[int]]:
    """A cache that begins with `pasts`, flush right, and how many tokens each of them has."""
    cache, known = DynamicCache(), [past[0][0].shape[1] if past else 0 for past in pasts]
    first = next((past for past in pasts if past), None)
    for n, (key, _) in enumerate(first or ()):
        sides = [key.new_zeros(len(pasts), key.shape[0], max(known), key.shape[2]) for _ in range(2)]
        for place, past in enumerate(pasts):
            for side, tensor in enumerate(past[n] if past else ()):
                sides[side][place, :, max(known) - known[place] :] = tensor
        cache.update(sides[0], sides[1], n)
    return cache, known


class Slots:
    """The cache of a running batch: `lengths` says how much of each row is alive."""

    def __init__(self, most: int) -> None:
        """`most`: rows it will ever hold at once."""
        self.most = most
        self.span = Span(0, 0, 0)
        self.lengths: list[int] = []
        self.layers: list[BufferLayer] = []
        self.cache: Any = None
        """What the model takes; None before the first row."""

    def join(self, filled: Filled, places: Sequence[int]) -> None:
        """Take over the rows at `places` of a prefilled cache."""
        lengths = [filled.known[place] + filled.fresh[place] for place in places]
        self._make_room(filled.cache.layers, len(places), max(lengths))
        span = self.span
        for place, length in zip(places, lengths, strict=True):
            for mine, (key, value) in zip(self.layers, filled.row(place), strict=True):
                mine.put(span.rows, span.end, key, value)
            span.rows += 1
            self.lengths.append(length)
        span.start = span.end - max(self.lengths)

    def past(self, place: int) -> Past:
        """A copy of what a row has computed so far."""
        columns = slice(self.span.end - self.lengths[place], self.span.end)
        return [(x.keys[place, :, columns].clone(), x.values[place, :, columns].clone()) for x in self.layers]

    def leave(self, place: int) -> None:
        """Free a row; the last one takes its place."""
        span, last = self.span, self.span.rows - 1
        columns = slice(span.start, span.end)
        for layer in self.layers if place < last else ():
            layer.put(place, span.end, layer.keys[last, :, columns], layer.values[last, :, columns])
        self.lengths[place] = self.lengths[last]
        self.lengths.pop()
        span.rows = last
        span.start = span.end - max(self.lengths, default=0)

    def grown(self) -> None:
        """Every row has one more token now."""
        self.span.end += 1
        self.lengths = [length + 1 for length in self.lengths]
        self._make_room(self.layers, 0, 0)

    def _make_room(self, like: Sequence[Any], rows: int, length: int) -> None:
        """Make `rows` more rows of `length` tokens fit, and one more column to the right."""
        span, need = self.span, self.span.rows + rows
        if self.layers and need <= len(self.layers[0].keys) and length <= span.end < self.layers[0].keys.shape[2]:
            return
        width = span.end - span.start
        end = max(width, length)
        moved = Span(span.rows, end - width, end)
        layers = [BufferLayer(moved, x.keys, x.values, max(need, min(self.most, 2 * need)), end + SLACK) for x in like]
        rows_now, columns = slice(0, span.rows), slice(span.start, span.end)
        for new, old in zip(layers, self.layers, strict=True) if span.rows else ():
            new.put(rows_now, end, old.keys[rows_now, :, columns], old.values[rows_now, :, columns])
        self.span, self.layers, self.cache = moved, layers, Cache(layers=layers)
