"""Judges' weights that move in a tournament: earned in earlier tasks, part of a match, the same after a stop."""

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from simarena import paths
from simarena.agents.base import ScriptedAgent
from simarena.cli import call
from simarena.errors import RequestFailed
from simarena.execution import Settings
from simarena.replay import replay
from simarena.scenario import load
from simarena.store import open_run
from simarena.store_file import FILE
from simarena.tournament import reputation
from simarena.tournament_run import hold, plan, weighed
from simarena.weighing import DIGITS

SETTINGS = Settings(quiet=True)


def planned(kind="round_robin", options=None, **changes):
    changes = {"judging": "score", "budget.calls": 100_000, **changes}
    scenario = load(paths.find_scenario("arena/sparta_combat"), changes=changes)
    return plan(scenario, "arena/sparta_combat", [], kind, options or {"games": 3})


def played(folder):
    with open_run(folder) as run:
        return [row for row in run.results() if row.status == "done"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return hold(planned(), folder, SETTINGS)


def test_the_first_round_weighs_all_alike_and_later_ones_by_what_was_earned(whole):
    by_task = {}
    for row in played(whole.folder):
        by_task.setdefault(row.match.task_seed, []).append(row.match)
    first, second, third = (by_task[seed] for seed in sorted(by_task))
    assert len(first) == len(second) == len(third) == 30
    assert all("reputation" not in match.params for match in first)
    for matches in (second, third):
        worth = {}
        for match in matches:
            assert set(match.params["reputation"]) == {f"judge_{i}" for i in range(4)}
            for seat, value in match.params["reputation"].items():
                assert worth.setdefault(match.seats[seat], value) == value, "one weight a round for everyone"
        assert len(worth) == 6
        assert len(set(worth.values())) > 1


def test_the_weights_are_the_published_rule_over_the_rounds_before(whole):
    rows = sorted(played(whole.folder), key=lambda row: row.match.task_seed)
    order = {result.match: n for n, result in enumerate(whole.results)}
    table = reputation.newcomers({n for row in rows for n in row.match.seats.values()}, reputation.Constants())
    for row in sorted(rows[:30], key=lambda row: order[row.match.id]):
        seats = row.match.seats
        margin = row.metrics["grade/contestant_0"] / 2
        table = reputation.duel(
            table, seats["contestant_0"], seats["contestant_1"], (margin, -margin), reputation.Constants()
        )
    for row in rows[30:60]:
        for seat, value in row.match.params["reputation"].items():
            assert value == round(table[row.match.seats[seat]].value, DIGITS)


def test_all_that_can_be_asked_is_asked_at_once(tmp_path: Path):
    hold(planned(options={"games": 1}), tmp_path, SETTINGS)
    with open_run(tmp_path) as run:
        batch = weighed(planned(options={"games": 50})).next(run)
    assert len(batch) == 49 * 30
    assert all("reputation" not in match.params for match in batch)


def test_the_record_is_the_same_at_any_concurrency(tmp_path: Path):
    swiss = planned("swiss", {"rounds": 2, "games": 3})
    held = [hold(swiss, tmp_path / str(n), Settings(concurrency=n, quiet=True)) for n in (1, 7, 64)]
    assert held[0].results == held[1].results == held[2].results
    with open_run(held[0].folder) as one, open_run(held[1].folder) as other, open_run(held[2].folder) as third:
        assert one.tables() == other.tables() == third.tables()
        order = [[match.id for match in run.matches()] for run in (one, other, third)]
    assert order[0] == order[1] == order[2]


def test_every_match_replays_and_knows_its_answers(whole):
    with open_run(whole.folder) as run:
        assert all(replay(run, match).same for match in run.statuses())
        for record in run.trajectories():
            calls = {key for turn in record.turns for key in turn.calls}
            assert calls == set(run.answers(record.match.id)) == set(run.requests(record.match.id))


@pytest.mark.parametrize("calls", [40, 333, 700])
def test_a_stopped_tournament_goes_on_with_the_same_weights(whole, tmp_path: Path, calls):
    broken = planned(**{"budget.calls": calls})
    first = hold(broken, tmp_path, Settings(concurrency=7, quiet=True))
    assert first.report.stopped == "budget"
    again = hold(planned(), tmp_path, SETTINGS)
    assert again.report.complete
    assert again.report.calls == 900 - calls
    assert again.results == whole.results
    with open_run(whole.folder) as one, open_run(tmp_path) as other:
        assert one.tables()["matches"] == other.tables()["matches"]


def test_a_match_that_fails_holds_up_the_later_tasks_until_it_is_played(whole, tmp_path: Path, monkeypatch):
    second = sorted({row.match.task_seed for row in played(whole.folder)})[1]
    bad = next(row.match for row in played(whole.folder) if row.match.task_seed == second)
    answer = ScriptedAgent.answer

    def broken(agent, request):
        if request.key.startswith(bad.filed):
            raise RequestFailed("no answer")
        return answer(agent, request)

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedAgent, "answer", broken)
        first = hold(planned(), tmp_path, SETTINGS)
    assert first.report.exit_code == 3
    assert list(first.report.failures) == [bad.id]
    assert (first.report.done, first.report.left) == (59, 30), "the third task waits for weights"
    again = hold(planned(), tmp_path, SETTINGS)
    assert again.report.complete
    assert again.report.calls == 10, "only the failed match is asked"
    assert again.results == whole.results


