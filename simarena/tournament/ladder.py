"""The ladder: neighbours play, and a challenger that wins climbs a rung."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import PositiveInt

from simarena.seeds import rng
from simarena.tournament.schedule import Format, Meetings, Pairing, Played


class Ladder(Format):
    """Each round, every other pair of neighbours plays, and the next round the pairs between.

    As many rounds as agents carry anyone from the foot to the top (an odd-even transposition sort).
    """

    rounds: PositiveInt | None = None
    """None: as many as there are agents."""
    games: PositiveInt = 1
    """Units of a challenge; even points leave the two where they stand."""
    start: Literal["drawn", "given"] = "drawn"
    """Rungs at the start: by lot, or in the order of entry, first on top."""

    def _play(self, agents: Sequence[str], played: Played, seats: int, seed: int) -> tuple[list[Pairing], list[str]]:
        rungs, meetings = list(agents), Meetings()
        if self.start == "drawn":
            rungs.sort()
            rng(seed, "ladder").shuffle(rungs)
        for number in range(self.rounds or len(rungs)):
            above = range(number % 2, len(rungs) - 1, 2)
            drawn = {i: meetings.next(rungs[i : i + 2], self.games) for i in above}
            pending = played.pending(p for pairings in drawn.values() for p in pairings)
            if pending:
                return pending, rungs
            for i, pairings in drawn.items():
                if played.balance(pairings, rungs[i + 1])[0] > 0:
                    rungs[i], rungs[i + 1] = rungs[i + 1], rungs[i]
        return [], rungs
