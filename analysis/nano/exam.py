"""Held-out exams of the nano agents: right answers, readable turns, and how well they judge live duels."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simarena import make, seeds
from simarena.agents.base import Agent
from simarena.backends.base import Backend
from simarena.envs.base import PhaseEnv
from simarena.records import Action, Match, Trajectory
from simarena.rollout import play

FIRST_SEED = 500_000_000


async def answers(agent: Agent, backend: Backend, params: Mapping[str, Any], tasks: Iterable[int]) -> list[float]:
    """1.0 or 0.0 for each held-out task: the agent answers alone, as a contestant of the arena."""

    async def one(seed: int) -> float:
        env = make("arena", **params)
        env.reset(seed=FIRST_SEED + seed)
        view = env.view("contestant_0")
        action = await agent.sit("contestant_0", f"exam{seed}/contestant_0", seed).act(view, backend.generate)
        answer = (action.fields or {}).get("answer", "")
        return float(env.family.verify(env.task, answer))

    return list(await asyncio.gather(*(one(seed) for seed in tasks)))


async def accuracies(
    agents: Mapping[str, Agent], backend: Backend, families: Mapping[str, Mapping[str, Any]], size: int
) -> dict[str, dict[str, float]]:
    """Agent -> family -> share of `size` held-out tasks answered right."""
    table: dict[str, dict[str, float]] = defaultdict(dict)
    for name, agent in agents.items():
        for family, task_params in families.items():
            marks = await answers(agent, backend, {"task": family, "task_params": dict(task_params)}, range(size))
            table[name][family] = sum(marks) / len(marks)
    return dict(table)


async def matches(
    env: str, params: Mapping[str, Any], casts: Sequence[Mapping[str, Agent]], backend: Backend, first: int = 0
) -> list[Trajectory]:
    """Play one match per cast (seat -> agent), all at once."""

    async def one(number: int, cast: Mapping[str, Agent]) -> Trajectory:
        seed = FIRST_SEED + first + number
        match = Match(
            id=f"exam-{env}-{seed}",
            env=env,
            params=dict(params),
            seats={seat: agent.name for seat, agent in cast.items()},
            task_seed=seed,
            seed=seeds.derive("exam", seed),
        )
        made: PhaseEnv = make(env, **params)
        return await play(match, made, {agent.name: agent for agent in cast.values()}, backend.generate)

    return list(await asyncio.gather(*(one(i, cast) for i, cast in enumerate(casts))))


def readable(played: Iterable[Trajectory]) -> float:
    """Share of turns that were read without repair."""
    counts: dict[str, int] = defaultdict(int)
    for trajectory in played:
        for outcomes in trajectory.outcomes.values():
            for outcome, count in outcomes.items():
                counts[outcome] += count
    return counts["ok"] / max(1, sum(counts.values()))


def first_failures(played: Iterable[Trajectory], limit: int = 5) -> list[tuple[str, str, str, Action | None]]:
    """A few turns that could not be read, for people to look at: seat, phase, error."""
    found = []
    for trajectory in played:
        for turn in trajectory.turns:
            if turn.outcome not in ("ok",) and len(found) < limit:
                found.append((turn.seat, turn.phase, turn.error, None))
    return found
