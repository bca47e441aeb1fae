"""`make demo`: what it shows is there to be shown, and what it says to try next can be tried."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from types import SimpleNamespace

import pytest

from simarena import paths
from simarena.scenario import load
from simarena.tournament_run import plan, weighed
from tests.cli.conftest import Call

MAKEFILE = (Path(__file__).parents[2] / "Makefile").read_text()
RECIPE = re.search(r"^demo:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
SCENARIO = "arena/sparta_combat"


def commands() -> list[list[str]]:
    """The words after every `simarena` of the recipe, those that are printed at its end among them."""
    assert RECIPE is not None
    lines = RECIPE[1].replace("\\\n", " ").replace("'", "\n").splitlines()
    return [shlex.split(line.partition("$(BIN)/simarena ")[2], comments=True) for line in lines if "$(BIN)" in line]


def test_the_duel_that_is_shown_is_one_of_the_tournament_s_first_task() -> None:
    held, shown = commands()[:2]
    assert held[:4] == ["tournament", SCENARIO, "--scale", "demo"]
    tribe = held[held.index("--agents") + 1 : held.index("--out")]
    planned = plan(load(paths.find_scenario(SCENARIO), "demo"), SCENARIO, tribe, "round_robin", {})
    matches = weighed(planned).next(SimpleNamespace(results=list))  # type: ignore[arg-type]  # nothing is on record
    first = [match.id for match in matches if match.task_seed == 0]
    assert [name for name in first if name.startswith(shown[2])], "later tasks' names hang on what judges earned"


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_demo_is_one(words: list[str], simarena: Call) -> None:
    assert simarena(words[0], "--help").code == 0
    known = simarena(words[0], "--help").out
    assert all(word in known for word in words if word.startswith("--"))
    if "--scale" in words:
        assert words[words.index("--scale") + 1] in load(paths.find_scenario(SCENARIO)).scale
