"""What is passed over is told once, and what is computed without it is what the good folder computes."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch

from simarena.backends.opening import open_adapter, open_config, open_model, open_tokenizer
from simarena.errors import MissingModel
from tests.tiny import Tiny

AUTO_MAP = {"auto_map": {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.OwnForCausalLM"}}


def edited(folder: str, to: Path, name: str, **changes: object) -> Path:
    copy = Path(shutil.copytree(folder, to))
    path = copy / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return copy


def test_code_that_is_passed_over_is_told_once(tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = edited(tiny.base, tmp_path / "model", "config.json", **AUTO_MAP)
    with caplog.at_level(logging.WARNING):
        model = open_model(folder, torch.float32)
        words, config = open_tokenizer(folder), open_config(folder)
    told = [line for line in caplog.messages if "passed over" in line]
    assert told == [f"{folder}: code of its own (auto_map in config.json) is passed over; llama is transformers' own"]
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(model(ids).logits, tiny.model()(ids).logits)
    assert words.get_vocab() == open_tokenizer(Path(tiny.base)).get_vocab()
    assert config.max_position_embeddings == 512


def test_names_of_files_do_not_reach_the_terminal_as_they_are(
    tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = Path(shutil.copytree(tiny.base, tmp_path / "model"))
    (folder / "\x1b[2J_config.json").write_text(json.dumps(AUTO_MAP))
    open_config(folder)
    (told,) = [line for line in caplog.messages if "passed over" in line]
    assert told.isprintable()


def test_a_good_folder_is_told_nothing_about(tiny: Tiny, caplog: pytest.LogCaptureFixture) -> None:
    open_model(Path(tiny.base), torch.float32)
    assert not [line for line in caplog.messages if "passed over" in line]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "own"}, "has no model_type own; give a model of a known type, or serve it elsewhere"),
        ({"model_type": None}, "has no model_type None"),
        ({"architectures": ["OwnForCausalLM"]}, r"has no architectures \['OwnForCausalLM'\]"),
    ],
)
def test_what_transformers_does_not_know_is_refused(
    tiny: Tiny, tmp_path: Path, changes: dict[str, object], told: str
) -> None:
    folder = edited(tiny.base, tmp_path / "model", "config.json", **(AUTO_MAP | changes))
    for opens in (open_tokenizer, open_config):
        with pytest.raises(MissingModel, match=rf"model needs code of its own, which is never run: .* {told}"):
            opens(folder)


def test_an_adapter_to_train_on_is_what_peft_makes_of_it(tiny: Tiny) -> None:
    ours = open_adapter(tiny.model(), Path(tiny.red))
    assert [name for name, value in ours.named_parameters() if value.requires_grad]
    ids = torch.tensor([[5, 6, 7, 8]])
    assert torch.equal(ours.eval()(ids).logits, tiny.adapted(tiny.red)(ids).logits)
    assert ours.peft_config["default"].lora_alpha == 8
