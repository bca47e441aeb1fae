"""From token log-probabilities to one number per response: plain sums, and the weightings that some losses put first.

In: the responses of one decision, token by token. Out: their sums under the policy and under every frozen policy. Pure
functions; knows no batch and no loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
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
    cast = [w.to(each.logp.dtype) for each, w in zip(responses, weights, strict=True)]
    return [((o.logp * w).sum(), (o.frozen * w[:, None]).sum(0)) for o, w in zip(responses, cast, strict=True)]


class HasTail(Protocol):
    """Parameters of `even_lengths`."""

    @property
    def tail(self) -> float:
        """Weight of the tokens beyond the shortest response's length."""


def even_lengths(responses: Sequence[Own], params: HasTail) -> list[Sums]:
    """Weight 1 up to the shortest response's length, `tail` after it. LD-DPO, arXiv:2409.06411."""
    shortest = min(len(each.logp) for each in responses)
    return weighted(responses, [head_weights(each, shortest, params.tail) for each in responses])


def head_weights(own: Own, length: int, tail: float) -> Tensor:
    """[T]: 1 for the first `length` tokens, `tail` for the others."""
    weights = torch.full_like(own.logp.detach(), tail)
    weights[:length] = 1
    return weights


class HasGamma(Protocol):
    """Parameters of `fading_turns`."""

    @property
    def gamma(self) -> float:
        """Discount per turn, in (0, 1]."""


def fading_turns(responses: Sequence[Own], params: HasGamma) -> list[Sums]:
    """Turn j of n weighs gamma^j (1 - gamma^(n-j)) / (1 - gamma^n). DMPO, arXiv:2406.14868."""
    return weighted(responses, [turn_weights(turns(each), params.gamma) for each in responses])


def turn_weights(turn: Tensor, gamma: float) -> Tensor:
    """[T] of DMPO for tokens of turns 0 ... n-1; (n-j)/n as gamma -> 1."""
    j, n = turn.double(), float(turn.max() + 1)
    if gamma == 1:
        return (n - j) / n
    fading: Tensor = gamma**j * (1 - gamma ** (n - j)) / (1 - gamma**n)
    return fading


class HasTurns(Protocol):
    """Parameters of `equal_turns`."""

    @property
    def turns(self) -> int | None:
        """How many turns count; None: as many as the shortest response has."""


def equal_turns(responses: Sequence[Own], params: HasTurns) -> list[Sums]:
    """The first turns of each, equally many: normalisers cancel in a pair. SDPO, arXiv:2501.01821."""
    shortest = min(int(turns(each).max()) + 1 for each in responses)
    count = shortest if params.turns is None else min(params.turns, shortest)
    return weighted(responses, [turns(each) < count for each in responses])


def span_weights(responses: Sequence[Own], params: object = None) -> list[Sums]:
    """Each token weighs what its segment is worth: `spans`. 2D-DPO, arXiv:2410.19720."""
    return weighted(responses, [needed(each.spans, "spans") for each in responses])


def humanline(responses: Sequence[Own], least: float, most: float) -> list[Own]:
    """Log-ratios of single tokens held within [least, most], beyond which a token carries no gradient.

    The reference is the first frozen policy. arXiv:2509.24207.
    """
    clamped = (each.frozen[:, 0] + (each.logp - each.frozen[:, 0]).clamp(least, most) for each in responses)
    return [replace(each, logp=logp) for each, logp in zip(responses, clamped, strict=True)]


def turns(own: Own) -> Tensor:
    """The turn of each token, where it is known."""
    return needed(own.turns, "turns")


def needed(value: Tensor | None, name: str) -> Tensor:
    """A field that the loss has declared among its needs."""
    assert value is not None, f"this loss weighs tokens by {name}: fill Own.{name}"
    return value
