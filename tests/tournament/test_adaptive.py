from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from planted import play, tournament

from simarena.tournament.adaptive import Adaptive, Looks, unit_information
from simarena.tournament.bradley_terry import fit
from simarena.tournament.results import compare
from simarena.tournament.round_robin import RoundRobin

SPREAD = {"a": -2.5, "b": -1.3, "c": 0.0, "d": 0.5, "e": 2.0, "f": 3.5}


def units_of(history):
    return Counter(frozenset(r.agents) for r in history if r.agents == tuple(sorted(r.agents)))


def round_robin_units_until_sure(skill, seed, confidence, most):
    """Units that a round robin needs until its order is settled by the same test, looked at after every task."""
    names, history, looks = sorted(skill), [], Looks()
    todo = RoundRobin(games=most).next_round(names, [])
    per_task = len(todo) // most
    for task in range(most):
        history += [play(p, skill, seed) for p in todo[task * per_task : (task + 1) * per_task]]
        units = len(history) // 2
        if task and looks.due(units):
            fitted = fit(compare(history))
            order = np.argsort(-fitted.strength)
            gap, error = (m[order[:-1], order[1:]] for m in fitted.gaps())
            if (gap > looks.needed(confidence, len(names) * (len(names) - 1) // 2, fitted.clusters) * error).all():
                return units
    return units


def test_every_pair_gets_the_floor_and_none_more_than_its_games():
    history, _ = tournament(Adaptive(floor=3, games=5), SPREAD)
    played = units_of(history)
    assert len(played) == 15
    assert set(played.values()) <= {3, 4, 5}


def test_it_stops_early_with_fewer_units_than_a_round_robin_needs_for_the_same_confidence():
    adaptive, even = [], []
    for seed in range(4):
        history, _ = tournament(Adaptive(games=120), SPREAD, seed)
        adaptive.append(len(history) // 2)
        even.append(round_robin_units_until_sure(SPREAD, seed, 0.95, 120))
    assert max(adaptive) < 120 * 15
    assert np.mean(adaptive) < 0.75 * np.mean(even)


def test_what_it_settles_is_right():
    kind, skill = Adaptive(games=120), {"a": 0.0, "b": 0.6, "c": 1.2}
    ends = []
    for seed in range(16):
        history, _ = tournament(kind, skill, seed)
        stopped = len(history) < 2 * 3 * 120
        ends.append((stopped, kind.standing(list(skill), history, seed=seed) == ["c", "b", "a"]))
    settled = [right for stopped, right in ends if stopped]
    assert len(settled) >= 10
    assert np.mean(settled) >= 0.95


def test_asking_only_for_the_best_is_cheaper():
    order, best = (len(tournament(Adaptive(games=100, goal=goal), SPREAD)[0]) for goal in ("order", "best"))
    assert best < order


def test_it_asks_about_close_pairs_more_than_about_clear_ones():
    history, _ = tournament(Adaptive(games=120), SPREAD, seed=1)
    played = units_of(history)
    assert played[frozenset("cd")] == max(played.values())
    assert played[frozenset("cd")] > 3 * played[frozenset("af")]


def test_equals_use_up_their_games_and_stop():
    history, _ = tournament(Adaptive(games=6), {"a": 0.0, "b": 0.0, "c": 0.0})
    assert len(history) == 2 * 3 * 6


@pytest.mark.parametrize("batch", [1, 7])
def test_a_round_is_as_large_as_asked(batch):
    skill = dict.fromkeys("abcd", 0.0)
    kind, history = Adaptive(batch=batch, floor=1, games=4), []
    sizes = []
    while todo := kind.next_round(list(skill), history):
        sizes.append(len({p.unit for p in todo}))
        history += [play(p, skill, 0) for p in todo]
    assert sizes[0] == 6
    assert set(sizes[1:-1]) <= {batch}


def test_information_is_greatest_between_equals_and_never_nothing():
    equal, apart, far = unit_information(np.array([0.0, 2.0, 80.0]), tie=0.0)
    assert equal == pytest.approx(0.5)
    assert equal > apart > far > 0


def test_looking_often_asks_for_more():
    looks = Looks()
    needed = [looks.needed(0.95, 3, 0) for units in range(10, 200) if looks.due(units)]
    assert 10 < len(needed) < 20
    assert needed == sorted(needed)
