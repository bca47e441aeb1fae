"""A backend that spells: one token a letter, prompts that only grow; and runs played with it for tests of pairs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from simarena.agents.language import LanguageAgent
from simarena.identity import new_match
from simarena.records import JSON, Completion, Match, Message, Request
from simarena.rollout import rollout
from simarena.store import Run, open_run, start_run

END = 0
ROLES = {"system": 1, "user": 2, "assistant": 3}
META = {"scenario_hash": "feedbeef", "name": "test", "env": "any", "seed": 0}
Reply = Callable[[Request], str]


def spelt(messages: Iterable[Message]) -> tuple[int, ...]:
    """A prompt's tokens: a role, letters, an end; what was sampled stands as it was sampled."""
    ids: list[int] = []
    for message in messages:
        ids += [ROLES[message.role]]
        ids += message.ids if message.ids is not None else (*map(ord, message.content), END)
    return (*ids, ROLES["assistant"])


def letters(ids: Iterable[int]) -> str:
    """The text of sampled tokens."""
    return "".join(chr(i) for i in ids if i > 3)


class Spelling:
    """Answers by a function of the request; weighs a text by another."""

    def __init__(self, reply: Reply, weigh: Callable[[Request, str], float] | None = None) -> None:
        self.reply, self.weigh = reply, weigh or (lambda request, text: -float(len(text)))

    async def generate(self, request: Request) -> Completion:
        prompt = spelt(request.messages)
        if request.score:
            scores = tuple((self.weigh(request, text), len(text)) for text in request.score)
            return Completion(text="", prompt_ids=prompt, scores=scores, version="v1")
        text = self.reply(request)
        ids = (*map(ord, text), END)
        return Completion(
            text=text, prompt_ids=prompt, ids=ids, logprobs=tuple(-0.5 for _ in ids), version=f"{request.agent}@1"
        )

    async def aclose(self) -> None:
        pass


def seated(
    env: str, params: Mapping[str, JSON], seats: Mapping[str, str], task: int = 0, seed: int = 0, unit: str = ""
) -> Match:
    """A match among agents that are known by their names."""
    return new_match(env, params, seats, {name: name for name in seats.values()}, task_seed=task, seed=seed, unit=unit)


def play(folder: Path, matches: Iterable[Match], backend: Spelling, repairs: int = 1) -> Run:
    """Play matches into a folder and open it."""
    matches = list(matches)
    names = {name for match in matches for name in match.seats.values()}
    agents = {name: LanguageAgent(name=name, backend="spelling", model="letters", repairs=repairs) for name in names}
    with start_run(folder, META) as run:
        report = asyncio.run(
            rollout(run, matches, agents, {"spelling": backend}, concurrency=1)
        )  # a fork after its parent
    assert report.failed == 0
    return open_run(folder)
