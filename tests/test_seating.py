"""Who sits where, in runs and in tournaments."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena.errors import ScenarioError
from simarena.scenario import Cell, Scenario
from simarena.seating import Table, choices, matches, paired, seatings, task_matches
from simarena.tournament.schedule import Pairing

IDS = {name: name * 3 for name in "abcdefj"}


def table(seats: dict[str, int], roster: dict[str, str], judges: dict[str, str | None]) -> Table:
    scenario = Scenario.model_validate({"env": "arena", "data": {"task": "kks", "seed": 7}, "roster": {}})
    names = tuple(f"{role}_{i}" for role, count in seats.items() for i in range(count))
    cell = Cell({"x": 1}, scenario, {"p": 2}, names)
    return Table(
        cell, {r: list(n) for r, n in roster.items()}, {r: None if n is None else list(n) for r, n in judges.items()}
    )


def test_fewer_agents_than_seats_sit_in_turn() -> None:
    assert choices("ab", 3, 5) == [("a", "b", "a")]
    assert choices("ab", 2, 5) == [("a", "b")], "by place, whatever the task"


@given(st.integers(1, 4), st.integers(0, 9))
def test_more_agents_than_seats_sit_in_every_choice_and_take_turns(seats: int, task: int) -> None:
    found = choices("abcde", seats, task)
    assert len({frozenset(some) for some in found}) == len(found) == [5, 10, 10, 5][seats - 1]
    assert {some[0] for n in range(seats) for some in choices("abcde", seats, n)} == set("abcde")


def test_roles_are_crossed_and_matches_go_task_by_task() -> None:
    found = table({"debater": 1, "judge": 1}, {"debater": "ab"}, {"judge": "jc"})
    assert task_matches([found]) == 4
    played = list(islice(matches([found], IDS), 8))
    assert [match.task_seed for match in played] == [7] * 4 + [8] * 4
    assert {(m.seats["debater_0"], m.seats["judge_0"]) for m in played[:4]} == {(d, j) for d in "ab" for j in "jc"}
    assert len({match.id for match in played}) == 8
    assert all(match.params == {"p": 2} and match.cell == {"x": 1} for match in played)


def test_the_rest_judge_and_never_their_own_match() -> None:
    found = table({"contestant": 2, "judge": 3}, {"contestant": "abcd"}, {"judge": None})
    for seats in seatings(found, 0):
        judging = [seats[f"judge_{i}"] for i in range(3)]
        contesting = {seats["contestant_0"], seats["contestant_1"]}
        assert set(judging) == set("abcd") - contesting
    alone = table({"contestant": 2, "judge": 1}, {"contestant": "ab"}, {"judge": None})
    with pytest.raises(ScenarioError, match="nobody is left to sit as judge"):
        list(seatings(alone, 0))


def test_where_more_are_left_than_judge_a_panel_is_drawn_that_does_not_change() -> None:
    found = table({"contestant": 2, "judge": 2}, {"contestant": "abcdef"}, {"judge": None})
    panels = [tuple(s[f"judge_{i}"] for i in range(2)) for s in seatings(found, 3)]
    assert panels == [tuple(s[f"judge_{i}"] for i in range(2)) for s in seatings(found, 3)]
    assert len(set(panels)) > 5
    assert all(one != other for one, other in panels)


def test_only_roster_roles_are_rated_in_the_environments_order() -> None:
    found = table({"contestant": 1, "opponent": 2, "judge": 1}, {"opponent": "bc", "contestant": "a"}, {"judge": "j"})
    assert found.rated == ["contestant_0", "opponent_0", "opponent_1"]
    assert next(seatings(found, 0)) == {
        "contestant_0": "a", "opponent_0": "b", "opponent_1": "c", "judge_0": "j",
    }  # fmt: skip


def test_the_games_of_a_unit_share_everything_but_the_seats() -> None:
    found = table({"contestant": 2, "judge": 1}, {"contestant": "ab"}, {"judge": "j"})
    one, other = (
        paired(found, Pairing(unit="a|b#2", agents=agents, task=2), "ab", IDS) for agents in (("a", "b"), ("b", "a"))
    )
    assert (one.seed, one.task_seed, one.unit) == (other.seed, other.task_seed, other.unit)
    assert one.task_seed == 9
    assert one.seats == {"contestant_0": "a", "contestant_1": "b", "judge_0": "j"}
    assert other.seats["contestant_0"] == "b"
    assert one.id != other.id
    third = paired(found, Pairing(unit="a|c#2", agents=("a", "c"), task=2), "abc", IDS)
    assert third.seed != one.seed, "chances of different meetings are independent"
