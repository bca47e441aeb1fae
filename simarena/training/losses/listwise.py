"""Losses of whole ranked lists: Plackett-Luce, PRO, Stable Alignment's margin loss, CLHA.

Columns are responses, best first; absent ones are masked out. rho = log policy - log reference, lp = log policy, nats;
"mean" is per own token; r the `rating`. Everything returned is [B].
"""

from __future__ import annotations

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor
from torch.nn.functional import relu

from simarena.training.losses.base import Loss, LossResult, Params
from simarena.training.losses.common import delta, given, log_ratios, mean_nll, pair, row_mean
from simarena.training.losses.pairwise import REFERENCE_PAIR, Beta
from simarena.training.losses.reference_free import PAIR
from simarena.training.scored import Scored

ABSENT = -1e30
"""A score whose exponential is 0, and whose gradient is 0 and not NaN."""


class RankBeta(Beta):
    """Plackett-Luce's parameters."""

    first_only: bool = False
    """One against the rest: only who is best counts (MNPO, eq. 5)."""


def plackett_luce(scored: Scored, params: RankBeta) -> LossResult:
    """-sum_{k<K} [u_k - log sum_{j>=k} exp u_j], u = beta rho, u_1 less the margin. arXiv:2305.18290, A.3."""
    gap = params.beta * delta(log_ratios(pair(scored)))
    u = params.beta * log_ratios(scored) - first(scored.margin, scored.logp.shape[1])
    u = u.where(scored.present, u.new_tensor(ABSENT))
    rest = u.flip(1).logcumsumexp(1).flip(1)
    counted = scored.present[:, 1:] if not params.first_only else scored.present[:, 1:2]
    terms = (rest - u)[:, : counted.shape[1]]
    return LossResult(terms.where(counted, terms.new_zeros(())).sum(1), gap)


def first(values: Tensor, columns: int) -> Tensor:
    """[B] as the first of `columns` columns, the others 0."""
    return torch.nn.functional.pad(values[:, None], (0, columns - 1))


class PROParams(Params):
    """PRO's parameter."""

    sft: NonNegativeFloat = 0.05
    """b / (K-1)^2, b the weight of the best response's mean negative log-likelihood."""


def pro(scored: Scored, params: PROParams) -> LossResult:
    """-sum_{k<K} log [e^{m_k/T_kk} / (e^{m_k/T_kk} + sum_{i>k} e^{m_i/T_ki})] + b NLL(best). arXiv:2306.17492.

    m = mean lp, 1/T_ki = r_k - r_i, T_kk = min_i T_ki, b = sft (K-1)^2, K the decision's own number of responses.
    """
    mean, rating = -mean_nll(scored), given(scored.rating)
    above = torch.ones(mean.shape[1], mean.shape[1], dtype=torch.bool, device=mean.device).triu(1)
    later = scored.present[:, None, :] & above
    gap = (rating[:, :, None] - rating[:, None, :]).clamp(min=0) * later
    own = mean * gap.amax(2)
    others = (mean[:, None, :] * gap).where(later, mean.new_tensor(ABSENT))
    terms = torch.logsumexp(torch.cat([own[:, :, None], others], dim=2), dim=2) - own
    ranked = terms.where(later.any(2), terms.new_zeros(())).sum(1)
    imitation = params.sft * (scored.present.sum(1).to(mean.dtype) - 1) ** 2
    return LossResult(ranked - imitation * mean[:, 0], delta(-mean_nll(pair(scored))))


class StableParams(Params):
    """Parameters of Stable Alignment's loss."""

    ratio: NonNegativeFloat = 0.2
    """Weight of the contrast."""
    stretch: NonNegativeFloat = 10.0
    """M: what a whole scale of ratings asks for, in nats per token."""
    scale: PositiveFloat = 7.0
    """Range of the ratings."""
    worst_only: bool = False
    """The greatest contrast in place of their mean (`max_flow`)."""


