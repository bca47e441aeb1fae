"""Equilibria of known games, and of random ones by their defining property."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simarena.tasks.matrix import (
    TABLES,
    MatrixGame,
    action_values,
    best_responses,
    equilibria,
    expected,
    is_equilibrium,
    regret,
)

THIRDS = [1 / 3] * 3
KNOWN = {
    "prisoners_dilemma": [([0, 1], [0, 1])],
    "stag_hunt": [([1, 0], [1, 0]), ([0, 1], [0, 1]), ([2 / 3, 1 / 3], [2 / 3, 1 / 3])],
    "chicken": [([1, 0], [0, 1]), ([0, 1], [1, 0]), ([0.8, 0.2], [0.8, 0.2])],
    "battle": [([1, 0], [1, 0]), ([0, 1], [0, 1]), ([0.6, 0.4], [0.4, 0.6])],
    "matching_pennies": [([0.5, 0.5], [0.5, 0.5])],
    "rock_paper_scissors": [(THIRDS, THIRDS)],
}


@pytest.mark.parametrize("game", TABLES)
def test_known_games_have_their_known_equilibria(game):
    truth = MatrixGame(game=game).generate(0).truth
    found = [(entry["row"], entry["column"]) for entry in truth["equilibria"]]
    assert len(found) == len(KNOWN[game])
    for (row, column), (wanted_row, wanted_column) in zip(found, KNOWN[game], strict=True):
        assert row == pytest.approx(wanted_row)
        assert column == pytest.approx(wanted_column)
    assert truth["zero_sum"] == (game in ("matching_pennies", "rock_paper_scissors"))
    assert truth["value"] == (0.0 if truth["zero_sum"] else None)


PAIRS = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
GAMES = st.integers(2, 4).flatmap(lambda n: st.lists(st.lists(PAIRS, min_size=n, max_size=n), min_size=n, max_size=n))


@settings(max_examples=150, deadline=None)
@given(GAMES)
def test_every_game_has_an_equilibrium_and_nobody_gains_by_leaving_it(payoffs):
    found = equilibria(payoffs)
    assert found
    for entry in found:
        row, column = entry["row"], entry["column"]
        assert sum(row) == pytest.approx(1)
        assert sum(column) == pytest.approx(1)
        assert is_equilibrium(payoffs, row, column)
        assert max(regret(payoffs, row, column)) == pytest.approx(0, abs=1e-9)
        assert all(row[i] < 1e-9 or i in best_responses(payoffs, 0, column) for i in range(len(row)))
        assert all(column[k] < 1e-9 or k in best_responses(payoffs, 1, row) for k in range(len(column)))


def test_all_equilibria_of_a_zero_sum_game_are_worth_the_same():
    family = MatrixGame(game="random_zero_sum", size=3, stake=3)
    for seed in range(60):
        task = family.generate(seed)
        values = [entry["payoffs"][0] for entry in task.truth["equilibria"]]
        assert values == pytest.approx([task.truth["value"]] * len(values))
        assert all(family.verify(task, [one["row"], one["column"]]) == 1.0 for one in task.truth["equilibria"])


def test_values_are_plain_averages():
    payoffs = MatrixGame(game="chicken").generate(0).public["payoffs"]
    assert action_values(payoffs, 0, [0.5, 0.5]) == [-0.5, -2.0]
    assert action_values(payoffs, 1, [1.0, 0.0]) == [0.0, 1.0]
    assert expected(payoffs, [0.5, 0.5], [0.5, 0.5]) == (-1.25, -1.25)
    draw = random.Random(0)
    plays = [payoffs[draw.randrange(2)][draw.randrange(2)][0] for _ in range(20_000)]
    assert sum(plays) / len(plays) == pytest.approx(-1.25, abs=0.06)


def test_answers_are_profiles_of_names_or_mixtures():
    family = MatrixGame(game="battle")
    task = family.generate(0)
    assert family.verify(task, ["opera", "opera"]) == 1.0
    assert family.verify(task, ["opera", "boxing"]) == 0.0
    assert family.verify(task, [[0.6, 0.4], [0.4, 0.6]]) == 1.0
    for junk in (["opera"], [[0.6, 0.6], [0.4, 0.6]], [[True, False], "opera"], [[float("nan"), 1], "opera"], "opera"):
        assert family.verify(task, junk) == 0.0


def test_a_table_of_your_own_is_played():
    own = {"game": "own", "actions": ("l", "r"), "payoffs": (((1, 1), (0, 0)), ((0, 0), (1, 1)))}
    assert len(MatrixGame(**own).generate(0).truth["equilibria"]) == 3


@pytest.mark.parametrize(
    "params",
    [
        {"game": "own"},
        {"actions": ("a", "b")},
        {"game": "own", "actions": ("a", "b"), "payoffs": (((1, 1), (0, 0)),)},
        {"game": "own", "actions": ("a", "a"), "payoffs": (((1, 1), (0, 0)), ((0, 0), (1, 1)))},
        {"game": "own", "actions": ("a", "b"), "payoffs": (((1, 1), (0, 0)), ((0, 0), (1, float("inf"))))},
        {"game": "random_zero_sum", "size": 6},
    ],
)
def test_incomplete_tables_are_refused(params):
    with pytest.raises(ValidationError):
        MatrixGame(**params)
