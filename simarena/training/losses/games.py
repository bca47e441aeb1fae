"""Updates from game theory: SPPO, INPO, MNPO and ONPO.

Delta lp = lp(best) - lp(worst); h = Delta lp - sum_j c_j Delta lp_j over opponents j; nats. Everything is [B].
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, model_validator
from torch import Tensor

from simarena.training.losses.base import Loss, LossError, LossResult, Params
from simarena.training.losses.common import delta, given, log_ratios, logistic, pair
from simarena.training.losses.pairwise import REFERENCE_PAIR, Beta
from simarena.training.scored import Scored


class SPPOParams(Beta):
    """SPPO's parameters."""

    soft: bool = False
    """Ratings are win rates against the reference, within [0, 1]; else the best always wins and the worst never."""

    def spared(self) -> frozenset[str]:
        """Ratings count in the soft form only."""
        return frozenset() if self.soft else frozenset({"rating"})


def sppo(scored: Scored, params: SPPOParams) -> LossResult:
    """Sum over both of (rho - (P - 1/2) / beta)^2, P = 1 and 0 or the rating; reference = pi_t. arXiv:2405.00675."""
    two = pair(scored)
    rho = log_ratios(two)
    wins = given(two.rating) if params.soft else torch.tensor([1.0, 0.0], dtype=rho.dtype, device=rho.device)
    lead = torch.stack([scored.margin, -scored.margin], dim=1)
    return LossResult(((rho - (wins - 0.5) / params.beta - lead) ** 2).sum(1), delta(rho))


class INPOParams(Params):
    """INPO's parameters."""

    eta: PositiveFloat = 0.0075
    """Step size: the target is 1 / (2 eta) nats."""
    tau: NonNegativeFloat = 0.0025
    """Pull to the reference; tau / eta of the opponents' weight is its, the rest pi_t's."""

    @model_validator(mode="after")
    def _within(self) -> INPOParams:
        if self.tau > self.eta:
            raise ValueError(f"tau ({self.tau}) must not be greater than eta ({self.eta})")
        return self


def inpo(scored: Scored, params: INPOParams) -> LossResult:
    """(h - 1/(2 eta) - margin)^2, opponents the reference (tau/eta) and pi_t (1 - tau/eta). arXiv:2407.00617.

    pi_t is the mean of `opponents` [B, K, J]: one column, the policy that this round began with.
    """
    share = params.tau / params.eta
    h = lead(pair(scored), share, 1 - share, [])
    return LossResult((h - 1 / (2 * params.eta) - scored.margin) ** 2, h)


class MNPOParams(Params):
    """MNPO's parameters."""

    eta: PositiveFloat = 0.0075
    """Squared: the target is 1 / (2 eta) nats. Logistic: the factor on h, as DPO's beta."""
    ratio: float = Field(1 / 3, ge=0, le=1)
    """Weight of the reference among the opponents."""
    rest: float = Field(2 / 3, ge=0, le=1)
    """Weight of all other opponents together; ratio = rest = 0: nobody, as in SimPO and CPO."""
    weights: list[NonNegativeFloat] = Field(default_factory=list)
    """Shares of `rest`, one per opponent in their order; equal where empty."""
    opponents: Literal["history", "tribe"] = "history"
    """Who they are: policies of former rounds, or the other players' current ones. For whoever scores them."""
    distance: Literal["squared", "logistic"] = "squared"
    length_norm: bool = False
    """Mean log-probabilities per token in place of sums."""

    def spared(self) -> frozenset[str]:
        """An opponent of weight 0 need not be scored."""
        free = {"reference": self.ratio, "opponents": self.rest}
        return frozenset(name for name, weight in free.items() if weight == 0)


def mnpo(scored: Scored, params: MNPOParams) -> LossResult:
    """(h - 1/(2 eta) - margin)^2 or -log s(eta h - margin), h against many opponents. arXiv:2509.23102.

    `opponents` [B, K, J] are former policies (time-dependent) or the other players' (heterogeneous).
    """
    h = lead(pair(scored), params.ratio, params.rest, params.weights, params.length_norm)
    if params.distance == "logistic":
        return logistic(params.eta * h, scored.margin)
    return LossResult((h - 1 / (2 * params.eta) - scored.margin) ** 2, h)


def lead(two: Scored, ratio: float, rest: float, weights: list[float], length_norm: bool = False) -> Tensor:
    """H [B]: the policy's lead of best over worst, beyond the opponents' weighted lead."""
    beyond = two.logp
    if ratio > 0:
        beyond = beyond - ratio * given(two.reference).detach()
    if rest > 0:
        beyond = beyond - rest * (given(two.opponents).detach() * shares(given(two.opponents), weights)).sum(2)
    return delta(beyond / two.tokens if length_norm else beyond)


def shares(opponents: Tensor, weights: list[float]) -> Tensor:
    """[J] that sums to 1: `weights` made so, or equal ones."""
    number = opponents.shape[2]
    if weights and (len(weights) != number or sum(weights) == 0):
        raise LossError(f"weights: {weights} for {number} opponents; give {number} of which one is above 0, or none")
    given_weights = torch.tensor(weights or [1.0] * number, dtype=opponents.dtype, device=opponents.device)
    return given_weights / given_weights.sum()


class ONPOParams(Params):
    """ONPO's parameter."""

    eta: PositiveFloat = 10.0
    """Twice the target in nats; 10 is IPO's default target of 5."""


def onpo(scored: Scored, params: ONPOParams) -> LossResult:
    """(Delta rho - eta/2 - margin)^2, run twice a round on the same pairs. Optimistic mirror descent, arXiv:2502.16852.

    First the anchor pi' against its last self as the reference; then the policy that plays, against the new anchor.
    """
    gap = delta(log_ratios(pair(scored)))
    return LossResult((gap - params.eta / 2 - scored.margin) ** 2, gap)


GAMES = (
    Loss(
        "sppo",
        sppo,
        SPPOParams,
        REFERENCE_PAIR | {"rating"},
        "Self-play: log-ratios to the last policy meet the win rate, certain or rated (soft)",
        "(rho_w - 1/(2 beta))^2 + (rho_l + 1/(2 beta))^2, or (P - 1/2) / beta as targets",
        "arXiv:2405.00675",
        start=50.0,
    ),
    Loss(
        "inpo",
        inpo,
        INPOParams,
        REFERENCE_PAIR | {"opponents"},
        "Iterative Nash: a set lead beyond the reference and the round's first policy",
        "(h - 1/(2 eta) - margin)^2, h = Delta lp - tau/eta Delta lp_ref - (1 - tau/eta) Delta lp_t",
        "arXiv:2407.00617",
    ),
    Loss(
        "mnpo",
        mnpo,
        MNPOParams,
        REFERENCE_PAIR | {"opponents"},
        "Many players: a set lead beyond the reference and former policies, or the rest of the tribe",
        "(h - 1/(2 eta) - margin)^2 or -log s(eta h - margin), h = Delta lp - sum_j c_j Delta lp_j",
        "arXiv:2509.23102",
    ),
    Loss(
        "onpo",
        onpo,
        ONPOParams,
        REFERENCE_PAIR,
        "Optimistic mirror descent: the anchor first, then the player against the new anchor",
        "(Delta - eta/2 - margin)^2",
        "arXiv:2502.16852",
        start=25.0,
    ),
)
