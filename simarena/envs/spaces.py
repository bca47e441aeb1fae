"""Spaces for learners: text of any script, and the numeric features and mask that go with it."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

MAX_TEXT = 40_000


class Utterance(spaces.Text):
    """Unicode text up to `max_length` characters. Gymnasium's Text holds ASCII letters and digits only."""

    def __init__(self, max_length: int = MAX_TEXT) -> None:
        super().__init__(max_length=max_length, min_length=0)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short random word: enough to be a bad action, quick to make."""
        letters = 'abcdefghijklmnopqrstuvwxyz {}[]":,0123456789é漢'
        size = int(self.np_random.integers(0, 24))
        return "".join(letters[i] for i in self.np_random.integers(0, len(letters), size))

    def contains(self, x: Any) -> bool:
        """Whether `x` is a text that fits."""
        return isinstance(x, str) and len(x) <= self.max_length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Utterance) and self.max_length == other.max_length

    def __hash__(self) -> int:
        return hash(("Utterance", self.max_length))

    def __repr__(self) -> str:
        return f"Utterance({self.max_length})"


def mask_size(space: gymnasium.Space[Any]) -> int:
    """Length of the flat mask of a compact action space: one place per value that can be forbidden."""
    if isinstance(space, spaces.Discrete):
        return int(space.n)
    if isinstance(space, spaces.MultiDiscrete):
        return int(np.sum(space.nvec))
    if isinstance(space, spaces.MultiBinary):
        return 2 * int(np.prod(space.shape))
    if isinstance(space, spaces.Box):
        return int(np.prod(space.shape))
    raise TypeError(f"a compact action space is Discrete, MultiDiscrete, MultiBinary or Box, not {space}")


def observation_space(features: int, mask: int, text: bool) -> spaces.Dict:
    """What a learner sees: `features` in [-1, 1], the flat `mask` of its compact actions and, if wanted, `text`."""
    parts: dict[str, gymnasium.Space[Any]] = {
        "features": spaces.Box(-1.0, 1.0, (features,), np.float32),
        "mask": spaces.Box(0, 1, (mask,), np.int8),
    }
    if text:
        parts["text"] = Utterance()
    return spaces.Dict(parts)
