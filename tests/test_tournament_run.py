"""Tournaments over a sweep: the same meetings in every cell, one leaderboard over all and one for each."""

from pathlib import Path

import pytest

from simarena import paths
from simarena.agents.base import ScriptedAgent
from simarena.errors import RequestFailed, ScenarioError
from simarena.execution import Settings
from simarena.scenario import load
from simarena.store import open_run
from simarena.studies import default_folder
from simarena.tournament_run import hold, plan

SETTINGS = Settings(quiet=True)
DEBATERS = ["debate/honest", "debate/fabricator", "debate/echo"]


def judged(kind="round_robin", options=None, agents=DEBATERS, scenario="debate/weak_judges", **changes):
    """Three debaters before two judges in two protocols that have debaters."""
    loaded = load(paths.find_scenario(scenario), changes=changes)
    return plan(loaded, scenario, agents, kind, options or {})


def small(kind="round_robin", options=None, **changes):
    changes = {"sweep": {"protocol": ["debate", "open_debate"]}, **changes}
    return judged(kind, options or {"games": 2}, **changes)


def rows_of(folder):
    with open_run(folder) as run:
        return [row for row in run.results() if row.status == "done"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return hold(small(), tmp_path_factory.mktemp("whole"), SETTINGS)


def test_every_cell_plays_the_same_meetings_with_the_same_chances(whole):
    cells = {}
    for row in rows_of(whole.folder):
        debaters = tuple(row.match.seats[f"debater_{n}"] for n in (0, 1))
        meeting = (row.match.unit, debaters, row.match.task_seed, row.match.seed)
        cells.setdefault(row.match.cell["protocol"], set()).add(meeting)
    assert set(cells) == {"debate", "open_debate"}
    assert cells["debate"] == cells["open_debate"]
    assert len(cells["debate"]) == 3 * 2 * 2, "pairs, sides, games"
    assert whole.report.done == len(small().drawn([])) * 2, "what was announced"


def test_ratings_are_over_all_cells_and_of_each(whole):
    assert whole.ratings.matches == 24
    assert [(cell, ratings.matches) for cell, ratings in whole.cells] == [
        ({"protocol": "debate"}, 12),
        ({"protocol": "open_debate"}, 12),
    ]
    for _, ratings in whole.cells:
        assert {row.agent for row in ratings.leaderboard} == set(DEBATERS)
    assert whole.ratings.clusters <= 12, "cells repeat a meeting; they are not further evidence of it"


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("round_robin", {"games": 2}),
        ("swiss", {"rounds": 3}),
        ("adaptive", {"floor": 1, "games": 3}),
        ("double_elimination", {}),
    ],
)
def test_a_stopped_sweep_goes_on_and_ends_as_if_it_had_not_been(tmp_path: Path, kind, options):
    one = hold(small(kind, options), tmp_path / "whole", SETTINGS)
    stopped = hold(small(kind, options, **{"budget.calls": 70}), tmp_path / "stopped", SETTINGS)
    assert stopped.report.stopped == "budget"
    again = hold(small(kind, options), tmp_path / "stopped", Settings(concurrency=3, quiet=True))
    assert again.report.complete
    assert stopped.report.calls + again.report.calls == one.report.calls
    assert again.standing == one.standing
    with open_run(one.folder) as first, open_run(again.folder) as second:
        assert first.tables()["matches"] == second.tables()["matches"]


def test_what_is_missing_in_one_cell_does_not_count_for_the_format(tmp_path: Path, monkeypatch):
    planned = small("swiss", {"rounds": 2})
    bad = {row.match.id for row in rows_of(hold(planned, tmp_path / "whole", SETTINGS).folder)[:1]}
    answer = ScriptedAgent.answer

    def broken(agent, request):
        if request.key.split("/")[0] in bad:
            raise RequestFailed("no answer")
        return answer(agent, request)

    with monkeypatch.context() as patched:
        patched.setattr(ScriptedAgent, "answer", broken)
        first = hold(small("swiss", {"rounds": 2}), tmp_path / "broken", SETTINGS)
    assert first.report.exit_code == 3
    assert (first.report.done, first.report.failed) == (3, 1), "the second round waits for the first"
    again = hold(small("swiss", {"rounds": 2}), tmp_path / "broken", SETTINGS)
    assert again.report.complete
    assert again.report.done == 5


def test_cells_where_nobody_meets_anybody_are_left_out():
    planned = judged(options={"games": 1})
    kept = [table.cell.at for table in planned.tables]
    assert {cell["protocol"] for cell in kept} == {"debate", "open_debate"}
    assert len(kept) == 4, "with either judge"
    assert len(planned.left_out) == 8
    with pytest.raises(ScenarioError, match="fewer than two seats"):
        judged(protocol="direct")


def test_cells_of_another_number_of_seats_are_told_apart():
    with pytest.raises(ScenarioError, match=r"2 with n=2, depth=1; 3 with n=3, depth=1"):
        judged(agents=[], scenario="roundtable/du_society_of_minds")
    held = judged(agents=["roundtable/solver", "roundtable/hasty"], scenario="roundtable/du_society_of_minds", n=2)
    assert [table.cell.at for table in held.tables] == [{"depth": 1}, {"depth": 2}]


def test_an_axis_of_the_roster_enters_everybody_on_it_and_is_no_cell():
    planned = judged(agents=[], scenario="roundtable/kks_controlled")
    assert [table.cell.at for table in planned.tables] == [
        {"confidence_visible": False},
        {"confidence_visible": True},
    ]
    assert {"strong", "weak", "reasoner"} <= set(planned.agents)


def test_one_cell_is_a_tournament_of_its_own(whole, tmp_path: Path):
    one = small(protocol="debate", sweep={})
    listed = small(sweep={"protocol": ["debate"]})
    assert one.scenario.sweep == listed.scenario.sweep == {}
    names = {default_folder("tournament", "x", each.scenario) for each in (one, listed, small())}
    assert len(names) == 2
    held = hold(one, tmp_path, SETTINGS)
    assert held.ratings == whole.cells[0][1], "the same matches as in the sweep"


def test_judges_earn_their_weights_in_each_cell_by_itself(tmp_path: Path):
    def combat(**changes):
        loaded = load(paths.find_scenario("arena/sparta_combat"), changes=changes)
        return plan(loaded, "arena/sparta_combat", [], "round_robin", {"games": 2})

    both = hold(combat(), tmp_path / "both", SETTINGS)
    weights = {}
    for way in ("score", "likelihood"):
        alone = hold(combat(judging=way), tmp_path / way, SETTINGS)
        here = [row for row in rows_of(both.folder) if row.match.cell["judging"] == way]
        assert [(row.match.params, row.returns) for row in here] == [
            (row.match.params, row.returns) for row in rows_of(alone.folder)
        ]
        weights[way] = [row.match.params.get("reputation") for row in here]
    assert weights["score"] != weights["likelihood"]
