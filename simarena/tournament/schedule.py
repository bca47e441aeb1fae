"""What a tournament format is: a pure function from what has been played to what to play next.

In: agents and results so far. Out: pairings. Nothing is remembered between calls, so a tournament that was killed goes
on by asking again. A unit is one set of agents on one task, once in every rotation of the seats; its name depends on
nothing else, so formats share what was played, and adding agents or rounds only adds units.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from simarena.errors import ScenarioError
from simarena.registry import lookup
from simarena.seeds import rng
from simarena.tournament.results import TIE_MARGIN, Result

FORMATS: dict[str, str] = {
    "adaptive": "simarena.tournament.adaptive:Adaptive",
    "double_elimination": "simarena.tournament.elimination:DoubleElimination",
    "gauntlet": "simarena.tournament.round_robin:Gauntlet",
    "ladder": "simarena.tournament.ladder:Ladder",
    "round_robin": "simarena.tournament.round_robin:RoundRobin",
    "single_elimination": "simarena.tournament.elimination:SingleElimination",
    "swiss": "simarena.tournament.swiss:Swiss",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """One match to play."""

    unit: str
    """The matches that rotate these agents on this task share it."""
    agents: tuple[str, ...]
    """Who sits in the rated seats, first to move first."""
    task: int
    """Which of the tournament's tasks, from 0; the same number is the same task for everyone."""


class Format(BaseModel):
    """Base of all formats; the fields of a subclass are its options.

    A format gives `_play`, which tells the whole tournament from the start and stops where a result is missing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    any_seats: ClassVar[bool] = False
    """Whether matches may have more than two rated seats."""

    def next_round(
        self, agents: Sequence[str], history: Sequence[Result], *, seats: int = 2, seed: int = 0
    ) -> list[Pairing]:
        """What is to be played next: all that can be played at once, without what `history` holds; empty: it is over.

        `seats`: rated seats of a match. Results of units that this tournament does not ask for are ignored. A match
        that failed has no result and is asked for again: a caller that gets nothing new should stop.
        """
        self._check(agents, seats)
        return self._play(agents, Played(history), seats, seed)[0]

    def standing(self, agents: Sequence[str], history: Sequence[Result], *, seats: int = 2, seed: int = 0) -> list[str]:
        """The format's own order so far, best first: who is left in a bracket, leads on points, stands on top."""
        self._check(agents, seats)
        return self._play(agents, Played(history), seats, seed)[1]

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        raise NotImplementedError  # abstract: what a format is

    def _check(self, agents: Sequence[str], seats: int) -> None:
        name = type(self).__name__
        twice = sorted({agent for agent in agents if agents.count(agent) > 1})
        if twice:
            raise ScenarioError(f"{name}: {', '.join(twice)} entered twice; give each agent once")
        joined = [agent for agent in agents if "|" in agent]
        if joined:
            raise ScenarioError(f"{name}: agent {joined[0]!r} has a '|' in its name, which units use; rename it")
        if seats < 2:
            raise ScenarioError(f"{name}: matches have {seats} rated seats; a tournament compares at least 2")
        if seats > 2 and not self.any_seats:
            raise ScenarioError(f"{name}: matches have {seats} rated seats, it can pair 2; use round_robin")
        if len(agents) < seats:
            few = "1 agent" if len(agents) == 1 else f"{len(agents)} agents"
            raise ScenarioError(f"{name}: {few} for {seats} rated seats; enter at least {seats}")


class Played:
    """What has been played, by unit."""

    def __init__(self, history: Iterable[Result]) -> None:
        self._units: defaultdict[str, list[Result]] = defaultdict(list)
        for result in history:
            self._units[result.unit].append(result)

    def pending(self, pairings: Iterable[Pairing]) -> list[Pairing]:
        """Those that have no result yet."""
        return [p for p in pairings if all(r.agents != p.agents for r in self._units.get(p.unit, ()))]

    def results(self, pairings: Iterable[Pairing]) -> list[Result]:
        """All results of the pairings' units, in an order that does not depend on which match ended first."""
        units = dict.fromkeys(pairing.unit for pairing in pairings)
        return [r for unit in units for r in sorted(self._units.get(unit, ()), key=lambda r: (r.agents, r.match))]

    def balance(self, pairings: Iterable[Pairing], agent: str) -> tuple[float, float]:
        """(points, score) of `agent` above an even share, over the pairings: a win is +1/2, a loss -1/2."""
        points = score = 0.0
        for result in self.results(pairings):
            mine = result.scores[result.agents.index(agent)]
            for other, theirs in zip(result.agents, result.scores, strict=True):
                if other != agent:
                    points += 0.0 if abs(mine - theirs) <= TIE_MARGIN else 0.5 if mine > theirs else -0.5
                    score += mine - theirs
        return points, score


def make_format(name: str, options: Mapping[str, Any] | None = None) -> Format:
    """The format of this name with these options; every wrong option is named in one ScenarioError."""
    kind: type[Format] = lookup(FORMATS, "tournament format", name)
    try:
        return kind(**(options or {}))
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors()]
        known = ", ".join(kind.model_fields)
        raise ScenarioError(
            f"{name} does not take these options (it knows {known}):\n  " + "\n  ".join(lines)
        ) from error


def seatings(agents: Sequence[str], task: int, seed: int = 0) -> list[Pairing]:
    """One unit: `agents` on one task, once in every rotation of the seats, so that everyone has every seat once.

    Two agents swap. More sit in an order drawn for the unit, for rotations keep it and neighbours would never change.
    """
    order = sorted(agents)
    unit = f"{'|'.join(order)}#{task}"
    if len(order) > 2:
        rng(seed, "seating", unit).shuffle(order)
    turns = range(len(order))
    return [Pairing(unit=unit, agents=tuple(order[i:] + order[:i]), task=task) for i in turns]


class Meetings:
    """Hands out the units of agents that may meet several times: each meeting gets tasks they have not had."""

    def __init__(self) -> None:
        self._had: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def next(self, agents: Sequence[str], units: int) -> list[Pairing]:
        """The pairings of their next `units` units."""
        key = tuple(sorted(agents))
        start = self._had[key]
        self._had[key] += units
        return [pairing for task in range(start, start + units) for pairing in seatings(key, task)]
