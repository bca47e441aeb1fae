"""Held-out exams: an agent alone with questions that play and training never see; how many does it get right?

In: an agent, its backend and the question families. Out: a mark for every question, and accuracies with intervals.
Where what is learnt is no answer (a speech, a deal), the exam is a match on each question, marked by a measure of it.
Which questions are held out is told by their words, so exams and training sets agree on it without a list.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from simarena import envs, seeds
from simarena.agents.base import Agent
from simarena.backends.base import Backend
from simarena.errors import RequestFailed, ScenarioError
from simarena.identity import new_match
from simarena.records import JSON, Completion, Request
from simarena.registry import TASKS, lookup
from simarena.rollout import play
from simarena.tasks.base import QuestionFamily, Task
from simarena.tournament.intervals import two_sided

FIRST_SEED = 500_000_000
"""Scenarios count their tasks from 0."""
MOST_DRAWN = 50_000
"""Seeds that are looked at for one family before it counts as too small."""
CONFIDENCE = 0.95
TENTH = 10

Marks = dict[str, list[float]]
"""Family -> a mark for each question, 1.0 right, 0.0 wrong (or what a match was measured at); the same questions in the
same order for everyone."""
Others = Mapping[str, tuple[Agent, Backend]]
"""Name -> who sits in an exam's matches beside the examinee."""


def held_out(task: Task) -> bool:
    """Whether a question is kept for exams: a tenth of all, by their words.

    Seeds alone would not do: there are but some 4,000 three-person puzzles of the simple kinds, 10,000 sums of two
    numbers up to 99 and 2,200 small riddles, so that most of a new seed's questions have been asked before.
    """
    words = json.dumps([task.public.get("question"), task.private], sort_keys=True)
    return "question" in task.public and seeds.derive("held out", words) % TENTH == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """The questions of one family."""

    family: str
    params: dict[str, JSON]
    """Of the contest in which they are asked: an arena's, task and task parameters included."""
    seeds: tuple[int, ...]
    """Task seed of each question."""
    env: str = "arena"
    metric: str | None = None
    """A measure of the match that is played on each question; None: the examinee answers it alone."""
    others: Mapping[str, str] = field(default_factory=dict)
    """Seat -> who sits there in a match; all other seats are the examinee's."""


def papers(params: Mapping[str, JSON], size: int, skip: int = 0, only: Sequence[str] = ()) -> list[Paper]:
    """`size` held-out questions of each family that a match with these parameters may play, after the first `skip`.

    A mixture's families have papers of their own. ScenarioError for a task that asks no question with a right answer,
    for a name in `only` that is not played, and for a family without enough different questions.
    """
    task, knobs = str(params["task"]), dict(params.get("task_params") or {})
    made = lookup(TASKS, "task family", task)(**knobs)
    played = {name: each for name, each in families(made).items() if not only or name in only}
    if missing := sorted(set(only) - set(families(made))):
        raise ScenarioError(
            f"exam.families: {', '.join(missing)} not played here (played: {', '.join(families(made))})"
        )
    asked = {key: params[key] for key in ("reasons", "words", "source") if key in params}
    return [
        Paper(
            family=name,
            params={**asked, "task": name, "task_params": each.params.model_dump(mode="json")},
            seeds=tuple(kept(each, size, skip)),
        )
        for name, each in played.items()
    ]


def families(made: Any) -> dict[str, QuestionFamily]:
    """The families that a family's tasks are of; itself, but for a mixture."""
    found: dict[str, QuestionFamily] = getattr(made, "families", {made.name: made})
    if not all(isinstance(each, QuestionFamily) for each in found.values()):
        raise ScenarioError(f"task {made.name!r} asks no question with a right answer, so there is no exam in it")
    return found


def kept(family: QuestionFamily, size: int, skip: int = 0) -> list[int]:
    """Task seeds of `size` different held-out questions, after the first `skip` of them."""
    found, asked = list[int](), set[str]()
    for seed in itertools.islice(itertools.count(FIRST_SEED), MOST_DRAWN):
        task = family.generate(seed)
        words = str([task.public["question"], task.private])
        if held_out(task) and words not in asked:
            asked.add(words)
            found.append(seed)
        if len(found) == skip + size:
            return found[skip:]
    raise ScenarioError(
        f"{family.name} has {len(found)} different held-out questions with these parameters, {skip + size} are wanted; "
        "lower exam.questions or exam.final, or widen data.params"
    )


