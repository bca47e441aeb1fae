"""A batch of replies in the making that rows join and leave at any step: continuous batching in plain torch.

Rows are padded on the left, so all write their next key and value at the same place. A row that ends is dropped; new
prompts are prefilled together and merged in. Knows tokens; knows no text, request or thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

BASE = "__base__"
"""peft's name for "no adapter" in a batch of several."""


@dataclass(slots=True)
class Row:
    """One reply being written."""

    prompt: list[int]
    adapter: str
    limit: int
    """Most tokens to sample."""
    temperature: float
    top_p: float
    top_k: int
    generator: torch.Generator
    """The row's own: what it draws does not depend on who else is in the batch."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    owner: Any = None
    """Whatever the caller wants to find it by."""


class RunningBatch:
    """Rows that are decoded together. `admit` and `step` return the rows that ended."""

    def __init__(self, model: Any, pad: int, ends: frozenset[int], stopped: Any) -> None:
        self.model, self.pad, self.ends = model, pad, ends
        self.stopped = stopped
        """Row -> bool: whether a stop text has appeared."""
        self.rows: list[Row] = []
        self.device = next(model.parameters()).device
        self.mixed = hasattr(model, "peft_config")
        self._keys: list[Tensor] = []  # per layer [rows, heads, time, head size]
        self._values: list[Tensor] = []
        self._mask = torch.zeros((0, 0), dtype=torch.long, device=self.device)

    @torch.inference_mode()
    def admit(self, rows: Sequence[Row]) -> list[Row]:
        """Prefill new rows, sample their first tokens, and let those that go on join the batch."""
        ids, mask = left_pad([row.prompt for row in rows], self.pad, self.device)
        logits, keys, values = self._forward(ids, mask, rows, None)
        alive = self._sample(rows, logits)
        self._merge(alive, rows, keys, values, mask)
        return [row for i, row in enumerate(rows) if i not in set(alive)]

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One more token for every row."""
        rows = self.rows
        ids = torch.tensor([[row.ids[-1]] for row in rows], device=self.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(len(rows), 1)], 1)
        logits, self._keys, self._values = self._forward(ids, self._mask, rows, (self._keys, self._values))
        alive = self._sample(rows, logits)
        ended = [row for i, row in enumerate(rows) if i not in set(alive)]
        if ended:
            self._keep(alive)
        return ended

    def _forward(
        self, ids: Tensor, mask: Tensor, rows: Sequence[Row], past: tuple[list[Tensor], list[Tensor]] | None
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Last-position logits [rows, vocabulary] and the grown cache."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for layer, (key, value) in enumerate(zip(*past, strict=True)) if past else ():
            cache.update(key, value, layer)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        extra = {"adapter_names": [row.adapter for row in rows]} if self.mixed else {}
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
            **extra,
        )
        layers = out.past_key_values.layers
        return out.logits[:, -1].float(), [layer.keys for layer in layers], [layer.values for layer in layers]

    def _sample(self, rows: Sequence[Row], logits: Tensor) -> list[int]:
        """Give each row its next token; places of the rows that go on."""
        logprobs = logits.log_softmax(-1)
        chosen = logits.argmax(-1)
        for i, row in enumerate(rows):
            if row.temperature > 0:
                chosen[i] = draw(logits[i], row)
        picked = logprobs.gather(1, chosen[:, None])[:, 0].tolist()
        alive = []
        for i, (row, token, logprob) in enumerate(zip(rows, chosen.tolist(), picked, strict=True)):
            row.ids.append(token)
            row.logprobs.append(logprob)
            if token not in self.ends and len(row.ids) < row.limit and not self.stopped(row):
                alive.append(i)
        return alive

    def _keep(self, places: list[int]) -> None:
        """Drop all rows but those at `places`, and the columns that only they needed."""
        self.rows = [self.rows[i] for i in places]
        index = torch.tensor(places, dtype=torch.long, device=self.device)
        self._mask = self._mask[index]
        first = int(self._mask.any(0).to(torch.int8).argmax()) if places else self._mask.shape[1]
        self._mask = self._mask[:, first:]
        self._keys = [key[index, :, first:] for key in self._keys]
        self._values = [value[index, :, first:] for value in self._values]

    def _merge(
        self, places: list[int], rows: Sequence[Row], keys: list[Tensor], values: list[Tensor], mask: Tensor
    ) -> None:
        index = torch.tensor(places, dtype=torch.long, device=self.device)
        mask, keys, values = mask[index], [key[index] for key in keys], [value[index] for value in values]
        if self.rows:
            width = max(self._mask.shape[1], mask.shape[1])
            mask = torch.cat([widen(self._mask, width, 1), widen(mask, width, 1)])
            keys = [torch.cat([widen(a, width, 2), widen(b, width, 2)]) for a, b in zip(self._keys, keys, strict=True)]
            values = [
                torch.cat([widen(a, width, 2), widen(b, width, 2)]) for a, b in zip(self._values, values, strict=True)
            ]
        self._mask, self._keys, self._values = mask, keys, values
        self.rows = [*self.rows, *(rows[i] for i in places)]


def widen(tensor: Tensor, width: int, dim: int) -> Tensor:
    """`tensor` with zeros put before it along `dim` until it is `width` long."""
    missing = width - tensor.shape[dim]
    if not missing:
        return tensor
    shape = list(tensor.shape)
    shape[dim] = missing
    return torch.cat([tensor.new_zeros(shape), tensor], dim)


def left_pad(prompts: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids and mask, both [rows, longest]."""
    width = max(map(len, prompts))
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    return ids, mask


def draw(logits: Tensor, row: Row) -> Tensor:
    """A token by the row's temperature, top-k and top-p, with the row's own generator."""
    scaled = logits / row.temperature
    if 0 < row.top_k < scaled.numel():
        scaled = scaled.masked_fill(scaled < scaled.topk(row.top_k).values[-1], -torch.inf)
    if row.top_p < 1:
        ordered, places = scaled.sort(descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        scaled = scaled.masked_fill(
            torch.zeros_like(scaled, dtype=torch.bool).scatter(0, places, before > row.top_p), -torch.inf
        )
    noise = torch.empty(scaled.shape, dtype=torch.float64).exponential_(generator=row.generator)
    return (scaled.softmax(-1).double() / noise.to(scaled.device)).argmax()


@torch.inference_mode()
def score(
    model: Any, pad: int, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], adapters: Sequence[str]
) -> list[float]:
    """Sum of log-probabilities of each continuation after its prompt, in nats. `pairs` holds (prompt, continuation)."""
    device = next(model.parameters()).device
    ids, mask = left_pad([[*prompt, *rest] for prompt, rest in pairs], pad, device)
    keep = max(len(rest) for _, rest in pairs) + 1
    extra = {"adapter_names": list(adapters)} if hasattr(model, "peft_config") else {}
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=keep, **extra
    ).logits
    logprobs = logits[:, :-1].float().log_softmax(-1)
    picked = logprobs.gather(2, ids[:, -keep + 1 :, None])[..., 0]
    return [float(row[len(row) - len(rest) :].sum()) for row, (_, rest) in zip(picked, pairs, strict=True)]
