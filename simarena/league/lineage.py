"""Who came from whom: every version of every member, and the graph they make.

In: versions. Out: a directed graph, parent to child, as networkx has it and as JSON. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simarena.agents.members import Entry
from simarena.records import JSON

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One state of one member; its name is what matches call it."""

    name: str
    """The member's own name at first, then NAME@ROUND."""
    member: str
    round: int
    """The round that made it; 0: it was there before."""
    parent: str = ""
    """Name of the version it learnt on from; "": it was there before."""
    file: str = ""
    """Its agent file, relative to the league's folder; "" for one that was there before."""
    kept: bool = True
    """False: it got worse on held-out questions, and its member went back to `parent`."""
    about: JSON = None
    """Pairs it learnt from, their hash, accuracy on held-out questions."""


def entry(version: Version, folder: Path, entries: dict[str, Entry]) -> Entry:
    """What a cast takes for a version; `entries` are those of the members as they were at first."""
    return str(folder / version.file) if version.file else entries[version.member]


def next_name(member: str, round_: int) -> str:
    """The name of the version that a member becomes in a round."""
    return f"{member}@{round_}"


def graph(versions: Iterable[Version]) -> nx.DiGraph[str]:
    """Parent -> child; every node has its version's fields."""
    import networkx as nx

    made: nx.DiGraph[str] = nx.DiGraph()
    for each in versions:
        made.add_node(each.name, member=each.member, round=each.round, file=each.file, kept=each.kept, about=each.about)
        if each.parent:
            made.add_edge(each.parent, each.name, round=each.round)
    return made


def to_data(versions: Sequence[Version], seats: Iterable[str]) -> JSON:
    """The graph as networkx's node-link JSON; `seats`: versions that sit in the tribe now."""
    import networkx as nx

    made, now = graph(versions), set(seats)
    nx.set_node_attributes(made, {name: name in now for name in made}, "seated")
    return nx.node_link_data(made, edges="edges")


def ancestors(versions: Sequence[Version], name: str) -> list[str]:
    """Earlier versions of the same member, nearest first."""
    known = {each.name: each for each in versions}
    found, parent = list[str](), known[name].parent
    while parent:
        found.append(parent)
        parent = known[parent].parent
    return found
