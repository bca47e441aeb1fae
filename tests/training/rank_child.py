"""One process of some trainings, started by torchrun. Arguments: agent file, folder, JSON of name -> arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from simarena.training.arguments import Arguments
from simarena.training.distributed import ranks
from simarena.training.run import Trained, train_agent
from tests.training.planted import chat, record


def teach(agent: str, folder: Path, settings: dict[str, dict[str, Any]]) -> dict[str, Trained]:
    """Train on thirteen pairs in every way, one after the other."""
    template = chat()
    records = [record(n, template=template) for n in range(13)]
    with ranks():
        return {
            name: train_agent(agent, records, folder / name, Arguments(**each), version="1")
            for name, each in settings.items()
        }


if __name__ == "__main__":
    teach(sys.argv[1], Path(sys.argv[2]), json.loads(sys.argv[3]))
