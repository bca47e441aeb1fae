"""How the reference moves while a policy learns: never, mixed, copied, one step behind, or bias-corrected average.

In: tensors of policy and reference, and the number of steps done. Out: the reference's tensors, changed in place. With
LoRA these are the adapter's factors, so the reference is a second adapter and a mix is one of factors, not of products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

Tensors = Mapping[str, Tensor]
"""Parameter name -> values; this rank's share of them where they are sharded."""


class Update(BaseModel):
    """When and how the reference is moved towards the policy."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["fixed", "soft", "hard", "lagged", "bema"] = Field(
        "fixed", description="fixed: never. soft, hard: TR-DPO. lagged: one step behind (Humanline). bema: averaged."
    )
    every: PositiveInt = Field(1, description="Optimiser steps from one move to the next.")
    mix: Annotated[float, Field(gt=0, le=1)] = Field(0.6, description="Share of the policy in a soft move.")
    eta: NonNegativeFloat = Field(0.2, description="BEMA: how fast the correction fades.")
    kappa: NonNegativeFloat = Field(0.5, description="BEMA: how fast the average slows down.")
    rho: PositiveFloat = Field(10.0, description="BEMA: steps that the average lags at the start.")
    gamma: NonNegativeFloat = Field(1.0, description="BEMA: what a step adds to the lag.")


def moves(update: Update, step: int) -> bool:
    """Whether the reference moves with optimiser step `step`, the first being 1."""
    return update.kind != "fixed" and step % update.every == 0


@torch.no_grad()
def move(update: Update, step: int, policy: Tensors, reference: Tensors, averages: Tensors) -> None:
    """Move `reference` in place, in step `step`, the first being 1.

    soft, hard: TR-DPO, arXiv:2404.09656; lagged: Humanline, arXiv:2509.24207; bema: arXiv:2508.00180. `averages`
    is what `start_averages` made and `average` keeps up; empty for the other kinds.
    """
    for name, theta in policy.items():
        if update.kind == "soft":
            reference[name].lerp_(theta, update.mix)
        elif update.kind == "bema":
            alpha = (update.rho + update.gamma * step) ** -update.eta
            reference[name].copy_(averages[f"mean.{name}"] + alpha * (theta - averages[f"start.{name}"]))
        else:
            reference[name].copy_(theta)


@torch.no_grad()
def start_averages(update: Update, policy: Tensors) -> dict[str, Tensor]:
    """What BEMA remembers: where the policy started, and its moving average."""
    if update.kind != "bema":
        return {}
    return {f"{what}.{name}": theta.detach().clone() for what in ("start", "mean") for name, theta in policy.items()}


@torch.no_grad()
def average(update: Update, step: int, policy: Tensors, averages: Tensors) -> None:
    """Let the moving average take in the policy of step `step`, in place; weight (rho + gamma t)^-kappa."""
    if update.kind == "bema":
        weight = (update.rho + update.gamma * step) ** -update.kappa
        for name, theta in policy.items():
            averages[f"mean.{name}"].lerp_(theta, min(1.0, weight))
