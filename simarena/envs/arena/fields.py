"""What contestants and judges of the arena are asked for: action fields, instructions, and replies as text.

Knows no match and no seat.
"""

from __future__ import annotations

import json
from functools import lru_cache
from string import ascii_uppercase
from typing import Annotated

from pydantic import BaseModel, Field, create_model

from simarena.reading import Fields
from simarena.records import JSON

TIE = "tie"
LABELS = tuple(ascii_uppercase)
"""What judges call the answers in front of them; which seat wrote which they are not told."""


class Reply(Fields):
    """A contestant's turn: work first, then the answer."""

    reason: str
    answer: str


class BareReply(Fields):
    """A contestant's turn without a reason."""

    answer: str


class Verdict(Fields):
    """A judge's choice, reason first."""

    reason: str
    winner: str


class BareVerdict(Fields):
    """A judge's choice alone: what is weighed where probabilities of verdicts are wanted."""

    winner: str


class Move(Fields):
    """A move in a matrix game."""

    reason: str
    move: str


@lru_cache(maxsize=128)
def points(answers: int, top: int) -> type[BaseModel]:
    """Fields of a judge who gives `answers` answers 1..`top` points each, in the order of their letters."""
    each = Annotated[int, Field(ge=1, le=top)]
    scores = Annotated[list[each], Field(min_length=answers, max_length=answers)]
    return create_model("Points", __base__=Fields, reason=(str, ...), scores=(scores, ...))


def reply(reason: str, answer: str, reasons: bool) -> str:
    """A contestant's turn as the contestant would have written it."""
    fields: dict[str, JSON] = {"reason": reason, "answer": answer} if reasons else {"answer": answer}
    return json.dumps(fields, ensure_ascii=False)


def verdict(winner: str) -> str:
    """A judge's bare choice as the judge would have written it."""
    return json.dumps({"winner": winner}, ensure_ascii=False)


def listed(count: int, link: str = "and") -> str:
    """The first `count` letters in words: "A and B", "A, B and C"."""
    letters = LABELS[:count]
    return letters[0] if count == 1 else f"{', '.join(letters[:-1])} {link} {letters[-1]}"


def solve_rule(reasons: bool) -> str:
    """What a contestant is told to do."""
    return "Answer the question. First one short reason, then the answer." if reasons else "Answer the question."


def score_rule(count: int, top: int) -> str:
    """What a judge who gives points is told to do."""
    if count == 1:
        return f"Grade answer A from 1 (wrong) to {top} (right)."
    return f"Grade answers {listed(count)}, in this order, each from 1 (wrong) to {top} (right)."


def verdict_rule(count: int, ties: bool) -> str:
    """What a judge who picks the best answer is told to do."""
    rule = f"Which answer is {'better' if count == 2 else 'best'}: {listed(count, 'or')}?"
    return f'{rule} Say "{TIE}" where no answer is better.' if ties else rule
