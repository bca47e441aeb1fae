"""The numeric face of any environment: a plain RL algorithm can sit in any seat and learn something."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from pettingzoo.utils.wrappers import BaseWrapper

from simarena.envs.base import PhaseEnv
from simarena.records import Action


class Compact(BaseWrapper):
    """Same match, numbers in place of words: actions in `compact_space`, observations of features and mask.

    A masked value is an illegal action: the phase's default is applied and the flag counted, as for text.
    """

    env: PhaseEnv

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """Discrete, MultiDiscrete, MultiBinary or Box."""
        return self.env._space("compact", agent)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Dict of `features` (Box in [-1, 1]) and `mask` (flat 0/1 vector over the action space's values)."""
        return self.env._space("compact_observation", agent)

    def observe(self, agent: str) -> dict[str, Any]:
        """Features and mask of a seat."""
        return self.env.observe_compact(agent)

    def step(self, action: Any) -> None:
        """Take a compact action for the seat to move."""
        seat = self.env.agent_selection
        if action is None or self.env.terminations[seat] or self.env.truncations[seat]:
            self.env.step(action)
        else:
            self.env.step(read_compact(self.env, seat, action))


def read_compact(env: PhaseEnv, seat: str, action: Any) -> Action:
    """A compact action as fields of the present phase; illegal where the space or the mask forbids it."""
    space = env._space("compact", seat)
    value = fitted(space, action)
    if value is None:
        return Action(None, "illegal", f"{str(action)[:200]!r} is not in {space}")
    if not allowed(space, env.compact_mask(seat), value):
        return Action(None, "illegal", f"{str(action)[:200]!r} is masked now")
    return Action(env.compact_action(seat, value))


def fitted(space: gymnasium.Space[Any], action: Any) -> Any:
    """`action` as a value of `space`, lists and other number types included; None where it is none."""
    try:
        value = np.asarray(action)
        with np.errstate(all="ignore"):  # NaN and numbers out of range
            fits = value.shape == space.shape and bool(np.all(value == value.astype(space.dtype)))
    except (ValueError, TypeError, OverflowError):
        return None
    value = value.astype(space.dtype) if fits else value
    if not fits or not space.contains(value):
        return None
    return int(value) if isinstance(space, gymnasium.spaces.Discrete) else value


def allowed(space: gymnasium.Space[Any], mask: Any, action: Any) -> bool:
    """Whether the flat `mask` lets `action` pass."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return bool(mask[int(action) - int(space.start)])
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        offset = 0
        for value, size in zip(action.ravel(), space.nvec.ravel(), strict=True):
            if not mask[offset + int(value)]:
                return False
            offset += int(size)
        return True
    if isinstance(space, gymnasium.spaces.MultiBinary):
        return all(mask[2 * i + int(bit)] for i, bit in enumerate(action.ravel()))
    return True
