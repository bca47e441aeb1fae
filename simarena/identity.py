"""Content keys: the same work has the same name, in every execution and on every machine.

A match is named by what it plays; a request is recognised by what it asks. Knows no file and no model.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from simarena.errors import UnknownName
from simarena.records import JSON, Match, Message, Request, Sampling

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


def content_hash(value: JSON, size: int = 16) -> str:
    """`size` hexadecimal digits that stand for a JSON value; the order of keys does not matter."""
    return hashlib.sha256(_encode(value).encode(errors="surrogatepass")).hexdigest()[:size]


def new_match(
    env: str,
    params: Mapping[str, JSON],
    seats: Mapping[str, str],
    agents: Mapping[str, str],
    *,
    task_seed: int,
    seed: int,
    unit: str = "",
    cell: Mapping[str, JSON] | None = None,
) -> Match:
    """A match, named by its content.

    `seats` says who sits where, `agents` what each of these names stands for: a hash of the agent's file and weights,
    so that two agents of one name never share a match. `unit` groups matches and is no part of the name.
    """
    if unknown := sorted(set(seats.values()) - set(agents)):
        raise UnknownName("agent", unknown[0], agents)
    cell = dict(cell or {})
    who = {seat: [name, agents[name]] for seat, name in seats.items()}
    key = content_hash([env, dict(params), who, task_seed, seed, cell])
    return Match(
        id=key,
        env=env,
        params=dict(params),
        seats=dict(seats),
        task_seed=task_seed,
        seed=seed,
        unit=unit or key,
        cell=cell,
    )


def message_hash(message: Message) -> str:
    """What a message is pooled under."""
    return content_hash([message.role, message.content, message.ids], 32)


def request_digest(request: Request, messages: tuple[str, ...]) -> str:
    """What a request asks, without its key and seed (which follow from the match); `messages` are their hashes.

    A scripted request has no messages; the position it was made in stands for them.
    """
    view = request.view
    place = [view.seat, view.phase, view.step] if view is not None and not messages else None
    parts = [request.agent, request.model, request.adapter, messages, request.schema, request.score, place]
    return content_hash([*parts, sampling_json(request.sampling)], 32)


def sampling_json(sampling: Sampling) -> JSON:
    """Sampling settings as JSON, without those that are as usual."""
    return {name: value for name in SAMPLING if (value := getattr(sampling, name)) != getattr(USUAL, name)}


USUAL = Sampling()
SAMPLING = ("temperature", "top_p", "top_k", "max_tokens", "stop")
