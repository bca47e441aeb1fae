"""The Swiss system: everyone plays every round, against someone on about as many points, and nobody twice."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import networkx as nx
from pydantic import PositiveInt

from simarena.seeds import rng
from simarena.tournament.schedule import Format, Meetings, Pairing, Played

BYE = 1.0
"""Points for sitting out: as much as a won meeting, so that chance costs nobody the lead."""
WINDOW = 8
"""Places up and down the table in which an opponent is sought first; whole-table matching is slow from 50 agents on."""


@dataclass(slots=True)
class Table:
    """Points and past meetings, round by round."""

    order: list[str]
    """The draw: decides between equals."""
    points: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    byes: Counter[str] = field(default_factory=Counter)
    met: Counter[tuple[str, str]] = field(default_factory=Counter)

    def ranked(self) -> list[str]:
        """Best first: points, then the opponents' points (Buchholz), then the draw."""
        faced: defaultdict[str, float] = defaultdict(float)
        for (one, other), times in self.met.items():
            faced[one] += times * self.points[other]
            faced[other] += times * self.points[one]
        return sorted(self.order, key=lambda agent: (-self.points[agent], -faced[agent]))

    def sitting_out(self) -> str | None:
        """Who has the bye: the lowest of those that had fewest."""
        if len(self.order) % 2 == 0:
            return None
        return min(reversed(self.ranked()), key=lambda agent: self.byes[agent])


class Swiss(Format):
    """Rounds of meetings between agents on about as many points; a meeting is `games` units, swapped sides in each."""

    rounds: PositiveInt | None = None
    """None: as many as halve the field to one (the logarithm to base 2, rounded up)."""
    games: PositiveInt = 1
    """Units of a meeting."""

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        table, meetings = Table(order=sorted(agents)), Meetings()
        rng(seed, "swiss").shuffle(table.order)
        for _ in range(self.rounds or math.ceil(math.log2(len(agents)))):
            out = table.sitting_out()
            drawn = {pair: meetings.next(pair, self.games) for pair in opponents(table, out)}
            pending = played.pending(p for pairings in drawn.values() for p in pairings)
            if pending:
                return pending, table.ranked()
            for pair, pairings in drawn.items():
                table.met[pair] += 1
                for agent in pair:
                    table.points[agent] += 0.5 + played.balance(pairings, agent)[0] / len(played.results(pairings))
            if out:
                table.points[out] += BYE
                table.byes[out] += 1
        return [], table.ranked()


def opponents(table: Table, out: str | None) -> list[tuple[str, str]]:
    """Everyone but `out` in pairs (names in order): fewest repeated meetings, then the least squared gaps in points."""
    field = [agent for agent in table.ranked() if agent != out]
    place, window = {agent: i for i, agent in enumerate(field)}, WINDOW
    while True:
        graph: nx.Graph[str] = nx.Graph()
        for i, agent in enumerate(field):
            for other in field[i + 1 : i + 1 + window]:
                again, cost = _cost(table, agent, other)
                if not again or window >= len(field):
                    graph.add_edge(agent, other, weight=-cost)
        pairs = [(min(pair), max(pair)) for pair in nx.max_weight_matching(graph, maxcardinality=True)]
        if 2 * len(pairs) == len(field):
            return sorted(pairs, key=lambda pair: min(place[pair[0]], place[pair[1]]))
        window *= 2


def _cost(table: Table, one: str, other: str) -> tuple[int, int]:
    """(earlier meetings, cost); whole numbers, on which the matching is exact. A repeat outweighs any gap in points."""
    again = table.met[min(one, other), max(one, other)]
    gap = round(1000 * (table.points[one] - table.points[other]))
    return again, gap * gap + again * 10**14