def stable_alignment(scored: Scored, params: StableParams) -> LossResult:
    """l_b + ratio max(0, mean_i [l_b - l_i + M (r_b - r_i) / scale]), l = mean NLL, b the best. arXiv:2305.16960.

    r_i is the rating of response i itself.
    """
    nll, rating = mean_nll(scored), given(scored.rating)
    asked = params.stretch * (rating[:, :1] - rating) / params.scale
    contrast, others = (nll[:, :1] - nll + asked)[:, 1:], scored.present[:, 1:]
    if params.worst_only:
        pressure = contrast.where(others, contrast.new_tensor(ABSENT)).amax(1)
    else:
        pressure = row_mean(contrast, others)
    return LossResult(nll[:, 0] + params.ratio * relu(pressure), delta(-mean_nll(pair(scored))))


class CLHAParams(Params):
    """CLHA's parameters."""

    step: NonNegativeFloat = 3.0
    """Nats per token that a response shall be ahead of the next one, twice that of the one after it, ..."""
    noise: NonNegativeFloat = 0.0
    """Pairs whose ratings differ by no more say nothing; published: 3, in its reward model's unit."""
    sft: NonNegativeFloat = 0.05
    """Weight of the best response's negative log-likelihood (a sum), times (K-1)^2 ..."""
    worthy: float = 0.0
    """... where its rating is greater than this."""


def clha(scored: Scored, params: CLHAParams) -> LossResult:
    """sum_d mean_i relu(d step - m_i + m_{i+d}) over trusted pairs, plus SFT on a worthy best. arXiv:2403.16649.

    m = mean lp; a pair is trusted where r_i - r_{i+d} > noise; the mean runs over a decision's own trusted pairs.
    """
    mean, rating = -mean_nll(scored), given(scored.rating)
    total = torch.zeros_like(mean[:, 0])
    for apart in range(1, mean.shape[1]):
        trusted = scored.present[:, apart:] & (rating[:, :-apart] - rating[:, apart:] > params.noise)
        short = relu(params.step * apart - mean[:, :-apart] + mean[:, apart:]) * trusted
        total = total + short.sum(1) / trusted.sum(1).clamp(min=1)
    imitation = params.sft * (scored.present.sum(1).to(mean.dtype) - 1) ** 2 * (rating[:, 0] > params.worthy)
    return LossResult(total - imitation * scored.logp[:, 0], delta(-mean_nll(pair(scored))))


RATED = PAIR | {"rating"}

LISTWISE = (
    Loss(
        "plackett_luce",
        plackett_luce,
        RankBeta,
        REFERENCE_PAIR,
        "DPO for a whole ranking; with first_only the best against the rest",
        "-sum_k [beta rho_k - log sum_{j>=k} exp(beta rho_j)]",
        "arXiv:2305.18290 A.3",
    ),
    Loss(
        "pro",
        pro,
        PROParams,
        RATED,
        "Ranking by mean log-probabilities, each contrast by its gap of ratings, and SFT on the best",
        "-sum_k log softmax_k(mean lp_i / T_ki) + sft (K-1)^2 NLL(w) / |w|, 1/T_ki = r_k - r_i",
        "arXiv:2306.17492",
    ),
    Loss(
        "stable_alignment",
        stable_alignment,
        StableParams,
        RATED,
        "SFT on the best, and a margin over the others that grows with the gap of ratings",
        "l_b + ratio max(0, mean_i [l_b - l_i + M (r_b - r_i) / scale]), l = NLL / |y|",
        "arXiv:2305.16960",
    ),
    Loss(
        "clha",
        clha,
        CLHAParams,
        RATED,
        "Hinges between responses whose ratings differ enough, and SFT on a best that is worth it",
        "sum_d mean_i relu(d step - m_i + m_{i+d}) + sft (K-1)^2 NLL(w) [r_w > worthy]",
        "arXiv:2403.16649",
    ),
)
