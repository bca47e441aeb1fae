"""Compact actions: what the space or the mask forbids is illegal, whatever type it comes in, and nothing raises."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

import simarena
from simarena.envs.compact import allowed, fitted
from tests.contract.settings import SETTINGS
from tests.contract.test_environments import masked_sample


@pytest.mark.parametrize(
    ("space", "mask", "good", "bad"),
    [
        (spaces.Discrete(3), [1, 0, 1], [0, 2], [1]),
        (spaces.Discrete(3, start=5), [1, 0, 1], [5, 7], [6]),
        (spaces.MultiDiscrete([2, 3]), [1, 1, 0, 0, 1], [[0, 2], [1, 2]], [[0, 0], [1, 1]]),
        (spaces.MultiDiscrete([[2, 2]]), [0, 1, 1, 1], [[[1, 0]]], [[[0, 0]]]),
        (spaces.MultiBinary(2), [1, 0, 1, 1], [[0, 0], [0, 1]], [[1, 0], [1, 1]]),
        (spaces.Box(0, 1, (1,)), [0], [[0.5]], []),
    ],
)
def test_masks_let_their_values_pass(space, mask, good, bad):
    for values, passes in ((good, True), (bad, False)):
        for value in values:
            assert allowed(space, np.array(mask), fitted(space, value)) == passes


@pytest.mark.parametrize(
    "space", [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(2), spaces.Box(0, 1, (2,))]
)
@given(
    st.recursive(
        st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.booleans()),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.tuples(inner, inner)),
        max_leaves=5,
    )
)
def test_anything_is_a_value_of_the_space_or_none(space, value):
    found = fitted(space, value)
    assert found is None or space.contains(found)


def test_numbers_of_other_types_are_taken_for_what_they_are():
    assert fitted(spaces.Discrete(3), np.int64(2)) == fitted(spaces.Discrete(3), 2.0) == 2
    assert fitted(spaces.Discrete(3), 1.5) is None
    assert fitted(spaces.Discrete(3), 3) is None
    assert fitted(spaces.MultiDiscrete([2, 3]), (1, 2)).tolist() == [1, 2]
    assert fitted(spaces.MultiDiscrete([2, 3]), [1]) is None
    assert fitted(spaces.Box(0, 1, (1,)), [float("nan")]) is None


@pytest.mark.parametrize(
    ("name", "params"), [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in SETTINGS]
)
def test_a_masked_value_is_illegal_and_an_unmasked_one_is_not(name, params):
    env = simarena.make(name, compact=True, **params)
    tried = 0
    env.reset(seed=1)
    while not env.unwrapped.over:
        seat = env.agent_selection
        space, mask = env.action_space(seat), env.observe(seat)["mask"]
        space.seed(tried)
        wrong = next((value for value in (space.sample() for _ in range(30)) if not allowed(space, mask, value)), "x")
        assert not np.asarray(mask).all() or wrong == "x" or not isinstance(space, spaces.Discrete)
        fork = env.unwrapped.fork()
        simarena.envs.compact.Compact(fork).step(wrong)
        assert set(fork.outcomes[seat]) >= {"illegal"}
        right = masked_sample(space, mask)
        env.step(right.tolist() if tried % 2 and hasattr(right, "tolist") else right)
        assert "illegal" not in env.unwrapped.outcomes[seat]
        tried += 1
    assert tried
