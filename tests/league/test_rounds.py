"""The loop: it improves what can be improved, resumes after any end, and goes back where it went wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from simarena.errors import OutputError, ScenarioError, StoreError
from simarena.execution import Settings
from simarena.league.rounds import claim, play
from simarena.store import open_run
from tests.league import canned
from tests.league.conftest import Make

QUIET = Settings(quiet=True)
ROOT = Path(__file__).parents[2]


def test_right_labels_raise_the_tribe_and_every_version_has_its_parent(make: Make, tmp_path: Path) -> None:
    found = play(make(), tmp_path / "run", QUIET)
    assert found.report is None
    assert [record["lessons"]["label_accuracy"] for record in found.records] == [1.0, 1.0]
    assert found.gain.low > 0
    assert found.measure("gain") == pytest.approx(found.gain.value)
    assert found.state.seated == {name: f"{name}@2" for name in ("ann", "bob", "cid")}
    graph = json.loads((tmp_path / "run" / "lineage.json").read_text())
    edges = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert edges == {(old, new) for n in ("ann", "bob", "cid") for old, new in ((n, f"{n}@1"), (f"{n}@1", f"{n}@2"))}
    assert {node["id"] for node in graph["nodes"] if node["seated"]} == set(found.state.seated.values())
    assert [canned.skill_of(file) for file in found.files()] == [80, 100, 100]


def test_the_same_call_again_takes_no_step_twice(make: Make, tmp_path: Path) -> None:
    first = play(make(), tmp_path / "run", QUIET)

    def never(lesson):
        raise AssertionError("learnt twice")

    again = play(make(learn=never), tmp_path / "run", QUIET)
    assert again.records == first.records
    assert again.after == first.after
    with pytest.raises(AssertionError, match="learnt twice"):
        play(make({"league.rounds": 3}, learn=never), tmp_path / "run", QUIET)


def test_wrong_labels_are_told_before_anything_is_trained(make: Make, tmp_path: Path) -> None:
    def never(lesson):
        raise AssertionError("trained on bad labels")

    liars = {"judges.judge": [{"name": "coin", "policy": "arena/biased", "params": {"noise": 9}}], "orders": "random"}
    found = play(
        make({**liars, "league.guards.label_accuracy": 0.95, "league.guards.known": 5}, learn=never),
        tmp_path / "run",
        QUIET,
    )
    (record,) = found.records
    assert record["lessons"]["label_accuracy"] < 0.95
    assert "95 % are wanted" in record["stopped"]
    assert found.state.seated == {name: name for name in ("ann", "bob", "cid")}
    assert found.gain.value == 0


def worse(lesson):
    """Everybody falls, but for bob."""
    skill = canned.skill_of(lesson.agent) + (10 if lesson.member == "bob" else -30)
    file = canned.agent(lesson.folder, f"{lesson.member}@{lesson.version}", skill)
    return canned.Learnt(file=Path(file), about={})


def test_a_member_that_got_worse_goes_back(make: Make, tmp_path: Path) -> None:
    found = play(make({"league.rounds": 1}, learn=worse), tmp_path / "run", QUIET)
    assert found.state.seated == {"ann": "ann", "bob": "bob@1", "cid": "cid"}
    fell = found.state.version("cid@1")
    assert not fell.kept
    assert fell.parent == "cid"
    assert fell.about["accuracy"] < fell.about["before"]
    stubborn = {"league.rounds": 1, "league.guards.roll_back": "never"}
    other = play(make(stubborn, learn=worse), tmp_path / "other", QUIET)
    assert other.state.seated == {name: f"{name}@1" for name in ("ann", "bob", "cid")}
    assert other.gain.value < 0


def test_it_stops_where_nothing_rises_any_more(make: Make, tmp_path: Path) -> None:
    def same(lesson):
        file = canned.agent(lesson.folder, f"{lesson.member}@{lesson.version}", canned.skill_of(lesson.agent))
        return canned.Learnt(file=Path(file), about={})

    found = play(make({"league.rounds": 9, "league.stop.patience": 2}, learn=same), tmp_path / "run", QUIET)
    assert len(found.records) == 2
    assert "has not risen" in found.records[-1]["stopped"]


def test_play_without_held_out_questions_and_with_earned_weights(make: Make, tmp_path: Path) -> None:
    from simarena import envs
    from simarena.exams import held_out

    changes = {"league.judge_weights": "reputation", "judges.judge": "rest", "judging": "score"}
    skilled = {"roster.contestant": ["arena/truthful"]}
    plan = make({**changes, **skilled, "league.matches": 30}, {f"m{i}": 50 + 10 * i for i in range(4)}, learn=worse)
    seen = [match for number in (1, 2) for match in scheduled(plan, number)]
    env = envs.make("arena", **plan.table.cell.params)
    assert not any(held_out(env.deal(match.task_seed)) for match in seen)
    assert len({match.task_seed for match in seen}) == len(seen)


def scheduled(plan, number):
    from simarena.league import state as states
    from simarena.league.rounds import casting, schedule

    state = states.begun(states.beginning(list(plan.entries)), 0.5)
    return schedule(plan, number, state, casting(plan, Path("unused"), state))


def test_another_league_is_refused_in_the_same_folder(make: Make, tmp_path: Path) -> None:
    play(make({"league.rounds": 1}), tmp_path / "run", QUIET)
    with pytest.raises(StoreError, match="holds another league"):
        play(make({"league.matches": 25}), tmp_path / "run", QUIET)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"league.pairs.builder": "duell"}, "did you mean 'duel'"),
        ({"league.pairs.filters": {"margins": 1}}, "margins"),
        ({"league.exam.families": ["kks"]}, "kks not played here"),
        ({"league.exam.questions": 5000}, "different held-out questions"),
        ({"league.changes": {"league.rounds": 3}}, "cannot be changed"),
        ({"weights": "equal", "league.judge_weights": "reputation"}, "whose judges are weighted"),
    ],
)
def test_what_is_wrong_with_a_league_is_told_before_it_begins(make: Make, changes, message) -> None:
    from simarena.errors import SimArenaError

    with pytest.raises(SimArenaError, match=message):
        make(changes)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"ann": 40, "Ann": 60}, "'ann' and 'Ann' would be one file"),
        ({"ann": 40, "ann@1": 60}, "'ann@1' and 'ann@1' would be one file"),
        ({"ann": 40, "x" * 119: 60}, "has 121 bytes in UTF-8"),
    ],
)
def test_members_whose_files_would_not_be_their_own_are_refused(make: Make, members, message) -> None:
    with pytest.raises(ScenarioError, match=message):
        make(skills=members)


@pytest.mark.parametrize("taken", ["round-1", "final"])
def test_a_link_in_a_league_s_folder_is_not_followed(make: Make, tmp_path: Path, taken: str) -> None:
    league, elsewhere = tmp_path / "league", tmp_path / "elsewhere"
    claim(make(), league)
    elsewhere.mkdir()
    (league / taken).symlink_to(elsewhere)
    with pytest.raises(OutputError, match=f"{taken} is a link"):
        play(make(), league, QUIET)
    assert list(elsewhere.iterdir()) == []


def test_members_that_cannot_learn_are_refused(make: Make) -> None:
    with pytest.raises(ScenarioError, match="no member can learn"):
        make(learn=None)


@pytest.mark.slow
def test_a_league_killed_again_and_again_ends_as_if_it_had_not_been(make: Make, tmp_path: Path) -> None:
    """Killed as soon as the next file appears, wherever that is; what is whole stays, what is not is made again."""
    whole = play(make(), tmp_path / "whole", QUIET)
    folder, seen, kills = tmp_path / "killed", 0, 0
    command = [sys.executable, "-m", "tests.league.child", str(tmp_path / "agents"), str(folder)]
    while True:
        child = subprocess.Popen(command, cwd=ROOT)
        while child.poll() is None and count(folder) < seen + 9:
            pass
        child.kill()
        if child.wait() == 0:
            break
        assert child.returncode == -signal.SIGKILL
        seen, kills = max(seen + 9, count(folder)), kills + 1
    assert kills > 2
    again = play(make(), folder, QUIET)
    assert again.records == [json.loads(json.dumps(record)) for record in whole.records]
    assert again.after == whole.after
    for number in (1, 2):
        with (
            open_run(folder / f"round-{number}" / "play") as one,
            open_run(tmp_path / "whole" / f"round-{number}" / "play") as other,
        ):
            assert one.tables()["matches"] == other.tables()["matches"]


def count(folder: Path) -> int:
    return sum(not path.name.startswith((".", "run.sqlite")) for path in folder.rglob("*.*")) if folder.exists() else 0
