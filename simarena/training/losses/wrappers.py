"""Losses made of losses: humanline around any that has a reference, RE-PO around any of a pair.

`humanline(loss)` and `re_po(loss)` are losses themselves, with the parameters of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from pydantic import Field, create_model

from simarena.training import tokens
from simarena.training.losses.base import Loss, LossResult, Params
from simarena.training.losses.common import LN2, given, pair
from simarena.training.reliability import posterior, weighted_likelihood
from simarena.training.scored import Scored


class HumanlineParams(Params):
    """What humanline adds."""

    least: float = Field(-1.0, le=0)
    most: float = Field(1.5, ge=0)
    """Log-ratios of single tokens are held within [least, most], nats."""


def humanline(inner: Loss) -> Loss:
    """`inner` on clamped token log-ratios. arXiv:2509.24207; the reference is to follow the policy by one step."""

    def summing(responses: Sequence[tokens.Own], params: Any) -> list[tokens.Sums]:
        return inner.summing(tokens.humanline(responses, params.least, params.most), params)

    return replace(
        inner,
        name=f"humanline:{inner.name}",
        Params=create_model("HumanlineParams", __base__=(HumanlineParams, inner.Params)),
        needs=inner.needs | {"reference"},
        line=f"A wrapper, here around {inner.name}: token log-ratios held within a human's range",
        formula=f"{inner.name} with log ref + clamp(log pi - log ref, least, most) per token",
        source="arXiv:2509.24207",
        summing=summing,
    )


class REPOParams(Params):
    """What RE-PO adds; the trainer keeps the trust (`training/reliability.py`)."""

    trust0: float = Field(0.9, gt=0.5, lt=1)
    """eta_0: how often an annotator is taken to be right before anything is known."""
    pace: float = Field(0.1, gt=0, le=1)
    """alpha: share of a batch's evidence in an annotator's new trust."""


def re_po(inner: Loss) -> Loss:
    """`inner` weighed by how likely each annotator's label is right. RE-PO, arXiv:2509.24159; each [B].

    p = s(L(worst > best) - L(best > worst)); with w the chance that the order is right given all votes (stop-gradient),
    the loss is -w log p - (1 - w) log(1 - p). Its extras `agreed` and `counted` [A] feed `Reliability.update`.
    """

    def function(scored: Scored, params: Any) -> LossResult:
        two = pair(scored)
        ahead = inner.function(two, params)
        reverse = two.choose(torch.tensor([[1, 0]], device=two.logp.device).expand(len(two.logp), -1))
        logit = inner.function(reverse, params).loss - ahead.loss
        # a row without votes has right = p: no gradient, and nothing is learnt from it
        votes, trust = given(scored.votes), given(scored.trust)
        right = posterior(logit.detach(), votes, trust)
        said = ~votes.isnan()
        agreed = torch.where(votes > 0.5, right[:, None], 1 - right[:, None]).where(said, right.new_zeros(()))
        extras = {"right": right, "agreed": agreed.sum(0), "counted": said.sum(0).to(right.dtype)}
        return LossResult(weighted_likelihood(logit, right), ahead.margin, extras)

    return replace(
        inner,
        name=f"re_po:{inner.name}",
        function=function,
        Params=create_model("REPOParams", __base__=(REPOParams, inner.Params)),
        needs=inner.needs | {"votes", "trust"},
        line=f"A wrapper, here around {inner.name}: every annotator's reliability learnt along",
        formula=f"-w log p - (1-w) log(1-p), p = s(L_reverse - L), L = {inner.name}, w = P(order right | votes, eta)",
        source="arXiv:2509.24159",
        start=None if inner.start is None else LN2,
    )


WRAPPERS = {"humanline": humanline, "re_po": re_po}
