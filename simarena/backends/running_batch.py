"""A batch of replies in the making that rows join and leave at any step: continuous batching in plain torch.

New prompts are read together and their rows merged into the buffers of those that are being written; a row that ends
frees its place at once. Knows tokens; knows no text, request or thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from simarena.backends.kv_cache import Filled, Past, Slots, left_padded
from simarena.backends.lora import Adapters
from simarena.backends.sampling import choose


@dataclass(slots=True, eq=False)
class Row:
    """One reply being written."""

    prompt: list[int]
    limit: int
    """Most tokens to sample."""
    adapter: str | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    chance: Random = field(default_factory=lambda: Random(0))
    """The row's own: what it draws does not depend on who else is in the batch."""
    past: Past | None = None
    """What is known of the prompt's first tokens already; at least one token is not."""
    ids: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    owner: Any = None
    """Whatever the caller wants to find it by."""


class Reader:
    """The model as a function of tokens: logits at the last positions, rows under their own adapters."""

    def __init__(
        self, model: Any, pad: int = 0, adapters: Adapters | None = None, barred: Collection[int] = ()
    ) -> None:
        """`barred`: tokens that no reply may hold, such as the template's role markers."""
        self.model, self.pad = model, pad
        self.adapters = adapters or Adapters(model)
        self.device = next(model.parameters()).device
        self.barred = self.tensor(sorted(barred)).long()

    def forward(
        self, ids: Tensor, mask: Tensor, positions: Tensor, cache: Cache, adapters: Sequence[str | None], keep: int = 1
    ) -> Tensor:
        """Logits [rows, keep, vocabulary], in float32 at least. `mask` [rows, cache and ids] has 1 where a token is."""
        self.adapters.use(adapters)
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=keep,
        )
        logits: Tensor = out.logits
        return logits if logits.dtype == torch.float64 else logits.float()

    def prefill(self, rows: Sequence[Row]) -> tuple[Tensor, Tensor, Filled]:
        """Read prompts: logits of the next token [rows, vocabulary], the mask so far, and what was computed."""
        cache, known = left_padded([row.past for row in rows])
        fresh = [row.prompt[n:] for row, n in zip(rows, known, strict=True)]
        lengths = [len(part) for part in fresh]
        ids = self.tensor([[self.pad] * (max(lengths) - len(part)) + part for part in fresh])
        mask = torch.cat([self.flush_right(known), self.flush_right(lengths)], 1)
        positions = (mask.cumsum(1) - 1).clamp(min=0)[:, max(known) :]
        logits = self.forward(ids, mask, positions, cache, [row.adapter for row in rows])
        return logits[:, -1], mask, Filled(cache, known, lengths)

    def tensor(self, values: Any) -> Tensor:
        """`values` on the model's device."""
        return torch.tensor(values, device=self.device)

    def flush_right(self, lengths: Sequence[int]) -> Tensor:
        """Mask [rows, longest] of rows that end at the right edge."""
        width = max(lengths)
        return (torch.arange(width, device=self.device) >= width - self.tensor(lengths)[:, None]).long()

    @torch.inference_mode()
    def score(self, rows: Sequence[Row], rests: Sequence[Sequence[Sequence[int]]]) -> list[list[float]]:
        """Sum of log-probabilities, in nats, of each of a row's continuations after its prompt."""
        logits, mask, filled = self.prefill(rows)
        flat = [(place, list(rest)) for place, several in enumerate(rests) for rest in several if rest]
        sums = iter(self._continued(logits, mask, filled, rows, flat) if flat else ())
        return [[next(sums) if rest else 0.0 for rest in several] for several in rests]

    def _continued(
        self, logits: Tensor, mask: Tensor, filled: Filled, rows: Sequence[Row], flat: list[tuple[int, list[int]]]
    ) -> list[float]:
        """Log-probability of each (place of its row, continuation); a prompt is read once for all that follow it."""
        index, width = self.tensor([place for place, _ in flat]), max(len(rest) for _, rest in flat)
        ids = self.tensor([rest + [self.pad] * (width - len(rest)) for _, rest in flat])
        there = torch.arange(width, device=self.device) < self.tensor([len(rest) for _, rest in flat])[:, None]
        ahead = logits[index][:, None]
        if width > 1:
            filled.cache.batch_select_indices(index)
            mask = mask[index]
            positions = mask.sum(1)[:, None] + torch.arange(width - 1, device=self.device)
            mask, adapters = torch.cat([mask, there[:, :-1].long()], 1), [rows[place].adapter for place, _ in flat]
            more = self.forward(ids[:, :-1], mask, positions, filled.cache, adapters, width - 1)
            ahead = torch.cat([ahead, more], 1)
        picked = ahead.log_softmax(-1).gather(2, ids[..., None])[..., 0]
        return [float(total) for total in picked.masked_fill(~there, 0).sum(1, dtype=torch.float64)]


class RunningBatch:
    """Rows that are decoded together. `admit` and `step` return the rows that ended."""

    def __init__(
        self, reader: Reader, ends: frozenset[int], stopped: Callable[[Row], bool], most: int = 64, keep: bool = False
    ) -> None:
        """`stopped`: whether a stop text has appeared; `most`: rows at once; `keep`: rows that end keep their past."""
        self.reader, self.ends, self.stopped, self.keep = reader, ends, stopped, keep
        self.rows: list[Row] = []
        self.slots = Slots(most)

    @torch.inference_mode()
    def admit(self, rows: Sequence[Row]) -> list[Row]:
        """Read new prompts, sample their first tokens, and let those that go on join the batch."""
        logits, _, filled = self.reader.prefill(rows)
        self._extend(rows, logits)
        going = [place for place, row in enumerate(rows) if not self._over(row)]
        if going:
            self.slots.join(filled, going)
        for place, row in enumerate(rows):
            row.past = filled.row(place) if self.keep and place not in going else None
        self.rows += [rows[place] for place in going]
        return [row for row in rows if self._over(row)]

    @torch.inference_mode()
    def step(self) -> list[Row]:
        """One more token for every row."""
        reader, lengths = self.reader, self.slots.lengths
        logits = reader.forward(
            reader.tensor([[row.ids[-1]] for row in self.rows]),
            reader.flush_right([length + 1 for length in lengths]),
            reader.tensor(lengths)[:, None],
            self.slots.cache,
            [row.adapter for row in self.rows],
        )
        self.slots.grown()
        self._extend(self.rows, logits[:, -1])
        ended = [row for row in self.rows if self._over(row)]
        self.drop(ended)
        return ended

    @torch.inference_mode()
    def drop(self, rows: Iterable[Row]) -> None:
        """Free the places of rows."""
        for row in rows:
            place = self.rows.index(row)
            row.past = self.slots.past(place) if self.keep else None
            self.slots.leave(place)
            self.rows[place] = self.rows[-1]
            self.rows.pop()

    def _extend(self, rows: Sequence[Row], logits: Tensor) -> None:
        """Give each row its next token."""
        chosen = choose(logits.index_fill(1, self.reader.barred, -torch.inf), rows)
        picked = logits.log_softmax(-1).gather(1, chosen[:, None])[:, 0]
        for row, token, logprob in zip(rows, chosen.tolist(), picked.tolist(), strict=True):
            row.ids.append(token)
            row.logprobs.append(logprob)

    def _over(self, row: Row) -> bool:
        return row.ids[-1] in self.ends or len(row.ids) >= row.limit or self.stopped(row)
