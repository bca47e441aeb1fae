"""Pieces that several losses share: ratios, pairs, and logarithms that stay finite."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from simarena.training.losses.base import LossResult
from simarena.training.scored import Scored

LN2 = math.log(2)
LARGEST_EXPONENT = 80.0
"""exp(80) = 5.5e34 still fits fp32, and so does its product with a moderate gradient."""


def pair(scored: Scored) -> Scored:
    """Best and worst response of each decision, [B, 2]: the first column and the last present one."""
    last = scored.present.sum(1) - 1
    return scored.choose(torch.stack([torch.zeros_like(last), last], dim=1))


def log_ratios(scored: Scored) -> Tensor:
    """Log policy - log reference (rho), [B, K]."""
    return scored.logp - given(scored.reference).detach()


def given(value: Tensor | None) -> Tensor:
    """A field that `Loss.check` has seen to."""
    assert value is not None, "the loss does not name this field among its needs"
    return value


def mean_nll(scored: Scored) -> Tensor:
    """Mean negative log-likelihood per own token, [B, K]; absent responses may have no tokens."""
    return -scored.logp / scored.tokens.clamp(min=1)


def delta(values: Tensor) -> Tensor:
    """First column minus second, [B]."""
    return values[:, 0] - values[:, 1]


def logistic(margin: Tensor, target: Tensor, **extras: Tensor) -> LossResult:
    """-log sigmoid(margin - target): each [B]."""
    return LossResult(-logsigmoid(margin - target), margin.detach(), extras)


def row_mean(values: Tensor, present: Tensor) -> Tensor:
    """Mean over a row's present columns, [B]; what stands in the others may be anything finite."""
    return values.where(present, values.new_zeros(())).sum(1) / present.sum(1)


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - exp(x)) for x < 0, by whichever form keeps its digits; the gradient is finite for x <= -1e-6."""
    near = x > -LN2
    small, large = x.where(near, x.new_tensor(-0.5)), x.where(~near, x.new_tensor(-1.0))
    return torch.where(near, torch.log(-torch.expm1(small)), torch.log1p(-torch.exp(large)))
