"""Planted preferences in the tokens of the tiny model: "yes" is better than "no", whatever was asked."""

from __future__ import annotations

from typing import Any

from simarena.preferences.record import Preference, Response, preference
from simarena.records import Message
from tests.tiny import tokenizer

ASKED = [
    "save or burn",
    "the tax moves money",
    "who burns",
    "system to user",
    "one or two",
    "money to save",
    "yes",
    "no",
]


def record(n: int = 0, *, template: Any, **changes: Any) -> Preference:
    """The n-th pair, in tokens."""
    prompt = (Message("user", ASKED[n % len(ASKED)] + " ?" * (n // len(ASKED))),)
    parts: dict[str, Any] = {
        "builder": "duel",
        "prompt": prompt,
        "prompt_ids": tuple(template.encode(prompt)),
        "responses": (
            reply("yes", template, score=2.0, ann=1, bob=0, cat=1),
            reply("no", template, ann=0, bob=1, cat=0),
        ),
        "magnitude": 1.0 + n % 3,
        "match": f"m{n // 2}",
        "seat": "pro_0",
        "turn": n,
        "family": "toy",
    }
    return preference(**(parts | changes))


def reply(text: str, template: Any, score: float = 0.0, **scores: float) -> Response:
    """A response in tokens, its end token included."""
    ids = (*template.continuation(text), template.tokenizer.eos_token_id)
    own = (True,) * len(ids)
    return Response(
        messages=(Message("assistant", text),),
        ids=ids,
        mask=own,
        turns=(0,) * len(ids),
        score=score,
        scores=scores,
        truth=float(text == "yes"),
        agent="ann",
        source=("m/pro_0/0",),
    )


def chat() -> Any:
    """The tiny model's template."""
    from simarena.backends.template import ChatTemplate

    return ChatTemplate(tokenizer(), "tiny")
