"""The one place that opens checkpoints, adapters and tokenizers: as data, whatever else lies in their folders.

In: a folder. Out: what transformers, peft or safetensors make of it, or MissingModel in one sentence. No code that
comes with a checkpoint is run and nothing is unpickled: where transformers has the architecture itself its own classes
are used, and that is told once; elsewhere the folder is refused before it is loaded.
"""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from simarena.backends.admission import Admitted, admitted, lora_settings
from simarena.backends.rendering import renderer
from simarena.errors import MissingModel

Shapes = dict[str, tuple[int, ...]]
AS_DATA = {"local_files_only": True, "trust_remote_code": False}

log = logging.getLogger(__name__)


def readable(folder: Path) -> Path:
    """Where a library may read the checkpoint in `folder`; MissingModel where that would take code of its own."""
    found = admitted(folder)
    check_architecture(folder, found)
    check_tokenizer(folder, found)
    if found.own_code:
        named = "; ".join(f"{', '.join(keys)} in {name}" for name, keys in found.own_code.items())
        tell(folder.absolute(), named, str(found.config.get("model_type")))
    return found.files


@cache
def tell(folder: Path, own_code: str, kind: str) -> None:
    """Say once a process that a checkpoint's own code is passed over."""
    said = f"{folder}: code of its own ({own_code}) is passed over; {kind} is transformers' own"
    log.warning("%s", "".join(letter for letter in said if letter.isprintable()))  # file names may hold anything


def check_architecture(folder: Path, found: Admitted) -> None:
    """MissingModel where config.json names code, and no class that transformers has itself."""
    from transformers import __version__
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as KNOWN

    if "auto_map" not in found.own_code.get("config.json", []):
        return
    kind = found.config.get("model_type")
    known = KNOWN.get(kind) if isinstance(kind, str) else None
    named = found.config.get("architectures") or [known]
    if known is None or named != [known]:
        what = f"model_type {kind}" if known is None else f"architectures {named}"
        raise MissingModel(
            f"{folder.absolute()} needs code of its own, which is never run: transformers {__version__} has no {what}; "
            "give a model of a known type, or serve it elsewhere and use openai"
        )


def check_tokenizer(folder: Path, found: Admitted) -> None:
    """MissingModel where the tokenizer's class is none that transformers has."""
    from transformers import PreTrainedTokenizerBase
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    name = found.tokenizer.get("tokenizer_class") or found.config.get("tokenizer_class")
    if name is None:
        return
    try:
        kind = tokenizer_class_from_name(name) if isinstance(name, str) else name
    except ImportError as error:
        raise MissingModel(f"{folder.absolute()} wants {name} as its tokenizer: {first_line(error)}") from error
    if kind is None and "auto_map" not in found.own_code.get("tokenizer_config.json", []):
        return  # transformers reads tokenizer.json then
    if not (isinstance(kind, type) and issubclass(kind, PreTrainedTokenizerBase)):
        raise MissingModel(
            f"{folder.absolute()} wants {name!r} as its tokenizer, which transformers does not have, and code of its "
            "own is never run; save it as tokenizer.json"
        )


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint."""
    renderer()  # its chat template will be wanted: that process starts while this one imports and loads
    from transformers import AutoTokenizer

    return opened(AutoTokenizer, folder)


def open_config(folder: Path) -> Any:
    """The settings of a checkpoint's text model."""
    from transformers import AutoConfig

    return opened(AutoConfig, folder).get_text_config()


def open_model(folder: Path, dtype: Any) -> Any:
    """The model of a checkpoint on the processor, in `dtype`: a torch type, or "auto" for the one it was saved in."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging as chatter

    chatter.disable_progress_bar()  # it would write across ours
    return opened(AutoModelForCausalLM, folder, dtype=dtype, use_safetensors=True)


def opened(kind: Any, folder: Path, **how: Any) -> Any:
    """What one of transformers' loaders makes of a folder."""
    files = readable(folder)
    try:
        return kind.from_pretrained(files, **AS_DATA, **how)
    except Exception as error:  # whatever a third-party reader makes of damaged files
        said = first_line(error).replace(str(files), str(folder))
        raise MissingModel(f"cannot load {folder.absolute()}: {said}") from error


def open_adapter(base: Any, folder: Path) -> Any:
    """`base` with the adapter in `folder`, to be trained on. Its settings are read here, its weights by peft."""
    from peft import LoraConfig, PeftModel

    try:
        config = LoraConfig(**{key: value for key, value in lora_settings(folder).items() if key != "peft_type"})
        return PeftModel.from_pretrained(base, str(folder), config=config, is_trainable=True)
    except MissingModel:
        raise
    except Exception as error:
        raise MissingModel(f"adapter {folder} does not fit its base: {first_line(error)}") from error


def read_tensors(path: Path) -> dict[str, Any]:
    """Name -> torch tensor of a safetensors file. MissingModel where it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise MissingModel(f"cannot read {path}: {error}") from error


def read_shapes(path: Path) -> Shapes:
    """Name -> shape of a safetensors file, from its header alone. MissingModel where it is none."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="np") as file:
            return {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (OSError, SafetensorError) as error:
        raise MissingModel(f"cannot read {path}: {error}") from error


def first_line(error: Exception) -> str:
    """The first line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
