"""Learners' faces of a match: spaces, observations, and the log as text. Reads the match, never changes it."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from simarena.envs import spaces
from simarena.envs.contract import Contract


class Faces(Contract):
    """How a learner sees a seat: features, a mask of compact actions and, if it reads, text."""

    _spaces: dict[str, gymnasium.Space[Any]]
    _shown: dict[str, int]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """Text: the action as a JSON object. `simarena.envs.compact` offers the numeric space."""
        return self._space("action", agent)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Dict of text (new events), numeric features, and the mask of compact actions."""
        return self._space("observation", agent)

    def _space(self, which: str, seat: str) -> gymnasium.Space[Any]:
        key = f"{which}/{seat}"
        if key not in self._spaces:
            if which == "action":
                self._spaces[key] = spaces.Utterance()
            elif which == "compact":
                self._spaces[key] = self.compact_space(seat)
            else:
                size = spaces.mask_size(self.compact_space(seat))
                self._spaces[key] = spaces.observation_space(
                    self._feature_size(seat), size, text=which == "observation"
                )
        return self._spaces[key]

    def _feature_size(self, seat: str) -> int:
        """Measured on a match of its own, so that spaces can be asked for before `reset`."""
        probe = type(self)(**self.params.model_dump())
        probe.reset(seed=0)
        return len(probe.features(seat))

    def observe(self, agent: str) -> dict[str, Any]:
        """What a learner in seat `agent` sees now."""
        return {**self.observe_compact(agent), "text": self._text(agent)}

    def observe_compact(self, seat: str) -> dict[str, Any]:
        """Features and mask; the mask is all ones while the seat has nothing to decide."""
        moving = not self.over and seat in self.to_move
        mask = self.compact_mask(seat) if moving else np.ones(spaces.mask_size(self._space("compact", seat)))
        return {
            "features": np.asarray(self.features(seat), np.float32).clip(-1.0, 1.0),
            "mask": np.asarray(mask, np.int8),
        }

    def _text(self, seat: str) -> str:
        new = [e for e in self.visible(seat, self._shown[seat]) if e.author != seat]
        text = "\n".join(f"{e.author or 'arena'} {e.kind}: {json.dumps(e.data, ensure_ascii=False)}" for e in new)
        return text[-spaces.MAX_TEXT :]

    def render(self) -> str:
        """The public log as text."""
        lines = (
            f"[{e.phase}] {e.author or 'arena'} {e.kind}: {json.dumps(e.data, ensure_ascii=False)}"
            for e in self.log
            if e.audience is None
        )
        return "\n".join(lines)

    def close(self) -> None:
        """Nothing is held."""

    def state(self) -> NDArray[np.float32]:
        """All seats' features, side by side."""
        return np.concatenate([np.asarray(self.features(seat), np.float32) for seat in self.possible_agents])
