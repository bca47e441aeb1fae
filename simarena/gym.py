"""One seat of any environment as a gymnasium.Env; agents of any kind play the other seats.

    env = SeatEnv("roundtable", "solver_0", {"solver": "roundtable/independent"}, params={"task": "kks"})

Compact by default: numeric features and actions, with `action_masks()` as MaskablePPO reads it. With `compact=False`
the learner reads and writes text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gymnasium

from simarena import seeds
from simarena.agents.base import Agent, ScriptedAgent, Sitting
from simarena.backends.base import Backend
from simarena.backends.scripted import ScriptedBackend
from simarena.envs import make
from simarena.envs.base import PhaseEnv
from simarena.envs.compact import read_compact
from simarena.errors import SimArenaError, UnknownName
from simarena.records import Action, Completion, Request


class SeatEnv(gymnasium.Env[Any, Any]):
    """A match seen from one seat. The others' turns are played inside `reset` and `step`."""

    metadata: dict[str, Any] = {"render_modes": ["ansi"]}  # noqa: RUF012  (gymnasium's own convention)

    def __init__(
        self,
        env: str,
        seat: str,
        others: Mapping[str, str | Agent],
        *,
        params: Mapping[str, Any] | None = None,
        backends: Mapping[str, Backend] | None = None,
        compact: bool = True,
        render_mode: str | None = None,
    ) -> None:
        """`others`: seat or role -> agent, or the name of a policy. `backends`: those that language agents name."""
        self.match: PhaseEnv = make(env, **(params or {}))
        if seat not in self.match.possible_agents:
            raise UnknownName("seat", seat, self.match.possible_agents)
        self.seat, self.compact, self.render_mode = seat, compact, render_mode
        self.agents = self._cast(others)
        self.backends: dict[str, Backend] = {"scripted": ScriptedBackend(self._scripted), **(backends or {})}
        for agent in self.agents.values():
            if agent.backend not in self.backends:
                raise SimArenaError(f"agent {agent.name!r} asks a backend: pass backends={{{agent.backend!r}: ...}}")
        kind = "compact" if compact else "action"
        self.action_space = self.match._space(kind, seat)
        self.observation_space = self.match._space("compact_observation" if compact else "observation", seat)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._series, self._dealt = 0, 0

    def _cast(self, others: Mapping[str, str | Agent]) -> dict[str, Agent]:
        seats = self.match.possible_agents
        known = {*seats, *map(self.match.role, seats)}
        for name in others:
            if name not in known:
                raise UnknownName("seat or role", name, known)
        return {seat: self._agent(seat, others) for seat in seats if seat != self.seat}

    def _agent(self, seat: str, others: Mapping[str, str | Agent]) -> Agent:
        role = self.match.role(seat)
        agent = others.get(seat, others.get(role))
        if agent is None:
            raise SimArenaError(f"nobody sits in {seat!r}: give others an agent or a policy for {seat!r} or {role!r}")
        return ScriptedAgent(agent, agent) if isinstance(agent, str) else agent

    def _scripted(self, request: Request) -> str:
        seat = request.key.split("/")[1]
        agent = self.agents[seat]
        assert isinstance(agent, ScriptedAgent), "only scripted agents ask the scripted backend"
        return agent.answer(request)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Deal a match and play it up to the seat's first turn.

        `seed` begins a series: the matches of later unseeded resets follow from it, and no two series share any.
        """
        super().reset(seed=seed)
        self.match.reset(self._next_seed(seed), options)
        self._sittings: dict[str, Sitting] = {
            seat: agent.sit(seat, f"gym/{seat}", seeds.derive(self.match.seed)) for seat, agent in self.agents.items()
        }
        self._paid = 0.0
        self._play_others()
        return self._observation(), {}

    def _next_seed(self, seed: int | None) -> int:
        """Vector environments seed their copies s, s + 1, ...: counting up would deal the same matches in all."""
        if seed is not None:
            self._series, self._dealt = seed, 0
            return seed
        self._dealt += 1
        return seeds.derive("gym", self._series, self._dealt)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take the seat's turn, then play the others until it is asked again or the match is over."""
        if not self.match.over:
            self.match.step(read_compact(self.match, self.seat, action) if self.compact else action)
            info = dict(self.match.infos[self.seat])
            self._play_others()
        else:
            info = {}
        reward = self.match.returns[self.seat] - self._paid
        self._paid = self.match.returns[self.seat]
        ended, cut = self.match.terminations[self.seat], self.match.truncations[self.seat]
        return self._observation(), reward, ended, cut, info

    def action_masks(self) -> Any:
        """Flat 0/1 vector of legal compact actions now."""
        return self.match.observe_compact(self.seat)["mask"]

    def render(self) -> str:
        """The public log as text."""
        return self.match.render()

    def close(self) -> None:
        """Give the event loop back; backends belong to the caller."""
        if self._loop is not None:
            self._loop.close()
            self._loop = None

    def _observation(self) -> dict[str, Any]:
        return self.match.observe_compact(self.seat) if self.compact else self.match.observe(self.seat)

    def _play_others(self) -> None:
        while not self.match.over and self.match.agent_selection != self.seat:
            seat = self.match.agent_selection
            self.match.step(self._wait(self._sittings[seat].act(self.match.view(seat), self._ask)))

    def _wait(self, act: Coroutine[Any, Any, Action]) -> Action:
        """The end of `act`, on a loop of our own; in a thread where the caller (a notebook) runs a loop already."""
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._loop.run_until_complete(act)
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(self._loop.run_until_complete, act).result()

    async def _ask(self, request: Request) -> Completion:
        seat = request.key.split("/")[1]
        return await self.backends[self.agents[seat].backend].generate(request)
