"""Losses of responses marked one by one: KTO and ULMA.

rho = log policy - log reference, nats; z the label; s the logistic function. A decision's loss is the mean over its
present responses, [B].
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid

from simarena.training.losses.base import Loss, LossResult
from simarena.training.losses.common import given, log_ratios, row_mean
from simarena.training.losses.pairwise import Beta
from simarena.training.scored import Scored


def leaning(reward: Tensor, scored: Scored) -> Tensor:
    """Mean of (2z - 1) reward, [B]: > 0 where the policy's marks agree with the labels."""
    return row_mean((2 * given(scored.label) - 1) * reward, scored.present)


class KTOParams(Beta):
    """KTO's parameters."""

    wanted: PositiveFloat = 1.0
    """lambda_D; keep wanted n_D / (unwanted n_U) within [1, 4/3]."""
    unwanted: PositiveFloat = 1.0
    """lambda_U."""


def kto(scored: Scored, params: KTOParams) -> LossResult:
    """lambda_D (1 - s(beta (rho - z0))) where wanted, lambda_U (1 - s(beta (z0 - rho))) where not. arXiv:2402.01306.

    z0 = max(0, mean rho of mismatched prompt and response), a constant: [M] `mismatched`, of all ranks. A label between
    0 and 1 mixes the two.
    """
    baseline = given(scored.mismatched).detach().mean().clamp(min=0)
    reward, z = params.beta * (log_ratios(scored) - baseline), given(scored.label)
    each = params.wanted * z * torch.sigmoid(-reward) + params.unwanted * (1 - z) * torch.sigmoid(reward)
    return LossResult(row_mean(each, scored.present), leaning(reward, scored), {"baseline": baseline})


class ULMAParams(Beta):
    """ULMA's parameters."""

    shift: float = 0.0
    """c: stands for beta log Z, which the paper drops."""
    demonstrations: bool = True
    """Label 1 is a demonstration to imitate (ULMA); else it is a mark like any other (pointwise DPO)."""
    squared: bool = False
    """Labels are values to meet, (z - u)^2, not probabilities."""
    imitation: NonNegativeFloat = 1.0
    """Weight of a demonstration's negative log-likelihood, a sum over its tokens."""


def ulma(scored: Scored, params: ULMAParams) -> LossResult:
    """-z log s(u) - (1-z) log s(-u), u = beta rho + c; NLL in its place where z = 1. arXiv:2312.02554."""
    u, z = params.beta * log_ratios(scored) + params.shift, given(scored.label)
    each = (z - u) ** 2 if params.squared else -z * logsigmoid(u) - (1 - z) * logsigmoid(-u)
    if params.demonstrations:
        each = torch.where(z == 1, -params.imitation * scored.logp, each)
    return LossResult(row_mean(each, scored.present), leaning(u, scored))


LABELLED = frozenset({"reference", "label"})

UNPAIRED = (
    Loss(
        "kto",
        kto,
        KTOParams,
        LABELLED | {"mismatched"},
        "Prospect theory on single marks: gains and losses against a baseline of mismatched responses",
        "wanted (1 - s(beta (rho - z0))) or unwanted (1 - s(beta (z0 - rho)))",
        "arXiv:2402.01306",
    ),
    Loss(
        "ulma",
        ulma,
        ULMAParams,
        LABELLED,
        "Imitation of demonstrations, pointwise DPO on the other marks",
        "NLL where z = 1, else -z log s(u) - (1-z) log s(-u) or (z - u)^2; u = beta rho + shift",
        "arXiv:2312.02554",
    ),
)
