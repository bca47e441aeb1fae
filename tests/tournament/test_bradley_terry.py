from __future__ import annotations

from dataclasses import replace

import choix
import evalica
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import comparisons, result
from scipy import stats

from simarena.tournament.bradley_terry import RUNAWAY, fit
from simarena.tournament.intervals import quantile, two_sided
from simarena.tournament.results import WIN, compare

SKILL = np.array([-1.2, -0.5, 0.1, 0.4, 1.2])


def one_seat(data):
    return replace(data, seats=("any",), second_seat=data.first_seat)


def covered(seeds, truth, seat, cluster, **law):
    """Shares of seeds' (strengths, seat effects) that lie within their 95 % intervals."""
    n, inside, seats = len(truth), [], []
    for seed in range(seeds):
        fitted = fit(comparisons(truth, seed=seed, seat=seat, **law), cluster)
        width = two_sided(0.95, fitted.clusters - 1 if fitted.clusters else np.inf)
        inside.append(np.abs(fitted.strength - truth) <= width * fitted.deviation(np.eye(n) - 1 / n))
        effect, error = fitted.seat[0] - fitted.seat[1], fitted.deviation(np.array([[0] * n + [1, -1]]))[0]
        seats.append(abs(effect - seat) <= width * error)
    return np.array(inside), np.array(seats)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_choix_on_data_without_ties(seed):
    data = one_seat(comparisons(SKILL, tasks=40, seed=seed))
    won = data.outcome == WIN
    pairs = np.where(won[:, None], np.stack([data.first, data.second], 1), np.stack([data.second, data.first], 1))
    oracle = choix.ilsr_pairwise(len(SKILL), [tuple(map(int, pair)) for pair in pairs], alpha=0)
    assert fit(data).strength == pytest.approx(oracle - oracle.mean(), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_evalica_on_data_without_ties(seed):
    data = one_seat(comparisons(SKILL, tasks=40, seed=seed))
    names = data.agents
    oracle = evalica.bradley_terry(
        [names[i] for i in data.first],
        [names[i] for i in data.second],
        [evalica.Winner.X if o == WIN else evalica.Winner.Y for o in data.outcome],
        tolerance=1e-12,
        limit=10_000,
    ).scores
    strength = np.log([oracle[name] for name in names])
    assert fit(data).strength == pytest.approx(strength - strength.mean(), abs=1e-3)


def test_information_and_gradient_match_finite_differences():
    data = comparisons(SKILL, tasks=30, seed=1, seat=0.3, tie=0.6)
    fitted = fit(data, "model")
    n, at = len(SKILL), np.concatenate([fitted.strength, fitted.seat, [np.log(fitted.tie)]])

    def loglik(x):
        d = x[data.first] - x[data.second] + x[n + data.first_seat] - x[n + data.second_seat]
        logits = np.stack([-d / 2, np.full(len(d), x[-1]), d / 2], axis=1)
        return np.sum(logits[np.arange(len(d)), data.outcome] - np.log(np.exp(logits).sum(axis=1)))

    step, eye = 1e-4, np.eye(len(at)) * 1e-4
    slope = [(loglik(at + e) - loglik(at - e)) / (2 * step) for e in eye]
    assert np.abs(slope).max() < 1e-4
    hessian = np.array(
        [[(loglik(at + e + f) - loglik(at + e) - loglik(at + f) + loglik(at)) / step**2 for f in eye] for e in eye]
    )
    contrast = np.zeros((3, len(at)))
    contrast[0, :2], contrast[1, n : n + 2], contrast[2, -1] = (1, -1), (1, -1), 1
    expected = np.sqrt(np.diag(contrast @ np.linalg.pinv(-hessian, rcond=1e-6) @ contrast.T))
    assert fitted.deviation(contrast) == pytest.approx(expected, rel=1e-2)


def test_planted_skills_and_seat_effect_lie_in_their_intervals_in_95_percent_of_seeds():
    inside, seats = covered(240, SKILL - SKILL.mean(), seat=0.5, cluster="task", tasks=24, tie=0.5)
    low, high = stats.binom.interval(0.999, 240, 0.95)
    assert low <= seats.sum() <= high
    for agent in inside.T:
        assert low <= agent.sum() <= high


def test_few_tasks_are_clustered_by_unit_and_still_cover():
    inside, seats = covered(200, np.array([-0.5, 0, 0.5]), seat=0.3, cluster="task", tasks=8)
    low, _ = stats.binom.interval(0.999, 200, 0.95)
    assert seats.sum() >= low
    assert (inside.sum(axis=0) >= low).all()


def test_where_tasks_favour_agents_only_clustered_errors_cover():
    law = {"tasks": 25, "task_skill": 1.0}
    clustered, _ = covered(200, np.zeros(6), seat=0.0, cluster="task", **law)
    naive, _ = covered(200, np.zeros(6), seat=0.0, cluster="model", **law)
    low, _ = stats.binom.interval(0.999, 200, 0.95)
    assert (clustered.sum(axis=0) >= low).all()
    assert naive.mean() < 0.85


def test_where_tasks_favour_seats_only_clustered_errors_cover():
    law = {"tasks": 30, "task_seat": 1.0}
    _, clustered = covered(200, np.zeros(4), seat=0.0, cluster="task", **law)
    _, naive = covered(200, np.zeros(4), seat=0.0, cluster="model", **law)
    low, _ = stats.binom.interval(0.999, 200, 0.95)
    assert clustered.sum() >= low
    assert naive.mean() < 0.85


@pytest.mark.parametrize("tie", [0.2, 1.0, 4.0])
def test_the_tie_parameter_is_recovered(tie):
    fitted = fit(comparisons(SKILL, tasks=400, seed=5, seat=0.2, tie=tie), "model")
    error = fitted.deviation(np.eye(len(fitted.model))[-1:])[0]
    assert abs(np.log(fitted.tie) - np.log(tie)) < 4 * error
    assert error < 0.1


def test_connected_data_are_not_shrunk():
    assert fit(comparisons(SKILL, tasks=20, seed=0)).prior == 0.0


def test_an_agent_that_won_everything_gets_a_finite_strength_as_if_it_had_drawn_once():
    games = [result("ab", (1, 0), task=t) for t in range(20)]
    fitted = fit(compare(games))
    assert fitted.prior == 1.0
    # The gap solves 20 (1 - p(gap)) = (p(gap / 2) - 1/2), both agents drawing once with the average.
    half = fitted.strength[0]
    assert 20 / (1 + np.exp(2 * half)) == pytest.approx(1 / (1 + np.exp(-half)) - 0.5, rel=1e-6)
    assert 0 < fitted.gaps()[1][0, 1] < RUNAWAY


@pytest.mark.parametrize("scores", [(0, 0), (1, 0), (0, 1)])
def test_extreme_records_stay_finite(scores):
    swapped = [r for t in range(12) for r in (result("ab", scores, task=t), result("ba", scores, task=t))]
    fitted = fit(compare(swapped))
    assert np.isfinite(fitted.strength).all()
    assert fitted.strength == pytest.approx([0, 0], abs=1e-9)
    assert np.isfinite(fitted.deviation(np.array([[1.0, -1.0]]))).all()


def test_a_seat_effect_that_cannot_be_told_from_skill_is_not_reported():
    games = [result("ab", (t % 3 > 0, t % 3 == 0), task=t) for t in range(12)]
    assert fit(compare(games)).seat is None
    assert fit(compare(games)).strength[0] == pytest.approx(np.log(2) / 2)


def test_strangers_are_not_compared():
    games = [r for t in range(12) for pair in ("ab", "cd") for r in (result(pair, (t % 2, 0.5), task=t),)]
    fitted = fit(compare(games))
    assert fitted.component.tolist() == [0, 0, 1, 1]
    assert np.isinf(fitted.gaps()[1][0, 2])
    assert np.isfinite(fitted.gaps()[1][0, 1])
    assert fitted.strength[:2].sum() == pytest.approx(0)


def test_one_lucky_task_does_not_make_a_newcomer_certain():
    data = [r for t in range(40) for r in (result("ab", (t % 2, 0.5), task=t), result("ba", (t % 2, 0.5), task=t))]
    fitted = fit(compare([*data, result("an", (0, 1), task=0), result("na", (0, 1), task=0)]))
    assert fitted.gaps()[1][0, 2] > 1.0


def test_three_seats_have_three_effects():
    rng = np.random.default_rng(0)
    worth = np.array([0.8, 0.0, -0.8])
    orders = ("abc", "bca", "cab")
    games = [result(order, worth + rng.gumbel(size=3), task=t) for t in range(300) for order in orders]
    fitted = fit(compare(games))
    assert fitted.seat == pytest.approx(worth, abs=0.2)
    assert fitted.strength == pytest.approx(np.zeros(3), abs=0.2)


def test_many_clusters_use_the_plain_sandwich_and_agree_with_the_jackknife(monkeypatch):
    data = comparisons(SKILL, tasks=200, seed=2, seat=0.3, tie=0.4)
    jackknife = fit(data).gaps()[1]
    monkeypatch.setattr("simarena.tournament.bradley_terry.DENSE", 0)
    assert fit(data).gaps()[1] == pytest.approx(jackknife, rel=0.05)


@given(st.permutations(range(5)), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_new_names_change_nothing(order, seed):
    data = comparisons(SKILL, tasks=12, seed=seed, seat=0.2, tie=0.3)
    new = np.array(order)
    renamed = fit(replace(data, first=new[data.first], second=new[data.second]))
    plain = fit(data)
    assert renamed.strength[new] == pytest.approx(plain.strength, abs=1e-7)
    assert renamed.gaps()[1][np.ix_(new, new)] == pytest.approx(plain.gaps()[1], abs=1e-6)


@given(st.randoms(use_true_random=False), st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_order_of_results_changes_nothing(random, seed):
    data = comparisons(SKILL, tasks=12, seed=seed)
    rows = np.arange(len(data))
    random.shuffle(rows)
    assert fit(data.take(rows)).strength == pytest.approx(fit(data).strength, abs=1e-8)


@given(st.integers(0, 50))
@settings(max_examples=25, deadline=None)
def test_swapping_wins_and_losses_flips_the_signs(seed):
    data = comparisons(SKILL, tasks=12, seed=seed, seat=0.4, tie=0.3)
    plain, flipped = fit(data), fit(replace(data, outcome=2 - data.outcome))
    assert flipped.strength == pytest.approx(-plain.strength, abs=1e-7)
    assert flipped.seat == pytest.approx(-plain.seat, abs=1e-7)
    assert flipped.tie == pytest.approx(plain.tie)


@pytest.mark.parametrize("degrees", [5, 9, 30, np.inf])
@pytest.mark.parametrize("p", [0.6, 0.9, 0.975, 0.995, 0.9999])
def test_quantiles_are_students(p, degrees):
    exact = stats.norm.ppf(p) if np.isinf(degrees) else stats.t.ppf(p, degrees)
    assert quantile(p, degrees) == pytest.approx(exact, rel=0.015 if degrees < 9 else 0.002)
