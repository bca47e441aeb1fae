"""The nouns that every room shares: frozen records without behaviour.

Knows no environment, no model and no file. Anything here can be written as JSON with `to_json`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pydantic import BaseModel

Outcome = Literal["ok", "repaired", "malformed", "illegal", "truncated"]
"""What became of a reply: `ok` and `repaired` were applied; the others had the phase's default applied, or, where
there is none (a judge's verdict), nothing. `truncated`: cut by a length limit. A speech that overran its word limit is
applied, cut, and flagged so too."""

Verdicts = dict[str, dict[str, list[int]]]
"""Judge's seat -> order in which it read (see `envs.phases.ReadingOrder`) -> [verdicts given, verdicts missed]."""

JSON = Any
"""Anything `json.dumps` writes: dict, list, str, int, float, bool, None."""


class Event(NamedTuple):
    """One thing that happened in a match. What a seat sees is a function of the log of these, and of its name."""

    seq: int
    """Position in the log, from 0."""
    phase: str
    """Name of the phase it happened in; "deal" before the first."""
    author: str
    """The seat that acted, or "" for the environment itself."""
    audience: tuple[str, ...] | None
    """Seats that may see it; None: everybody; (): nobody (kept for the record only)."""
    kind: str
    """What it is: "task", "card", "act", "note", "probe", "outcome", "verdict", ..."""
    data: dict[str, JSON]
    """Its content."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text says when read as an action."""

    fields: dict[str, JSON] | None
    """The action's fields, or None where the text holds no legal action."""
    outcome: Outcome
    error: str = ""
    """Why it could not be read, in words that a model can act on."""
    how: str = "strict"
    """"strict": the whole text was one JSON object; "extracted": one was found within the text."""


@dataclass(frozen=True, slots=True)
class Action:
    """What a seat does in a phase."""

    fields: dict[str, JSON] | None
    """None: nothing usable was said; the phase's default is applied."""
    outcome: Outcome = "ok"
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """Asks an agent to weigh given texts instead of writing one: log-probabilities, nothing sampled."""

    continuations: tuple[str, ...]
    """The candidate replies, as the agent itself would have written them."""
    view: View | None = None
    """The position in which they are weighed (a contestant's, for likelihood judging); None: the asking view itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A match as one seat may see it, when it is that seat's turn."""

    env: str
    seat: str
    role: str
    phase: str
    """Name of the phase, e.g. "speech 2"."""
    kind: str
    """What is asked for, the same in every match: "argue", "vote", "answer", "grade", ..."""
    step: int
    """Actions taken in the match so far, all seats together."""
    brief: str
    """Rules and role, in words."""
    instruction: str
    """What to do now, in words."""
    task: dict[str, JSON]
    """The public part of the task."""
    card: dict[str, JSON]
    """The seat's own private card."""
    events: tuple[Event, ...]
    """What this seat may see and has not yet been shown, oldest first."""
    history: Callable[[], tuple[Event, ...]]
    """All that this seat may see, oldest first; built when called."""
    fields: type[BaseModel]
    """The action's fields."""
    schema: dict[str, JSON]
    """The action's JSON Schema, with this moment's legal values as enums."""
    choices: Mapping[str, Sequence[JSON]]
    """Legal values now, for fields that have a finite set of them."""
    read: Callable[[str], Reading]
    """Reads a reply as an action of this phase, legality included."""
    probe: bool = False
    """Asked out of band: question and answer never enter a later context."""
    score: Score | None = None
    """Set where the action is log-probabilities of given texts: fields are {"logprobs": [...], "tokens": [...]}."""
    budget: dict[str, int] = field(default_factory=dict)
    """What is left to spend, e.g. {"words": 100}."""


class Message(NamedTuple):
    """One message of a prompt."""

    role: str
    """system | user | assistant"""
    content: str
    ids: tuple[int, ...] | None = None
    """An assistant message's tokens as they were sampled, so that the next prompt extends the last, token for token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an agent draws its tokens."""

    temperature: float = 0.0
    """0: greedy."""
    top_p: float = 1.0
    top_k: int = 0
    """0: off."""
    max_tokens: int = 512
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a model."""

    key: str
    """Who asks: "match/seat/n"; the same in every execution of the run."""
    agent: str
    model: str
    """Path or name of the model; for scripted agents, the policy."""
    adapter: str | None = None
    messages: tuple[Message, ...] = ()
    sampling: Sampling = Sampling()
    seed: int = 0
    schema: dict[str, JSON] | None = None
    """JSON Schema of the answer, for engines that can hold a model to it."""
    score: tuple[str, ...] = ()
    """Continuations to score; where given, nothing is sampled."""
    view: View | None = None
    """For scripted policies only; never stored, never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a completion cost."""

    prompt: int = 0
    """Tokens."""
    cached: int = 0
    """Of `prompt`, those whose prefix the engine had kept."""
    completion: int = 0
    """Tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A model's answer."""

    text: str
    finish: Literal["stop", "length", "refusal", "too_long"] = "stop"
    """`length`: max_tokens reached; `too_long`: the prompt did not fit, nothing was sampled."""
    prompt_ids: tuple[int, ...] | None = None
    ids: tuple[int, ...] | None = None
    """Sampled tokens, end token included where one was sampled."""
    logprobs: tuple[float, ...] | None = None
    """Natural log-probability of each sampled token under the sampled-from model at temperature 1."""
    scores: tuple[tuple[float, int], ...] = ()
    """(sum of log-probs, tokens) of each continuation asked for."""
    usage: Usage = Usage()
    version: str = ""
    """What answered: model and adapter version."""
    how: str = ""
    """How the answer was held to its schema: "json_schema", "guided", "" (not at all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One play of one task, before it is played."""

    id: str
    """Content key: hash of scenario, cell, task seed and seating; asking for the same match again finds the old one."""
    env: str
    params: dict[str, JSON]
    """The environment's parameters, sweep cell applied."""
    seats: dict[str, str]
    """Seat -> agent name."""
    task_seed: int
    """Fixes the task; shared by the matches of a unit and by all cells of a sweep."""
    seed: int
    """Fixes everything else that is random in this match, and the sampling seeds of its turns."""
    unit: str = ""
    """Matches that count as one comparison (the two games of a swapped pair) share it."""
    cell: dict[str, JSON] = field(default_factory=dict)
    """The sweep's coordinates, e.g. {"depth": 2}."""
    parent: str = ""
    """Id of the match that this one was forked from; "": none."""
    turn: int = 0
    """How many of the parent's actions it begins with."""
    asked_as: str = ""
    """Id of the same match without its judges' weights, which it was asked as before they were known; "": its own."""

    @property
    def filed(self) -> str:
        """What the keys of its requests begin with."""
        return self.asked_as or self.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One action as it happened."""

    n: int
    seat: str
    agent: str
    phase: str
    calls: tuple[str, ...]
    """Keys of the completions that led to it, repair turns included."""
    fields: dict[str, JSON] | None
    """What the seat handed in; the log holds what was applied."""
    outcome: Outcome
    state: str
    """Hash of the match's state after the action."""
    error: str = ""
    """What was wrong with it, in the words that the seat's agent found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The record of a finished match."""

    match: Match
    status: Literal["done", "failed"]
    turns: tuple[Turn, ...] = ()
    events: tuple[Event, ...] = ()
    returns: dict[str, float] = field(default_factory=dict)
    """Seat -> sum of rewards."""
    metrics: dict[str, float] = field(default_factory=dict)
    truth: JSON = None
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    """Seat -> outcome -> count."""
    verdicts: Verdicts = field(default_factory=dict)
    decided: bool = True
    """False where no judge gave the verdict that the match turns on: it compares nobody, and is no tie."""
    error: str = ""
    """Why it failed, for status "failed"."""


def to_json(record: Any) -> JSON:
    """A record as plain JSON values; tuples become lists. Events become objects."""
    if isinstance(record, Event):
        return {**record._asdict(), "audience": None if record.audience is None else list(record.audience)}
    if isinstance(record, tuple) and hasattr(record, "_asdict"):
        return {key: to_json(value) for key, value in record._asdict().items()}
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {f.name: to_json(getattr(record, f.name)) for f in dataclasses.fields(record)}
    if isinstance(record, Mapping):
        return {key: to_json(value) for key, value in record.items()}
    if isinstance(record, (list, tuple)):
        return [to_json(value) for value in record]
    return record
