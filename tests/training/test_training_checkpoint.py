"""Killed anywhere and started again, a training ends with the same bits. A full disk leaves the last good one."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException

from simarena.training import checkpoint
from simarena.training.checkpoint import CheckpointError
from simarena.training.distributed import Ranks
from simarena.training.trainer import TrainingError
from tests.training.conftest import same, weights

WAYS: list[dict[str, Any]] = [
    {},
    {"update": {"kind": "soft", "every": 1}},
    {"update": {"kind": "lagged"}, "loss": "humanline:dpo"},
    {"update": {"kind": "bema", "every": 3}},
    {"stages": 2},
    {"loss": "re_po:dpo"},
    {"tune": "full"},
]
TIMES = {"tokens_per_second", "memory_mb"}


def numbers(metrics: Any) -> Any:
    return replace(metrics, **dict.fromkeys(TIMES, 0.0))


@pytest.mark.parametrize(("way", "killed"), list(zip(WAYS, [3, 4, 7, 5, 4, 3, 7], strict=True)), ids=str)
def test_resumed_is_unbroken_bit_by_bit(training: Callable[..., Any], way: dict[str, Any], killed: int) -> None:
    whole, unbroken = training("unbroken", epochs=2, **way)
    training("broken", epochs=2, steps=killed, **way)
    resumed, rest = training("broken", epochs=2, **way)
    assert rest[0].step == (killed - 1) // 2 * 2 + 1, "it goes on from the last checkpoint"
    assert same(weights(whole), weights(resumed))
    assert [numbers(m) for m in unbroken[-len(rest) :]] == [numbers(m) for m in rest]


def test_two_checkpoints_are_kept_and_nothing_is_pickled(training: Callable[..., Any], tmp_path: Path) -> None:
    training(epochs=2)
    found = checkpoint.known(tmp_path / "out" / "checkpoints")
    assert [path.name for path in found] == ["step-00000006", "step-00000008"]
    assert {path.suffix for folder in found for path in folder.iterdir()} == {".safetensors", ".json"}


def test_a_finished_training_has_nothing_left_to_do(training: Callable[..., Any]) -> None:
    done, _ = training()
    again, metrics = training()
    assert metrics == []
    assert same(weights(done), weights(again))


def test_a_checkpoint_of_other_arguments_is_refused(training: Callable[..., Any]) -> None:
    training(steps=3)
    with pytest.raises(TrainingError, match="other pairs or arguments"):
        training(learning_rate=1e-3)


def test_a_full_disk_leaves_the_last_good_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"w": torch.arange(3.0)}
    checkpoint.save(tmp_path, 2, tensors, {"step": 2}, Ranks())

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint, "settle", full)
    with pytest.raises(CheckpointError, match=r"No space left on device; the last good one is .*step-00000002"):
        checkpoint.save(tmp_path, 4, tensors, {"step": 4}, Ranks())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000002"]
    into = {"w": torch.zeros(3)}
    checkpoint.load(checkpoint.known(tmp_path)[-1], into, Ranks())
    assert torch.equal(into["w"], tensors["w"])


def test_a_disk_that_fills_up_while_tensors_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise CheckpointException("write", {0: (OSError(errno.ENOSPC, "No space left on device"), None)})

    monkeypatch.setattr(checkpoint, "write_shares", full)
    with pytest.raises(CheckpointError, match="No space left on device; there is none before it"):
        checkpoint.save(tmp_path, 4, {"w": torch.zeros(3)}, {"step": 4}, Ranks())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 2, {"w": torch.zeros(3)}, {"step": 2}, Ranks())
    [weights_] = checkpoint.known(tmp_path)[0].glob("*.safetensors")
    weights_.write_bytes(b"\x00" * 20)
    with pytest.raises(CheckpointError, match="delete it to go on from the one before"):
        checkpoint.load(checkpoint.known(tmp_path)[0], {"w": torch.zeros(3)}, Ranks())


def test_folders_of_others_among_the_checkpoints_stay(tmp_path: Path) -> None:
    for name in ("step-00000001-best", "step-00000003"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("")
    (tmp_path / "step-00000001-best" / "state.json").write_text("{}")
    for step in (2, 4, 6):
        checkpoint.save(tmp_path, step, {"w": torch.zeros(3)}, {"step": step}, Ranks())
    assert [path.name for path in checkpoint.known(tmp_path)] == ["step-00000004", "step-00000006"]
    with pytest.raises(CheckpointError, match="step-00000003 is there and is no checkpoint"):
        checkpoint.save(tmp_path, 3, {"w": torch.zeros(3)}, {"step": 3}, Ranks())
    assert {path.name for path in tmp_path.rglob("mine")} == {"mine"}
    assert len(list(tmp_path.rglob("mine"))) == 2
