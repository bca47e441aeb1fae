"""The label comes after the consequence: advice is worth what became of those who heard it, not how it pleased them.

RLHS (arXiv:2501.08617): immediate feedback rewards what sounds good; feedback in hindsight what turned out good.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import Marked, Pick, picked
from simarena.preferences.lineage import Sibling, by_words, decided, lineages, mean, of_role, siblings
from simarena.preferences.played import UNDECIDED

AFFECTED = {"debate": "judge", "roundtable": "solver", "bargain": "party"}
"""Environment -> role whose returns are the consequence."""


class HindsightParams(Params):
    """Parameters of `hindsight`."""

    role: str = ""
    """Only what seats of this role said, or this very seat."""
    affected: str = ""
    """Role whose mean return is the consequence; "": judges of a debate, solvers of a roundtable, parties of a
    negotiation."""
    pick: Pick = "ends"
    """ends: the best and the worst. all: every two. list: all, ranked."""


def make(group: Group, params: HindsightParams) -> Iterator[Made]:
    """The decisions of a lineage at which different things were said to those whom it affected."""
    for family in lineages(group):
        role = params.affected or AFFECTED.get(family[0].match.env, "")
        for here in siblings(family, params.role):
            if params.role or not of_role(here[0].turn.seat, role) or role != "judge":
                ended = decided(here)
                if len(ended) < len(here):
                    yield UNDECIDED
                marked = [valued(alike, role) for alike in by_words(ended)]
                yield from picked("hindsight", marked, params.pick)


def valued(alike: Sequence[Sibling], role: str) -> Marked:
    """An action with what became of the affected, and, beside it, what its own seat got."""
    later = mean([consequence(each, role) for each in alike])
    now = mean([each.played.record.returns.get(each.turn.seat, 0.0) for each in alike])
    return Marked(said=alike[0].said, score=later, objectives={"hindsight": later, "now": now})


def consequence(each: Sibling, role: str) -> float:
    """Mean return of the affected seats."""
    record = each.played.record
    found = [value for seat, value in record.returns.items() if of_role(seat, role)]
    return mean(found) if found else 0.0


BUILDER = Builder(
    name="hindsight",
    make=make,
    line="of several things said in one position the one after which those affected fared better in the end",
    params=HindsightParams,
    group="unit",
)
