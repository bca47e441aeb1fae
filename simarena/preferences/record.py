"""The native preference record: one decision, and the responses that were compared there, best first.

Everything that is exported or trained on is a projection of it. Holds what was recorded (words, tokens, log-probs,
marks); knows no model, no file format but its own JSON lines, and no loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TextIO

from simarena.identity import content_hash
from simarena.records import JSON, Message, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What one agent said at a decision, from its first word there to its last."""

    messages: tuple[Message, ...]
    """Begins with the reply at the decision; a segment goes on with what was asked next (user), the next reply, ..."""
    ids: tuple[int, ...] | None = None
    """Tokens from the prompt's end to this response's last token, others' words and template between turns included."""
    mask: tuple[bool, ...] | None = None
    """Per token of `ids`: the agent sampled it itself. Only these carry loss."""
    turns: tuple[int, ...] | None = None
    """Per token of `ids`: which own turn it belongs to, from 0; -1 where it is not the agent's own."""
    logprobs: tuple[float, ...] | None = None
    """Behaviour log-probability of each True of `mask`, in nats."""
    agent: str = ""
    version: str = ""
    """Model and adapter version that sampled it."""
    score: float = 0.0
    """Its mark, all annotators together; higher is better."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Annotator -> mark."""
    orders: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Annotator -> its mark in each order of reading, where it read in several."""
    ballots: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    """Annotator -> (judgements asked of it, of these unusable, of these counted in its mark). Of a judge that reads in
    both orders both count or none. {}: whoever was asked gave every judgement."""
    objectives: Mapping[str, float] = field(default_factory=dict)
    """Objective -> mark, where there is more than one."""
    truth: float | None = None
    """1.0 right, 0.0 wrong, or what the rules themselves say it is worth; None: not known."""
    outcome: Outcome = "ok"
    """What became of it as an action; of several turns the first that is not "ok"."""
    source: tuple[str, ...] = ()
    """Keys of the completions it was recorded as: "match/seat/n"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """One decision: a prompt, and k responses to it."""

    id: str
    """Hash of what it says; the same pair built twice has the same id."""
    builder: str
    """Which builder made it."""
    prompt: tuple[Message, ...]
    prompt_ids: tuple[int, ...] | None = None
    """Tokens of the prompt as they were sent."""
    responses: tuple[Response, ...]
    """Best first; two for a pair, one for a pointwise mark."""
    magnitude: float = 0.0
    """How much better the best is than the worst, in the builder's unit."""
    weight: float = 1.0
    model: str = ""
    """Name or path of the base model whose tokenizer made the ids."""
    env: str = ""
    family: str = ""
    """Task family, e.g. "kks"; "" where the environment has none."""
    phase: str = ""
    run: str = ""
    """Content hash of the run's scenario."""
    match: str = ""
    unit: str = ""
    """Matches that count as one comparison share it; a train/test split keeps it whole."""
    seat: str = ""
    turn: int = 0
    """Number of the action in the match."""


def preference(**parts: Any) -> Preference:
    """A preference, named by its content."""
    made = Preference(id="", **parts)
    said = [[m.content for m in made.prompt], [[m.content for m in r.messages] for r in made.responses]]
    return Preference(id=content_hash([made.builder, made.match, made.seat, made.turn, *said]), **parts)


def write_jsonl(records: Iterable[Preference], out: TextIO) -> int:
    """One record a line; returns how many."""
    count = 0
    for record in records:
        out.write(json.dumps(to_line(record), ensure_ascii=False) + "\n")
        count += 1
    return count


def read_jsonl(lines: Iterable[str]) -> Iterator[Preference]:
    """The inverse of `write_jsonl`; ValueError, TypeError or KeyError where a line is no such record."""
    for line in lines:
        if line.strip():
            yield from_line(json.loads(line))


def to_line(record: Preference) -> JSON:
    """A record as JSON; fields at their default are left out."""
    data = sparse(record, ("prompt", "responses"))
    data["prompt"] = [message_line(m) for m in record.prompt]
    data["responses"] = [
        {**sparse(r, ("messages",)), "messages": [message_line(m) for m in r.messages]} for r in record.responses
    ]
    return data


def from_line(data: Mapping[str, Any]) -> Preference:
    """The inverse of `to_line`; an unknown key is a TypeError."""
    responses = tuple(
        Response(**{**tupled(r), "messages": tuple(map(message_of, r["messages"]))}) for r in data["responses"]
    )
    rest = {k: v for k, v in tupled(data).items() if k not in ("prompt", "responses")}
    return Preference(**rest, prompt=tuple(map(message_of, data["prompt"])), responses=responses)


def message_line(message: Message) -> JSON:
    """Role and words; tokens stand beside, for the whole prompt or response."""
    return [message.role, message.content]


def message_of(line: Any) -> Message:
    """The inverse of `message_line`; ValueError where it is none."""
    if not isinstance(line, list) or len(line) != 2 or not all(isinstance(part, str) for part in line):
        raise ValueError(f"a message is [role, words], not {str(line)[:60]}")
    return Message(*line)


def sparse(record: Any, apart: tuple[str, ...]) -> dict[str, Any]:
    """The fields that are set, but for those in `apart`."""
    named = ((f.name, getattr(record, f.name), f.default) for f in fields(record) if f.name not in apart)
    return {name: value for name, value, usual in named if value != usual and value != {}}


def tupled(data: Mapping[str, Any]) -> dict[str, Any]:
    """JSON lists as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
