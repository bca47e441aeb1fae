"""Which preferences are worth keeping: each filter names the reason for what it drops.

Pure but for what is remembered to count pairs of a position and to find duplicates: a hash for each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt

from simarena.preferences.played import Dropped
from simarena.preferences.record import Preference, Response

READ = ("ok", "repaired")
"""Outcomes of a reply that was applied as meant."""


class Filters(BaseModel):
    """What a preference has to be to be kept. Defaults keep all that can be trained on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    margin: NonNegativeFloat = 0.0
    """Drop where the best is not better than the worst by this, in the builder's unit."""
    orders: bool = False
    """Drop where an annotator that read in several orders preferred another response in one of them, or gave no
    judgement in one of them."""
    agreement: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least share of the annotators with an opinion who prefer the best to the worst; also drops where none has one.
    An annotator whose judgements could not be used counts as one that does not prefer it."""
    length: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Least ratio of the shortest response's length to the longest's (own tokens, or else characters)."""
    per_state: NonNegativeInt = 0
    """At most so many preferences for one prompt; 0: any number."""
    valid: bool = True
    """Drop where a response could not be read as an action."""
    duplicates: bool = False
    """Keep what says the same in the same words as an earlier one."""
    whole: NonNegativeFloat = 0.0
    """Magnitude from which on a preference weighs 1; smaller ones weigh magnitude / whole. 0: all weigh 1."""

    def passes(self) -> Callable[[Preference], Preference | Dropped]:
        """A fresh sieve: takes one preference after the other."""
        sieve = _Sieve(self)
        return sieve.keep


class _Sieve:
    """The filters over one stream."""

    def __init__(self, filters: Filters) -> None:
        self.filters = filters
        self.said: set[int] = set()
        self.states: Counter[int] = Counter()

    def keep(self, record: Preference) -> Preference | Dropped:
        """The preference, weighed; or why it is dropped."""
        reason = self._problem(record)
        if reason:
            return Dropped(reason)
        whole = self.filters.whole
        return replace(record, weight=record.weight * min(1.0, record.magnitude / whole)) if whole else record

    def _problem(self, record: Preference) -> str:
        f, responses = self.filters, record.responses
        texts = [tuple(message.content for message in each.messages) for each in responses]
        if len(set(texts)) < len(texts):
            return "both say the same"
        if f.valid and any(each.outcome not in READ for each in responses):
            return "a reply could not be used"
        if len(responses) > 1 and record.magnitude <= 0:
            return "tie"
        if len(responses) > 1 and record.magnitude < f.margin:
            return "below the margin"
        if f.orders and not orders_agree(responses):
            return "judge orders disagree"
        if f.agreement and agreement(responses) < f.agreement:
            return "annotators disagree"
        if f.length and length_ratio(responses) < f.length:
            return "lengths differ"
        return self._seen(record, texts)

    def _seen(self, record: Preference, texts: list[tuple[str, ...]]) -> str:
        """Whether it was said before, or its prompt had its share; remembers it otherwise."""
        state = hash(tuple(message.content for message in record.prompt))
        what = hash((state, tuple(texts)))
        if what in self.said and not self.filters.duplicates:
            return "duplicate"
        if self.filters.per_state and self.states[state] >= self.filters.per_state:
            return "enough of this prompt"
        self.said.add(what)
        if self.filters.per_state:
            self.states[state] += 1
        return ""


def orders_agree(responses: tuple[Response, ...]) -> bool:
    """Whether each annotator has the best no worse than the worst in every order that it was to read them in."""
    if any(half_given(ballot) for each in responses for ballot in each.ballots.values()):
        return False
    best, worst = responses[0].orders, responses[-1].orders
    signs = ({sign(a - b) for a, b in zip(best[who], worst[who], strict=False)} for who in best.keys() & worst.keys())
    return all({-1, 1} - found for found in signs)


def half_given(ballot: tuple[int, int, int]) -> bool:
    """Whether a judgement was given in one order and missed in the other, so that it does not count."""
    asked, unusable, counted = ballot
    return counted < asked - unusable


def agreement(responses: tuple[Response, ...]) -> float:
    """Share of the annotators with an opinion who prefer the first response to the last; 0.0 where none has one.

    Annotators that were asked and gave no judgement that counts are counted among those who do not prefer it.
    """
    signs = [sign(gap) for gap in gaps(responses).values()]
    opinions = [each for each in signs if each]
    silent = {
        who for each in (responses[0], responses[-1]) for who, (_, _, counted) in each.ballots.items() if not counted
    }
    asked = len(opinions) + len(silent)
    return opinions.count(1) / asked if asked else 0.0


def gaps(responses: tuple[Response, ...]) -> Mapping[str, float]:
    """Annotator -> how much better it found the first response than the last."""
    best, worst = responses[0].scores, responses[-1].scores
    return {who: best[who] - worst[who] for who in best if who in worst}


def length_ratio(responses: tuple[Response, ...]) -> float:
    """Length of the shortest response over that of the longest, 0..1."""
    lengths = [length(each) for each in responses]
    return min(lengths) / max(lengths) if max(lengths) else 1.0


def length(response: Response) -> int:
    """Own tokens; characters where tokens are not on record."""
    if response.mask is not None:
        return sum(response.mask)
    return sum(len(message.content) for message in response.messages if message.role == "assistant")


def sign(value: float) -> int:
    """1, 0 or -1."""
    return (value > 0) - (value < 0)
