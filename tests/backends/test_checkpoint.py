"""What is loaded, what is refused, and what a version says."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from simarena.backends.checkpoint import digest, load
from simarena.errors import MissingModel
from tests.tiny import Tiny, adapt, build, config


def copied(where: str, to: Path) -> Path:
    shutil.copytree(where, to)
    return to


def edited(where: str, to: Path, **changes: object) -> str:
    """A copy of an adapter with other settings."""
    folder = copied(where, to)
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return str(folder)


def test_versions_name_the_weights(tiny: Tiny, tmp_path: Path) -> None:
    found = load(tiny.base, [tiny.red, tiny.blue, tiny.red], "cpu")
    assert len(found.versions) == 3
    assert found.versions[None] == f"base@{digest(Path(tiny.base))}"
    assert found.versions[tiny.red] == f"{found.versions[None]}+red@{digest(Path(tiny.red))}"
    assert len({version[-12:] for version in found.versions.values()}) == 3


def test_a_digest_changes_with_weights_and_settings_but_not_with_hearsay(tiny: Tiny, tmp_path: Path) -> None:
    before = digest(Path(tiny.red))
    assert digest(copied(tiny.red, tmp_path / "same")) == before
    assert digest(Path(edited(tiny.red, tmp_path / "moved", base_model_name_or_path="/elsewhere"))) == before
    assert digest(Path(edited(tiny.red, tmp_path / "louder", lora_alpha=99))) != before
    other = build(tmp_path / "other", seed=1)
    assert digest(Path(other.red)) != before


def test_what_is_not_there_is_named(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"no config.json in .*nowhere; give the folder of a local checkpoint"):
        load(str(tmp_path / "nowhere"))
    with pytest.raises(MissingModel, match=r"no adapter_config.json in .*base; give the folder of an adapter"):
        load(tiny.base, [tiny.base], "cpu")


def test_pickled_weights_are_refused_by_name(tiny: Tiny, tmp_path: Path) -> None:
    base = copied(tiny.base, tmp_path / "base")
    (base / "model.safetensors").unlink()
    with pytest.raises(MissingModel, match="no weights"):
        load(str(base))
    torch.save({}, base / "pytorch_model.bin")
    with pytest.raises(MissingModel, match=r"only pytorch_model.bin, which would have to be unpickled"):
        load(str(base))
    red = copied(tiny.red, tmp_path / "red")
    (red / "adapter_model.safetensors").rename(red / "adapter_model.bin")
    with pytest.raises(MissingModel, match=r"red holds only adapter_model.bin"):
        load(tiny.base, [str(red)], "cpu")


def test_damaged_files_are_named(tiny: Tiny, tmp_path: Path) -> None:
    base = copied(tiny.base, tmp_path / "base")
    (base / "model.safetensors").write_bytes(b"half a fi")
    with pytest.raises(MissingModel, match=r"cannot load .*base"):
        load(str(base))
    red = copied(tiny.red, tmp_path / "red")
    (red / "adapter_model.safetensors").write_bytes(b"half a fi")
    with pytest.raises(MissingModel, match=r"cannot read .*adapter_model.safetensors"):
        load(tiny.base, [str(red)], "cpu")
    (red / "adapter_config.json").write_text("{")
    with pytest.raises(MissingModel, match=r"adapter_config.json is not JSON"):
        load(tiny.base, [str(red)], "cpu")


def test_an_adapter_of_another_base_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    wider = build(tmp_path / "wider", hidden_size=96, num_attention_heads=3)
    with pytest.raises(MissingModel, match=r"wider/red does not fit its base: .* wants .* the base has .*trained on"):
        load(tiny.base, [wider.red], "cpu")
    deeper = build(tmp_path / "deeper", num_hidden_layers=3)
    with pytest.raises(MissingModel, match="no such layer"):
        load(tiny.base, [deeper.blue], "cpu")


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"bias": "all"}, {"peft_type": "IA3"}])
def test_adapters_of_other_kinds_are_refused(tiny: Tiny, tmp_path: Path, settings: dict[str, object]) -> None:
    odd = edited(tiny.red, tmp_path / "odd", **settings)
    with pytest.raises(MissingModel, match=r"not a plain LoRA adapter .* merge it"):
        load(tiny.base, [odd], "cpu")


@pytest.mark.filterwarnings("ignore::UserWarning:peft.*")
def test_adapters_that_touch_more_than_layers_are_refused(tiny: Tiny, tmp_path: Path) -> None:
    odd = adapt(tiny.model(), tmp_path / "odd", target_modules=["q_proj", "embed_tokens"])
    with pytest.raises(MissingModel, match="no part of a plain LoRA adapter"):
        load(tiny.base, [str(odd)], "cpu")


@pytest.mark.parametrize(
    "settings",
    [
        {"use_rslora": True, "lora_alpha": 3},
        {"target_modules": ["q_proj", "down_proj"], "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 7}},
    ],
)
def test_scalings_and_patterns_are_those_of_peft(tiny: Tiny, tmp_path: Path, settings: dict[str, Any]) -> None:
    folder = str(adapt(tiny.model(), tmp_path / "own", **settings))
    found = load(tiny.base, [tiny.red, folder], "cpu")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.inference_mode():
        found.adapters.use([tiny.red, folder])
        rows = found.model(ids.expand(2, 4)).logits
        assert torch.allclose(rows[0], tiny.adapted(tiny.red)(ids).logits[0], atol=1e-4)
        assert torch.allclose(rows[1], tiny.adapted(folder)(ids).logits[0], atol=1e-4)
        found.adapters.use([None])
        assert torch.equal(found.model(ids).logits, tiny.model()(ids).logits)


def test_layers_that_keep_no_keys_are_refused(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simarena.backends.checkpoint.ATTENTION", ("sliding_attention",))
    with pytest.raises(MissingModel, match="has layers of full_attention"):
        load(tiny.base, [], "cpu")


def test_ends_window_and_pad_come_from_the_files(tiny: Tiny) -> None:
    found = load(tiny.base, [], "cpu", "float64")
    assert found.ends == {1}
    assert (found.window, found.pad, found.reusable) == (config().max_position_embeddings, 0, True)
    assert next(found.model.parameters()).dtype == torch.float64
