"""Exports load with `datasets.load_dataset` from disk, and TRL's trainers train on them as they are.

Needs trl, in an environment of its own: `make test-interop`.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from simarena.preferences.formats import FORMATS, write_lines, write_parquet
from tests.preferences.made import some

pytest.importorskip("trl", reason="TRL has an environment of its own: make test-interop")
datasets = pytest.importorskip("datasets", reason="comes with TRL")
pytestmark = [pytest.mark.interop, pytest.mark.filterwarnings("default")]

BASE = Path(__file__).parents[2] / "agents" / "nano" / "base"
QUICK: dict[str, Any] = {
    "max_steps": 2,
    "per_device_train_batch_size": 2,
    "use_cpu": True,
    "report_to": [],
    "save_strategy": "no",
    "logging_steps": 1,
    "bf16": False,
}


def load(folder: Path, name: str) -> Any:
    """The data set as anybody would load it."""
    suffix = "jsonl" if name in ("native", "trl-stepwise") else "parquet"
    file = folder / f"train.{suffix}"
    if suffix == "parquet":
        write_parquet(some(8), FORMATS[name], str(file))
        return datasets.load_dataset("parquet", data_files=str(file), split="train", cache_dir=str(folder / "cache"))
    with file.open("w", encoding="utf-8") as out:
        write_lines(some(8), FORMATS[name], out)
    return datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=str(folder / "cache"))


def model() -> tuple[Any, Any]:
    """The nano base and its tokenizer."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(BASE), AutoTokenizer.from_pretrained(BASE)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "native"])
def test_every_format_loads_with_its_columns(name: str, tmp_path: Path) -> None:
    data = load(tmp_path, name)
    assert set(data.column_names) == set(FORMATS[name].columns)
    assert len(data) >= 8


@pytest.mark.parametrize("name", ["trl-preference", "trl-implicit", "trl-preference-text"])
def test_dpo_trains_on_pairs_unchanged(name: str, tmp_path: Path) -> None:
    from trl import DPOConfig, DPOTrainer

    net, tokenizer = model()
    trainer = DPOTrainer(
        model=net,
        args=DPOConfig(output_dir=str(tmp_path / "out"), **QUICK),
        train_dataset=load(tmp_path, name),
        processing_class=tokenizer,
    )
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-3)


def test_kto_trains_on_unpaired_rows_unchanged(tmp_path: Path) -> None:
    from trl import KTOConfig, KTOTrainer

    net, tokenizer = model()
    trainer = KTOTrainer(
        model=net,
        args=KTOConfig(output_dir=str(tmp_path / "out"), **QUICK),
        train_dataset=load(tmp_path, "trl-unpaired"),
        processing_class=tokenizer,
    )
    trainer.train()
    assert any("loss" in entry for entry in trainer.state.log_history)


def test_a_folder_with_its_card_loads_by_its_path(tmp_path: Path) -> None:
    from simarena.preferences.card import card

    run = {"name": "n", "env": "arena", "hash": "h", "seed": 0, "agents": {"ann": "1"}}
    about = {
        "rows": 8,
        "format": "trl-preference",
        "builder": "duel",
        "params": {},
        "filters": {},
        "dropped": {},
        "run": run,
    }
    (tmp_path / "README.md").write_text(card({**about, "file": "train.jsonl", "simarena": "0"}), encoding="utf-8")
    with (tmp_path / "train.jsonl").open("w", encoding="utf-8") as out:
        write_lines(some(8), FORMATS["trl-preference"], out)
    data = datasets.load_dataset(str(tmp_path), split="train", cache_dir=str(tmp_path / "cache"))
    assert json.loads(json.dumps(data[0]["chosen"]))[0]["role"] == "assistant"
