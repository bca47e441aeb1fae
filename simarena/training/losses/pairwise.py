"""DPO and its kin: losses of one pair and a reference.

rho = log policy - log reference of a response, Delta = rho(best) - rho(worst), s the logistic function. Everything is
[B], log-probabilities in nats; a decision of more than two responses counts by its best and its worst.
"""

from __future__ import annotations

from pydantic import PositiveFloat

from simarena.training.losses.base import Loss, LossResult, Params
from simarena.training.losses.common import LN2, delta, log_ratios, logistic, pair
from simarena.training.scored import Scored

REFERENCE_PAIR = frozenset({"pair", "reference"})


class Beta(Params):
    """The one parameter of most losses."""

    beta: PositiveFloat = 0.1
    """Inverse temperature: how dear it is to leave the reference."""


def dpo(scored: Scored, params: Beta) -> LossResult:
    """-log s(beta Delta - margin). Eq. 7 of arXiv:2305.18290; the offset is ODPO's, arXiv:2402.10571."""
    return logistic(params.beta * delta(log_ratios(pair(scored))), scored.margin)


PAIRWISE = (
    Loss(
        name="dpo",
        function=dpo,
        Params=Beta,
        needs=REFERENCE_PAIR,
        line="Direct preference optimisation: a logistic loss on the difference of log-ratios",
        formula="-log s(beta Delta - margin)",
        source="arXiv:2305.18290",
        start=LN2,
    ),
)