def in_matches(paper: Paper, env: str, params: Mapping[str, JSON], metric: str, others: Mapping[str, str]) -> Paper:
    """The paper as matches of `env`; `others` as in Paper."""
    task = {key: paper.params[key] for key in ("task", "task_params")}
    return replace(paper, env=env, params={**params, **task}, metric=metric, others=others)


async def sit(
    agent: Agent,
    backend: Backend,
    asked: Sequence[Paper],
    others: Others | None = None,
    noted: Callable[[], None] = lambda: None,
) -> Marks:
    """The agent's marks: it answers every question alone, in a contestant's seat, as it would in a match.

    Of a paper with a metric it plays a match on every question instead; `others` are those who sit there with it.
    `noted` hears of every question that is over.
    """
    crowd = {**(others or {}), agent.name: (agent, backend)}

    async def one(paper: Paper, seed: int) -> float:
        answered = _measured(agent, crowd, paper, seed) if paper.metric else _mark(agent, backend, paper, seed)
        mark = await answered
        noted()
        return mark

    marks = [asyncio.gather(*(one(paper, seed) for seed in paper.seeds)) for paper in asked]
    return {paper.family: list(await each) for paper, each in zip(asked, marks, strict=True)}


async def _mark(agent: Agent, backend: Backend, paper: Paper, seed: int) -> float:
    env = envs.make("arena", **paper.params)
    env.reset(seed=seed, options={"task_seed": seed})
    seat = "contestant_0"
    try:
        action = await agent.sit(seat, f"exam{paper.family}{seed}/{seat}", seed).act(env.view(seat), backend.generate)
    except RequestFailed:
        return 0.0
    return float(env.family.verify(env.task, (action.fields or {}).get("answer", "")))


async def _measured(agent: Agent, crowd: Others, paper: Paper, seed: int) -> float:
    """What a match on one question is measured at; 0 where it fails. Luck is the same for every examinee."""
    env = envs.make(paper.env, **paper.params)
    seats = {seat: paper.others.get(seat, agent.name) for seat in env.possible_agents}
    known = {name: name for name in seats.values()}
    match = new_match(paper.env, paper.params, seats, known, task_seed=seed, seed=seeds.derive("exam", seed))

    async def ask(request: Request) -> Completion:
        return await crowd[request.agent][1].generate(request)

    record = await play(match, env, {name: who for name, (who, _) in crowd.items()}, ask)
    if record.status != "done":
        return 0.0
    if paper.metric not in record.metrics:
        raise ScenarioError(f"exam.metric: a match has no {paper.metric!r} (it has {', '.join(record.metrics)})")
    return record.metrics[paper.metric]


# ---- what marks say --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


def accuracy(marks: Sequence[float]) -> Estimate:
    """Share of right answers, Wilson's interval."""
    n, z = len(marks), two_sided(CONFIDENCE)
    share = math.fsum(marks) / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(value=share, low=max(0.0, middle - half), high=min(1.0, middle + half))


def overall(members: Sequence[Marks]) -> float:
    """Mean over members of the mean over families of the accuracy."""
    return statistics.fmean(statistics.fmean(map(statistics.fmean, marks.values())) for marks in members)


def gain(before: Sequence[Marks], after: Sequence[Marks]) -> Estimate:
    """Change of `overall` from before to after, paired by question.

    A question's change is the mean over members; questions are drawn independently within each family, and the families
    are weighed alike: the variance is the sum over families of s^2 / n, over their number squared.
    """
    changes = {name: _changes(before, after, name) for name in before[0]}
    size = len(changes)
    value = statistics.fmean(map(statistics.fmean, changes.values()))
    variance = math.fsum(statistics.variance(each) / len(each) for each in changes.values() if len(each) > 1)
    half = two_sided(CONFIDENCE) * math.sqrt(variance) / size
    return Estimate(value=value, low=value - half, high=value + half)


def _changes(before: Sequence[Marks], after: Sequence[Marks], family: str) -> list[float]:
    """Of each question of a family: mean over members of the mark after minus the mark before."""
    rows = [
        [new - old for old, new in zip(one[family], other[family], strict=True)]
        for one, other in zip(before, after, strict=True)
    ]
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]
