"""What the folder of a checkpoint or an adapter may hold, looked at before any library reads it: data, nothing to run.

In: a folder. Out: the folder that libraries may read in its place, and what they are not shown of it. Reads JSON and
file names, imports no model runtime. Libraries look for code in many corners of a folder; what they cannot see they
cannot run, whatever their own switches do.
"""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from simarena.errors import MissingModel

DATA = (".bpe", ".codes", ".jinja", ".json", ".model", ".safetensors", ".spm", ".tiktoken", ".txt")
"""Endings of files that libraries may read: settings, vocabularies, chat templates, weights."""
UNREAD = ("", ".gif", ".jpeg", ".jpg", ".md", ".pdf", ".png", ".svg")
"""Endings of files that no library reads, such as LICENSE and README.md; all else is kept out of sight."""
INDEX = "model.safetensors.index.json"
OWN_CODE = ("auto_map", "custom_generate", "custom_pipelines", "trust_remote_code")
"""Settings that name a checkpoint's own Python, or ask for it."""
KERNELS = ("attn_implementation", "experts_implementation")
"""Settings that may name code on a hub, with or without `_` before and `_internal` behind."""
WORD = re.compile(r"[A-Za-z0-9_]*")

NO_MATTER = (
    "auto_mapping",
    "base_model_name_or_path",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
)
"""Settings of an adapter that change nothing in what it computes; two of them name modules to import."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A checkpoint's folder after the look."""

    files: Path
    """Where libraries read it: the folder itself, or links to its data beside settings without code."""
    config: dict[str, Any]
    """config.json, without code."""
    tokenizer: dict[str, Any]
    """tokenizer_config.json, without code."""
    own_code: dict[str, list[str]]
    """File -> its settings that named code."""


def admitted(folder: Path) -> Admitted:
    """The checkpoint in `folder`. MissingModel where a file is not what it has to be."""
    if (folder / "adapter_config.json").exists():
        raise MissingModel(f"{folder.absolute()} holds an adapter beside a checkpoint; give it a folder of its own")
    check_index(folder / INDEX)
    settings, own_code = {}, {}
    for path in sorted(folder.glob("*config.json")):
        removed: set[str] = set()
        settings[path.name] = cleaned(path, removed)
        if removed:
            own_code[path.name] = sorted(removed)
    changed = {name: settings[name] for name in own_code}
    return Admitted(
        files=view(folder, changed) if changed or any(map(suspect, folder.iterdir())) else folder,
        config=settings.get("config.json", {}),
        tokenizer=settings.get("tokenizer_config.json", {}),
        own_code=own_code,
    )


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no such file. MissingModel where there is something else."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise MissingModel(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise MissingModel(f"{path} is not JSON of the right kind: it has to hold an object {{...}}")
    return found


def cleaned(path: Path, removed: set[str]) -> dict[str, Any]:
    """The settings in a file without those that name code, whose keys are added to `removed`."""
    try:
        return dict(without_code(read_json(path), removed))
    except RecursionError as error:
        raise MissingModel(f"{path} is nested too deeply to be settings") from error


def without_code(value: Any, removed: set[str]) -> Any:
    """A JSON value without entries that name code, at any depth."""
    if isinstance(value, list):
        return [without_code(each, removed) for each in value]
    if not isinstance(value, dict):
        return value
    code = {key for key, each in value.items() if names_code(key, each)}
    removed |= code
    return {key: without_code(each, removed) for key, each in value.items() if key not in code}


def names_code(key: str, value: Any) -> bool:
    """Whether a setting names Python of the checkpoint's own, or a kernel that is not one of the library's words."""
    if key.removeprefix("_").removesuffix("_internal") in KERNELS:
        words = list(value.values()) if isinstance(value, dict) else [value]
        return not all(word is None or (isinstance(word, str) and WORD.fullmatch(word)) for word in words)
    return key in OWN_CODE and bool(value)


def check_index(path: Path) -> None:
    """MissingModel where the list of shards names anything but safetensors files of its own folder."""
    shards = read_json(path).get("weight_map", {})
    for name in shards.values() if isinstance(shards, dict) else [shards]:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise MissingModel(f"{path} names {name!r}; weights have to be safetensors files beside it")


def suspect(path: Path) -> bool:
    """Whether an entry of a folder is neither data nor something that no library reads."""
    return not path.name.startswith(".") and (path.is_dir() or path.suffix not in (*DATA, *UNREAD))


@cache
def views() -> tempfile.TemporaryDirectory[str]:
    """Where this process keeps its views; removed when it ends."""
    return tempfile.TemporaryDirectory(prefix="simarena-models-")


def view(folder: Path, changed: dict[str, dict[str, Any]]) -> Path:
    """A folder of the same name with links to the data in `folder`, and the `changed` settings."""
    found = Path(tempfile.mkdtemp(dir=views().name)) / folder.absolute().name
    found.mkdir()
    for path in folder.iterdir():
        if path.name in changed:
            (found / path.name).write_text(json.dumps(changed[path.name]), encoding="utf-8")
        elif path.is_file() and path.suffix in DATA:
            (found / path.name).symlink_to(path.resolve())
    return found


class PlainLora(BaseModel):
    """The settings of an adapter that computes W + B A and nothing else."""

    model_config = ConfigDict(extra="allow", strict=True)

    peft_type: Literal["LORA"]
    task_type: str | None = None
    r: PositiveInt = 8
    lora_alpha: float = 8
    lora_dropout: float = 0.0
    use_rslora: bool = False
    bias: Literal["none"] = "none"
    inference_mode: bool = False
    init_lora_weights: Literal["gaussian", "eva", "orthogonal"] | bool | None = True
    """How it began; the other ways change the base as well."""
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    layers_pattern: list[str] | str | None = None
    rank_pattern: dict[str, PositiveInt] | None = None
    alpha_pattern: dict[str, float] | None = None


def lora_settings(folder: Path) -> dict[str, Any]:
    """What is set in an adapter's configuration; MissingModel where it is no plain LoRA."""
    where = folder / "adapter_config.json"
    given = read_json(where)
    try:
        odd = [
            key for key, value in (PlainLora(**given).model_extra or {}).items() if key not in NO_MATTER and on(value)
        ]
    except ValidationError as error:
        odd = [f"{found['loc'][0]} {found['input']}" for found in error.errors()[:1]]
    if odd:
        raise MissingModel(
            f"{where} is not a plain LoRA adapter ({', '.join(odd)}); merge it into its base and give that folder"
        )
    return {key: given[key] for key in PlainLora.model_fields if given.get(key) is not None}


def on(value: Any) -> bool:
    """Whether a setting says anything: not null, false, empty or a group of such."""
    return any(map(on, value.values())) if isinstance(value, dict) else bool(value)
