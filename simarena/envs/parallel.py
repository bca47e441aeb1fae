"""The Parallel view of an environment whose phases are all simultaneous: every round, one action a seat."""

from __future__ import annotations

from typing import Any

import gymnasium
from pettingzoo import ParallelEnv

from simarena.envs.base import PhaseEnv
from simarena.envs.compact import Compact
from simarena.errors import SimArenaError


class ParallelView(ParallelEnv):
    """Plays a PhaseEnv, or its numeric face, round by round. Actions of seats that a round does not ask are ignored."""

    metadata: dict[str, Any]

    def __init__(self, face: PhaseEnv | Compact) -> None:
        self.face = face
        self.match: PhaseEnv = face.unwrapped
        self.possible_agents = self.match.possible_agents
        self.metadata = {**self.match.metadata, "is_parallelizable": True}
        self.render_mode = self.match.render_mode
        self.agents: list[str] = []

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Deal a match. SimArenaError: a phase with several actors has an order under these parameters."""
        self.match.reset(seed, options)
        if any(phase.order != "simultaneous" for phase in self.match._script if len(phase.actors) > 1):
            raise SimArenaError(f"{self.match.name!r} with these parameters has ordered phases: use simarena.make")
        self.agents = self.possible_agents[:]
        return self._observations(), {seat: {} for seat in self.agents}

    def step(
        self, actions: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """One round: all seats that are asked act at once, unseen by one another."""
        before = dict(self.match.returns)
        asked = self.match.to_move
        for seat in asked:
            self.face.step(actions.get(seat))
        seats = self.agents
        rewards = {seat: self.match.returns[seat] - before[seat] for seat in seats}
        ended, cut = dict(self.match.terminations), dict(self.match.truncations)
        infos = {seat: dict(self.match.infos[seat]) if seat in asked else {} for seat in seats}
        observations = self._observations()
        if self.match.over:
            self.agents = []
        return observations, rewards, ended, cut, infos

    def _observations(self) -> dict[str, Any]:
        return {seat: self.face.observe(seat) for seat in self.agents}

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """That of the AEC environment."""
        return self.face.observation_space(agent)

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """That of the AEC environment."""
        return self.face.action_space(agent)

    def render(self) -> str:
        """The public log as text."""
        return self.match.render()

    def state(self) -> Any:
        """All seats' features, side by side."""
        return self.match.state()

    def close(self) -> None:
        """Nothing is held."""
