"""Losses: one registry of pure functions on scored decisions.

`find("dpo")` is a `Loss`; `loss(scored, loss.Params(beta=0.05))` a `LossResult`. Knows no model and no optimiser.
"""

from __future__ import annotations

from simarena.errors import UnknownName
from simarena.training.losses.base import Loss, LossError, LossResult, Params
from simarena.training.losses.pairwise import PAIRWISE

LOSSES: dict[str, Loss] = {loss.name: loss for loss in (*PAIRWISE,)}


def find(name: str) -> Loss:
    """The loss of that name; UnknownName otherwise."""
    if name not in LOSSES:
        raise UnknownName("loss", name, LOSSES)
    return LOSSES[name]


__all__ = ["LOSSES", "Loss", "LossError", "LossResult", "Params", "find"]
