"""Training text for the nano models: what reference policies say in the environments, rendered as agents are prompted.

A course is an environment with parameters, a cast of policies and the roles to learn from. Each seat of each match gives
one conversation, in the very messages that a language agent in that seat would be sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from analysis.nano.training import Sequence_
from simarena import make, seeds
from simarena.agents import prompt
from simarena.backends.template import ChatTemplate
from simarena.records import JSON, Message, View
from simarena.registry import lookup_policy

FORM = "brief"
FIRST_SEED = 1_000_000_000
"""Scenarios count their tasks from 0 and exams from 500,000,000: what is trained on is never played or examined."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One kind of match to learn from."""

    name: str
    """The task family that it teaches, or the environment's part, e.g. "kks" or "debate/judge"."""
    env: str
    params: Mapping[str, JSON]
    cast: Mapping[str, str | tuple[str, ...]]
    """Role -> policy, or several that are drawn from for each seat."""
    learn: tuple[str, ...]
    """Roles whose words are learnt."""
    policy_params: Mapping[str, Mapping[str, JSON]] = field(default_factory=dict)
    """Policy -> its parameters."""
    matches: int = 1000


def conversations(course: Course, matches: range) -> Iterator[list[Message]]:
    """Every learnt seat's conversation in the matches with these numbers."""
    env = make(course.env, **course.params)
    policies: dict[str, Any] = {}
    for number in matches:
        seed = FIRST_SEED + seeds.derive(course.name, course.env, number) % 1_000_000_000
        env.reset(seed=seed)
        yield from played(env, course, policies, seed)


def played(env: Any, course: Course, policies: dict[str, Any], seed: int) -> Iterator[list[Message]]:
    """Play one match with the course's cast; yield the learnt seats' conversations."""
    seats = {seat: cast(course, env.role(seat), seed, seat) for seat in env.possible_agents}
    said: dict[str, list[Message]] = {seat: [] for seat in seats}
    while not env.over:
        for seat in env.to_move:
            view = env.view(seat)
            name = seats[seat]
            if name not in policies:
                policies[name] = lookup_policy(name)(**course.policy_params.get(name, {}))
            fields = policies[name].act(view, seeds.rng(seed, seat, env._steps))
            if env.role(seat) in course.learn and view.score is None:
                said[seat] += exchange(view, fields, bool(said[seat]))
            env.step(fields)
    return (messages for messages in said.values() if messages)


def exchange(view: View, fields: dict[str, JSON], later: bool) -> list[Message]:
    """The messages of one turn and the reply to learn."""
    asked = [prompt.turn(view, FORM)] if later else prompt.opening(view, "", FORM)
    return [*asked, Message("assistant", json.dumps(fields, ensure_ascii=False))]


def cast(course: Course, role: str, seed: int, seat: str) -> str:
    """Who plays a seat in this match."""
    choice = course.cast[role]
    return choice if isinstance(choice, str) else seeds.rng(seed, "cast", seat).choice(choice)


def sequence(template: ChatTemplate, messages: list[Message], course: str, end: int) -> Sequence_:
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
    return Sequence_(ids, learn, course)


def texts(conversations: Iterable[list[Message]]) -> Iterator[str]:
    """All contents, for the tokenizer."""
    return (message.content for messages in conversations for message in messages)
