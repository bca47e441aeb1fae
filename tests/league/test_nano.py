"""One round with real weights: what is trained is what plays next, and its replies have become more or less likely."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simarena import paths
from simarena.agents.members import member
from simarena.execution import Settings
from simarena.league.learning import LeagueError, checked
from simarena.league.plan import plan
from simarena.league.rounds import pairs_of, play
from simarena.scenario import load
from tests.league.short import SHORT

CHANGES = SHORT | {"judges.judge": ["nano-b"], "league.members": ["nano-a", "nano-c"], "league.matches": 16}


def test_a_round_on_the_nano_tribe(tmp_path: Path) -> None:
    scenario = load(paths.find_scenario("arena/sparta_combat"), changes=CHANGES)
    found = play(plan(scenario, "arena/sparta_combat"), tmp_path, Settings(quiet=True))
    assert found.report is None
    assert found.state.seated == {"nano-a": "nano-a@1", "nano-c": "nano-c@1"}
    for file, version in zip(found.files(), found.state.seated.values(), strict=True):
        assert member(file).name == version
        about = json.loads((Path(file).with_suffix("") / "meta.json").read_text())
        assert about["name"] == version
        assert about["pairs"]["round"] == 1
        proof = found.state.version(version).about["check"]
        assert proof["trainer_to_backend"] < 1e-4 < proof["changed"]
    records = pairs_of(tmp_path / "round-1", "nano-a")
    with pytest.raises(LeagueError, match="as likely as before"):
        checked("nano-a", "nano-a", records)
