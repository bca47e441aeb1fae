"""Judges' weights that move while a tournament is held: each task is judged with the reputations earned before it.

In: a format's pairings, and matches as they end. Out: what to play, and what goes on record. What a judge says does not
depend on what its word will count, so whatever a format asks for at once is played at once, without weights. A match
goes on record when every match of an earlier task has: weighed, and named by the weights it was judged with. Nothing
else is remembered on disk: a killed tournament is told again from its first task, with the very weights it had, and
answers of matches that wait for theirs are not asked for again. A tournament asks for it with `weights: reputation`
among an arena's parameters. Plays nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from simarena.records import Match, Trajectory
from simarena.replay import retold
from simarena.seating import Table
from simarena.store import LIGHT, Run
from simarena.store import Result as Row
from simarena.tournament import reputation
from simarena.tournament.reputation import Constants
from simarena.tournament.results import Result, result_of
from simarena.tournament.schedule import Pairing

DIGITS = 6
"""Decimals of a weight: enough for any panel, few enough that machines agree on a match's name."""

Weights = Mapping[str, float]
"""Agent -> what its word counts as a judge; {}: everybody's counts the same."""
Draw = Callable[[Sequence[Result]], Sequence[Pairing]]
"""What a format plays next, after these results."""
Seated = Callable[[Table, Pairing, Weights], Match]


def moves(table: Table) -> bool:
    """Whether the scenario asks for reputations and gives none of its own; only duels earn any."""
    params = table.cell.params
    asked = params.get("weights") == "reputation" and "reputation" not in params
    return asked and table.cell.scenario.env == "arena" and params.get("mode", "duel") == "duel"


class Panel:
    """What the judges of one cell count, as far as the tournament is told."""

    def __init__(self, table: Table, agents: Sequence[str]) -> None:
        start = table.cell.params.get("start")
        self.constants = Constants(start=start) if start else Constants()
        self.table, self.moves = table, moves(table)
        self.reputations = reputation.newcomers(agents, self.constants)
        self.weights: dict[str, float] = {}
        """{} before anything was earned."""

    def hear(self, rows: Sequence[Row]) -> None:
        """Enter a task's matches, and the reputations that they make."""
        for row in rows if self.moves else ():
            duel = result_of(light(row, self.table.rated), self.table.rated)
            if not duel.decided:
                continue
            (one, other), (first, second) = duel.agents, duel.scores
            self.reputations = reputation.duel(self.reputations, one, other, (first, second), self.constants)
            self.weights = {name: round(each.value, DIGITS) for name, each in self.reputations.items()}


class Rounds:
    """A tournament told match by match, as far as it is known; what a format asks for at once, task by task."""

    def __init__(self, tables: Sequence[Table], agents: Sequence[str], draw: Draw, seated: Seated) -> None:
        self.panels = [Panel(table, agents) for table in tables]
        self.draw, self.seated = draw, seated
        self.tasks: list[list[tuple[Panel, Pairing]]] = []
        """What is still to be told of the format's round; the first task is the present one."""
        self.present: list[tuple[Panel, Row]] = []
        """What is told of the present task."""
        self.past: list[tuple[Panel, Row]] = []
        """Of the tasks before it, in the order of the schedule."""
        self.known: dict[str, Row] = {}
        """Id -> what is on record."""
        self.waiting: dict[str, Trajectory] = {}
        """Id that it was asked as -> a match that has ended and waits for its turn."""
        self.asked: set[str] = set()
        """Ids of what was asked for in this execution."""
        self.failed = False
        """Whether a match of the present task failed: then there are no weights for the next."""

    def next(self, run: Run) -> list[Match]:
        """The matches of the format's round that are not on record, without weights; empty: the tournament is over.

        None is given twice: asking again at once for what failed would not help.
        """
        self.known = {row.match.id: row for row in run.results() if row.status == "done"}
        self._go_on()
        while not self.tasks and (drawn := self.draw(self.results(run))):
            task = attrgetter("task")
            rounds = groupby(sorted(drawn, key=task), key=task)
            self.tasks = [[(panel, pairing) for pairing in each for panel in self.panels] for _, each in rounds]
            self._go_on()
        batch = [
            self.seated(panel.table, pairing, {})
            for n, each in enumerate(self.tasks)
            for panel, pairing in each
            if n or self._weighed(panel, pairing).id not in self.known
        ]
        fresh = [match for match in batch if match.id not in self.asked]
        self.asked.update(match.id for match in fresh)
        return fresh

    def results(self, _: Run) -> list[Result]:
        """What is told, in the order of the schedule."""
        return [result_of(light(row), panel.table.rated) for panel, row in (*self.past, *self.present)]

    def settle(self, ended: Trajectory) -> Iterator[Trajectory]:
        """Take a match that has ended; gives those that go on record now, each with its weights."""
        self.waiting[ended.match.id] = ended
        return self._tell()

    def _go_on(self) -> None:
        """Tell what the record knows."""
        left = list(self._tell())
        assert not left, "a match that has ended is told at once, or waits for one that has not"

    def _tell(self) -> Iterator[Trajectory]:
        """Tell on up to the first match that is not known. Whoever else tells meanwhile goes on where this one is."""
        while self.tasks and not (self.failed and not self.tasks[0]):
            if not self.tasks[0]:
                self._close()
                continue
            match = self._weighed(*self.tasks[0][0])
            if match.id in self.known:
                self._enter(self.known[match.id])
            elif match.filed in self.waiting:
                trajectory = retold(self.waiting.pop(match.filed), match)
                self._enter(row_of(trajectory))
                yield trajectory
            else:
                return

    def _weighed(self, panel: Panel, pairing: Pairing) -> Match:
        """A match of the present task, with its judges' weights."""
        match, asked = (self.seated(panel.table, pairing, weights) for weights in (panel.weights, {}))
        return match if match.id == asked.id else replace(match, asked_as=asked.id)

    def _enter(self, row: Row) -> None:
        """Put down what came of the next match of the present task."""
        panel, _ = self.tasks[0].pop(0)
        if row.status == "done":
            self.present.append((panel, row))
        else:
            self.failed = True

    def _close(self) -> None:
        """The present task is over: its reputations weigh the next."""
        for panel in self.panels:
            panel.hear([row for whose, row in self.present if whose is panel])
        self.past += self.present
        self.present = []
        self.tasks.pop(0)


def row_of(record: Trajectory) -> Row:
    """A trajectory as a result."""
    return Row(match=record.match, status=record.status, **{name: getattr(record, name) for name in LIGHT})


def light(row: Row, graded: Sequence[str] = ()) -> Trajectory:
    """A result as a trajectory without its words.

    The returns of seats in `graded` become half their margin, for a duel tells it from both sides: +m and -m. It is
    what the match measured as their grade, or else their return (in a zero-sum match a margin too).
    """
    halves = {seat: row.metrics.get(f"grade/{seat}", row.returns[seat]) / 2 for seat in graded}
    returns = {**row.returns, **halves}
    known = {name: getattr(row, name) for name in LIGHT}
    return Trajectory(match=row.match, status="done", **{**known, "returns": returns})
