"""Play a match again from its record, without asking anybody, and compare it turn by turn.

`replay` feeds the recorded actions to a fresh environment: the record stands for itself, agents and models may be gone.
`reenact` also seats the agents again and answers them from the record: it shows that the same prompts are still built.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from simarena import envs
from simarena.agents.base import Agent
from simarena.errors import StoreError
from simarena.records import Action, Completion, Event, Match, Request, Trajectory, Turn
from simarena.rollout import apply, check_same, deal, play, recorded
from simarena.store import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What came of playing a match again."""

    match: str
    turns: int
    """Turns whose state hash was compared and equal."""
    difference: str = ""
    """The first thing that differs, in words; "" where nothing does."""

    @property
    def same(self) -> bool:
        """Whether the match came out as recorded."""
        return not self.difference


def replay(run: Run, match_id: str) -> Replay:
    """Apply the recorded actions to a fresh environment and compare every state."""
    record = run.trajectory(match_id)
    env = envs.make(record.match.env, **record.match.params)
    deal(record.match, env)
    turns: list[Turn] = []
    for turn in record.turns:
        if env.over or env.agent_selection != turn.seat:
            mover = "nobody" if env.over else env.agent_selection
            return Replay(
                match=match_id, turns=turn.n, difference=f"turn {turn.n}: {turn.seat} acted, now {mover} would"
            )
        action = Action(turn.fields, turn.outcome, turn.error)
        turns.append(apply(record.match, env, turn.seat, action, turn.calls, turn.n))
        if turns[-1] != turn:
            return compare(record, recorded(record.match, env, turns, "stopped at the first difference"))
    if record.status == "done" and not env.over:
        return Replay(match=match_id, turns=len(turns), difference="the match would go on after its last recorded turn")
    return compare(record, recorded(record.match, env, turns, record.error))


def retold(record: Trajectory, match: Match) -> Trajectory:
    """What the same turns come to in another match: one whose parameters nobody hears of before its end."""
    env = envs.make(match.env, **match.params)
    deal(match, env)
    turns: list[Turn] = []
    for turn in record.turns:
        action = Action(turn.fields, turn.outcome, turn.error)
        turns.append(apply(match, env, turn.seat, action, turn.calls, turn.n))
    return recorded(match, env, turns, record.error)


async def reenact(run: Run, match_id: str, agents: Mapping[str, Agent]) -> Replay:
    """Seat the agents again and answer them from the record; compare every prompt and every state."""
    record, answers = run.trajectory(match_id), run.answers(match_id)

    async def ask(request: Request) -> Completion:
        if request.key not in answers:
            raise StoreError(f"{request.key} was not asked before")
        check_same(request, answers[request.key])
        return answers[request.key].completion

    if record.status == "failed":
        raise StoreError(
            f"match {match_id} failed ({record.error}); only finished matches can be played by their agents"
        )
    try:
        again = await play(record.match, envs.make(record.match.env, **record.match.params), agents, ask)
    except StoreError as error:
        return Replay(match=match_id, turns=0, difference=str(error))
    return compare(record, again)


def compare(record: Trajectory, again: Trajectory) -> Replay:
    """The first difference between a record and another play of the same match."""
    name = record.match.id
    for n, (old, new) in enumerate(zip(record.turns, again.turns, strict=False)):
        if old != new:
            return Replay(match=name, turns=n, difference=f"turn {n} ({old.seat}, {old.phase}): {_turns(old, new)}")
    size = min(len(record.turns), len(again.turns))
    if len(record.turns) != len(again.turns):
        words = f"{len(record.turns)} turns on record, {len(again.turns)} now"
        return Replay(match=name, turns=size, difference=words)
    return Replay(match=name, turns=size, difference=_ends(record, again))


def _turns(old: Turn, new: Turn) -> str:
    for part in ("seat", "agent", "phase", "calls", "fields", "outcome", "error", "state"):
        if getattr(old, part) != getattr(new, part):
            return f"{part} was {getattr(old, part)!r}, now {getattr(new, part)!r}"
    raise AssertionError("two turns that differ differ in a part")


def _ends(record: Trajectory, again: Trajectory) -> str:
    """What differs at the end of two matches of the same turns."""
    events = _events(record.events, again.events)
    for part in ("returns", "metrics", "outcomes", "verdicts", "decided"):
        old, new = getattr(record, part), getattr(again, part)
        if old != new:
            return f"{part} were {old}, now {new}"
    return events


def _events(old: Iterable[Event], new: Iterable[Event]) -> str:
    for before, now in zip(old, new, strict=False):
        if before != now:
            return f"event {before.seq} was {before.kind} {before.data}, now {now.kind} {now.data}"
    return ""
