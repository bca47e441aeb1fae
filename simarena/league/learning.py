"""How a member becomes its next version: training on its lessons, and the proof that it was the right weights.

The one place of a league that touches weights, and lazily. Whatever else a league does works with any other way to
learn that has this signature.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simarena.agents.language import LanguageAgent
from simarena.casting import Cast
from simarena.errors import SimArenaError
from simarena.league_spec import Training
from simarena.preferences.record import Preference
from simarena.records import JSON, Message, Request

REPLIES = 4
"""Recorded decisions whose first and last reply are scored again after an update."""
TOLERANCE = 2e-3
"""Nats per token by which trainer and backend may differ; they add up in another order."""
UNCHANGED = 1e-5
"""Nats per token; below it an update has done nothing."""


class LeagueError(SimArenaError):
    """A league that must not go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one member learns in one round."""

    agent: str
    """Name or file of the version that learns."""
    member: str
    version: str
    """The new version's, without the member's name."""
    folder: Path
    """For everything that comes of it."""
    records: Sequence[Preference]
    how: Training
    seed: int
    rivals: tuple[str, ...] = ()
    """Other agents, for losses that compare with them."""
    source: Mapping[str, JSON] = field(default_factory=dict)
    """Where the records came from."""
    report: Callable[[str], None] = lambda _: None
    """Hears how far the learning is, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What came of a lesson."""

    file: Path
    """Agent file of the new version."""
    about: dict[str, JSON]


Learn = Callable[[Lesson], Learnt]


def train(lesson: Lesson) -> Learnt:
    """Train the member's adapter on its lessons; goes on from the last checkpoint where it was stopped."""
    from simarena.training.arguments import Arguments
    from simarena.training.run import train_agent

    how = lesson.how
    said = {"seed": lesson.seed, **how.arguments, "opponents": lesson.rivals}
    arguments = Arguments(**{**said, "loss": how.loss, "params": how.params})

    made = train_agent(
        lesson.agent,
        lesson.records,
        lesson.folder,
        arguments,
        name=lesson.member,
        version=lesson.version,
        source=lesson.source,
        report=lambda metrics: lesson.report(metrics.line()),
    )
    lesson.report("are the backend's weights the trained ones?")
    return Learnt(
        file=made.agent,
        about={
            "steps": made.meta["steps"],
            "scores": made.meta["scores"],
            "pairs": made.meta["pairs"],
            "check": checked(lesson.agent, str(made.agent), lesson.records),
        },
    )


# ---- the right weights -----------------------------------------------------------------------------------------------


def checked(before: str, after: str, records: Sequence[Preference]) -> dict[str, JSON]:
    """Score recorded replies by trainer and backend; LeagueError where they differ, or where nothing has changed."""
    replies = [
        (record.prompt, response.messages[0].content)
        for record in records[:REPLIES]
        for response in (record.responses[0], record.responses[-1])
        if response.messages[0].content
    ]
    old, new, ids, sizes = asyncio.run(_by_backend(before, after, replies))
    own = _by_trainer(after, ids)
    gap = max(abs(a - b) / n for a, b, n in zip(own, new, sizes, strict=True))
    change = max(abs(a - b) / n for a, b, n in zip(old, new, sizes, strict=True))
    if gap > TOLERANCE:
        raise LeagueError(
            f"{after}: trainer and backend score the same replies {gap:.2g} nats a token apart (at most "
            f"{TOLERANCE:g}); the backend does not serve the weights that were trained"
        )
    if change < UNCHANGED:
        raise LeagueError(
            f"{after}: after training every reply is as likely as before ({change:.1g} nats a token); raise "
            "league.train.arguments.learning_rate, or look at the pairs"
        )
    return {"replies": len(replies), "trainer_to_backend": gap, "changed": change}


Ids = tuple[tuple[int, ...], tuple[int, ...]]
"""Prompt and continuation in tokens."""


async def _by_backend(
    before: str, after: str, replies: Sequence[tuple[Sequence[Message], str]]
) -> tuple[list[float], list[float], list[Ids], list[int]]:
    """Log-probabilities of the replies under both versions, and their tokens."""
    from simarena.training.policy import find_learner, read_template

    cast = Cast()
    names = [cast.add(before), cast.add(after)]
    agents = cast.agents()
    template, _ = read_template(find_learner(after))
    async with cast.backends(agents) as backends:

        async def score(name: str, n: int) -> Any:
            agent = agents[name]
            assert isinstance(agent, LanguageAgent), "only language agents are trained"
            prompt, text = replies[n]
            request = Request(
                key=f"check/{name}/{n}",
                agent=name,
                model=agent.model,
                adapter=agent.adapter,
                messages=tuple(prompt),
                score=(text,),
            )
            return await backends[agent.backend].generate(request)

        found = [await asyncio.gather(*(score(name, n) for n in range(len(replies)))) for name in names]
    old, new = ([each.scores[0][0] for each in row] for row in found)
    ids = [
        (tuple(each.prompt_ids or ()), tuple(template.continuation(text)))
        for each, (_, text) in zip(found[1], replies, strict=True)
    ]
    return old, new, ids, [each.scores[0][1] for each in found[1]]


def _by_trainer(agent: str, ids: Sequence[Ids]) -> list[float]:
    """Log-probabilities of the continuations as the trainer reads the agent's weights."""
    import torch

    from simarena.training.policy import find_learner, load_policy
    from simarena.training.scorer import score
    from simarena.training.trie import Sequence as Tokens
    from simarena.training.trie import pack

    policy = load_policy(find_learner(agent))
    rows = [
        Tokens(ids=(*prompt, *said), mask=(*(False for _ in prompt), *(True for _ in said))) for prompt, said in ids
    ]
    with torch.no_grad():
        return [float(each.sum()) for row in rows for each in score(policy.model, pack([row], budget=len(row.ids)))]
