"""What a training leaves behind to be read: what was asked for, and a record of numbers for each optimiser step.

JSON in a folder; reads without torch, while the training goes on too.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simarena import outputs

if TYPE_CHECKING:
    from simarena.training.trainer import Metrics

METRICS = "metrics.jsonl"
TRAINING = "training.json"


def is_training(folder: Path) -> bool:
    """Whether a training was begun in the folder."""
    return (folder / TRAINING).is_file()


def trainings(folder: Path) -> list[Path]:
    """The folders of the trainings of a league's round."""
    return [path for path in sorted((folder / "agents").glob("*")) if is_training(path)]


def read_training(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the training in a folder was asked for, and its metrics as far as it has come."""
    return json.loads((folder / TRAINING).read_text(encoding="utf-8")), read_metrics(folder / METRICS)


class Journal:
    """The metrics on disk, a line a step; steps that are done again take the place of those they repeat."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trimmed = False

    def note(self, metrics: Metrics) -> None:
        """Add a step."""
        if not self.trimmed:
            kept = [line for line in lines(self.path) if json.loads(line)["step"] < metrics.step]
            outputs.write(self.path, "".join(f"{line}\n" for line in kept), own=True)
            self.trimmed = True
        with outputs.explained(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(metrics)) + "\n")


def lines(path: Path) -> list[str]:
    """The complete lines of a file that may have been cut off."""
    if not path.is_file():
        return []
    return [line for line in path.read_text(encoding="utf-8").split("\n")[:-1] if line]


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """What `note` wrote."""
    return [json.loads(line) for line in lines(path)]
