"""A league of canned models in a process of its own, made to be killed. Arguments: folder of agents, folder."""

from __future__ import annotations

import sys
from pathlib import Path

from simarena.execution import Settings
from simarena.league.rounds import play
from simarena.registry import BACKENDS
from tests.league import canned
from tests.league.conftest import made

if __name__ == "__main__":
    BACKENDS["openai"] = "tests.league.canned:Backend"
    play(made(Path(sys.argv[1]), None, None, canned.learn), Path(sys.argv[2]), Settings(quiet=True))
