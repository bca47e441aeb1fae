import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena.envs.arena.judging import (
    Judgement,
    agreement,
    grades,
    labels,
    ordered,
    pair_margins,
    point_margins,
    pooled,
    sign,
    softmax,
    standard_ranks,
)

values = st.lists(st.integers(1, 10).map(float), min_size=2, max_size=6)


@given(values, st.floats(-50, 50))
def test_a_judges_own_zero_point_cancels_in_margins(given, shift):
    sheet = list(range(len(given)))
    margins = point_margins([Judgement(sheet, given)])
    moved = point_margins([Judgement(sheet, [value + shift for value in given])])
    assert margins == pytest.approx(moved)
    assert all(margins[a, b] == -margins[b, a] for a, b in margins)


@given(values)
def test_together_in_both_orders_alone_and_pairwise_agree_on_points(given):
    sheet = list(range(len(given)))
    together = point_margins([Judgement(sheet, given), Judgement(sheet[::-1], given[::-1])])
    alone = point_margins([Judgement([i], [value]) for i, value in enumerate(given)])
    pairs = [Judgement([a, b], [given[a], given[b]]) for a in sheet for b in sheet if a < b]
    assert together == pytest.approx(alone)
    assert pair_margins(pairs) == pytest.approx(alone)


def test_pairwise_verdicts_may_go_in_a_circle():
    margins = pair_margins([Judgement([0, 1], [1, 0]), Judgement([1, 2], [1, 0]), Judgement([2, 0], [1, 0])])
    assert (margins[0, 1], margins[1, 2], margins[2, 0]) == (1, 1, 1)
    assert grades(margins, 3) == [0, 0, 0]


def test_an_order_bonus_cancels_in_both_orders():
    fair, bonus = [4.0, 7.0], 2.0
    margins = point_margins([Judgement([0, 1], [4 + bonus, 7]), Judgement([1, 0], [7 + bonus, 4])])
    assert margins[0, 1] == fair[0] - fair[1]


def test_pooling_is_a_weighted_mean_over_those_who_compared():
    margins = {"a": {(0, 1): 3.0}, "b": {(0, 1): -1.0, (1, 2): 5.0}}
    assert pooled(margins, {"a": 1.0, "b": 3.0}) == {(0, 1): 0.0, (1, 2): 5.0}


@given(values, st.floats(0, 3))
def test_standard_ranks_sum_to_zero_and_keep_the_order(given, margin):
    ranks = standard_ranks(given, margin)
    assert sum(ranks) == pytest.approx(0, abs=1e-9)
    for x, a in zip(given, ranks, strict=True):
        for y, b in zip(given, ranks, strict=True):
            assert a >= b - 1e-12 if x >= y else True


def test_standard_ranks_have_unit_variance_without_ties():
    ranks = standard_ranks([3.0, 9.0, 1.0, 5.0])
    assert sum(rank**2 for rank in ranks) / 4 == pytest.approx(1)


def test_labels_count_only_decisive_pairs_with_one_right_answer():
    margins = {(0, 1): 0.4, (0, 2): -2.0, (1, 2): 3.0}
    found = labels(margins, [True, False, False], [(0, 1), (0, 2), (1, 2)], margin=0.5)
    assert (found.pairs, found.decisive, found.one_right, found.labelled, found.hits) == (3, 2, 2, 1, 0)
    assert found.accuracy == 0
    assert labels({}, [True, True], [(0, 1)], 0.0).accuracy is None


def test_agreement_leaves_out_pairs_the_judge_did_not_see():
    own, others = {(0, 1): 1.0, (0, 2): -1.0}, {(0, 1): 2.0, (0, 2): 2.0, (1, 2): 1.0}
    assert agreement(own, others, [(0, 1), (0, 2), (1, 2)]) == 0
    assert agreement({}, others, [(0, 1)]) == 0


def test_orders_of_reading():
    assert ordered([[0, 1, 2]], "given", Random(0)) == [[0, 1, 2]]
    assert ordered([[0, 1], [2, 3]], "both", Random(0)) == [[0, 1], [1, 0], [2, 3], [3, 2]]
    firsts = [ordered([[0, 1]], "random", Random(seed))[0][0] for seed in range(200)]
    assert 60 < sum(firsts) < 140


def test_signs_and_softmax():
    assert (sign(0.5, 0.5), sign(0.6, 0.5), sign(-0.6, 0.5), sign(0.0)) == (0, 1, -1, 0)
    assert softmax([-1000.0, -1000.0 + math.log(3)]) == pytest.approx([0.25, 0.75])
