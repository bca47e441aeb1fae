from __future__ import annotations

import json
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import result, tournament

from simarena.records import to_json
from simarena.tournament.elo import least_squares
from simarena.tournament.nontransitive import margins, nash
from simarena.tournament.ratings import POINTS, rate, win_shares
from simarena.tournament.results import compare
from simarena.tournament.schedule import make_format

SKILL = {"weak": -1.0, "fair": 0.0, "good": 0.3, "best": 1.2}


def history(games=30, seed=0, **law):
    return tournament(make_format("round_robin", {"games": games}), SKILL, seed, **law)[0]


def cycle_of(agents, share, tasks=40):
    """Each agent wins `share` of its matches with the next in the circle, and loses as many to the one before."""
    found = []
    for task in range(tasks):
        for one, other in zip(agents, [*agents[1:], agents[0]], strict=True):
            won = random.Random(f"{task}{one}").random() < share
            found += [result((one, other), (won, not won), task=task), result((other, one), (not won, won), task=task)]
    return found


def test_the_leaderboard_reads_as_promised_and_is_json():
    ratings = rate(history(seat=0.4, ties=0.2))
    board = json.loads(json.dumps(to_json(ratings), allow_nan=False))
    row = board["leaderboard"][0]
    assert {"agent", "rating", "low", "high", "rank_low", "rank_high", "matches"} <= set(row)
    assert [row["agent"] for row in board["leaderboard"]] == ["best", "good", "fair", "weak"]
    assert row["low"] < row["rating"] < row["high"]
    assert row["matches"] == 3 * 2 * 30
    assert sum(row["rating"] for row in board["leaderboard"]) == pytest.approx(4 * 1500)
    assert board["seat_effect"]["seat"] == "seat_0"
    assert board["seat_effect"]["low"] < 0.4 * POINTS < board["seat_effect"]["high"]
    assert board["tie_rate"] == pytest.approx(0.2, abs=0.05)
    assert board["invalid_rate"] == 0.0
    assert board["cluster"] == "task"


def test_four_hundred_points_are_odds_of_ten_to_one():
    games = [result("ab", (t % 11 > 0, t % 11 == 0), task=t) for t in range(110)]
    a, b = rate(games).leaderboard
    assert a.rating - b.rating == pytest.approx(400)


def test_rank_intervals_hold_the_true_rank():
    true = {agent: rank for rank, agent in enumerate(sorted(SKILL, key=SKILL.get, reverse=True), start=1)}
    inside = [
        row.rank_low <= true[row.agent] <= row.rank_high for s in range(50) for row in rate(history(12, s)).leaderboard
    ]
    assert np.mean(inside) >= 0.95


def test_ranks_are_certain_with_much_data_and_open_with_none():
    sure = rate(history(200)).leaderboard
    assert [(row.rank_low, row.rank_high) for row in sure] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    unknown = rate([], agents=SKILL).leaderboard
    assert {(row.rating, row.low, row.rank_low, row.rank_high, row.matches) for row in unknown} == {
        (1500, None, 1, 4, 0)
    }
    assert rate([]).leaderboard == ()


def test_strangers_share_no_scale():
    games = [r for t in range(12) for pair in ("ab", "cd") for r in (result(pair, (t % 3, 1), task=t),)]
    ratings = rate([*games], agents=["late"])
    assert ratings.components == (("a", "b"), ("c", "d"), ("late",))
    assert all((row.rank_low, row.rank_high) == (1, 5) for row in ratings.leaderboard)


def test_the_win_matrix_counts_ties_half():
    ratings = rate([result("ab", (1, 0)), result("ba", (0, 0)), result("ac", (0, 1))])
    assert ratings.win_matrix == {"a": {"b": 0.75, "c": 0.0}, "b": {"a": 0.25}, "c": {"a": 1.0}}
    assert ratings.tie_rate == pytest.approx(1 / 3)


def test_invalid_turns_are_counted_by_agent():
    game = result("ab", (1, 0))
    spoilt = [type(game)(**{**{f: getattr(game, f) for f in game.__slots__}, "invalid": (1, 0), "turns": (4, 4)})]
    ratings = rate(spoilt)
    assert ratings.invalid_rate == pytest.approx(1 / 8)
    assert {row.agent: row.invalid_rate for row in ratings.leaderboard} == {"a": 0.25, "b": 0.0}


def test_rock_paper_scissors_is_a_cycle_that_survives_its_intervals():
    ratings = rate(cycle_of(["rock", "scissors", "paper"], 0.8))
    assert ratings.cycles == (("paper", "rock", "scissors"),)
    assert all(row.rank_low == 1 for row in ratings.leaderboard)
    assert rate(cycle_of(["rock", "scissors", "paper"], 0.5)).cycles == ()
    assert rate(cycle_of(["rock", "scissors", "paper"], 1.0, tasks=5)).cycles == ()


def test_a_longer_cycle_is_found_where_there_is_no_triangle():
    assert rate(cycle_of(["a", "b", "c", "d"], 0.85)).cycles == (("a", "b", "c", "d"),)


def test_an_order_has_no_cycles():
    assert rate(history(60)).cycles == ()


@given(st.permutations(sorted(SKILL)), st.randoms(use_true_random=False))
@settings(max_examples=15, deadline=None)
def test_names_and_order_of_results_change_nothing(names, random):
    new, played = dict(zip(sorted(SKILL), names, strict=True)), history(6)
    renamed = [result([new[a] for a in r.agents], r.scores, task=r.task, unit=r.unit, match=r.match) for r in played]
    random.shuffle(renamed)
    before = {new[row.agent]: row for row in rate(played).leaderboard}
    for row in rate(renamed).leaderboard:
        assert row.rating == pytest.approx(before[row.agent].rating, abs=1e-4)
        assert row.low == pytest.approx(before[row.agent].low, abs=1e-3)
        assert (row.rank_low, row.rank_high) == (before[row.agent].rank_low, before[row.agent].rank_high)


def test_least_squares_elo_inverts_its_own_curve():
    points = np.array([1700.0, 1500.0, 1400.0, 1400.0])
    shares = 1 / (1 + 10 ** ((points[None] - points[:, None]) / 400))
    np.fill_diagonal(shares, math.nan)
    assert least_squares(shares) == pytest.approx(points)
    shares[0, 2] = shares[2, 0] = math.nan
    assert least_squares(shares) == pytest.approx(points)


def test_least_squares_elo_agrees_with_the_ratings_on_even_data():
    played = history(300)
    shares = win_shares(compare(played))
    rated = {row.agent: row.rating for row in rate(played).leaderboard}
    assert least_squares(shares) == pytest.approx([rated[name] for name in sorted(SKILL)], abs=15)


def test_the_cycle_field_has_a_mixed_equilibrium():
    shares = win_shares(compare(cycle_of(["rock", "scissors", "paper"], 1.0)))
    assert nash(margins(shares)).weights == pytest.approx([1 / 3] * 3)
