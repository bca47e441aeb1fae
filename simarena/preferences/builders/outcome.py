"""The whole own side of one match over that of another which began with the same prompt."""

from __future__ import annotations

from collections.abc import Iterator

from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import Marked, Pick, picked
from simarena.preferences.lineage import of_role
from simarena.preferences.played import UNDECIDED


class OutcomeParams(Params):
    """Parameters of `outcome`."""

    role: str = ""
    """Only seats of this role, or this very seat."""
    pick: Pick = "ends"
    """ends: the best and the worst. all: every two. list: all, ranked."""


def make(group: Group, params: OutcomeParams) -> Iterator[Made]:
    """Sessions of one seat, in matches of one unit, by what the seat got in the end."""
    seats = dict.fromkeys(seat for played in group for seat in played.match.seats if of_role(seat, params.role))
    for seat in seats:
        sessions = []
        for played in group:
            if not played.record.decided:
                yield UNDECIDED
            elif turns := played.own(seat):
                score = played.record.returns.get(seat, 0.0)
                sessions.append(Marked(said=played.spoken(turns), score=score))
        if sessions:
            yield from picked("outcome", sessions, params.pick)


BUILDER = Builder(
    name="outcome",
    make=make,
    line="all own turns of the match that ended better over those of one from the same start that ended worse",
    params=OutcomeParams,
    group="unit",
)
