from __future__ import annotations

import numpy as np
import pytest
from planted import result

from simarena.records import Match, Trajectory
from simarena.tournament.results import LOSS, TIE, WIN, compare, result_of


def test_a_match_of_two_is_one_comparison_of_weight_one():
    data = compare([result(("b", "a"), (1, 0))])
    assert data.agents == ("a", "b")
    assert (data.first.tolist(), data.second.tolist()) == ([1], [0])
    assert (data.outcome.tolist(), data.weight.tolist()) == ([WIN], [1.0])


def test_a_match_of_k_counts_once_for_everyone_in_it():
    data = compare([result("abcd", (3, 1, 1, 0))])
    assert len(data) == 6
    for agent in range(4):
        assert data.weight[(data.first == agent) | (data.second == agent)].sum() == pytest.approx(1.0)
    met = {(f, s): o for f, s, o in zip(data.first.tolist(), data.second.tolist(), data.outcome.tolist(), strict=True)}
    assert met[0, 1] == WIN
    assert met[1, 2] == TIE
    assert (data.outcome != LOSS).all()


def test_scores_within_the_margin_tie():
    close = [result("ab", (0.1 + 0.2, 0.3)), result("ab", (1, 0.5), task=1)]
    assert compare(close).outcome.tolist() == [TIE, WIN]
    assert compare(close, tie_margin=0.5).outcome.tolist() == [TIE, TIE]


def test_nobody_is_compared_with_itself():
    data = compare([result("aab", (2, 1, 0))])
    assert len(data) == 2
    assert data.agents == ("a", "b")


def test_seats_keep_the_order_of_play_whatever_comes_first():
    pair, trio = result("ab", (1, 0)), result("abc", (2, 1, 0))
    assert compare([pair, trio]).seats == compare([trio, pair]).seats == ("seat_0", "seat_1", "seat_2")


def test_taken_rows_are_those_asked_for():
    data = compare([result("ab", (1, 0), task=t) for t in range(5)])
    part = data.take(np.array([3, 1]))
    assert part.task.tolist() == [3, 1]
    assert part.agents == data.agents


def test_a_trajectory_becomes_a_result():
    match = Match(
        id="m", env="debate", params={}, seats={"pro_0": "x", "con_0": "y", "judge_0": "z"}, task_seed=7, seed=1
    )
    played = Trajectory(
        match=match,
        status="done",
        returns={"pro_0": 1.0, "con_0": -1.0, "judge_0": 0.0},
        outcomes={"pro_0": {"ok": 2, "repaired": 1}, "con_0": {"malformed": 1, "ok": 2}, "judge_0": {"illegal": 9}},
    )
    found = result_of(played, ["con_0", "pro_0"])
    assert (found.agents, found.scores) == (("y", "x"), (-1.0, 1.0))
    assert (found.invalid, found.turns) == ((1, 0), (3, 3))
    assert found.task == "debate/7"


def test_scores_must_be_finite():
    with pytest.raises(AssertionError, match="finite"):
        result("ab", (float("nan"), 0))
