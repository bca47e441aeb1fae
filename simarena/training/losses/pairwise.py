"""DPO and its kin: losses of one pair and a reference.

rho = log policy - log reference of a response, Delta = rho(best) - rho(worst), s the logistic function, |y| own tokens;
"mean" is per own token. Everything is [B], log-probabilities in nats; a decision of more than two responses counts by
its best and its worst.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.nn.functional import logsigmoid, relu

from simarena.training.losses.base import Loss, LossResult, Params
from simarena.training.losses.common import (
    LARGEST_EXPONENT,
    LN2,
    delta,
    given,
    log_ratios,
    logistic,
    mean_nll,
    pair,
)
from simarena.training.scored import Scored
from simarena.training.tokens import even_lengths

REFERENCE_PAIR = frozenset({"pair", "reference"})


class Beta(Params):
    """The one parameter of most losses."""

    beta: PositiveFloat = 0.1
    """Inverse temperature: how dear it is to leave the reference."""


def dpo(scored: Scored, params: Beta) -> LossResult:
    """-log s(beta Delta - margin). Eq. 7 of arXiv:2305.18290; the offset is ODPO's, arXiv:2402.10571."""
    return logistic(params.beta * delta(log_ratios(pair(scored))), scored.margin)


class Flipped(Beta):
    """DPO that knows how often labels are wrong."""

    flip: float = Field(0.1, ge=0, lt=0.5)
    """epsilon, the share of labels that say the reverse."""


def cdpo(scored: Scored, params: Flipped) -> LossResult:
    """-(1-e) log s(h) - e log s(-h), h = beta Delta - margin: label smoothing. E. Mitchell's note on cDPO, 2023."""
    h, e = params.beta * delta(log_ratios(pair(scored))) - scored.margin, params.flip
    return LossResult(-(1 - e) * logsigmoid(h) - e * logsigmoid(-h), h + scored.margin)


def rdpo(scored: Scored, params: Flipped) -> LossResult:
    """[-(1-e) log s(h) + e log s(-h)] / (1-2e), whose mean under flips at rate e is DPO's. arXiv:2403.00409.

    Falls without bound as h grows, so h is clamped at `LARGEST_EXPONENT`: beyond it a pair says nothing more.
    """
    h, e = params.beta * delta(log_ratios(pair(scored))) - scored.margin, params.flip
    capped = h.clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    return LossResult((-(1 - e) * logsigmoid(capped) + e * logsigmoid(-capped)) / (1 - 2 * e), h + scored.margin)


class Tau(Params):
    """IPO's parameters."""

    tau: PositiveFloat = 0.1
    """The log-ratios shall differ by 1 / (2 tau)."""
    length_norm: bool = False
    """Mean log-ratios per token in place of sums."""


def ipo(scored: Scored, params: Tau) -> LossResult:
    """(Delta - 1/(2 tau) - margin)^2, sums or means per token. Eq. 17 of arXiv:2310.12036."""
    two = pair(scored)
    rho = log_ratios(two)
    gap = delta(rho / two.tokens if params.length_norm else rho)
    return LossResult((gap - 1 / (2 * params.tau) - scored.margin) ** 2, gap)


def hinge(scored: Scored, params: Beta) -> LossResult:
    """max(0, 1 + margin - beta Delta). RSO, arXiv:2309.06657."""
    gap = params.beta * delta(log_ratios(pair(scored)))
    return LossResult(relu(1 + scored.margin - gap), gap)


class LNBeta(Beta):
    """Means per token are small, so beta is not."""

    beta: PositiveFloat = 5.0


def ln_dpo(scored: Scored, params: LNBeta) -> LossResult:
    """-log s(beta (mean rho(best) - mean rho(worst)) - margin). arXiv:2407.15229; beta 5: arXiv:2411.15124."""
    two = pair(scored)
    return logistic(params.beta * delta(log_ratios(two) / two.tokens), scored.margin)


class Lengthy(Beta):
    """R-DPO's parameters."""

    alpha: NonNegativeFloat = 0.05
    """Price of a token, in the unit of the margin."""


def r_dpo(scored: Scored, params: Lengthy) -> LossResult:
    """-log s(beta Delta + alpha (|best| - |worst|) - margin). arXiv:2403.19159.

    Follows from a reward r - alpha |y|: a longer winner won partly by its length, so it need be less far ahead and its
    gradient shrinks; the loss falls as |best| grows.
    """
    two = pair(scored)
    longer = delta(two.tokens).to(two.logp.dtype)
    gap = params.beta * delta(log_ratios(two))
    return LossResult(-logsigmoid(gap + params.alpha * longer - scored.margin), gap)


class Tailed(Beta):
    """LD-DPO's parameters."""

    tail: float = Field(0.5, ge=0, le=1)
    """Weight of the tokens beyond the shorter response's length."""


class Imitating(Beta):
    """RPO's parameters."""

    alpha: NonNegativeFloat = 1.0
    """Weight of the best response's mean negative log-likelihood."""


def rpo(scored: Scored, params: Imitating) -> LossResult:
    """DPO + alpha mean NLL(best), which keeps the best response's likelihood from falling. arXiv:2404.19733."""
    plain, nll = dpo(scored, params), mean_nll(pair(scored))[:, 0]
    return LossResult(plain.loss + params.alpha * nll, plain.margin, {"nll": nll.detach()})


class WeightedBeta(Beta):
    """WPO's beta."""

    beta: PositiveFloat = 0.01


def wpo(scored: Scored, params: WeightedBeta) -> LossResult:
    """W(best) W(worst) DPO, W = exp(mean_t [log p_t - log sum_v p(v)^2]), a constant. arXiv:2406.11827.

    Responses that the policy would hardly say itself count less. What it samples has W = 1 where it is uniform.
    """
    plain = dpo(scored, params)
    sure = given(pair(scored).confidence).detach().sum(1).exp()
    return LossResult(sure * plain.loss, plain.margin, {"confidence": sure})


