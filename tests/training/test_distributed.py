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

from tests.tiny import Tiny

REPOSITORY = Path(__file__).parent.parent.parent


def trained(tiny: Tiny, folder: Path, processes: int, **settings: Any) -> tuple[dict[str, torch.Tensor], list[Any]]:
    """Weights and metrics of a training in processes of its own."""
    agent = folder.parent / "ann.yaml"
    agent.write_text(f"backend: transformers\nmodel: {tiny.base}\n")
    arguments = {"batch": 5, "rank": 4, "learning_rate": 1e-3, "tokens": 40, "checkpoint_every": 2, **settings}
    many = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(many if processes > 1 else []), "-m", "tests.training.rank_child"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        [*command, str(agent), str(folder), json.dumps(arguments)],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    [weights] = folder.glob("ann@1/*.safetensors")
    return load_file(weights), [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"tune": "full", "loss": "kto", "epochs": 2}], ids=["lora", "full"])
def test_two_ranks_equal_one(tiny: Tiny, tmp_path: Path, settings: dict[str, Any]) -> None:
    """13 pairs in steps of 5: the ranks' shares are uneven, and so is the number of their micro-batches."""
    one, alone = trained(tiny, tmp_path / "one", 1, **settings)
    two, together = trained(tiny, tmp_path / "two", 2, **settings)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)
    for a, b in zip(alone, together, strict=True):
        for key in ("loss", "accuracy", "margin", "chosen", "rejected", "gradient", "chosen_tokens"):
            assert b[key] == pytest.approx(a[key], abs=2e-4, rel=2e-3), key
    assert {path.suffix for path in (tmp_path / "two" / "checkpoints").glob("*/*")} == {".safetensors", ".json"}
