"""A league on the engine: play, exams and checks of two rounds share one, and what was trained plays next."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from simarena import paths
from simarena.agents.members import member
from simarena.backends.vllm import Plan as Start
from simarena.execution import Settings
from simarena.league.plan import plan
from simarena.league.rounds import play
from simarena.scenario import load
from tests.league.short import SHORT
from tests.vllm.conftest import BASE, NANO

pytestmark = pytest.mark.timeout(900)

CHANGES = SHORT | {
    "league.matches": 12,
    "league.rounds": 2,
    "league.pairs.limit": 8,
    "league.train.arguments": {"learning_rate": 7.0e-4, "epochs": 1, "batch": 8},
}


def agent(folder: Path, name: str) -> str:
    """A member of the tribe on vLLM, or the base, as which it would answer without its adapter."""
    about = yaml.safe_load((paths.shipped("agents") / f"nano-{name}.yaml").read_text())
    adapter = {} if name == "base" else {"adapter": str(NANO / name)}
    about |= {"backend": "vllm", "model": BASE, "options": {"dtype": "float32"}} | adapter
    path = folder / f"nano-{name}.yaml"
    path.write_text(yaml.safe_dump(about))
    return str(path)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What engines are started with."""
    found, build = list[str](), Start.build
    monkeypatch.setattr(Start, "build", lambda self: found.append(self.model) or build(self))
    return found


def test_two_rounds_share_an_engine_and_play_what_was_trained(tmp_path: Path, started: list[str]) -> None:
    members = [agent(tmp_path, "a"), agent(tmp_path, "c")]
    changes = CHANGES | {"judges.judge": [agent(tmp_path, "b")], "league.members": members}
    scenario = load(paths.find_scenario("arena/sparta_combat"), changes=changes)
    found = play(plan(scenario, "arena/sparta_combat"), tmp_path / "league", Settings(quiet=True))
    assert found.report is None
    assert started == [BASE]
    assert found.state.seated == {"nano-a": "nano-a@2", "nano-c": "nano-c@2"}
    for file, name in zip(found.files(), found.state.seated.values(), strict=True):
        assert member(file).spec.backend == "vllm"
        version = found.state.version(name)
        assert version.parent == name.replace("@2", "@1")
        proof = version.about["check"]
        assert proof["trainer_to_backend"] < 1e-4 < proof["changed"]


def test_whole_models_that_are_trained_take_turns_in_two(tmp_path: Path, started: list[str]) -> None:
    changes = CHANGES | {"league.members": [agent(tmp_path, "base")], "league.train.arguments.tune": "full"}
    scenario = load(paths.find_scenario("arena/self_reward"), changes=changes)
    found = play(plan(scenario, "arena/self_reward"), tmp_path / "league", Settings(quiet=True))
    assert found.report is None
    assert len(started) == 2, "each version is compared with the one before it, and takes the engine of an older one"
    assert found.state.seated == {"nano-base": "nano-base@2"}
    (file,) = found.files()
    assert member(file).spec.adapter is None
    proof = found.state.version("nano-base@2").about["check"]
    assert proof["trainer_to_backend"] < 1e-4 < proof["changed"]
