"""What vLLM is to load, looked at before it starts: every refusal names the file and takes a second, not a minute.

In: folders. Out: facts about them, or MissingModel. Reads JSON and the headers of safetensors files; imports no vllm.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simarena.backends.admission import lora_settings, read_json
from simarena.backends.checkpoint import HEARSAY, checked_folder, digest
from simarena.backends.opening import Shapes, open_tokenizer, read_shapes, readable
from simarena.backends.template import ChatTemplate
from simarena.backends.vllm_options import RANKS, VLLMOptions
from simarena.errors import MissingModel

PREFIX, LORA_A, LORA_B = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
REFUSED = ("rank_pattern", "alpha_pattern")
"""Settings of a plain LoRA adapter that vLLM would pass over in silence, or refuse after minutes."""
ABOUT_FILES = (*HEARSAY, "dtype", "torch_dtype")
"""Settings of a checkpoint that say how it was written; an engine reads weights into the type it was started with."""
USUAL_WIDTH = 1024
"""Where a checkpoint does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A checkpoint that may be loaded."""

    folder: Path
    files: Path
    """Where an engine reads it: the folder, or a view of it without code."""
    version: str
    """Its name, and a digest of its weights."""
    shapes: Shapes
    """Parameter -> shape, as the safetensors files have them."""
    tokenizer: Any
    ends: frozenset[int]
    """Tokens after which a reply is over."""
    window: int
    """Most tokens of prompt and reply together."""
    width: int
    """Values that the layers hand on for each token."""
    layers: frozenset[str]
    """Last names of the layers that an adapter may change: all matrices but embedding and head. Adapted heads stay off:
    vLLM 0.32 on a processor fails where one is there and a prompt's log-probabilities are asked for in a batch."""

    @property
    def kind(self) -> tuple[Any, ...]:
        """Equal for two checkpoints that differ in their weights alone: one may take the place of the other."""
        config = read_json(self.folder / "config.json")
        shape = {key: value for key, value in config.items() if key not in ABOUT_FILES}
        return shape, self.shapes, self.tokenizer.get_vocab(), self.tokenizer.chat_template, self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A LoRA folder that fits a base."""

    folder: Path
    version: str
    """Its name and a digest of its weights: never the same for two contents, as prefix caches are keyed by it."""
    rank: int


def check_base(where: str) -> Base:
    """The checkpoint in a folder. MissingModel names what is missing or cannot be used."""
    folder = checked_folder(where, "config.json")
    tokenizer = open_tokenizer(folder)
    ChatTemplate(tokenizer, str(folder.absolute())).markers()  # within its bounds, before a server renders it without
    shapes = shapes_of(folder)
    return Base(
        folder=folder,
        files=readable(folder),
        version=f"{folder.name}@{digest(folder)}",
        shapes=shapes,
        tokenizer=tokenizer,
        ends=end_tokens(folder, tokenizer),
        window=window_of(folder),
        width=width_of(folder),
        layers=layers_of(folder, shapes),
    )


def end_tokens(folder: Path, tokenizer: Any) -> frozenset[int]:
    """Ids after which a reply is over, by the tokenizer and by generation_config.json."""
    declared = read_json(folder / "generation_config.json").get("eos_token_id")
    ids = declared if isinstance(declared, list) else [declared]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if type(i) is int)


def window_of(folder: Path) -> int:
    """Most tokens that the checkpoint was made for."""
    config = read_json(folder / "config.json")
    found = (config.get("text_config") or config).get("max_position_embeddings")
    return found if type(found) is int else 1 << 20


def width_of(folder: Path) -> int:
    """Values that the layers hand on for each token."""
    config = read_json(folder / "config.json")
    found = (config.get("text_config") or config).get("hidden_size")
    return found if type(found) is int else USUAL_WIDTH


def layers_of(folder: Path, shapes: Shapes) -> frozenset[str]:
    """Last names of all matrices but those with a side as long as the vocabulary."""
    config = read_json(folder / "config.json")
    words = (config.get("text_config") or config).get("vocab_size")
    found = {name: shape for name, shape in shapes.items() if len(shape) == 2 and words not in shape}
    return frozenset(name.split(".")[-2] for name in found if name.endswith(".weight"))


def check_adapter(where: str, base: Base, limit: int | None = None) -> Adapter:
    """The adapter in a folder; MissingModel where it is no plain LoRA, fits another base or is over `limit`."""
    folder = checked_folder(where, "adapter_config.json")
    file = folder / "adapter_config.json"
    settings = lora_settings(folder)
    if odd := [key for key in REFUSED if settings.get(key)]:
        raise MissingModel(f"{file} is not a LoRA adapter that vLLM takes ({', '.join(odd)}); merge it into its base")
    rank = settings.get("r")
    if type(rank) is not int or rank > (limit or RANKS[-1]):
        more = "raise max_lora_rank in the agent's options" if limit else "merge it into its base"
        raise MissingModel(f"{file} has rank {rank}, the engine takes up to {limit or RANKS[-1]}; {more}")
    check_fit(folder, base)
    return Adapter(folder=folder, version=f"{folder.name}@{digest(folder)}", rank=rank)


def check_fit(folder: Path, base: Base) -> None:
    """MissingModel where an adapter's matrices do not fit those of its base."""
    found = shapes_of(folder, "adapter_model.safetensors")
    for name, shape in found.items():
        module = name.removeprefix(PREFIX).removesuffix(LORA_A).removesuffix(LORA_B)
        if module == name:
            raise MissingModel(f"{folder} holds {name}, which is no part of a plain LoRA adapter")
        if module.rpartition(".")[2] not in base.layers and f"{module}.weight" in base.shapes:
            raise MissingModel(f"adapter {folder} changes {module}, which vLLM leaves alone here; merge it")
        weight = base.shapes.get(f"{module}.weight")
        side = -1 if name.endswith(LORA_A) else 0
        if weight is None or weight[side] != shape[side]:
            has = "no such layer" if weight is None else f"{list(weight)}"
            raise MissingModel(
                f"adapter {folder} does not fit {base.folder}: {module} wants {list(shape)}, the base has {has}; "
                "give the base that it was trained on"
            )


