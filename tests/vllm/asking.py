"""Requests as matches make them."""

from __future__ import annotations

from typing import Any

from simarena.records import Message, Request, Sampling

QUESTIONS = (
    "What is 17 + 25?",
    "Knights tell the truth, spies may lie. A says: B is a knave. Who is who?",
    "All wims are tals. Rex is a wim. Is Rex a tal?",
    "Write one word.",
)
FORM = 'Reply with JSON alone: {"reason": "...", "answer": "..."}'
GREEDY = Sampling(max_tokens=48)


def request(n: int = 0, turn: int = 0, **rest: Any) -> Request:
    """The n-th question, of one of many matches; uneven in length."""
    text = f"{QUESTIONS[n % 4]} {'Think well. ' * (n % 7)}{FORM}"
    messages = (Message("system", "You are contestant_0."), Message("user", text))
    rest = {"sampling": GREEDY, "messages": messages, "seed": n} | rest
    return Request(key=f"m{n}/contestant_0/{turn}", agent="a", model="nano", **rest)
