"""What a training is told: every knob with its default, strict. The defaults suit the nano agents.

Knows names and numbers; reads no file and loads no model.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from simarena.training.schedules import Update


class Arguments(BaseModel):
    """How to train; a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: str = Field("dpo", description="See: simarena list losses.")
    params: dict[str, Any] = Field(default_factory=dict, description="The loss's own parameters, e.g. beta.")
    tune: Literal["lora", "full"] = Field("lora", description="An adapter, or every weight.")
    rank: PositiveInt = Field(16, description="Of a new adapter; one that goes on keeps its own.")
    alpha: PositiveFloat = Field(32.0, description="Scale of a new adapter, over its rank.")
    reference: str = Field(
        "start", description="start: as it began. base: without its adapter. none. Or an agent of the same base."
    )
    update: Update = Field(default_factory=lambda: Update(kind="fixed"), description="How the reference moves.")
    stages: PositiveInt = Field(1, description="sDPO: parts, easy to hard; each starts with the policy as reference.")
    opponents: tuple[str, ...] = Field((), description="Other agents of the same base, for losses that need them.")
    trust: dict[str, float] = Field(
        default_factory=dict, description='RE-PO: how often an annotator ("judge|family") was right so far.'
    )
    margin_per_magnitude: NonNegativeFloat = Field(
        0.0, description="Margin asked of a pair, per unit of its magnitude, in the loss's own unit."
    )
    full_weight_at: NonNegativeFloat = Field(0.0, description="Weigh a pair by min(1, magnitude / this); 0: all alike.")
    epochs: PositiveInt = 1
    batch: PositiveInt = Field(16, description="Decisions of an optimiser step, all processes together.")
    tokens: PositiveInt = Field(4096, description="Tokens of tries in one forward; more is faster and needs memory.")
    chunk: PositiveInt = Field(1024, description="Tokens whose logits exist at once.")
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 2e-4
    decay: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="Share of the steps.")
    clip: PositiveFloat = Field(1.0, description="Largest norm of the gradient.")
    weight_decay: NonNegativeFloat = 0.0
    dtype: Literal["fp32", "bf16"] = Field("fp32", description="Of the forward pass; what is trained stays fp32.")
    recompute: bool = Field(False, description="Recompute activations in the backward pass: less memory, slower.")
    checkpoint_every: PositiveInt = Field(20, description="Optimiser steps from one checkpoint to the next.")
    reference_cache: str = Field(
        "", description="File of reference log-probabilities to share; one of its own if none."
    )
    seed: NonNegativeInt = 0