def shapes_of(folder: Path, pattern: str = "*.safetensors") -> Shapes:
    """Parameter -> shape, from the files' headers alone."""
    shapes: Shapes = {}
    for path in sorted(folder.glob(pattern)):
        shapes |= read_shapes(path)
    return shapes


def highest_rank(options: VLLMOptions, adapters: Sequence[Adapter]) -> int:
    """The rank that the engine is started for: what is asked for, or the next that fits all adapters, 16 at least."""
    if options.max_lora_rank is not None:
        return options.max_lora_rank
    return next(rank for rank in RANKS if rank >= max([16, *(each.rank for each in adapters)]))


def write_zero_adapter(folder: Path, base: Base) -> Path:
    """An adapter that changes nothing: one layer's pair of zero matrices, of rank 1.

    For requests without an adapter beside others that have one: vLLM 0.32 on a processor otherwise gives them the
    adapter in its last slot, and says nothing.
    """
    import numpy as np
    from safetensors.numpy import save_file

    name = next((name for name in base.shapes if name.endswith("q_proj.weight")), "")
    if not name:
        raise MissingModel(f"{base.folder} has no layer q_proj; adapters beside it need a GPU, or transformers")
    out, inner = base.shapes[name]
    module = name.removesuffix(".weight")
    folder.mkdir(parents=True, exist_ok=True)
    zeros = {"A": np.zeros((1, inner), np.float32), "B": np.zeros((out, 1), np.float32)}
    save_file(
        {f"{PREFIX}{module}.lora_{side}.weight": matrix for side, matrix in zeros.items()},
        folder / "adapter_model.safetensors",
    )
    settings = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 1, "lora_alpha": 1, "bias": "none"}
    settings |= {"target_modules": [module.rpartition(".")[2]], "base_model_name_or_path": str(base.folder)}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder
