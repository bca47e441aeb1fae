"""Several actions from one observation, each worth what its continuations came to, or what the rules say of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from pydantic import PositiveInt

from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import Marked, Pick, picked
from simarena.preferences.lineage import Sibling, by_words, decided, lineages, mean, siblings
from simarena.preferences.played import UNDECIDED, Dropped
from simarena.preferences.rules import worth


class BranchParams(Params):
    """Parameters of `branch`."""

    value: Literal["returns", "truth"] = "returns"
    """What an action is worth: the mean return of its seat over its continuations; or what the rules say of it."""
    role: str = ""
    """Only seats of this role, or this very seat."""
    continuations: PositiveInt = 1
    """Least number of continuations that a value is taken from."""
    pick: Pick = "ends"
    """ends: the best and the worst. all: every two. list: all, ranked."""


def make(group: Group, params: BranchParams) -> Iterator[Made]:
    """The decisions of a lineage at which different things were said."""
    for family in lineages(group):
        for here in siblings(family, params.role, probes=params.value == "truth"):
            marked = []
            for alike in by_words(here):
                found = valued(alike, params)
                if isinstance(found, Dropped):
                    yield found
                else:
                    marked.append(found)
            yield from picked("branch", marked, params.pick)


def valued(alike: Sequence[Sibling], params: BranchParams) -> Marked | Dropped:
    """One action with the mean of what came of it."""
    first = alike[0]
    truth = worth(first.played, first.turn)
    if params.value == "truth":
        return (
            Dropped("the rules say nothing of it")
            if truth is None
            else Marked(said=first.said, score=truth, truth=truth)
        )
    ended = decided(alike)
    if not ended:
        return UNDECIDED
    if len(ended) < params.continuations:
        return Dropped("too few continuations")
    returns = [each.played.record.returns.get(each.turn.seat, 0.0) for each in ended]
    return Marked(said=first.said, score=mean(returns), truth=truth)


BUILDER = Builder(
    name="branch",
    make=make,
    line="of several actions from one position (forked matches) the one that came to more, or that the rules value",
    params=BranchParams,
    group="unit",
)
