"""A finished match as builders read it: its turns, and behind each the very prompt, words and tokens.

Reads the store and nothing else; knows no environment, model or mark.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
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
UNDECIDED = Dropped("no judge decided the match")
REWRITTEN = Dropped("a later prompt does not extend the earlier one")


def usable(turn: Turn) -> bool:
    """Whether what a turn handed in was applied, cut to length or whole."""
    return turn.fields is not None and turn.outcome not in ("malformed", "illegal")


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
    def conditions(self) -> str:
        """The environment's parameters as canonical JSON: what is worked out of them is kept under it."""
        return json.dumps(self.match.params, sort_keys=True)

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

    @cached_property
    def probes(self) -> frozenset[tuple[str, str]]:
        """(seat, phase) of the questions out of band, which leave no trace in what follows."""
        return frozenset((event.author, event.phase) for event in self.events("probe"))

    def own(self, seat: str) -> list[Turn]:
        """A seat's turns in its conversation, in their order; probes left out."""
        return [turn for turn in self.turns if turn.seat == seat and (seat, turn.phase) not in self.probes]

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

    def spoken(self, turns: Sequence[Turn]) -> Said | Dropped:
        """Several turns of one seat's conversation as one response to the first one's prompt.

        Between own turns stand the tokens of the later prompt, which has to extend the earlier one and its reply,
        token for token; only what the seat sampled itself is masked in.
        """
        parts: list[Said] = []
        for turn in turns:
            found = self.said(turn)
            if isinstance(found, Dropped):
                return found
            parts.append(found)
        whole = parts[0].response
        prompts = [part.prompt for part in parts]
        for n, (before, part) in enumerate(pairwise(parts), 1):
            heard = prompts[n][len(prompts[n - 1]) + 1 :]
            if prompts[n][: len(prompts[n]) - len(heard)] != prompts[n - 1] + before.response.messages:
                return REWRITTEN
            tokens = _between(before, part)
            if isinstance(tokens, Dropped):
                return tokens
            whole = _joined(whole, heard, tokens, part.response, n)
        return replace(parts[0], response=whole)


def _between(before: Said, after: Said) -> tuple[int, ...] | Dropped | None:
    """The tokens between two replies; None where tokens are not on record."""
    if before.prompt_ids is None or before.response.ids is None or after.prompt_ids is None:
        return None
    known = before.prompt_ids + before.response.ids
    return after.prompt_ids[len(known) :] if after.prompt_ids[: len(known)] == known else REWRITTEN


def _joined(
    whole: Response, heard: tuple[Message, ...], between: tuple[int, ...] | None, part: Response, turn: int
) -> Response:
    """A response and the next turn in one."""
    joined = replace(
        whole,
        messages=(*whole.messages, *heard, *part.messages),
        source=whole.source + part.source,
        outcome=part.outcome if whole.outcome == "ok" else whole.outcome,
    )
    if between is None or None in (whole.ids, whole.mask, whole.turns, part.ids):
        return replace(joined, ids=None, mask=None, turns=None, logprobs=None)
    own = part.ids or ()
    sure = whole.logprobs is not None and part.logprobs is not None
    return replace(
        joined,
        ids=(*(whole.ids or ()), *between, *own),
        mask=(*(whole.mask or ()), *(False,) * len(between), *(True,) * len(own)),
        turns=(*(whole.turns or ()), *(-1,) * len(between), *(turn,) * len(own)),
        logprobs=(*(whole.logprobs or ()), *(part.logprobs or ())) if sure else None,
    )


def plain(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """Messages without tokens: those stand beside, for the whole prompt."""
    return tuple(Message(message.role, message.content) for message in messages)
