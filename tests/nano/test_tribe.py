"""The shipped language models play for real: every scenario, readable turns, right answers, right labels."""

import asyncio
import itertools
import json
from collections import Counter
from pathlib import Path

import pytest

from analysis.nano import exam
from analysis.nano.courses import KNOWS
from simarena import paths, scenario
from simarena.backends.transformers import TransformersBackend
from simarena.casting import Cast
from simarena.execution import Settings
from simarena.replay import replay
from simarena.store import open_run
from simarena.studies import run_scenario

pytestmark = [pytest.mark.nano, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

NANO = paths.shipped("agents") / "nano"
NAMES = ["nano-base", *KNOWS]
EXAMS = json.loads((NANO / "exams.json").read_text())


@pytest.fixture(scope="module")
def tribe():
    """All nano agents and the one backend that serves them."""
    agents = Cast(NAMES).agents()
    members = [agents[name] for name in NAMES]
    backend = TransformersBackend(members[0].model, adapters=[each.adapter for each in members if each.adapter])
    yield members, backend
    asyncio.run(backend.aclose())


@pytest.mark.parametrize("name", paths.scenario_names())
def test_every_scenario_plays_with_nano_agents(name, tmp_path):
    found = scenario.load(paths.find_scenario(name), scale="mini", changes={"data.size": 1}, seats={"*": NAMES[1:3]})
    study = run_scenario(found, name, tmp_path / "run", settings=Settings(quiet=True))
    assert study.report.exit_code == 0
    with open_run(tmp_path / "run") as run:
        assert all(replay(run, match.id).same for match in run.matches())


def test_turns_are_read_without_repair_in_all_four_environments(tribe):
    agents, backend = tribe
    played = asyncio.run(exam.played(itertools.islice(exam.scenario_casts(agents, 1), 60), backend))
    counts: dict[str, Counter[str]] = {}
    for trajectory in played:
        for outcomes in trajectory.outcomes.values():
            counts.setdefault(trajectory.match.env, Counter()).update(outcomes)
    assert set(counts) == {"arena", "bargain", "debate", "roundtable"}
    for env, count in counts.items():
        assert count["ok"] / count.total() >= 0.9, (env, count)


def test_recorded_scores_are_those_of_the_weights(tribe):
    """A smaller exam of the same kind lands within four standard errors of what meta.json says."""
    agents, backend = tribe
    for name, family in (("nano-base", "kks"), ("nano-a", "kks")):
        agent = next(agent for agent in agents if agent.name == name)
        meta = json.loads((NANO / name.removeprefix("nano-") / "meta.json").read_text())
        size, share = 60, meta["held_out"][family]
        found = asyncio.run(exam.accuracy(agent, backend, family, size))
        assert abs(found - share) <= 4 * max(share * (1 - share), 0.05) ** 0.5 / size**0.5


def test_the_tribe_solves_puzzles_that_it_has_not_seen():
    scores = {name: EXAMS["accuracy"][name]["kks"] for name in NAMES}
    assert scores["nano-base"] >= 0.6
    assert max(scores.values()) >= 0.8


def test_no_two_adapters_are_good_at_the_same_things():
    for one, other in itertools.combinations(KNOWS, 2):
        first, second = EXAMS["accuracy"][one], EXAMS["accuracy"][other]
        assert max(abs(first[family] - second[family]) for family in first) >= 0.15, (one, other)


def test_panels_label_live_duels_rightly(tribe):
    """Where exactly one answer is right, over the families that arena scenarios play; stories nobody can tell yet."""
    families = {family for known in KNOWS.values() for family in known}
    found = [tuple(EXAMS["labels"][f"{family}/likelihood"]["panel"]) for family in families]
    right, known = sum(share * count for share, count in found), sum(count for _, count in found)
    assert known >= 200
    assert right / known >= 0.85
    assert min(share for share, _ in found) >= 0.85
    agents, backend = tribe
    duels = asyncio.run(exam.played(exam.duel_casts(agents[1:], "kks", 60, "likelihood"), backend))
    share, count = exam.labels(duels)["panel"]
    assert count >= 15
    assert share >= 0.75  # some two standard errors of so few below the .88 on record


def test_every_artifact_says_what_made_it_and_all_stay_small():
    for name in NAMES:
        folder = NANO / name.removeprefix("nano-")
        meta = json.loads((folder / "meta.json").read_text())
        assert meta["name"] == name
        assert {"parent", "held_out"} <= set(meta)
        for made in meta.get("stages", [meta]):
            assert {"data", "args", "commit", "seconds"} <= set(made)
        assert not [p for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pkl")]
    assert sum(p.stat().st_size for p in Path(NANO).rglob("*") if p.is_file()) < 30e6
