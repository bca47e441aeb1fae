"""Records as bytes and back: what the store's rows hold.

JSON, compressed where that pays. Fields at their default are left out, so a record written today reads tomorrow, when
it has one field more.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simarena.records import JSON, Completion, Event, Match, Message, Request, Sampling, Trajectory, Turn, Usage

SMALL = 512
"""Bytes; shorter texts gain little from zlib, which takes 50 microseconds to start."""
PLAIN, DEFLATED = b"j", b"z"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def pack(value: JSON) -> bytes:
    """A JSON value as bytes."""
    raw = _encode(value).encode(errors="surrogatepass")
    return PLAIN + raw if len(raw) < SMALL else DEFLATED + zlib.compress(raw, 1)


def unpack(data: bytes) -> JSON:
    """The inverse of `pack`; ValueError or zlib.error where the bytes are damaged."""
    raw = zlib.decompress(data[1:]) if data[:1] == DEFLATED else data[1:]
    return json.loads(raw.decode(errors="surrogatepass"))


_DEFAULTS: dict[type[Any], tuple[tuple[str, Any], ...]] = {}


def _defaults(kind: type[Any]) -> tuple[tuple[str, Any], ...]:
    """(field, default) of a record class; fields without a default, or with a factory, have one that equals nothing."""
    if kind not in _DEFAULTS:
        _DEFAULTS[kind] = tuple((f.name, f.default) for f in dataclasses.fields(kind))
    return _DEFAULTS[kind]


def sparse(record: Any, leave_out: Iterable[str] = ()) -> dict[str, Any]:
    """The fields of a flat record that are not at their default, but for `leave_out`."""
    fields = {name: value for name, default in _defaults(type(record)) if (value := getattr(record, name)) != default}
    for name in leave_out:
        fields.pop(name, None)
    return fields


def match_json(match: Match) -> JSON:
    """A match as JSON."""
    return sparse(match)


def match_of(data: Mapping[str, JSON]) -> Match:
    """The inverse of `match_json`."""
    return Match(**data)


def body_json(trajectory: Trajectory) -> JSON:
    """What a trajectory holds beside its light results: turns, events and truth."""
    events = [tuple(event) for event in trajectory.events]
    return {"turns": [sparse(turn) for turn in trajectory.turns], "events": events, "truth": trajectory.truth}


def turns_of(rows: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Turns as `body_json` wrote them."""
    return tuple(Turn(**{**row, "calls": tuple(row["calls"])}) for row in rows)


def events_of(rows: Sequence[Sequence[Any]]) -> tuple[Event, ...]:
    """Events as `body_json` wrote them."""
    return tuple(Event(q, p, a, None if s is None else tuple(s), k, d) for q, p, a, s, k, d in rows)


def message_json(message: Message) -> JSON:
    """A message as JSON."""
    return [message.role, message.content] if message.ids is None else [message.role, message.content, message.ids]


def message_of(data: Sequence[Any]) -> Message:
    """The inverse of `message_json`."""
    return Message(data[0], data[1], tuple(data[2]) if len(data) > 2 else None)


def request_json(request: Request, messages: Sequence[str], schema: str) -> JSON:
    """A request as JSON; messages and schema are named by their hashes, the view is never stored."""
    data = sparse(request, ("key", "messages", "sampling", "schema", "view"))
    if sampling := sparse(request.sampling):
        data["sampling"] = sampling
    if messages:
        data["messages"] = messages
    if schema:
        data["schema"] = schema
    return data


def request_of(key: str, data: Mapping[str, Any], pool: Mapping[str, JSON]) -> Request:
    """The inverse of `request_json`; `pool` holds what the hashes stand for."""
    sampling = dict(data.get("sampling", {}))
    if "stop" in sampling:
        sampling["stop"] = tuple(sampling["stop"])
    rest = {
        "messages": tuple(message_of(pool[h]) for h in data.get("messages", ())),
        "sampling": Sampling(**sampling),
        "schema": pool[data["schema"]] if "schema" in data else None,
        "score": tuple(data.get("score", ())),
    }
    return Request(**{**data, "key": key, **rest})


def completion_json(completion: Completion) -> JSON:
    """A completion as JSON, without the prompt's tokens: the store keeps those as differences."""
    data = sparse(completion, ("prompt_ids", "usage"))
    if usage := sparse(completion.usage):
        data["usage"] = usage
    return data


def completion_of(data: Mapping[str, Any], prompt_ids: tuple[int, ...] | None) -> Completion:
    """The inverse of `completion_json`."""
    tuples = {name: tuple(data[name]) for name in ("ids", "logprobs") if name in data}
    if "scores" in data:
        tuples["scores"] = tuple((score, tokens) for score, tokens in data["scores"])
    return Completion(**{**data, **tuples, "prompt_ids": prompt_ids, "usage": Usage(**data.get("usage", {}))})
