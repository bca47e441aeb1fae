"""More losses of one pair and a reference: pointwise halves, smoothed targets, sorted columns.

rho = log policy - log reference of a response, r = beta rho, s the logistic function. Everything is [B], in nats.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from simarena.training.losses.base import Loss, LossResult
from simarena.training.losses.common import LN2, delta, log_ratios, pair
from simarena.training.losses.pairwise import REFERENCE_PAIR, Beta, Flipped
from simarena.training.scored import Scored


def exo(scored: Scored, params: Flipped) -> LossResult:
    """KL(p || q): p = (s(h), s(-h)) the policy's order, q = (1-e, e) the label's. EXO-pref, arXiv:2402.00856."""
    h, e = params.beta * delta(log_ratios(pair(scored))) - scored.margin, max(params.flip, 1e-6)
    ahead, behind = logsigmoid(h), logsigmoid(-h)
    loss = ahead.exp() * (ahead - torch.log(h.new_tensor(1 - e))) + behind.exp() * (behind - torch.log(h.new_tensor(e)))
    return LossResult(loss, h + scored.margin)


def nca(scored: Scored, params: Beta) -> LossResult:
    """-log s(r_w) - (log s(-r_w) + log s(-r_l)) / 2, r = beta rho. NCA's pair form, arXiv:2402.05369."""
    reward = params.beta * log_ratios(pair(scored))
    best, worst = reward[:, 0] - scored.margin, reward[:, 1]
    return LossResult(-logsigmoid(best) - 0.5 * logsigmoid(-best) - 0.5 * logsigmoid(-worst), delta(reward))


def bco(scored: Scored, params: Beta) -> LossResult:
    """-log s(r_w - margin - m) - log s(m - r_l), m the batch's mean r, a constant. Pair form, arXiv:2404.04656."""
    reward = params.beta * log_ratios(pair(scored))
    mean = reward.detach().mean()
    loss = -logsigmoid(reward[:, 0] - scored.margin - mean) - logsigmoid(mean - reward[:, 1])
    return LossResult(loss, delta(reward))


def apo_zero(scored: Scored, params: Beta) -> LossResult:
    """1 - s(r_w - margin) + s(r_l), r = beta rho: best up, worst down. arXiv:2408.06266."""
    reward = params.beta * log_ratios(pair(scored))
    return LossResult(torch.sigmoid(scored.margin - reward[:, 0]) + torch.sigmoid(reward[:, 1]), delta(reward))


def apo_down(scored: Scored, params: Beta) -> LossResult:
    """s(r_w) + 1 - s(r_w - r_l - margin): both down, the worst faster. arXiv:2408.06266."""
    reward = params.beta * log_ratios(pair(scored))
    gap = delta(reward)
    return LossResult(torch.sigmoid(reward[:, 0]) + torch.sigmoid(scored.margin - gap), gap)


def aot(scored: Scored, params: Beta) -> LossResult:
    """DPO on sorted columns: the i-th best rho of the winners against the i-th of the losers. arXiv:2406.05882.

    Asks that winners as a group stand above losers (first-order stochastic dominance), so it depends on the batch.
    """
    rho = log_ratios(pair(scored))
    ranked = rho.sort(dim=0).values
    losses = -logsigmoid(params.beta * delta(ranked) - scored.margin)
    place = rho[:, 0].argsort().argsort()  # the loss of the winner's rank goes to the winner's own row
    return LossResult(losses[place], params.beta * delta(rho))


VARIANTS = (
    Loss(
        "exo",
        exo,
        Flipped,
        REFERENCE_PAIR,
        "Reverse KL between the policy's order and a smoothed label",
        "s(h) log(s(h)/(1-e)) + s(-h) log(s(-h)/e)",
        "arXiv:2402.00856",
    ),
    Loss(
        "nca",
        nca,
        Beta,
        REFERENCE_PAIR,
        "Noise-contrastive alignment of a pair: the best's own reward rises too",
        "-log s(r_w) - [log s(-r_w) + log s(-r_l)] / 2",
        "arXiv:2402.05369",
        start=2 * LN2,
    ),
    Loss(
        "bco",
        bco,
        Beta,
        REFERENCE_PAIR,
        "A binary classifier: winners above the batch's mean reward, losers below",
        "-log s(r_w - m) - log s(m - r_l), m = mean r",
        "arXiv:2404.04656",
        start=2 * LN2,
    ),
    Loss(
        "apo_zero",
        apo_zero,
        Beta,
        REFERENCE_PAIR,
        "Anchored: best up, worst down",
        "1 - s(r_w - margin) + s(r_l)",
        "arXiv:2408.06266",
        start=1.0,
    ),
    Loss(
        "apo_down",
        apo_down,
        Beta,
        REFERENCE_PAIR,
        "Anchored: both down, the worst faster; for policies better than their data",
        "s(r_w) + 1 - s(r_w - r_l - margin)",
        "arXiv:2408.06266",
        start=1.0,
    ),
    Loss(
        "aot",
        aot,
        Beta,
        REFERENCE_PAIR,
        "DPO on sorted log-ratios: winners as a group above losers as a group",
        "-log s(beta (rho_w^(i) - rho_l^(i)) - margin), i-th smallest of each in the batch",
        "arXiv:2406.05882",
        start=LN2,
    ),
)
