from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from simarena.tournament.nontransitive import alpha_rank, margins, nash

ROCK_PAPER_SCISSORS = np.array([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]])


def antisymmetric(seed, kind, n):
    rng = np.random.default_rng(seed)
    a = {
        "smooth": rng.normal(size=(n, n)),
        "steps": rng.integers(-2, 3, (n, n)) / 2,
        "signs": rng.integers(-1, 2, (n, n)),
    }
    upper = np.triu(a[kind], 1)
    return (upper - upper.T) / max(1.0, np.abs(upper).max())


def entropy(p):
    return -np.sum(p * np.log(np.maximum(p, 1e-300)))


def test_rock_paper_scissors_is_uniform():
    assert nash(ROCK_PAPER_SCISSORS).weights == pytest.approx([1 / 3] * 3, abs=1e-9)
    assert nash(ROCK_PAPER_SCISSORS).skills == pytest.approx([0] * 3, abs=1e-9)
    assert alpha_rank(ROCK_PAPER_SCISSORS) == pytest.approx([1 / 3] * 3)


def test_a_weighted_cycle_has_its_textbook_mixture():
    a, b, c = 0.2, 0.5, 0.8  # rock beats scissors by a, scissors beat paper by b, paper beats rock by c
    margin = np.array([[0, -c, a], [c, 0, -b], [-a, b, 0]])
    assert nash(margin).weights == pytest.approx(np.array([b, a, c]) / (a + b + c), abs=1e-7)


def test_a_dominant_agent_takes_all():
    margin = np.array([[0, 0.2, 0.1], [-0.2, 0, 0.6], [-0.1, -0.6, 0]])
    assert nash(margin).weights == pytest.approx([1, 0, 0], abs=1e-7)
    assert nash(margin).skills == pytest.approx(margin[:, 0], abs=1e-7)
    assert alpha_rank(margin) == pytest.approx([1, 0, 0], abs=1e-6)


def test_equals_share_evenly():
    assert nash(np.zeros((4, 4))).weights == pytest.approx([0.25] * 4)
    assert alpha_rank(np.zeros((4, 4))) == pytest.approx([0.25] * 4)
    assert nash(np.zeros((1, 1))).weights == pytest.approx([1])
    assert alpha_rank(np.zeros((1, 1))) == pytest.approx([1])


def test_copies_share_their_weight():
    copied = [0, 0, 1, 2]
    assert nash(ROCK_PAPER_SCISSORS[np.ix_(copied, copied)]).weights == pytest.approx([1 / 6, 1 / 6, 1 / 3, 1 / 3])


@given(st.integers(0, 10_000), st.sampled_from(["smooth", "steps", "signs"]), st.integers(2, 9))
@settings(max_examples=40, deadline=None)
def test_nobody_gains_over_the_equilibrium_and_none_has_more_entropy(seed, kind, n):
    margin = antisymmetric(seed, kind, n)
    found = nash(margin)
    assert found.weights.sum() == pytest.approx(1)
    assert found.exploitability < 1e-8
    start = linprog(np.zeros(n), A_ub=margin, b_ub=np.zeros(n), A_eq=np.ones((1, n)), b_eq=[1]).x
    limits = [
        {"type": "eq", "fun": lambda p: p.sum() - 1},
        {"type": "ineq", "fun": lambda p: 1e-9 - margin @ p},
    ]
    oracle = minimize(lambda p: -entropy(p), start, bounds=[(0, 1)] * n, constraints=limits, method="SLSQP")
    feasible = (margin @ oracle.x).max() < 1e-6 and abs(oracle.x.sum() - 1) < 1e-6
    assert not feasible or entropy(found.weights) > entropy(np.clip(oracle.x, 0, 1)) - 1e-3


@given(st.integers(0, 10_000), st.integers(2, 8), st.floats(0.1, 20))
@settings(max_examples=40, deadline=None)
def test_alpha_rank_is_the_stationary_distribution_of_its_chain(seed, n, alpha):
    margin, m = antisymmetric(seed, "smooth", n), 10
    chain = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            x = alpha * margin[j, i]
            chain[i, j] = 0 if i == j else (1 / m if x == 0 else np.expm1(-x) / np.expm1(-m * x)) / (n - 1)
        chain[i, i] = 1 - chain[i].sum()
    found = alpha_rank(margin, alpha, m)
    assert found @ chain == pytest.approx(found, abs=1e-12)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()


@given(st.integers(0, 1000), st.permutations(range(5)))
@settings(max_examples=25, deadline=None)
def test_names_change_nothing(seed, order):
    margin = antisymmetric(seed, "smooth", 5)
    renamed = margin[np.ix_(order, order)]
    assert nash(renamed).weights == pytest.approx(nash(margin).weights[order], abs=1e-6)
    assert alpha_rank(renamed, 5.0) == pytest.approx(alpha_rank(margin, 5.0)[order])


def test_pairs_that_never_met_count_as_even():
    shares = np.array([[np.nan, 0.7, np.nan], [0.3, np.nan, 0.5], [np.nan, 0.5, np.nan]])
    assert margins(shares) == pytest.approx(np.array([[0, 0.4, 0], [-0.4, 0, 0], [0, 0, 0]]))
