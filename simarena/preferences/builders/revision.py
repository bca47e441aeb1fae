"""Revised over draft, as if the revision had been said at first: what was said in between is no part of the prompt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Literal

from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import SAME_WORDS, Marked, compared
from simarena.preferences.played import Dropped, Played, Said
from simarena.preferences.rules import worth
from simarena.records import Turn

WORSE = Dropped("the revision is worse")
NO_BETTER = Dropped("the revision is no better")


class RevisionParams(Params):
    """Parameters of `revision`."""

    keep: Literal["better", "same", "any"] = "better"
    """Where the rules tell what both are worth. better: the revision is worth more. same: or as much. any: whatever."""


def make(group: Group, params: RevisionParams) -> Iterator[Made]:
    """Every seat's last version over the one before it."""
    for played in group:
        for seat in played.match.seats:
            for draft, revised in versions(played, seat):
                yield pair(played, draft, revised, params)


def versions(played: Played, seat: str) -> Iterator[tuple[Turn, Turn]]:
    """(earlier, later) of the same thing said by a seat: drafts of a speech, or whole answers to one question."""
    own = played.own(seat)
    if played.match.env == "debate":
        for early, late in pairwise(own):
            if " draft" in early.phase and late.phase.split(" draft")[0] == early.phase.split(" draft")[0]:
                yield early, late
    if played.match.env == "roundtable":
        whole = [turn for turn in own if turn.phase in ("initial", "adjust", "final")]
        if len(whole) > 1:
            yield whole[0], whole[-1]


def pair(played: Played, draft: Turn, revised: Turn, params: RevisionParams) -> Made:
    """The revision over the draft, both in reply to the draft's prompt."""
    first, later = played.said(draft), played.said(revised)
    if isinstance(first, Dropped) or isinstance(later, Dropped):
        return first if isinstance(first, Dropped) else later if isinstance(later, Dropped) else SAME_WORDS
    before, after = worth(played, draft), worth(played, revised)
    gain = 1.0 if before is None or after is None else after - before
    if gain < 0 and params.keep != "any":
        return WORSE
    if gain == 0 and params.keep == "better":
        return NO_BETTER
    marked = [
        Marked(said=as_if_at_first(first, later), score=max(gain, 1.0) if gain <= 0 else gain, truth=after),
        Marked(said=first, truth=before),
    ]
    return compared("revision", marked)


def as_if_at_first(first: Said, later: Said) -> Said:
    """The later reply at the first one's prompt; its log-probs are of another prompt and stay behind."""
    words = replace(later.response, logprobs=None)
    return replace(later, prompt=first.prompt, prompt_ids=first.prompt_ids, response=words)


BUILDER = Builder(
    name="revision",
    make=make,
    line="the revised speech or answer over its draft, at the draft's prompt (what was said in between is left out)",
    params=RevisionParams,
)
