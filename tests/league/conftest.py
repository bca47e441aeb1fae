"""A league of canned models in a folder of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simarena import paths
from simarena.league.learning import Learn
from simarena.league.plan import Plan, plan
from simarena.registry import BACKENDS
from simarena.scenario import load
from tests.league import canned

Make = Callable[..., Plan]
SKILLS = {"ann": 40, "bob": 60, "cid": 80}
CHANGES = {
    "judging": "score",
    "m": 3,
    "data.task": "arithmetic",
    "data.params": {"shape": "a+b", "high": 99},
    "judges.judge": ["arena/truthful"],
    "league.matches": 24,
    "league.rounds": 2,
    "league.exam.questions": 40,
    "league.exam.final": 40,
    "league.changes": {},
    "league.members": [],
    "league.expect": [],
}


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A plan: dotted keys of the scenario that differ, members by skill, and how they learn."""
    monkeypatch.setitem(BACKENDS, "openai", "tests.league.canned:Backend")
    return lambda changes=None, skills=None, learn=canned.learn: made(tmp_path / "agents", changes, skills, learn)


def made(folder: Path, changes: dict[str, Any] | None, skills: dict[str, int] | None, learn: Learn) -> Plan:
    scenario = load(paths.find_scenario("arena/sparta_combat"), changes={**CHANGES, **(changes or {})})
    members = [canned.agent(folder, name, skill) for name, skill in (skills or SKILLS).items()]
    return plan(scenario, "arena/sparta_combat", members, learn)
