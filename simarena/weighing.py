"""Judges' weights that move while a tournament is held: each round is judged with the reputations earned before it.

In: a format's pairings and what is on record. Out: the next round's matches, with the weights of their judges among
their parameters, so that a match is named by the weights it was played with. Nothing is remembered on disk: the rounds
are told again from the first one, each from the results before it, and so a killed tournament goes on with the very
weights it had. A tournament asks for it with `weights: reputation` among an arena's parameters. Plays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from simarena.records import Match, Trajectory
from simarena.seating import Table
from simarena.store import Result as Row
from simarena.store import Run
from simarena.tournament import reputation
from simarena.tournament.reputation import Constants, Reputation
from simarena.tournament.results import Result, result_of
from simarena.tournament.schedule import Pairing

DIGITS = 6
"""Decimals of a weight: enough for any panel, few enough that machines agree on a match's name."""

Weights = Mapping[str, float]
"""Agent -> what its word counts as a judge; {}: everybody's counts the same."""
Draw = Callable[[Sequence[Result]], Sequence[Pairing]]
"""What a format plays next, after these results."""
Seated = Callable[[Pairing, Weights], Match]


def moves(table: Table) -> bool:
    """Whether the scenario asks for reputations and gives none of its own; only duels earn any."""
    params = table.cell.params
    asked = params.get("weights") == "reputation" and "reputation" not in params
    return asked and table.cell.scenario.env == "arena" and params.get("mode", "duel") == "duel"


class Rounds:
    """A tournament told round by round, as far as it is on record.

    A round is what the format asks for on the earliest of its tasks: a format that names its whole schedule at once
    would otherwise leave no later round in which a reputation counts.
    """

    def __init__(self, table: Table, agents: Sequence[str], draw: Draw, seated: Seated) -> None:
        start = table.cell.params.get("start")
        self.constants = Constants(start=start) if start else Constants()
        self.rated, self.draw, self.seated = table.rated, draw, seated
        self.reputations: dict[str, Reputation] = reputation.newcomers(agents, self.constants)
        self.rows: list[Row] = []
        """Of the finished rounds, in the order of the schedule."""
        self.partial: list[Row] = []
        """Of the round that is being played."""

    @property
    def weights(self) -> dict[str, float]:
        """What the present round's judges count; {} in the first round."""
        return {name: round(each.value, DIGITS) for name, each in self.reputations.items()} if self.rows else {}

    @property
    def results(self) -> list[Result]:
        """What is on record, as ratings and formats see it."""
        return [result_of(light(row), self.rated) for row in (*self.rows, *self.partial)]

    def next(self, run: Run) -> list[Match]:
        """The matches of the present round that are not on record; empty: the tournament is over."""
        statuses = run.statuses()
        self.partial = []
        while pairings := self._round():
            matches = [self.seated(pairing, self.weights) for pairing in pairings]
            missing = [match for match in matches if statuses.get(match.id) != "done"]
            rows = [run.result(match.id) for match in matches if statuses.get(match.id) == "done"]
            if missing:
                self.partial = rows
                return missing
            self._close(rows)
        return []

    def _round(self) -> list[Pairing]:
        """What the format asks for next, on the earliest of its tasks alone."""
        pairings = self.draw(self.results)
        first = min((pairing.task for pairing in pairings), default=0)
        return [pairing for pairing in pairings if pairing.task == first]

    def _close(self, rows: Sequence[Row]) -> None:
        """Enter a finished round: its results, and the reputations that they make."""
        for row in rows:
            duel = result_of(light(row, self.rated), self.rated)
            (one, other), (first, second) = duel.agents, duel.scores
            self.reputations = reputation.duel(self.reputations, one, other, (first, second), self.constants)
        self.rows += rows


def light(row: Row, graded: Sequence[str] = ()) -> Trajectory:
    """A result as a trajectory without its words.

    The returns of seats in `graded` become half their margin, for a duel tells it from both sides: +m and -m. It is
    what the match measured as their grade, or else their return (in a zero-sum match a margin too).
    """
    halves = {seat: row.metrics.get(f"grade/{seat}", row.returns[seat]) / 2 for seat in graded}
    returns = {**row.returns, **halves}
    return Trajectory(match=row.match, status="done", returns=returns, metrics=row.metrics, outcomes=row.outcomes)
