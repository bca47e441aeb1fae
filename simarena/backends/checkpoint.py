"""Loading a local checkpoint and its adapters: safetensors and plain JSON only, every refusal names the file."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from simarena.errors import MissingExtra, MissingModel

DIGEST_LIMIT = 1 << 30
"""Weights up to this many bytes are hashed whole for a version; of larger files the first megabyte and the size."""


def load(where: str, adapters: dict[str, str], device: str, dtype: str) -> tuple[Any, Any, dict[str | None, str]]:
    """Model, tokenizer, versions by adapter folder (None: the base). `adapters`: folder -> its name in the model."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer
    except ImportError as error:
        raise MissingExtra("the transformers backend", "transformers") from error
    folder = checked_folder(where, "config.json")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    kind = "auto" if dtype == "auto" else getattr(torch, dtype)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=kind, local_files_only=True, use_safetensors=True)
    versions: dict[str | None, str] = {None: f"{folder.name}@{digest(folder)}"}
    for path, name in adapters.items():
        model = with_adapter(model, path, name, folder)
        versions[path] = f"{versions[None]}+{Path(path).name}@{digest(Path(path))}"
    return model.to(device).eval(), tokenizer, versions


def with_adapter(model: Any, path: str, name: str, base: Path) -> Any:
    """`model` with one more adapter beside those it has."""
    from peft import PeftModel

    folder = checked_folder(path, "adapter_config.json")
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name, use_safetensors=True)
            return model
        return PeftModel.from_pretrained(model, folder, adapter_name=name, use_safetensors=True)
    except (RuntimeError, ValueError, KeyError) as error:
        raise MissingModel(f"adapter {path} does not fit the base {base}: {str(error).splitlines()[0]}") from error


def checked_folder(where: str, config: str) -> Path:
    """The folder, or MissingModel: it has to hold `config` and safetensors weights."""
    folder = Path(where)
    if not (folder / config).is_file():
        raise MissingModel(f"no {config} in {folder.absolute()}; give the folder of a local checkpoint")
    if not list(folder.glob("*.safetensors")):
        pickled = [p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".ckpt")]
        found = f"only {', '.join(pickled)}, which would have to be unpickled" if pickled else "no weights"
        raise MissingModel(f"{folder.absolute()} holds {found}; convert the weights to safetensors")
    return folder


def digest(folder: Path) -> str:
    """Twelve hex digits that change when the weights do."""
    total = hashlib.sha256()
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
