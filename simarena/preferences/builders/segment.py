"""Some turns of one conversation over as many of another, from where a forked match went another way.

SDPO's segments (ACL 2025): the bad turn and what followed, against the best resampled continuation, equally many turns.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import NonNegativeInt

from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import TIE, Marked, compared
from simarena.preferences.lineage import Sibling, decided, lineages, siblings
from simarena.preferences.played import UNDECIDED, Dropped, Said


class SegmentParams(Params):
    """Parameters of `segment`."""

    turns: NonNegativeInt = 0
    """Own turns of a segment; 0: as many as both conversations have left."""
    role: str = ""
    """Only seats of this role, or this very seat."""


def make(group: Group, params: SegmentParams) -> Iterator[Made]:
    """The best and the worst continuation of every position from which a lineage went different ways."""
    for family in lineages(group):
        for here in siblings(family, params.role):
            ranked = sorted(decided(here), key=lambda each: -value(each))
            if len(ranked) < 2:
                yield UNDECIDED
                continue
            best, worst = ranked[0], ranked[-1]
            if value(best) == value(worst):
                yield TIE
                continue
            count = min(left(best), left(worst), params.turns or left(best))
            marked = [Marked(said=segment(each, count), score=value(each)) for each in (best, worst)]
            yield compared("segment", marked)


def value(each: Sibling) -> float:
    """What the seat got in the end."""
    return each.played.record.returns.get(each.turn.seat, 0.0)


def left(each: Sibling) -> int:
    """Own turns from this one on."""
    return sum(turn.n >= each.turn.n for turn in each.played.own(each.turn.seat))


def segment(each: Sibling, count: int) -> Said | Dropped:
    """The reply and the next own turns, `count` in all."""
    turns = [turn for turn in each.played.own(each.turn.seat) if turn.n >= each.turn.n]
    return each.played.spoken(turns[:count])


BUILDER = Builder(
    name="segment",
    make=make,
    line="from where a forked match went another way: the better continuation over the worse, equally many own turns",
    params=SegmentParams,
    group="unit",
)