@pytest.mark.slow
def test_a_killed_tournament_ends_as_if_it_had_not_been(tmp_path: Path):
    command = [sys.executable, "-m", "simarena.cli", "tournament", "arena/sparta_combat", "--set", "judging=score"]
    command += ["--games", "4", "--quiet", "--out"]
    rng, killed, kills = random.Random(12), tmp_path / "killed", 0
    for calls in sorted(rng.sample(range(1200), 4)):
        child = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while child.poll() is None and bought(killed) < calls:
            time.sleep(0.002)
        child.kill()
        kills += child.wait() < 0
    assert kills > 1
    for folder in (killed, tmp_path / "whole"):
        subprocess.run([*command, str(folder)], check=True, capture_output=True)
    with open_run(killed) as one, open_run(tmp_path / "whole") as other:
        assert one.tables() == other.tables()


def bought(folder: Path) -> int:
    try:
        connection = sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)
        with closing(connection):
            return int(connection.execute("SELECT COUNT(*) FROM completions").fetchone()[0])
    except sqlite3.Error:  # not begun
        return 0


def test_tournaments_that_weigh_otherwise_share_answers(tmp_path: Path):
    one = hold(planned("swiss", {"rounds": 3}), tmp_path, SETTINGS)
    asked = {(row.match.unit, row.match.seats["contestant_0"]) for row in played(tmp_path)}
    other = hold(planned(options={"games": 1}), tmp_path, SETTINGS)
    assert one.report.calls == 10 * len(asked) == 180
    assert other.report.calls == 300 - 180, "what the Swiss rounds asked is on record, whatever its weights"
    with open_run(tmp_path) as run:
        assert all(replay(run, match).same for match in run.statuses())


def test_a_weighed_match_forks_like_any_other(tmp_path: Path):
    hold(planned("swiss", {"rounds": 2}), tmp_path, SETTINGS)
    parent = next(row.match for row in played(tmp_path) if row.match.asked_as)
    assert call(["branch", str(tmp_path), parent.id, "2", "--quiet"]) == 0
    with open_run(tmp_path) as run:
        (fork,) = (match for match in run.matches() if match.parent)
        assert run.trajectory(fork.id).turns[1].fields == run.trajectory(parent.id).turns[1].fields
        assert all(key.startswith(fork.id) for key in run.answers(fork.id))
        assert replay(run, fork.id).same


def test_a_format_with_rounds_of_its_own_weighs_by_them(tmp_path: Path):
    held = hold(planned("swiss", {"rounds": 3}), tmp_path, SETTINGS)
    weighed = ["reputation" in row.match.params for row in played(tmp_path)]
    assert weighed == [False] * 6 + [True] * 12, "three duels a round, sides swapped"
    assert held.report.complete


def test_equal_and_given_weights_stay_as_they_are(tmp_path: Path):
    hold(planned(weights="equal"), tmp_path / "equal", SETTINGS)
    assert all("reputation" not in row.match.params for row in played(tmp_path / "equal"))
    given = {"judge_0": 7.0}
    hold(planned(reputation=given), tmp_path / "given", SETTINGS)
    assert all(row.match.params["reputation"] == given for row in played(tmp_path / "given"))
