"""Welfare and fairness formulas against hand-worked numbers and brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.tasks import welfare

TABLES = st.integers(1, 5).flatmap(
    lambda n: st.integers(1, 25).flatmap(
        lambda size: st.lists(st.lists(st.integers(0, 9), min_size=size, max_size=size), min_size=n, max_size=n)
    )
)


def test_worst_then_total_orders_by_the_worst_and_then_by_the_total():
    table = np.array([[3, 2, 3], [3, 90, 4]])
    assert welfare.best(table, "worst_then_total") == 2
    assert welfare.best(table, "total") == 1
    assert welfare.welfare([2, 8], "nash") == pytest.approx(4.0)
    assert welfare.welfare([2, 8], "total") == 10


def test_gini_envy_and_percentile_by_hand():
    assert welfare.gini([1, 1, 1]) == 0
    assert welfare.gini([0, 0, 0, 1]) == pytest.approx(0.75)
    assert welfare.gini([1, 3]) == pytest.approx(0.25)
    assert welfare.gini([0, 0]) == 0
    assert welfare.envy([1, 3, 5]) == pytest.approx(2.0)
    assert welfare.percentile([0, 1], 0.2) == pytest.approx(0.2)
    assert welfare.satisfaction([5, 2, 7], [0, 2, 7], [10, 4, 7]) == [0.5, 0.0, 1.0]


def test_distance_is_nought_on_the_front_and_a_root_mean_square_off_it():
    front = np.array([[10, 0], [0, 10]])
    assert welfare.distance_to(front, [10, 0], 10.0) == 0
    assert welfare.distance_to(front, [10, 6], 10.0) == pytest.approx(0.6 / 2**0.5)


@given(TABLES)
@settings(max_examples=60, deadline=None)
def test_pareto_agrees_with_comparing_every_pair(rows):
    table = np.array(rows)
    outcomes = [tuple(column) for column in table.T]

    def dominated(u):
        return any(all(a >= b for a, b in zip(v, u, strict=True)) and v != u for v in outcomes)

    assert welfare.pareto(table).tolist() == [not dominated(u) for u in outcomes]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=8))
@settings(max_examples=60, deadline=None)
def test_gini_ignores_order_and_scale_and_stays_below_its_bound(values):
    found = welfare.gini(values)
    assert 0 <= found <= 1 - 1 / len(values) + 1e-9
    assert welfare.gini(sorted(values)) == pytest.approx(found)
    assert welfare.gini([3 * v for v in values]) == pytest.approx(found)
