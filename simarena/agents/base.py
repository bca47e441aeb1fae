"""What an agent is, and the one that needs no model: a scripted policy in a seat.

An agent is shared by all matches; a sitting is its memory of one seat in one match. Agents know views and requests;
they know no environment and no engine.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from simarena import seeds
from simarena.records import Action, Completion, Request, View
from simarena.registry import lookup_policy

Ask = Callable[[Request], Awaitable[Completion]]
"""Asks the agent's backend, with the run's record in between: what was answered before is not asked again."""


class Sitting(Protocol):
    """One agent in one seat of one match."""

    async def act(self, view: View, ask: Ask) -> Action:
        """Take the turn that `view` describes. Never raises for anything a model says."""
        ...


class Agent(Protocol):
    """Who sits in seats."""

    @property
    def name(self) -> str:
        """Unique in a run."""
        ...

    @property
    def backend(self) -> str:
        """Kind of the backend that answers its requests."""
        ...

    def sit(self, seat: str, key: str, seed: int) -> Sitting:
        """A fresh sitting. `key` is "match/seat"; its requests are numbered `key/0`, `key/1`, ..."""
        ...


class ScriptedAgent:
    """A reference policy in a seat. Its words go through a backend like any other, so they are on record alike."""

    backend = "scripted"

    def __init__(self, name: str, policy: str, params: dict[str, Any] | None = None) -> None:
        self.name = name
        self.model = policy
        self.policy = lookup_policy(policy)(**(params or {}))

    def sit(self, seat: str, key: str, seed: int) -> ScriptedSitting:
        """A fresh sitting."""
        return ScriptedSitting(self, seat, key, seed)

    def answer(self, request: Request) -> str:
        """The policy's reply to a request made by one of its sittings."""
        assert request.view is not None, "a scripted agent's request carries its view"
        return json.dumps(self.policy.act(request.view, seeds.rng(request.seed)), ensure_ascii=False)


class ScriptedSitting:
    """A policy's turns in one match; all it holds is how many it took."""

    __slots__ = ("agent", "asked", "key", "seat", "seed")

    def __init__(self, agent: ScriptedAgent, seat: str, key: str, seed: int) -> None:
        self.agent, self.seat, self.key, self.seed, self.asked = agent, seat, key, seed, 0

    async def act(self, view: View, ask: Ask) -> Action:
        """One request, one reading."""
        n, self.asked = self.asked, self.asked + 1
        request = Request(
            key=f"{self.key}/{n}",
            agent=self.agent.name,
            model=self.agent.model,
            seed=seeds.derive(self.seed, self.seat, n),
            view=view,
        )
        found = view.read((await ask(request)).text)
        return Action(found.fields, found.outcome, found.error)
