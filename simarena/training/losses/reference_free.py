"""Losses that need no reference: SimPO, CPO, AlphaPO, ORPO, SLiC, and plain SFT.

lp = log-probability of a response under the policy, nats; "mean" is per own token. Everything is [B].
"""

from __future__ import annotations

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from simarena.training.losses.base import Loss, LossResult, Params
from simarena.training.losses.common import LARGEST_EXPONENT, delta, log1mexp, logistic, mean_nll, pair
from simarena.training.scored import Scored

PAIR = frozenset({"pair"})
LEAST_DOUBT = 1e-6
"""A mean log-probability counts as at most -1e-6, so that odds stay finite."""


class SimPOParams(Params):
    """SimPO's parameters."""

    beta: PositiveFloat = 2.0
    gamma: NonNegativeFloat = 0.5
    """How far ahead the best must come; .1 to .8 of beta."""


def simpo(scored: Scored, params: SimPOParams) -> LossResult:
    """-log s(beta (mean lp(best) - mean lp(worst)) - gamma - margin). Eq. 6 of arXiv:2405.14734."""
    gap = params.beta * delta(-mean_nll(pair(scored)))
    return logistic(gap, params.gamma + scored.margin)


class AlphaPOParams(SimPOParams):
    """AlphaPO's parameters."""

    alpha: float = Field(0.25, ge=-5, le=5)
    """Shape of the reward; 0 is SimPO."""


def alphapo(scored: Scored, params: AlphaPOParams) -> LossResult:
    """SimPO with the reward (1 - p^-alpha) / alpha, p = exp(mean lp). arXiv:2501.03884."""
    reward = bent(-mean_nll(pair(scored)), params.alpha)
    return logistic(params.beta * delta(reward), params.gamma + scored.margin)


def bent(mean: Tensor, alpha: float) -> Tensor:
    """(1 - exp(-alpha mean)) / alpha, exact as alpha -> 0."""
    return mean if alpha == 0 else -torch.expm1((-alpha * mean).clamp(max=LARGEST_EXPONENT)) / alpha


class CPOParams(Params):
    """CPO's parameters."""

    beta: PositiveFloat = 0.1
    alpha: NonNegativeFloat = 1.0
    """Weight of the best response's mean negative log-likelihood."""


def cpo(scored: Scored, params: CPOParams) -> LossResult:
    """-log s(beta (lp(best) - lp(worst)) - margin) + alpha mean NLL(best). Contrastive PO, arXiv:2401.08417."""
    two = pair(scored)
    gap, nll = params.beta * delta(two.logp), mean_nll(two)[:, 0]
    return LossResult(-logsigmoid(gap - scored.margin) + params.alpha * nll, gap, {"nll": nll.detach()})


class ORPOParams(Params):
    """ORPO's parameter."""

    odds: PositiveFloat = 0.1
    """Weight of the odds ratio (lambda, or TRL's beta)."""


def orpo(scored: Scored, params: ORPOParams) -> LossResult:
    """Mean NLL(best) - lambda log s(o(best) - o(worst) - margin), o = log odds of exp(mean lp). arXiv:2403.07691."""
    mean = -mean_nll(pair(scored))
    held = mean.clamp(max=-LEAST_DOUBT)
    gap, nll = delta(held - log1mexp(held)), -mean[:, 0]
    return LossResult(nll - params.odds * logsigmoid(gap - scored.margin), gap, {"nll": nll.detach()})


class SLiCParams(Params):
    """SLiC's parameters."""

    gap: PositiveFloat = 1.0
    """delta: nats by which the best shall be likelier."""
    alpha: NonNegativeFloat = 0.1
    """Weight of the best response's mean negative log-likelihood."""


def slic(scored: Scored, params: SLiCParams) -> LossResult:
    """max(0, delta + margin - lp(best) + lp(worst)) + alpha mean NLL(best). arXiv:2305.10425."""
    two = pair(scored)
    ahead, nll = delta(two.logp), mean_nll(two)[:, 0]
    return LossResult(relu(params.gap + scored.margin - ahead) + params.alpha * nll, ahead, {"nll": nll.detach()})


def sft(scored: Scored, params: Params) -> LossResult:
    """Mean NLL per own token of the best response; the margin is its lead over the worst, 0 where it stands alone."""
    mean = -mean_nll(pair(scored))
    return LossResult(-mean[:, 0], delta(mean))


REFERENCE_FREE = (
    Loss(
        "simpo",
        simpo,
        SimPOParams,
        PAIR,
        "Mean log-probabilities with a set lead",
        "-log s(beta (mean lp(w) - mean lp(l)) - gamma - margin)",
        "arXiv:2405.14734",
    ),
    Loss(
        "alphapo",
        alphapo,
        AlphaPOParams,
        PAIR,
        "SimPO with a bent reward",
        "SimPO of (1 - p^-alpha) / alpha, p = exp(mean lp)",
        "arXiv:2501.03884",
    ),
    Loss(
        "cpo",
        cpo,
        CPOParams,
        PAIR,
        "DPO with a uniform reference, and the best response's likelihood",
        "-log s(beta (lp(w) - lp(l)) - margin) + alpha NLL(w) / |w|",
        "arXiv:2401.08417",
    ),
    Loss(
        "orpo",
        orpo,
        ORPOParams,
        PAIR,
        "SFT on the best with a penalty on the odds of the worst",
        "NLL(w) / |w| - odds log s(o(w) - o(l) - margin), o = mean lp - log(1 - exp mean lp)",
        "arXiv:2403.07691",
    ),
    Loss(
        "slic",
        slic,
        SLiCParams,
        PAIR,
        "A hinge on log-probabilities, and the best response's likelihood",
        "max(0, gap + margin - lp(w) + lp(l)) + alpha NLL(w) / |w|",
        "arXiv:2305.10425",
    ),
    Loss("sft", sft, Params, frozenset(), "Imitation of the best response", "NLL(w) / |w|", "maximum likelihood"),
)
