"""A local checkpoint and its adapters, ready to answer; what its version is; every refusal names the file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simarena.backends.admission import read_json
from simarena.backends.opening import open_model, open_tokenizer
from simarena.errors import MissingExtra, MissingModel

if TYPE_CHECKING:
    from simarena.backends.lora import Adapters

DIGEST_LIMIT = 1 << 30
"""Weights up to this many bytes are hashed whole for a version; of larger files the first megabyte and the size."""

HEARSAY = ("_name_or_path", "name_or_path", "base_model_name_or_path", "transformers_version", "peft_version")
"""Settings that say where weights came from and change nothing in what they compute."""

READING = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.json",
    "chat_template.jinja",
)
"""Files that, beside `*config.json`, decide which tokens a model is shown for a text."""

ATTENTION = ("full_attention", "sliding_attention", "chunked_attention")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A model ready to answer."""

    model: Any
    tokenizer: Any
    adapters: Adapters
    versions: dict[str | None, str]
    """Adapter folder (None: the base) -> what answers, by name and digest of the weights."""
    ends: frozenset[int]
    """Tokens after which a reply is over."""
    pad: int
    window: int
    """Most tokens of prompt and reply together."""
    reusable: bool
    """Whether a prompt can be read on from what was computed of its beginning: every layer sees all of it."""


def load(where: str, adapters: Sequence[str] = (), device: str = "auto", dtype: str = "float32") -> Checkpoint:
    """The checkpoint in folder `where`, with the adapters in the folders `adapters` beside it."""
    try:
        import torch
        import transformers  # noqa: F401 - whether it is there

        from simarena.backends.lora import Adapters
    except ImportError as error:
        raise MissingExtra("the transformers backend", "transformers") from error
    folder = checked_folder(where, "config.json")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = "auto" if dtype == "auto" else getattr(torch, dtype)
    tokenizer, model = open_tokenizer(folder), open_model(folder, kind).to(device).eval()
    config = model.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if odd := kinds.difference(ATTENTION):
        raise MissingModel(f"{folder.absolute()} has layers of {', '.join(sorted(odd))}; serve it and use openai")
    beside = Adapters(model)
    base = f"{folder.name}@{digest(folder)}"
    versions: dict[str | None, str] = {None: base}
    for path in dict.fromkeys(adapters):
        beside.add(path, checked_folder(path, "adapter_config.json"))
        versions[path] = f"{base}+{Path(path).name}@{digest(Path(path))}"
    beside.stack()
    return Checkpoint(
        model=model,
        tokenizer=tokenizer,
        adapters=beside,
        versions=versions,
        ends=end_tokens(model, tokenizer),
        pad=tokenizer.pad_token_id or 0,
        window=int(getattr(config, "max_position_embeddings", 1 << 20)),
        reusable=kinds == {"full_attention"} and getattr(config, "sliding_window", None) is None,
    )


def checked_folder(where: str, config: str) -> Path:
    """The folder, or MissingModel: it has to hold `config` and safetensors weights."""
    folder = Path(where)
    if not (folder / config).is_file():
        kind = "an adapter in peft's format" if config.startswith("adapter") else "a local checkpoint"
        raise MissingModel(f"no {config} in {folder.absolute()}; give the folder of {kind}")
    if not list(folder.glob("adapter_model.safetensors" if config.startswith("adapter") else "*.safetensors")):
        pickled = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        found = f"only {', '.join(pickled)}, which would have to be unpickled" if pickled else "no weights"
        raise MissingModel(f"{folder.absolute()} holds {found}; convert the weights to safetensors")
    return folder


def digest(folder: Path) -> str:
    """Twelve hex digits that change when the weights do, or what is computed with them, or how text becomes tokens."""
    total = hashlib.sha256()
    for path in sorted(folder.glob("*config.json")):
        known = {key: value for key, value in read_json(path).items() if key not in HEARSAY}
        total.update(json.dumps([path.name, known], sort_keys=True).encode())
    for path in (folder / name for name in READING if (folder / name).is_file()):
        total.update(f"{path.name}{path.stat().st_size}".encode())
        total.update(path.read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        size = path.stat().st_size
        total.update(f"{path.name}{size}".encode())
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                total.update(chunk)
                if size > DIGEST_LIMIT:
                    break
    return total.hexdigest()[:12]


def end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids after which a reply is over."""
    declared = getattr(model.generation_config, "eos_token_id", None)
    ids = declared if isinstance(declared, list) else [declared]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
