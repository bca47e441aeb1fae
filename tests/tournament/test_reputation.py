from __future__ import annotations

import math
import random
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted import result
from pydantic import ValidationError
from scipy.stats import spearmanr

from simarena.tournament.reputation import (
    Constants,
    Reputation,
    contestants,
    duel,
    newcomers,
    reputations,
    settled,
    verdict,
)

PUBLISHED = Constants()
EQUAL = Constants(weights="equal")


def test_one_duel_by_hand():
    table = {"a": Reputation(104.0, (0.4, 1.0), 30), "b": Reputation(103.5, (), 0)}
    after = duel(table, "a", "b", (7.5, 6.0), PUBLISHED)
    phi = NormalDist().cdf
    z = 0.5 / math.hypot(0.3, 0.5)
    up = max(5, 10 * 0.9**3) * 1.5 * math.tanh(0.3) * (2 * phi(z) - 1) / 20
    assert after["a"].value == pytest.approx(104 + up)
    assert after["a"].changes == pytest.approx((0.4, 1.0, up))
    assert after["a"].duels == 31
    sigma = np.std(after["a"].changes)
    z = (103.5 - after["a"].value) / math.hypot(0.5, sigma)
    down = 10 * -1.5 * math.tanh(0.5) * abs(2 * phi(z) - 1) / 20
    assert after["b"].value == pytest.approx(103.5 + down)


def test_not_in_turn_both_changes_use_the_old_reputations():
    table = newcomers("ab", PUBLISHED)
    after = duel(table, "a", "b", (8, 5), Constants(in_turn=False))
    moved = 10 * 3 * math.tanh(0.5) * 0.01 / 20
    assert after["a"].value == pytest.approx(100 + moved)
    assert after["b"].value == pytest.approx(100 - moved)


def test_reputations_stop_at_the_floor():
    table = {"a": Reputation(90.0), "b": Reputation(10.01)}
    assert duel(table, "b", "a", (1, 10), PUBLISHED)["b"].value == 10.0


@given(st.lists(st.tuples(st.floats(1, 10), st.floats(1, 10)), max_size=30))
def test_equal_grades_move_nobody_and_winners_never_fall(grades):
    table = newcomers("ab", PUBLISHED)
    for pair in grades:
        after = duel(table, "a", "b", pair, PUBLISHED)
        assert np.sign(after["a"].value - table["a"].value) in (0, np.sign(pair[0] - pair[1]))
        table = after
    assert len(table["a"].changes) <= 10


def test_a_verdict_weighs_words_by_reputation_or_not_at_all():
    table = {"x": Reputation(150.0), "y": Reputation(50.0)}
    grades = {"x": (8, 4), "y": (4, 8)}
    assert verdict(table, grades, PUBLISHED) == pytest.approx((7, 5))
    assert verdict(table, grades, EQUAL) == pytest.approx((6, 6))


def test_everybody_is_first_once_in_each_turn_and_opponents_are_near():
    table = {f"m{i}": Reputation(100.0 + i) for i in range(10)}
    near = Constants(chance=0.0, nearest=3)
    pairs = [contestants(table, n, near, seed=1) for n in range(40)]
    for turn in range(4):
        assert sorted(first for first, _ in pairs[10 * turn : 10 * turn + 10]) == sorted(table)
    for first, second in pairs:
        gaps = sorted(abs(table[first].value - r.value) for name, r in table.items() if name != first)
        assert abs(table[first].value - table[second].value) <= gaps[2]
    anyone = Constants(chance=1.0)
    assert len({contestants(table, 10 * n, anyone, seed=n) for n in range(60)}) > 20


def test_results_fold_into_reputations():
    played = [result("ab", (8, 5), task=t) for t in range(5)] + [result("abc", (1, 2, 3))]
    table = reputations(played, "abc", PUBLISHED, start={"c": 120.0})
    assert table["a"].value > 100 > table["b"].value
    assert table["c"] == Reputation(120.0)
    assert settled(table)["a"].duels == 0
    assert settled(table)["a"].changes == table["a"].changes


def test_misspelt_constants_are_refused():
    with pytest.raises(ValidationError):
        Constants(strat=90)


def combat(seed, duels, m=10):
    """A tribe whose answers and whose grading both get better with skill; (checkpoints, agreement with truth)."""
    draw, skill = random.Random(seed), {f"m{i}": i / (m - 1) for i in range(m)}
    table, right, seen = newcomers(skill, PUBLISHED), np.zeros(2), {}
    for number in range(duels):
        pair = contestants(table, number, PUBLISHED, seed)
        quality = [3 + 5 * skill[name] + draw.gauss(0, 1.5) for name in pair]
        grades = {
            judge: [min(10, max(1, round(q + draw.gauss(0, 3 - 2 * skill[judge])))) for q in quality]
            for judge in skill
            if judge not in pair
        }
        weighted, equal = verdict(table, grades, PUBLISHED), verdict(table, grades, EQUAL)
        right += [(v[0] > v[1]) == (quality[0] > quality[1]) and v[0] != v[1] for v in (weighted, equal)]
        table = duel(table, *pair, weighted, PUBLISHED)
        values = [table[name].value for name in skill]
        seen[number + 1] = (spearmanr(values, list(skill.values()))[0], min(values), max(values))
    return seen, right / duels


def test_reputation_order_matches_planted_skill_but_weights_hardly_differ():
    runs = [combat(seed, 1000) for seed in range(8)]
    at = {n: np.mean([seen[n] for seen, _ in runs], axis=0) for n in (100, 300, 1000)}
    assert at[100][0] == pytest.approx(0.91, abs=0.04)
    assert at[300][0] == pytest.approx(0.97, abs=0.02)
    assert at[1000][0] == pytest.approx(0.99, abs=0.01)
    assert at[1000][1:] == pytest.approx([92, 107], abs=2)
    weighted, equal = np.mean([right for _, right in runs], axis=0)
    assert weighted == pytest.approx(0.886, abs=0.015)
    assert equal == pytest.approx(0.881, abs=0.015)
    assert 0 < weighted - equal < 0.03
