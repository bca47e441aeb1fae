"""Judges' weights that move in a tournament: earned in earlier rounds, part of a match, the same after a stop."""

from pathlib import Path

import pytest

from simarena import paths
from simarena.execution import Settings
from simarena.scenario import load
from simarena.store import open_run
from simarena.tournament import reputation
from simarena.tournament_run import hold, plan
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


@pytest.mark.parametrize("calls", [40, 333, 700])
def test_a_stopped_tournament_goes_on_with_the_same_weights(whole, tmp_path: Path, calls):
    broken = planned(**{"budget.calls": calls})
    first = hold(broken, tmp_path, Settings(concurrency=7, quiet=True))
    assert first.report.stopped == "budget"
    again = hold(planned(), tmp_path, SETTINGS)
    assert again.report.complete
    assert again.results == whole.results
    with open_run(whole.folder) as one, open_run(tmp_path) as other:
        assert one.tables()["matches"] == other.tables()["matches"]


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
