"""A finished match as builders read it: its turns, and behind each the very prompt, words and tokens.

Reads the store and nothing else; knows no environment, model or mark.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from simarena.preferences.record import Response
from simarena.records import Completion, Event, Match, Message, Request, Trajectory, Turn
from simarena.store import Run


class Dropped(NamedTuple):
    """Something that made no preference."""

    reason: str
    """In few words; drops are counted by it."""


REPAIRED = Dropped("asked again after an unusable reply")
SCRIPTED = Dropped("no prompt on record")
SILENT = Dropped("nothing was said")


@dataclass(frozen=True, slots=True)
class Said:
    """A reply on record, and the position it was given in."""

    played: Played
    turn: Turn
    prompt: tuple[Message, ...]
    prompt_ids: tuple[int, ...] | None
    response: Response
    """Words and tokens, without marks."""
    model: str
    """The base model that was asked."""


class Played:
    """A finished match; its words are read when they are asked for."""

    def __init__(self, run: Run, record: Trajectory, source: str = "") -> None:
        self.run, self.record = run, record
        self.source = source
        """Content hash of the run's scenario."""

    @property
    def match(self) -> Match:
        """What was played."""
        return self.record.match

    @property
    def turns(self) -> tuple[Turn, ...]:
        """All actions, in their order."""
        return self.record.turns

    @cached_property
    def answers(self) -> dict[str, Completion]:
        """Key -> completion."""
        return {key: answer.completion for key, answer in self.run.answers(self.match.id).items()}

    @cached_property
    def requests(self) -> dict[str, Request]:
        """Key -> request."""
        return self.run.requests(self.match.id)

    @cached_property
    def family(self) -> str:
        """Family of the task; of a mixture the family that was drawn, where the task says it."""
        return str(self.task.get("family") or self.match.params.get("task", ""))

    @property
    def task(self) -> dict[str, object]:
        """The public part of the task."""
        return next((event.data for event in self.events("task")), {})

    def events(self, kind: str) -> Iterator[Event]:
        """The log's entries of a kind."""
        return (event for event in self.record.events if event.kind == kind)

    def turns_in(self, kind: str) -> list[Turn]:
        """The turns of phases whose name begins with `kind`: "answer", "sample", "speech", ..."""
        return [turn for turn in self.turns if turn.phase.startswith(kind)]

    def said(self, turn: Turn) -> Said | Dropped:
        """What was said in a turn, where it was said in reply to the plain question, at first try."""
        if not turn.calls:
            return SCRIPTED
        if len(turn.calls) > 1:
            return REPAIRED
        (key,) = turn.calls
        request, completion = self.requests[key], self.answers[key]
        if not request.messages:
            return SCRIPTED
        if not completion.text and not completion.ids:
            return SILENT
        ids = completion.ids
        response = Response(
            messages=(Message("assistant", completion.text),),
            ids=ids,
            mask=None if ids is None else (True,) * len(ids),
            turns=None if ids is None else (0,) * len(ids),
            logprobs=completion.logprobs,
            agent=turn.agent,
            version=completion.version,
            outcome=turn.outcome,
            source=(key,),
        )
        return Said(self, turn, plain(request.messages), completion.prompt_ids, response, request.model)


def plain(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Messages without tokens: those stand beside, for the whole prompt."""
    return tuple(Message(message.role, message.content) for message in messages)
