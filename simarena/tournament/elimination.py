"""Brackets: out after one lost meeting, or after two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from simarena.seeds import rng
from simarena.tournament.schedule import Format, Meetings, Pairing, Played

OPEN = object()
"""Stands for an agent that is not known yet."""

Slot = object
"""An agent's name, None (nobody: whoever meets nobody goes on) or OPEN."""


class Bracket:
    """Meetings told in order; those that have not been played are collected in `pending`."""

    def __init__(self, played: Played, seeding: Sequence[str], games: int, extra: int) -> None:
        self.played, self.seeding, self.games, self.extra = played, seeding, games, extra
        self.meetings = Meetings()
        self.pending: list[Pairing] = []
        self.exits: dict[str, int] = {}
        """Agent -> stage at which it went out."""

    def slots(self) -> list[Slot]:
        """The first round: a power of two of places, best against worst, the best two in different halves.

        Places that no agent fills go to the lowest, so the best have the byes.
        """
        order = [0]
        while len(order) < len(self.seeding):
            order = [place for seed in order for place in (seed, 2 * len(order) - 1 - seed)]
        return [self.seeding[place] if place < len(self.seeding) else None for place in order]

    def standing(self) -> list[str]:
        """Who is still in, then the last to go out first."""
        return sorted(self.seeding, key=lambda agent: -self.exits.get(agent, len(self.seeding) * 4))

    def meet(self, a: Slot, b: Slot, last: int | None = None) -> tuple[Slot, Slot]:
        """(winner, loser); (OPEN, OPEN) while it is not decided. Where `last` is given, the loser goes out at it."""
        if a is None or b is None:
            return (b, None) if a is None else (a, None)
        if not (isinstance(a, str) and isinstance(b, str)):
            return OPEN, OPEN
        winner, loser = self._decide(a, b)
        if last is not None and isinstance(loser, str):
            self.exits[loser] = last
        return winner, loser

    def round(self, slots: Sequence[Slot], last: int | None = None) -> tuple[list[Slot], list[Slot]]:
        """(winners, losers) of neighbours' meetings."""
        met = [self.meet(a, b, last) for a, b in zip(slots[::2], slots[1::2], strict=True)]
        return [winner for winner, _ in met], [loser for _, loser in met]

    def _decide(self, a: str, b: str) -> tuple[Slot, Slot]:
        """Points decide; then up to `extra` more units; then the sum of scores; then the seeding."""
        pairings = self.meetings.next((a, b), self.games)
        extra = self.meetings.next((a, b), self.extra) if self.extra else []
        for number in range(self.extra + 1):
            missing = self.played.pending(pairings)
            if missing:
                self.pending += missing
                return OPEN, OPEN
            points = self.played.balance(pairings, a)[0]
            if points or number == self.extra:
                break
            pairings = pairings + extra[2 * number : 2 * number + 2]
        score = self.played.balance(pairings, a)[1]
        seeded = self.seeding.index(b) - self.seeding.index(a)
        return (a, b) if (points, score, seeded) > (0, 0, 0) else (b, a)


class Elimination(Format):
    """Base of the brackets; a meeting is `games` units."""

    games: PositiveInt = 1
    """Units of a meeting."""
    extra: NonNegativeInt = 1
    """Units added, one at a time, while points are even; then scores decide, then the seeding."""
    seeding: Literal["drawn", "given"] = "drawn"
    """Places in the bracket: by lot, or in the order of entry, best first."""

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        order = list(agents)
        if self.seeding == "drawn":
            order.sort()
            rng(seed, "bracket").shuffle(order)
        bracket = Bracket(played, order, self.games, self.extra)
        self._run(bracket)
        return bracket.pending, bracket.standing()

    def _run(self, bracket: Bracket) -> None:
        raise NotImplementedError  # abstract: single and double elimination run differently


class SingleElimination(Elimination):
    """Who loses a meeting is out."""

    def _run(self, bracket: Bracket) -> None:
        slots, stage = bracket.slots(), 0
        while len(slots) > 1:
            slots, _ = bracket.round(slots, stage)
            stage += 1


class DoubleElimination(Elimination):
    """Who loses twice is out; who wins everything must lose twice in the final too."""

    def _run(self, bracket: Bracket) -> None:
        slots, dropped = bracket.slots(), []
        while len(slots) > 1:
            slots, losers = bracket.round(slots)
            dropped.append(losers)
        pool, stage = dropped[0], 0
        for fallen in [*dropped[1:], []]:
            if len(pool) > 1:
                pool, _ = bracket.round(pool, stage)
            if fallen:  # crosswise, so that those who met above do not meet at once
                pool, _ = bracket.round(
                    [slot for pair in zip(pool, reversed(fallen), strict=True) for slot in pair], stage + 1
                )
            stage += 2
        self._final(bracket, slots[0], pool[0], stage)

    def _final(self, bracket: Bracket, unbeaten: Slot, other: Slot, stage: int) -> None:
        winner, loser = bracket.meet(unbeaten, other)
        if winner is other and winner is not OPEN:
            winner, loser = bracket.meet(unbeaten, other, stage)
        elif isinstance(loser, str):
            bracket.exits[loser] = stage
