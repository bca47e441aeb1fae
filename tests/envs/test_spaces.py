"""Spaces for learners: any Unicode text is an utterance; a mask has a place for each value that can be forbidden."""

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from simarena.envs.spaces import MAX_TEXT, Utterance, mask_size, observation_space


@given(st.text())
def test_every_text_that_fits_is_an_utterance(text):
    assert Utterance().contains(text)
    assert Utterance(3).contains(text) == (len(text) <= 3)


def test_utterances_compare_and_sample_by_their_length():
    one, two = Utterance(), Utterance()
    assert one == two
    assert hash(one) == hash(two)
    assert one != Utterance(5)
    assert not one.contains(None)
    assert not one.contains("x" * (MAX_TEXT + 1))
    one.seed(3), two.seed(3)
    drawn = [one.sample() for _ in range(20)]
    assert drawn == [two.sample() for _ in range(20)]
    assert all(text in one for text in drawn)
    assert len(set(drawn)) > 10


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Discrete(4, start=2), 4),
        (spaces.MultiDiscrete([2, 3, 4]), 9),
        (spaces.MultiDiscrete([[2, 3], [4, 5]]), 14),
        (spaces.MultiBinary(3), 6),
        (spaces.Box(0, 1, (2, 3)), 6),
    ],
)
def test_the_size_of_a_mask(space, size):
    assert mask_size(space) == size


def test_other_spaces_have_no_mask():
    with pytest.raises(TypeError, match="compact action space"):
        mask_size(spaces.Text(3))


def test_an_observation_has_text_only_where_wanted():
    assert set(observation_space(2, 3, text=False)) == {"features", "mask"}
    space = observation_space(2, 3, text=True)
    seen = {"features": np.zeros(2, np.float32), "mask": np.ones(3, np.int8), "text": "答え"}
    assert space.contains(seen)
    assert not space.contains({**seen, "features": np.full(2, 2, np.float32)})
