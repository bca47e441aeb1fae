"""What a loss is: a pure function of scored decisions, its parameters, and what it needs to be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from simarena.errors import SimArenaError
from simarena.training.scored import Scored
from simarena.training.tokens import Summing, plain


class LossError(SimArenaError):
    """A loss that was given a batch it cannot use."""

    exit_code = 2


class Params(BaseModel):
    """A loss's parameters; a misspelt key or a wrong type is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    def spared(self) -> frozenset[str]:
        """Needs of the loss that these values make void, such as opponents of weight 0."""
        return frozenset()


@dataclass(frozen=True, slots=True)
class LossResult:
    """What a loss says of a batch."""

    loss: Tensor
    """[B] times the decision's weight; carries the gradient."""
    margin: Tensor
    """[B] detached; > 0: the policy already agrees with the order. In the loss's own unit (beta x nats for DPO)."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Detached tensors worth a line in the metrics."""


Function = Callable[[Scored, Any], LossResult]
"""(scored, params) -> result before the decision's weight."""


@dataclass(frozen=True, slots=True)
class Loss:
    """An entry of the registry; call it with a batch."""

    name: str
    function: Function
    Params: type[Any]
    """A subclass of `losses.Params`; its defaults are a fair start."""
    needs: frozenset[str]
    """Optional fields of `Scored` that must be filled, "pair" (two responses in every row), and of tokens
    "turns" and "spans" (fields of `tokens.Own`)."""
    line: str
    """What it is, in a line."""
    formula: str
    source: str
    summing: Summing = plain
    """How token log-probabilities become `logp`, `reference` and `opponents`."""
    start: float | None = None
    """Its value per decision while policy = reference (weight 1, margin 0, default parameters), where it has one."""

    def __call__(self, scored: Scored, params: Any) -> LossResult:
        """The loss of each decision, its weight included; LossError where something it needs is missing."""
        self.check(scored, params)
        result = self.function(scored, params)
        return LossResult(result.loss * scored.weight, result.margin.detach(), result.extras)

    def required(self, params: Any) -> frozenset[str]:
        """What it needs with these parameters; all of `needs` in the worst case."""
        spared: frozenset[str] = params.spared()
        return self.needs - spared

    def check(self, scored: Scored, params: Any) -> None:
        """Refuse a batch without what this loss needs."""
        missing = sorted(need for need in self.required(params) - BEYOND if getattr(scored, need) is None)
        if missing:
            raise LossError(f"loss {self.name!r} needs {', '.join(missing)}, which this batch does not have")
        least = 2 if "pair" in self.needs else 1
        short = (scored.present.sum(1) < least).nonzero().flatten().tolist()
        if short:
            raise LossError(
                f"loss {self.name!r} needs {least} or more responses a decision; rows {short[:5]} have fewer"
            )


BEYOND = frozenset({"pair", "turns", "spans"})
"""Needs that are no field of `Scored`."""
