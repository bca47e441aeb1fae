"""Training text for the nano models: what reference policies say in the environments, rendered as agents are prompted.

A course is an environment with parameters and a cast of policies. Each seat whose player is to be learnt from gives one
conversation a match, in the very messages that a language agent in that seat would be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from analysis.nano.training import Example
from simarena import make, seeds
from simarena.agents import prompt
from simarena.backends.template import ChatTemplate
from simarena.exams import held_out
from simarena.records import JSON, Message, View
from simarena.registry import lookup_policy

FORM = "brief"
FIRST_SEED = 1_000_000_000
"""Scenarios count their tasks from 0, exams from 500,000,000."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A policy in a seat of a course."""

    policy: str
    params: Mapping[str, JSON] = field(default_factory=dict)
    learn: bool = True
    """False: it is only there to be heard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One kind of match to learn from."""

    name: str
    """What it teaches: a task family, or a scenario."""
    env: str
    params: Mapping[str, JSON]
    cast: Mapping[str, tuple[Teacher, ...]]
    """Seat or role -> who may sit there; one is drawn for each seat and match."""
    matches: int


def conversations(course: Course, matches: range, label: str = "") -> Iterator[list[Message]]:
    """Every learnt seat's conversation in the matches with these numbers; other labels, other matches."""
    env = make(course.env, **course.params)
    made: dict[int, Any] = {}
    for number in matches:
        seed = FIRST_SEED + seeds.derive(label, course.name, str(course.params), number) % 1_000_000_000
        env.reset(seed=seed)
        if held_out(env.task):
            continue
        yield from played(env, course, made, seed)


def played(env: Any, course: Course, made: dict[int, Any], seed: int) -> Iterator[list[Message]]:
    """Play one match with the course's cast; yield the learnt seats' conversations."""
    seats = {seat: drawn(course, env.role(seat), seat, seed) for seat in env.possible_agents}
    said: dict[str, list[Message]] = {seat: [] for seat in seats}
    while not env.over:
        for seat in env.to_move:
            view, teacher = env.view(seat), seats[seat]
            if id(teacher) not in made:
                made[id(teacher)] = lookup_policy(teacher.policy)(**teacher.params)
            fields = made[id(teacher)].act(view, seeds.rng(seed, seat, env._steps))
            if teacher.learn and view.score is None:
                said[seat] += exchange(view, fields, bool(said[seat]))
            env.step(fields)
    return (messages for messages in said.values() if messages)


def drawn(course: Course, role: str, seat: str, seed: int) -> Teacher:
    """Who plays a seat in this match."""
    return seeds.rng(seed, "cast", seat).choice(course.cast.get(seat) or course.cast[role])


def exchange(view: View, fields: dict[str, JSON], later: bool) -> list[Message]:
    """The messages of one turn and the reply to learn."""
    asked = [prompt.turn(view, FORM)] if later else prompt.opening(view, "", FORM)
    return [*asked, Message("assistant", json.dumps(fields, ensure_ascii=False))]


def collect(courses: list[Course], label: str = "", chunk: int = 500) -> list[tuple[str, list[Message]]]:
    """(course name, conversation) of all courses, in their order; played on all cores."""
    jobs = [
        (course, range(start, min(start + chunk, course.matches)), label)
        for course in courses
        for start in range(0, course.matches, chunk)
    ]
    with ProcessPoolExecutor(max_workers=2) as pool:
        parts = pool.map(_part, *zip(*jobs, strict=True))
        return [(job[0].name, messages) for job, part in zip(jobs, parts, strict=True) for messages in part]


def _part(course: Course, matches: range, label: str) -> list[list[Message]]:
    return list(conversations(course, matches, label))


def example(template: ChatTemplate, messages: list[Message], course: str, end: int) -> Example:
    """A conversation in tokens; the assistant's words and the end token after them are learnt."""
    ids: list[int] = []
    learn: list[bool] = []
    for at, message in enumerate(messages):
        if message.role != "assistant":
            continue
        asked = template.encode(messages[:at])
        said = [*template.continuation(message.content), end]
        learn += [False] * (len(asked) - len(ids)) + [True] * len(said)
        ids = asked + said
    return Example(ids, learn, course)
