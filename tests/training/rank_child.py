"""One process of a training, to be started by torchrun or alone. Arguments: agent file, folder, JSON of arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from simarena.training.arguments import Arguments
from simarena.training.run import train_agent
from tests.training.planted import chat, record

if __name__ == "__main__":
    template = chat()
    records = [record(n, template=template) for n in range(13)]
    train_agent(sys.argv[1], records, Path(sys.argv[2]), Arguments(**json.loads(sys.argv[3])), version="1")
