"""Where a training stands, on disk: exact, atomic, and never the only copy while it is written.

One folder a step: tensors as safetensors through torch's distributed checkpoints (each process writes its share, any
number of processes reads them), counters as JSON. Nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load as read_shares
from torch.distributed.checkpoint.state_dict_saver import save as write_shares

from simarena.errors import SimArenaError
from simarena.training.distributed import Ranks

STATE = "state.json"
STEP = re.compile(r"step-\d{8,}")
KEPT = 2


class CheckpointError(SimArenaError):
    """A checkpoint that could not be written or read."""


def folder_of(root: Path, step: int) -> Path:
    """Where the checkpoint of a step lies."""
    return root / f"step-{step:08d}"


def known(root: Path) -> list[Path]:
    """Complete checkpoints, oldest first; folders of other names are somebody else's."""
    return sorted(path.parent for path in root.glob(f"step-*/{STATE}") if STEP.fullmatch(path.parent.name))


def save(root: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], among: Ranks) -> None:
    """Write a checkpoint; the last two are kept. CheckpointError where it cannot be, and the last good one stays."""
    scratch, target = root / ".writing", folder_of(root, step)
    if among.first and target.exists():
        raise CheckpointError(f"{target} is there and is no checkpoint that this training goes on from; move it away")
    try:
        if among.first:
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(parents=True)
        among.wait()
        writer = HuggingFaceStorageWriter(str(scratch), save_distributed=True)
        with alone():
            write_shares(dict(tensors), storage_writer=writer, no_dist=among.world == 1)
        if among.first:
            settle(scratch, target, state)
            for old in known(root)[:-KEPT]:
                shutil.rmtree(old, ignore_errors=True)
        among.wait()
    except (OSError, CheckpointException) as error:
        shutil.rmtree(scratch, ignore_errors=True)
        last = known(root)
        kept = f"the last good one is {last[-1]}" if last else "there is none before it"
        raise CheckpointError(
            f"cannot write a checkpoint to {target}: {reason(error)}; {kept}; make room, then run the same again"
        ) from error


@contextmanager
def alone() -> Iterator[None]:
    """Without the remark that a single process is a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        yield


def settle(scratch: Path, target: Path, state: Mapping[str, Any]) -> None:
    """Bring a written checkpoint to disk, and to its name."""
    (scratch / STATE).write_text(json.dumps(state), encoding="utf-8")
    for path in scratch.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    os.replace(scratch, target)


def reason(error: BaseException) -> str:
    """What the system said, out of whatever it is wrapped in."""
    inner = list(error.failures.values())[:1] if isinstance(error, CheckpointException) else []
    found = inner[0][0] if inner else error
    return str(getattr(found, "strerror", None) or found).splitlines()[0]


def read_state(folder: Path) -> dict[str, Any]:
    """A checkpoint's counters."""
    try:
        return dict(json.loads((folder / STATE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no checkpoint: {error}; delete it to go on from the one before") from error


def load(folder: Path, tensors: Mapping[str, Tensor], among: Ranks) -> None:
    """Fill `tensors` in place, each process its share. CheckpointError where names or shapes differ."""
    reader = HuggingFaceStorageReader(str(folder))
    try:
        with alone():
            read_shares(dict(tensors), storage_reader=reader, no_dist=among.world == 1)
    except (OSError, RuntimeError, ValueError, KeyError, CheckpointException) as error:
        raise CheckpointError(
            f"cannot read {folder}: {reason(error)}; delete it to go on from the one before"
        ) from error
