"""What libraries are shown of a folder: all of it where it is data, else its data and settings without code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena.backends.admission import OWN_CODE, admitted, lora_settings, names_code, without_code
from simarena.errors import MissingModel
from tests.tiny import Tiny

JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["a", "auto_map", "attn_implementation"]), inner),
    max_leaves=12,
)


@pytest.fixture
def folder(tiny: Tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.base, tmp_path / "model"))


def test_a_folder_of_data_is_read_where_it_lies(folder: Path) -> None:
    for name in ("README.md", "LICENSE", ".gitattributes", "meta.json", "requirements.txt"):
        (folder / name).write_text("{}")
    (folder / ".cache").mkdir()
    found = admitted(folder)
    assert found.files == folder
    assert found.own_code == {}
    assert found.config == json.loads((folder / "config.json").read_text())


@pytest.mark.parametrize("name", ["model.py", "pytorch_model.bin", "library.so", "weights.gguf", "vocab.pkl", "onnx/"])
def test_what_is_no_data_is_not_shown(folder: Path, name: str) -> None:
    (folder / name).mkdir() if name.endswith("/") else (folder / name).write_text("")
    found = admitted(folder)
    assert found.files != folder
    assert found.files.name == folder.name
    shown = {path.name for path in found.files.iterdir()}
    assert shown == {path.name for path in folder.iterdir()} - {name.strip("/")}
    assert all((found.files / each).read_bytes() == (folder / each).read_bytes() for each in shown)


def test_settings_are_shown_without_code_and_as_they_were_else(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text()) | {"rate": 1e-05, "many": 2**70, "word": "é\u2028"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoConfig": "own.Own"}}))
    found = admitted(folder)
    assert found.own_code == {"config.json": ["auto_map"]}
    assert json.loads((found.files / "config.json").read_text()) == found.config == config
    assert (found.files / "tokenizer_config.json").is_symlink()


@given(JSONS)
def test_no_setting_is_left_that_names_code_and_no_other_goes(value: object) -> None:
    def left(found: object) -> list[str]:
        if isinstance(found, list):
            return [key for each in found for key in left(each)]
        if not isinstance(found, dict):
            return []
        return [key for key, each in found.items() if names_code(key, each)] + left(list(found.values()))

    removed = set[str]()
    shown = without_code(value, removed)
    assert not left(shown)
    assert removed <= {"auto_map", "attn_implementation"}
    assert bool(removed) == bool(left(value))
    assert removed or shown == value


@pytest.mark.parametrize(
    ("key", "value", "code"),
    [
        ("_attn_implementation", "flash_attention_2", False),
        ("attn_implementation", None, False),
        ("_attn_implementation", {"": "sdpa", "vision": "eager"}, False),
        ("attn_implementation", {"": "sdpa", "vision": "someone/kernel"}, True),
        ("_experts_implementation_internal", "someone/kernel:call", True),
        ("attn_implementation", ["someone/kernel"], True),
        *((key, {}, False) for key in OWN_CODE),
        *((key, "x", True) for key in OWN_CODE),
    ],
)
def test_kernels_are_words_of_the_library(key: str, value: object, code: bool) -> None:
    assert names_code(key, value) is code


def test_an_index_names_files_beside_it(folder: Path) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model.safetensors"}}))
    assert admitted(folder).files == folder
    for odd in ("../model.safetensors", "model.bin", "/etc/x.safetensors", 7):
        index.write_text(json.dumps({"weight_map": {"a": "model.safetensors", "b": odd}}))
        with pytest.raises(MissingModel, match=r"index.json names .*; weights have to be safetensors files beside it"):
            admitted(folder)


def test_adapters_of_other_versions_of_peft_are_plain_where_nothing_odd_is_set(tiny: Tiny, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.red, tmp_path / "red"))
    path = folder / "adapter_config.json"
    known = json.loads(path.read_text())
    other = {"runtime_config": {"ephemeral_gpu_offload": False}, "use_news": False, "news_config": None, "r": 4}
    path.write_text(json.dumps(known | other))
    found = lora_settings(folder)
    assert found.keys() <= known.keys() - {"auto_mapping", "base_model_name_or_path", "megatron_core"}
    assert (found["r"], found["lora_alpha"], found["peft_type"]) == (4, 8, "LORA")
    path.write_text(json.dumps(known | {"use_news": True}))
    with pytest.raises(MissingModel, match=r"not a plain LoRA adapter \(use_news\); merge it"):
        lora_settings(folder)
