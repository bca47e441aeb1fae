"""Held-out exams of the nano agents: right answers, readable turns, and how well they judge live duels."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from analysis.nano.courses import FAMILIES
from simarena import make, paths, scenario, seeds
from simarena.agents.base import Agent, ScriptedAgent
from simarena.backends.base import Backend
from simarena.backends.scripted import ScriptedBackend
from simarena.exams import FIRST_SEED, kept
from simarena.identity import new_match
from simarena.records import Completion, Request, Trajectory
from simarena.registry import TASKS, lookup
from simarena.rollout import play

SKIPPED = 200
"""Held-out questions of each family by whose answers settings were once chosen; what is reported is on later ones."""


def exam_seeds(family: str, size: int) -> list[int]:
    """Task seeds of `size` different questions that were kept from training, and that nothing was chosen by."""
    return kept(lookup(TASKS, "task family", family)(**FAMILIES[family]), size, SKIPPED)


async def accuracy(agent: Agent, backend: Backend, family: str, size: int) -> float:
    """Share of held-out questions that the agent, alone in a contestant's seat, answers right; with a reason."""
    params = {"task": family, "task_params": FAMILIES[family]}

    async def mark(seed: int) -> float:
        env = make("arena", **params)
        env.reset(seed=seed)
        sitting = agent.sit("contestant_0", f"exam{seed}/contestant_0", seed)
        action = await sitting.act(env.view("contestant_0"), backend.generate)
        return float(env.family.verify(env.task, (action.fields or {}).get("answer", "")))

    marks = await asyncio.gather(*map(mark, exam_seeds(family, size)))
    return sum(marks) / len(marks)


async def played(
    casts: Iterable[tuple[str, Mapping[str, Any], Mapping[str, Agent], int]], backend: Backend
) -> list[Trajectory]:
    """Play (environment, parameters, seat -> agent, task seed), all at once."""

    async def one(env: str, params: Mapping[str, Any], cast: Mapping[str, Agent], seed: int) -> Trajectory:
        agents = {agent.name: agent for agent in cast.values()}
        match = new_match(
            env,
            params,
            {seat: agent.name for seat, agent in cast.items()},
            {name: name for name in agents},
            task_seed=seed,
            seed=seeds.derive("exam", seed),
        )
        return await play(match, make(env, **params), agents, backend.generate)

    return list(await asyncio.gather(*(one(*cast) for cast in casts)))


def scenario_casts(
    agents: Sequence[Agent], size: int
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Agent], int]]:
    """`size` matches of every cell of every shipped scenario at mini scale, the agents taking turns in all seats."""
    turn = itertools.cycle(agents)
    for name in paths.scenario_names():
        for cell in scenario.ready_cells(scenario.load(paths.find_scenario(name), scale="mini")):
            for number in range(size):
                yield cell.scenario.env, cell.params, {seat: next(turn) for seat in cell.seats}, FIRST_SEED + number


def readable(trajectories: Iterable[Trajectory]) -> dict[str, float]:
    """Environment -> share of turns that were read without repair and not cut."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for trajectory in trajectories:
        for outcomes in trajectory.outcomes.values():
            counts[trajectory.match.env].update(outcomes)
    return {env: count["ok"] / count.total() for env, count in sorted(counts.items())}


def unreadable(trajectories: Iterable[Trajectory]) -> Iterator[str]:
    """A line for each turn that was not read at once, for people to look at."""
    for trajectory in trajectories:
        for turn in trajectory.turns:
            if turn.outcome != "ok":
                yield f"{trajectory.match.env} {turn.seat} {turn.phase}: {turn.outcome}: {turn.error[:160]}"


def duel_casts(
    tribe: Sequence[Agent], family: str, size: int, judging: str
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Agent], int]]:
    """Duels over held-out questions: every pair in turn, all others judge, the reason with the answer."""
    pairs = list(itertools.permutations(tribe, 2))
    params = {"task": family, "task_params": FAMILIES[family], "m": len(tribe), "judging": judging, "weigh": "reply"}
    for number, seed in enumerate(exam_seeds(family, size)):
        first, second = pairs[number * 7 % len(pairs)]
        judges = [agent for agent in tribe if agent not in (first, second)]
        cast = {"contestant_0": first, "contestant_1": second}
        yield "arena", params, {**cast, **{f"judge_{i}": judge for i, judge in enumerate(judges)}}, seed


def labels(duels: Iterable[Trajectory]) -> dict[str, tuple[float, int]]:
    """Of duels with exactly one right answer: "panel" and each judge -> (share labelled right, how many).

    A duel that the panel leaves undecided counts as not labelled right.
    """
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for duel in duels:
        if duel.metrics.get("exactly_one_right") != 1.0:
            continue
        seen["panel"] += 1
        right["panel"] += duel.metrics.get("label_accuracy", 0.0) == 1.0
        for seat, name in duel.match.seats.items():
            if seat.startswith("judge_") and f"label_right/{seat}" in duel.metrics:
                seen[name] += 1
                right[name] += duel.metrics[f"label_right/{seat}"] == 1.0
    return {name: (right[name] / count, count) for name, count in sorted(seen.items())}


DEBATED: dict[str, dict[str, int]] = {
    "six_sentences": {"sentences": 6, "people": 3},
    "eight_sentences": {"sentences": 8, "people": 4},
}
"""The stories about which a debater is examined."""
JUDGE = ScriptedAgent("inattentive", "debate/quote_counter", {"attention": 0.5})
"""Who decides its debates: it notices half of the false quotations, and has not read the story."""


async def debated(agent: Agent, backend: Backend, story: Mapping[str, int], size: int) -> list[Trajectory]:
    """A debate of one round on each of `size` held-out questions; the agent argues both answers."""
    params = {"task": "story", "task_params": dict(story), "rounds": 1, "words": {"told": 60, "most": 80}}
    cast = {"debater_0": agent, "debater_1": agent, "judge_0": JUDGE}
    asked = kept(lookup(TASKS, "task family", "story")(**story), size, SKIPPED)
    return await played((("debate", params, cast, seed) for seed in asked), Judged(backend))


class Judged:
    """A model's backend, with the judge of its debates."""

    def __init__(self, backend: Backend) -> None:
        self.backends = {True: ScriptedBackend(JUDGE.answer), False: backend}

    async def generate(self, request: Request) -> Completion:
        """The judge's answer, or the model's."""
        return await self.backends[request.agent == JUDGE.name].generate(request)

    async def aclose(self) -> None:
        """The model's backend stays open for others."""


def quoting(debates: Sequence[Trajectory]) -> dict[str, float]:
    """How often speeches for the right and for the wrong answer quote truly, and falsely; and the judge's accuracy."""
    marks: dict[bool, list[list[str]]] = {True: [], False: []}
    for debate in debates:
        defended = {e.audience[0]: e.data["you defend"] for e in debate.events if e.audience and "you defend" in e.data}
        said = {e.data["by"]: e.data["marks"] for e in debate.events if e.kind == "quotes"}
        for seat, option in defended.items():
            marks[option == debate.truth["answer"]].append(said.get(seat, []))
    shares = {
        f"{side}_{mark}": sum(mark in each for each in marks[right]) / len(marks[right])
        for side, right in (("right", True), ("wrong", False))
        for mark in ("verified", "unverified")
    }
    return {**shares, "judge": sum(debate.metrics["accuracy"] for debate in debates) / len(debates)}
