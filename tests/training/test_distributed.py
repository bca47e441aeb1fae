"""Two processes over gloo, with FSDP2, compute what one computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from simarena.training.journal import read_metrics
from tests.tiny import Tiny
from tests.training.rank_child import teach

REPOSITORY = Path(__file__).parent.parent.parent
SMALL = {"batch": 5, "rank": 4, "learning_rate": 1e-3, "tokens": 40, "checkpoint_every": 2}
WAYS: dict[str, dict[str, Any]] = {
    "lora": {**SMALL},
    "full": {**SMALL, "tune": "full", "loss": "kto", "epochs": 2},
}
COMPARED = ("loss", "margin", "chosen", "rejected", "gradient", "chosen_tokens", "accuracy")


def by_two(agent: str, folder: Path) -> None:
    """Both trainings in two processes, which are started once: loading torch takes longer than the trainings."""
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "tests.training.rank_child"]
    with subprocess.Popen(
        [sys.executable, *many, agent, str(folder), json.dumps(WAYS)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        stderr=subprocess.PIPE,
        text=True,
    ) as started:
        try:
            _, said = started.communicate()
        except BaseException:
            started.terminate()  # and with it the processes that it started
            raise
    assert started.returncode == 0, said[-3000:]
    assert "Warning" not in said, said[-3000:]


@pytest.mark.slow
@pytest.mark.timeout(900)  # ten seconds of work, in processes that a busy machine may starve
def test_two_ranks_equal_one(tiny: Tiny, tmp_path: Path) -> None:
    """13 pairs in steps of 5: the ranks' shares are uneven, and so is the number of their micro-batches."""
    agent = tmp_path / "ann.yaml"
    agent.write_text(f"backend: transformers\nmodel: {tiny.base}\n")
    teach(str(agent), tmp_path / "one", WAYS)
    by_two(str(agent), tmp_path / "two")
    for name in WAYS:
        one, two = (weights(tmp_path / number / name) for number in ("one", "two"))
        assert one.keys() == two.keys()
        for parameter, value in one.items():
            torch.testing.assert_close(two[parameter], value, atol=1e-4, rtol=1e-3)
        alone, together = (read_metrics(tmp_path / number / name / "metrics.jsonl") for number in ("one", "two"))
        for a, b in zip(alone, together, strict=True):
            # in the first step all margins are 0 but for rounding, and accuracy counts their signs
            for key in COMPARED[: -1 if a["step"] == 1 else None]:
                assert b[key] == pytest.approx(a[key], abs=2e-4, rel=2e-3), (name, a["step"], key)
        kinds = {path.suffix for path in (tmp_path / "two" / name / "checkpoints").glob("*/*")}
        assert kinds == {".safetensors", ".json"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What a training left."""
    [file] = folder.glob("ann@1/*.safetensors")
    return load_file(file)
