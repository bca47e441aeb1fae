"""Matches that were forked from one another: what else was said at the same observation, and what came of it.

Pure; knows turns on record and returns, no environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simarena.preferences.played import Dropped, Played, Said
from simarena.records import Message, Turn


@dataclass(frozen=True, slots=True)
class Sibling:
    """A reply at an observation that others replied to as well."""

    played: Played
    turn: Turn
    said: Said


def lineages(group: Sequence[Played]) -> Iterator[list[Played]]:
    """Matches of one root together; a match without forks is no lineage."""
    parents = {played.match.id: played.match.parent for played in group}
    found: dict[str, list[Played]] = {}
    for played in group:
        root = played.match.id
        while parents.get(root):
            root = parents[root]
        found.setdefault(root, []).append(played)
    return (family for family in found.values() if len(family) > 1)


def siblings(family: Sequence[Played], role: str = "", probes: bool = False) -> Iterator[list[Sibling]]:
    """Replies of one seat to one prompt, across a lineage, where two or more differ."""
    found: dict[tuple[str, tuple[Message, ...]], list[Sibling]] = {}
    for played in family:
        for turn in played.turns:
            if not of_role(turn.seat, role) or ((turn.seat, turn.phase) in played.probes and not probes):
                continue
            said = played.said(turn)
            if not isinstance(said, Dropped):
                found.setdefault((turn.seat, said.prompt), []).append(Sibling(played, turn, said))
    for here in found.values():
        if len({each.said.response.messages for each in here}) > 1:
            yield here


def decided(here: Sequence[Sibling]) -> list[Sibling]:
    """Those whose match somebody decided: of the others' returns nothing can be told."""
    return [each for each in here if each.played.record.decided]


def by_words(here: Sequence[Sibling]) -> list[list[Sibling]]:
    """Those who said the same together: continuations of one action."""
    found: dict[tuple[Message, ...], list[Sibling]] = {}
    for each in here:
        found.setdefault(each.said.response.messages, []).append(each)
    return list(found.values())


def of_role(seat: str, role: str) -> bool:
    """Whether a seat is of a role, or is that very seat; "" is everybody."""
    return not role or seat == role or seat.rsplit("_", 1)[0] == role


def mean(values: Sequence[float]) -> float:
    """Their mean."""
    return sum(values) / len(values)
