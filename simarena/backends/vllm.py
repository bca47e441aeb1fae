"""vLLM itself: what an engine is started with, and the few things asked of it that are not requests.

The only module that imports vllm, and not before an engine is built. Knows no request and no thread.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simarena import threads
from simarena.backends.vllm_lora import add_lora_linear
from simarena.backends.vllm_options import VLLMOptions, on_processor
from simarena.errors import BackendError

PROCESSOR_CACHE_MB = 512
PROCESSOR_BATCH_TOKENS = 4096
ADAPTERS_KEPT = 64
"""Adapters in memory at most; they take turns in the batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an engine is started with."""

    model: str
    """What messages call it."""
    files: Path
    """Where the engine reads it: a folder without code of its own."""
    options: VLLMOptions
    adapters: int = 0
    """Adapters in one batch, the zero adapter included; 0: none can be loaded."""
    rank: int = 16
    layers: tuple[str, ...] = ()
    """Last names of the layers that adapters may change."""
    window: int = 0
    """Most tokens of prompt and reply together."""
    width: int = 0
    """Values that the layers hand on for each token."""
    devices: str = ""
    """GPUs of this engine alone, as CUDA_VISIBLE_DEVICES has them; "": all."""

    def arguments(self) -> dict[str, Any]:
        """Arguments of EngineArgs."""
        options, cpu = self.options, on_processor()
        cache = options.cache_mb or (PROCESSOR_CACHE_MB if cpu else None)
        found: dict[str, Any] = {
            "model": str(self.files.absolute()),
            "dtype": options.dtype,
            "config_format": "hf",  # config.json, which was looked at, and no other
            "load_format": "safetensors",
            "trust_remote_code": False,
            "generation_config": "vllm",  # else the checkpoint's own sampling defaults join in
            "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
            "max_num_seqs": options.max_batch,
            "tensor_parallel_size": options.tensor_parallel_size,
            "enable_prefix_caching": True,
            "use_tqdm_on_load": False,  # it would write across our own progress
            "disable_log_stats": True,
            "seed": 0,
        }
        if cpu:
            found |= {"enforce_eager": True, "block_size": 32}
            # A seeded request whose prompt is read in two parts ends vLLM 0.32 on a processor: whole prompts only.
            found["enable_chunked_prefill"] = False
            found["max_num_batched_tokens"] = max(options.batch_tokens or PROCESSOR_BATCH_TOKENS, self.window)
        else:
            found["gpu_memory_utilization"] = options.memory_share
        if cache:
            found["kv_cache_memory_bytes"] = cache << 20
        if options.max_model_len:
            found["max_model_len"] = options.max_model_len
        if options.batch_tokens and not cpu:
            found["max_num_batched_tokens"] = options.batch_tokens
        if self.adapters:
            found |= {"enable_lora": True, "max_loras": self.adapters, "max_lora_rank": self.rank}
            found["lora_target_modules"] = list(self.layers)
            found["max_cpu_loras"] = max(ADAPTERS_KEPT, self.adapters)
        return found

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"vllm {self.model}"

    @property
    def most(self) -> int:
        """Requests in one batch."""
        return self.options.max_batch

    def params(self, given: dict[str, Any]) -> Any:
        """Sampling parameters; the whole answer comes at once."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = given.pop("schema", None)
        held = None if schema is None else StructuredOutputsParams(json=schema, disable_any_whitespace=True)
        final = RequestOutputKind.FINAL_ONLY
        return SamplingParams(output_kind=final, flat_logprobs=True, structured_outputs=held, **given)

    def close(self, engine: Any, *, last: bool) -> None:
        """Shut the engine down; beside others in this process only forget it, for a shutdown takes theirs down too."""
        core = engine.engine_core
        if last or not hasattr(core, "engine_core"):  # the latter: it has a process of its own
            core.shutdown()
        else:
            core._finalizer.detach()  # else vLLM shuts it down when it is collected

    def fatal(self, error: Exception) -> bool:
        """Whether the engine's own process is gone."""
        from vllm.v1.engine.exceptions import EngineDeadError

        return isinstance(error, EngineDeadError)

    def build(self) -> Any:
        """The engine. BackendError says what stood in its way."""
        if on_processor():
            threads.choose("vllm", self.options.max_batch, self.width, options=self.options.threads).apply()
        logging.getLogger("torch._library.triton").setLevel(logging.ERROR)  # it misses Triton, which only GPUs have
        try:
            with visible(self.devices), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from vllm import EngineArgs
                from vllm.v1.engine.llm_engine import LLMEngine

                return LLMEngine.from_engine_args(EngineArgs(**self.arguments()))
        except Exception as error:
            raise BackendError(f"vllm cannot start with {self.model}: {start_trouble(error)}") from error


@contextlib.contextmanager
def visible(devices: str) -> Iterator[None]:
    """Let processes that are started meanwhile see these GPUs alone."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices
    try:
        yield
    finally:
        if devices:
            os.environ.pop("CUDA_VISIBLE_DEVICES")
        if devices and before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


MEMORY = re.compile(r"out of memory|available memory|KV cache|free memory|cache blocks", re.IGNORECASE)


def start_trouble(error: BaseException) -> str:
    """Why an engine did not start, in one line, with the option to change where memory is short."""
    text = " ".join((str(error) or type(error).__name__).split())
    if isinstance(error, MemoryError) or MEMORY.search(text):
        numbers = re.sub(r" ?(?:Try|See) .*", "", text)
        where = "raise cache_mb" if on_processor() else "raise memory_share, or tensor_parallel_size"
        return f"{numbers}; {where}, or lower max_model_len in the agent's options"
    return text[:600]


def lora(name: str, number: int, folder: Path) -> Any:
    """An adapter as the engine wants it. A name is never used for other weights: the prefix cache is keyed by it."""
    from vllm.lora.request import LoRARequest

    return LoRARequest(name, number, str(folder.absolute()))


def repacked(model: Any) -> None:
    """Pack anew what a reload left packed as it was: vLLM 0.32 on a processor forgets a head tied to the embedding."""
    for layer in model.modules():
        if hasattr(layer, "cpu_linear") and layer.weight.numel():
            layer.quant_method.process_weights_after_loading(layer)


def adapters_by_group() -> None:
    """Let vLLM for processors compute adapters as `vllm_lora` does. vLLM calls this wherever it starts, in servers too:
    it is an entry point of `vllm.general_plugins`."""
    if on_processor():
        from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU

        PunicaWrapperCPU.add_lora_linear = add_lora_linear
