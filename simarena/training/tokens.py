"""From token log-probabilities to one number per response: plain sums, and the weightings that some losses put first.

In: the responses of one decision, token by token. Out: their sums under the policy and under every frozen policy. Pure
functions; knows no batch and no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """The own sampled tokens of one response, T of them, in order."""

    logp: Tensor
    """[T] log-probabilities under the policy, nats; carries the gradient."""
    frozen: Tensor
    """[T, R] the same under R frozen policies: the reference first, then the opponents; R may be 0."""
    turns: Tensor | None = None
    """[T] which own turn a token belongs to, from 0."""
    spans: Tensor | None = None
    """[T] the worth of the segment a token belongs to."""


Sums = tuple[Tensor, Tensor]
"""A response's log-probability under the policy (scalar), and under the frozen policies [R]."""
Summing = Callable[[Sequence[Own], Any], list[Sums]]
"""(the responses of one decision, best first; the loss's parameters) -> the sums of each."""


def plain(responses: Sequence[Own], params: object = None) -> list[Sums]:
    """Every own token counts 1."""
    return [(each.logp.sum(), each.frozen.sum(0)) for each in responses]


def weighted(responses: Sequence[Own], weights: Sequence[Tensor]) -> list[Sums]:
    """Sums with a weight per token [T] on policy and frozen policies alike."""
    return [
        ((each.logp * w).sum(), (each.frozen * w[:, None]).sum(0)) for each, w in zip(responses, weights, strict=True)
    ]
