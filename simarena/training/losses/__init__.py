"""Losses: one registry of pure functions on scored decisions.

`find("dpo")` is a `Loss`; `loss(scored, loss.Params(beta=0.05))` a `LossResult`. Wrappers go before a colon:
`find("re_po:simpo")`, `find("humanline:kto")`. Knows no model and no optimiser.
"""

from __future__ import annotations

from dataclasses import replace

from simarena.errors import UnknownName
from simarena.training.losses.base import Loss, LossError, LossResult, Params
from simarena.training.losses.games import GAMES
from simarena.training.losses.listwise import LISTWISE
from simarena.training.losses.pairwise import PAIRWISE
from simarena.training.losses.reference_free import REFERENCE_FREE
from simarena.training.losses.turns import TURNS
from simarena.training.losses.unpaired import UNPAIRED
from simarena.training.losses.variants import VARIANTS
from simarena.training.losses.wrappers import WRAPPERS, humanline, re_po

PLAIN = (*PAIRWISE, *VARIANTS, *REFERENCE_FREE, *UNPAIRED, *LISTWISE, *GAMES, *TURNS)
LOSSES: dict[str, Loss] = {loss.name: loss for loss in PLAIN}
LOSSES |= {name: replace(wrap(LOSSES["dpo"]), name=name) for name, wrap in WRAPPERS.items()}
"""Loss by name. A wrapper alone stands for itself around DPO."""


def find(name: str) -> Loss:
    """The loss of that name, wrappers first ("humanline:re_po:ipo"); UnknownName or LossError otherwise."""
    wrapper, colon, inner = name.partition(":")
    if not colon:
        if name not in LOSSES:
            raise UnknownName("loss", name, LOSSES)
        return LOSSES[name]
    if wrapper not in WRAPPERS:
        raise UnknownName("wrapper of losses", wrapper, WRAPPERS)
    found = find(inner)
    if wrapper == "re_po" and ("pair" not in found.needs or "votes" in found.needs):
        raise LossError(f"re_po goes around a plain loss of pairs, and {inner!r} is none; try 're_po:dpo'")
    return WRAPPERS[wrapper](found)


__all__ = ["LOSSES", "WRAPPERS", "Loss", "LossError", "LossResult", "Params", "find", "humanline", "re_po"]
