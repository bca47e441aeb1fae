"""What debaters, critics and judges say: the fields of every action of a debate.

Knows no match. Which of these a phase asks for is decided by the parameters (`script`).
"""

from __future__ import annotations

from pydantic import Field

from simarena.reading import Fields

MAX_QUOTES = 6
"""Quotations per speech."""


class Speech(Fields):
    """A speech."""

    argument: str


class QuotedSpeech(Fields):
    """A speech with its quotations, each a piece of the source, word for word."""

    argument: str
    quotes: list[str] = Field(default=[], max_length=MAX_QUOTES)


class ThoughtSpeech(Fields):
    """A speech after some thinking that nobody else sees; thinking stands first, to be written first."""

    thinking: str = ""
    argument: str


class ThoughtQuotedSpeech(Fields):
    """A speech with quotations after some thinking that nobody else sees."""

    thinking: str = ""
    argument: str
    quotes: list[str] = Field(default=[], max_length=MAX_QUOTES)


class Critique(Fields):
    """What a critic says about a draft."""

    critique: str


class Question(Fields):
    """What a judge asks the debaters."""

    question: str


class Belief(Fields):
    """One of the answers, and how likely it is to be right: in percent."""

    answer: str
    confidence: float = Field(ge=0, le=100, allow_inf_nan=False)


class BeliefOfMany(Fields):
    """One of three or more answers, and the probability of each, in the order in which they are listed."""

    answer: str
    probs: list[float]


class Decision(Belief):
    """A belief, and the answer that was argued better."""

    winner: str


class DecisionOfMany(BeliefOfMany):
    """A belief over three or more answers, and the one that was argued better."""

    winner: str


class Pick(Fields):
    """An answer alone: the reply whose probability is asked for where judging is not written."""

    answer: str