class Divergence(Beta):
    """f-DPO's parameters."""

    divergence: Literal["forward_kl", "js", "alpha"] = "js"
    """What keeps the policy near the reference, in place of the reverse KL."""
    alpha: float = Field(0.5, gt=0, lt=1)
    """For the alpha-divergence; near 1 it is the reverse KL."""


def f_dpo(scored: Scored, params: Divergence) -> LossResult:
    """-log s(beta (g(best) - g(worst)) - margin), g = f'(ratio) up to a constant. arXiv:2309.16240.

    Forward KL: -exp(-rho). Jensen-Shannon: log s(rho). Alpha: -exp(-alpha rho) / alpha, an alpha -> 0 limit of rho.
    """
    rho = log_ratios(pair(scored))
    return logistic(params.beta * delta(slope(rho, params)), scored.margin)


def slope(rho: Tensor, params: Divergence) -> Tensor:
    """f'(exp rho), constants left out (they cancel in a pair)."""
    if params.divergence == "js":
        return logsigmoid(rho)
    a = 1.0 if params.divergence == "forward_kl" else params.alpha
    return -torch.exp((-a * rho).clamp(max=LARGEST_EXPONENT)) / a


class Cardinal(Beta):
    """The cardinal loss's parameters."""

    scale: PositiveFloat = 1.0
    """Gap of ratings that counts as weight 1."""


def cardinal(scored: Scored, params: Cardinal) -> LossResult:
    """(r_best - r_worst) / scale x DPO: what is at stake sets how much a pair counts. After arXiv:2508.08486.

    r: `rating`. A tie weighs 0; ordinal-only control: the same pairs with `dpo`.
    """
    plain = dpo(scored, params)
    stake = delta(given(pair(scored).rating)).clamp(min=0) / params.scale
    return LossResult(stake * plain.loss, plain.margin, {"stake": stake})


PAIRWISE = (
    Loss(
        "dpo",
        dpo,
        Beta,
        REFERENCE_PAIR,
        "Direct preference optimisation: a logistic loss on the difference of log-ratios",
        "-log s(beta Delta - margin)",
        "arXiv:2305.18290, offset 2402.10571",
        start=LN2,
    ),
    Loss(
        "cdpo",
        cdpo,
        Flipped,
        REFERENCE_PAIR,
        "DPO with smoothed labels",
        "-(1-e) log s(h) - e log s(-h), h = beta Delta - margin",
        "E. Mitchell 2023, a note on DPO with noisy preferences",
        start=LN2,
    ),
    Loss(
        "rdpo",
        rdpo,
        Flipped,
        REFERENCE_PAIR,
        "DPO made unbiased under labels flipped at a known rate",
        "[-(1-e) log s(h) + e log s(-h)] / (1-2e)",
        "arXiv:2403.00409",
        start=LN2,
    ),
    Loss(
        "ipo",
        ipo,
        Tau,
        REFERENCE_PAIR,
        "Identity preference optimisation: a set distance between log-ratios, by sums or per token (length_norm)",
        "(D - 1/(2 tau) - margin)^2, D = Delta or mean rho(w) - mean rho(l)",
        "arXiv:2310.12036",
        start=25.0,
    ),
    Loss(
        "hinge",
        hinge,
        Beta,
        REFERENCE_PAIR,
        "DPO's margin under a hinge",
        "max(0, 1 + margin - beta Delta)",
        "RSO, arXiv:2309.06657",
        start=1.0,
    ),
    Loss(
        "ln_dpo",
        ln_dpo,
        LNBeta,
        REFERENCE_PAIR,
        "DPO on log-ratios per token",
        "-log s(beta (mean rho(w) - mean rho(l)) - margin)",
        "arXiv:2407.15229",
        start=LN2,
    ),
    Loss(
        "r_dpo",
        r_dpo,
        Lengthy,
        REFERENCE_PAIR,
        "DPO that asks less of a longer winner",
        "-log s(beta Delta + alpha (|w| - |l|) - margin)",
        "arXiv:2403.19159",
    ),
    Loss(
        "ld_dpo",
        dpo,
        Tailed,
        REFERENCE_PAIR,
        "DPO in which tokens beyond the shorter response's length count less",
        "DPO with token weights 1 for t <= min(|w|, |l|), tail after",
        "arXiv:2409.06411",
        even_lengths,
        LN2,
    ),
    Loss(
        "rpo",
        rpo,
        Imitating,
        REFERENCE_PAIR,
        "DPO and the best response's likelihood",
        "DPO + alpha NLL(w) / |w|",
        "arXiv:2404.19733",
    ),
    Loss(
        "wpo",
        wpo,
        WeightedBeta,
        REFERENCE_PAIR | {"confidence"},
        "DPO in which responses unlike the policy's own count less",
        "W(w) W(l) DPO, W = exp(mean_t [log p_t - log sum_v p(v)^2])",
        "arXiv:2406.11827",
    ),
    Loss(
        "f_dpo",
        f_dpo,
        Divergence,
        REFERENCE_PAIR,
        "DPO under another divergence: forward KL, Jensen-Shannon, alpha",
        "-log s(beta (g(w) - g(l)) - margin), g = -exp(-rho), log s(rho) or -exp(-alpha rho) / alpha",
        "arXiv:2309.16240",
        start=LN2,
    ),
    Loss(
        "cardinal",
        cardinal,
        Cardinal,
        REFERENCE_PAIR | {"rating"},
        "DPO in which a pair counts by its gap of ratings",
        "(r_w - r_l) / scale x DPO",
        "after arXiv:2508.08486",
    ),
)
