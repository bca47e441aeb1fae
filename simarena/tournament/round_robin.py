"""Formats whose whole schedule is known at the start: round robin and gauntlet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import ClassVar

from pydantic import PositiveInt

from simarena.errors import UnknownName
from simarena.tournament.schedule import Format, Pairing, Played, seatings


def by_points(agents: Sequence[str], played: Played, pairings: Iterable[Pairing]) -> list[str]:
    """Agents by points per match above an even share, best first; in their own order where equal."""
    own: dict[str, list[Pairing]] = {agent: [] for agent in agents}
    for pairing in pairings:
        for agent in pairing.agents:
            own[agent].append(pairing)

    def mean(agent: str) -> float:
        return played.balance(own[agent], agent)[0] / max(len(played.results(own[agent])), 1)

    return sorted(agents, key=mean, reverse=True)


class RoundRobin(Format):
    """Everyone meets everyone: every set of agents that fills the seats, on every task, in every rotation."""

    any_seats: ClassVar[bool] = True

    games: PositiveInt = 1
    """Units for each set of agents: tasks on which they meet, each in every rotation of the seats."""

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        sets = list(combinations(sorted(agents), seats))
        # Task by task, so that a run that is cut short has asked everyone about the same.
        pairings = [p for task in range(self.games) for some in sets for p in seatings(some, task, seed)]
        return played.pending(pairings), by_points(agents, played, pairings)


class Gauntlet(Format):
    """One agent meets each of the others; they do not meet one another."""

    games: PositiveInt = 1
    """Units against each opponent."""
    champion: str | None = None
    """Who runs the gauntlet; None: the first agent entered."""

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        champion = self.champion or agents[0]
        if champion not in agents:
            raise UnknownName("agent", champion, agents)
        field = [agent for agent in agents if agent != champion]
        pairings = [p for task in range(self.games) for other in field for p in seatings((champion, other), task, seed)]
        return played.pending(pairings), by_points(agents, played, pairings)
