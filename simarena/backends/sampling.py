"""From logits to tokens: each row by its own temperature, top-k, top-p and chance; all that is random is the row's."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

import torch
from torch import Tensor


class Draw(Protocol):
    """How a row draws."""

    temperature: float
    """0: greedy."""
    top_p: float
    top_k: int
    """0: off."""
    chance: Random


def choose(logits: Tensor, rows: Sequence[Draw]) -> Tensor:
    """One token for each row of `logits` [rows, vocabulary]: (rows,) ids.

    A row that samples takes one number from its own generator per token and looks it up in the cumulated
    probabilities, so that its draws depend on nobody else's.
    """
    chosen = logits.argmax(-1)
    places = [place for place, row in enumerate(rows) if row.temperature > 0]
    if not places:
        return chosen
    drawing, index = [rows[place] for place in places], torch.tensor(places, device=logits.device)
    heat = logits.new_tensor([row.temperature for row in drawing])[:, None]
    total = truncated((logits[index] / heat).double().softmax(-1), drawing).cumsum(-1)
    numbers = total.new_tensor([row.chance.random() for row in drawing])[:, None] * total[:, -1:]
    chosen[index] = torch.searchsorted(total, numbers, right=True).clamp(max=logits.shape[1] - 1)[:, 0]
    return chosen


def truncated(probabilities: Tensor, rows: Sequence[Draw]) -> Tensor:
    """`probabilities` with zeros outside each row's top-k and nucleus (arXiv:1904.09751); not renormalised.

    Top-k comes first, and the nucleus is taken of what it leaves, as everywhere.
    """
    size = probabilities.shape[1]
    if all(row.top_p >= 1 and not 0 < row.top_k < size for row in rows):
        return probabilities
    ordered, places = probabilities.sort(descending=True, stable=True)
    limit = torch.tensor([row.top_k or size for row in rows], device=probabilities.device)[:, None]
    ordered = ordered.masked_fill(torch.arange(size, device=probabilities.device) >= limit, 0)
    ordered = ordered / ordered.sum(-1, keepdim=True)
    mass = torch.tensor([min(row.top_p, 1.0) for row in rows], device=probabilities.device)[:, None]
    outside = (ordered.cumsum(-1) - ordered >= mass) & (mass < 1)
    return torch.zeros_like(probabilities).scatter(1, places, ordered.masked_fill(outside, 0))
