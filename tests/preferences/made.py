"""Preferences made up for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simarena.preferences.record import Preference, Response, preference
from simarena.records import Message


def reply(text: str, score: float = 0.0, **rest: Any) -> Response:
    """A response of one turn, a token a letter."""
    ids = tuple(map(ord, text))
    parts: dict[str, Any] = {
        "messages": (Message("assistant", text),),
        "ids": ids,
        "mask": (True,) * len(ids),
        "turns": (0,) * len(ids),
    }
    return Response(**{**parts, "score": score, **rest})


def compared(responses: Sequence[Response], prompt: str = "What is 2 + 2?", **rest: Any) -> Preference:
    """A preference of responses, best first."""
    gap = responses[0].score - responses[-1].score
    parts: dict[str, Any] = {
        "builder": "duel",
        "prompt": (Message("system", "You answer."), Message("user", prompt)),
        "prompt_ids": (1, *map(ord, prompt), 2),
        "responses": tuple(responses),
        "magnitude": gap,
    }
    return preference(**{**parts, **rest})


def some(count: int) -> list[Preference]:
    """Pairs that differ."""
    return [
        compared((reply(f'{{"answer": "{2 * n}"}}', 1.0), reply(f'{{"answer": "{2 * n + 1}"}}')), f"What is {n} + {n}?")
        for n in range(count)
    ]
