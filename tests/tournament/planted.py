"""Results with planted skills, for tests of ratings and schedules."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from simarena.tournament.results import Comparisons, Result
from simarena.tournament.schedule import Format, Pairing


def result(
    agents: Sequence[str], scores: Sequence[float], *, task: object = 0, match: str = "", unit: str = ""
) -> Result:
    k = len(agents)
    unit = unit or f"{'|'.join(sorted(agents))}#{task}"
    return Result(
        match=match or f"{unit}/{agents}",
        unit=unit,
        task=str(task),
        seats=tuple(f"seat_{i}" for i in range(k)),
        agents=tuple(agents),
        scores=tuple(map(float, scores)),
        invalid=(0,) * k,
        turns=(1,) * k,
    )


def play(pairing: Pairing, skill: Mapping[str, float], seed: int, seat: float = 0.0, ties: float = 0.0) -> Result:
    """Scores are skill plus Gumbel noise, so that two seats meet by Bradley-Terry's law (nats)."""
    draw = random.Random(f"{seed}/{pairing}")
    noise = [-np.log(-np.log(draw.random())) for _ in pairing.agents]
    scores = [
        skill[agent] + n + seat * (i == 0) for i, (agent, n) in enumerate(zip(pairing.agents, noise, strict=True))
    ]
    if draw.random() < ties:
        scores = [0.0] * len(scores)
    return result(pairing.agents, scores, task=pairing.task, unit=pairing.unit)


def tournament(
    kind: Format, skill: Mapping[str, float], seed: int = 0, seats: int = 2, **law: float
) -> tuple[list[Result], int]:
    """(results, rounds) of a whole tournament."""
    history: list[Result] = []
    rounds = 0
    while todo := kind.next_round(list(skill), history, seats=seats, seed=seed):
        history += [play(pairing, skill, seed, **law) for pairing in todo]
        rounds += 1
        assert rounds < 2000, "the tournament does not end"
    return history, rounds


def comparisons(
    skill: np.ndarray,
    tasks: int,
    seed: int,
    *,
    seat: float = 0.0,
    tie: float = 0.0,
    task_seat: float = 0.0,
    task_skill: float = 0.0,
) -> Comparisons:
    """A full round robin with swapped seats by Davidson's law; `task_*`: spread of what a task adds."""
    rng, n = np.random.default_rng(seed), len(skill)
    pairs = np.array([(i, j) for i in range(n) for j in range(n) if i != j])
    first, second = np.tile(pairs, (tasks, 1)).T
    task = np.repeat(np.arange(tasks), len(pairs))
    there = skill + rng.normal(0, 1, (tasks, n)) * task_skill
    d = there[task, first] - there[task, second] + seat + (rng.normal(0, 1, tasks) * task_seat)[task]
    odds = np.stack([np.exp(-d / 2), np.full(len(d), tie), np.exp(d / 2)], axis=1)
    outcome = (rng.random(len(d))[:, None] > np.cumsum(odds / odds.sum(axis=1, keepdims=True), axis=1)).sum(axis=1)
    zero = np.zeros(len(d), dtype=np.intp)
    return Comparisons(
        agents=tuple(f"a{i}" for i in range(n)),
        seats=("first", "second"),
        first=first,
        second=second,
        first_seat=zero,
        second_seat=zero + 1,
        outcome=np.minimum(outcome, 2),
        weight=np.ones(len(d)),
        task=task,
        unit=(task * n + np.minimum(first, second)) * n + np.maximum(first, second),
    )
