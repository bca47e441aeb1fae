"""Tournaments over the rollout: a format names the next matches, they are played, and the results are rated.

Rated are the seats of the roster's roles, whoever the scenario puts there: entered agents take them in turn, while
judges stay as the scenario has them ("rest": entered agents that do not contest the match). A tournament is held in all
cells of the sweep at once: what a format pairs is played in each of them, on the same task with the same chances, and
counts for the format once it has been played in all. What was played is read from the run folder each time, so that a
killed tournament goes on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from simarena.casting import Cast
from simarena.errors import ScenarioError
from simarena.execution import Settings, budget_of, execute, notes
from simarena.ledger import RunReport
from simarena.records import JSON, Match
from simarena.rollout import Settle
from simarena.scenario import Scenario, parts_of
from simarena.seating import Table, paired
from simarena.store import Result as Row
from simarena.store import Run, open_run
from simarena.studies import default_folder, run_key, tables
from simarena.summary import coordinates, same
from simarena.tournament.ratings import Ratings, rate
from simarena.tournament.results import Result, by_cell, cell_key, result_of
from simarena.tournament.round_robin import Gauntlet, RoundRobin
from simarena.tournament.schedule import Format, Pairing, make_format
from simarena.unusable import Unusable, unusable
from simarena.weighing import Rounds, Weights, light, moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A tournament before it is held."""

    name: str
    scenario: Scenario
    """As it is played: without axes that vary who is on the roster, and in its cell where there is but one."""
    tables: list[Table]
    """The cells that it is held in; all have the same number of rated seats."""
    left_out: list[dict[str, JSON]]
    """Cells in which there is nobody to compare with: fewer than two seats are rated."""
    cast: Cast
    agents: list[str]
    format: Format

    @property
    def one_round(self) -> bool:
        """Whether the format's first round is all that it plays."""
        return isinstance(self.format, RoundRobin | Gauntlet)

    def drawn(self, history: Sequence[Result]) -> list[Pairing]:
        """What the format plays next, in every cell."""
        return self.format.next_round(self.agents, history, seats=len(self.tables[0].rated), seed=self.scenario.seed)

    def standing(self, history: Sequence[Result]) -> list[str]:
        """The format's own order, best first."""
        return self.format.standing(self.agents, history, seats=len(self.tables[0].rated), seed=self.scenario.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A tournament as far as it came."""

    folder: Path
    report: RunReport
    results: list[Result]
    ratings: Ratings
    """Over all cells."""
    cells: list[tuple[dict[str, JSON], Ratings]]
    """Of each cell that something was played in."""
    standing: list[str]
    """The format's own order, best first."""
    unusable: Unusable


# ---- before it is held -----------------------------------------------------------------------------------------------


def plan(scenario: Scenario, name: str, entries: Sequence[str], kind: str, options: Mapping[str, JSON]) -> Plan:
    """Everything that can be wrong with a tournament is told here, before anything is written."""
    cast = Cast()
    everybody = {who: None for table in tables(scenario, cast) for who in table.everybody}
    here = contested(scenario)
    contests, left_out = told_apart(tables(here, cast), name)
    agents = [cast.add(entry) for entry in entries] or list(everybody)
    judging = {who for table in contests for names in table.judges.values() for who in names or ()}
    cast.roles = {who: role for who, role in cast.roles.items() if who in judging.union(agents)}
    made = make_format(kind, options)
    if isinstance(made, RoundRobin | Gauntlet) and "games" not in options:
        made = made.model_copy(update={"games": here.data.size})
    found = Plan(name=name, scenario=here, tables=contests, left_out=left_out, cast=cast, agents=agents, format=made)
    for pairing in found.drawn([])[:1]:
        for table in contests:
            paired(table, pairing, agents, cast.identities())
    return found


def contested(scenario: Scenario) -> Scenario:
    """The scenario without axes of the roster, whose seats the entered agents take; in its cell where one is left."""
    axes = {axis: values for axis, values in scenario.sweep.items() if parts_of(axis)[0] != "roster"}
    found = scenario.model_copy(update={"sweep": axes})
    cells = found.cells()
    return found.at(cells[0]) if len(cells) == 1 else found


def told_apart(every: Sequence[Table], name: str) -> tuple[list[Table], list[dict[str, JSON]]]:
    """(tables at which agents contest, coordinates of the rest). ScenarioError where one schedule does not fit all."""
    contests = [table for table in every if len(table.rated) > 1]
    if not contests:
        roles = ", ".join(every[0].roster)
        raise ScenarioError(f"{name}: fewer than two seats are of the roster's roles ({roles}): nothing to compare")
    sizes = {len(table.rated): coordinates(table.cell.at) for table in reversed(contests)}
    if len(sizes) > 1:
        each = "; ".join(f"{size} with {where}" for size, where in sorted(sizes.items()))
        raise ScenarioError(f"{name}: cells differ in how many seats are rated ({each}); hold one kind with --set")
    return contests, [table.cell.at for table in every if len(table.rated) < 2]


# ---- while it is held ------------------------------------------------------------------------------------------------


class Due:
    """Matches to play, made one by one as they are asked for."""

    def __init__(self, what: Plan, places: Sequence[tuple[Table, Pairing]]) -> None:
        self.what, self.places = what, places

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Match]:
        identities = self.what.cast.identities()
        return (paired(table, pairing, self.what.agents, identities) for table, pairing in self.places)


class Schedule:
    """A tournament read from the record each time: what its format asks for and is not there yet."""

    settle: Settle | None = None

    def __init__(self, what: Plan) -> None:
        self.what = what
        self.asked: set[tuple[str, str, tuple[str, ...]]] = set()
        """What was asked for in this execution: asking again at once for what failed would not help."""

    def next(self, run: Run) -> Due:
        """The next round's matches; empty: the tournament is over."""
        found = self.results(run)
        known = {(cell_key(result.cell), result.unit, result.agents) for result in found} | self.asked
        due = {
            (cell_key(table.cell.at), pairing.unit, pairing.agents): (table, pairing)
            for pairing in self.what.drawn(whole(found, self.what.tables))
            for table in self.what.tables
        }
        missing = {key: place for key, place in due.items() if key not in known}
        self.asked.update(missing)
        return Due(self.what, list(missing.values()))

    def results(self, run: Run) -> list[Result]:
        """What is on record between those who entered."""
        return history(run, self.what.agents)


def whole(results: Iterable[Result], held: Sequence[Table]) -> list[Result]:
    """Results of what has been played in every cell: a format goes by nothing else."""
    cells = {cell_key(table.cell.at) for table in held}
    seen: defaultdict[tuple[str, tuple[str, ...]], set[str]] = defaultdict(set)
    found = [result for result in results if cell_key(result.cell) in cells]
    for result in found:
        seen[result.unit, result.agents].add(cell_key(result.cell))
    return [result for result in found if len(seen[result.unit, result.agents]) == len(cells)]


def weighed(what: Plan) -> Rounds:
    """The schedule of a tournament in which judges' weights move (see `weighing`)."""
    identities = what.cast.identities()

    def seated(table: Table, pairing: Pairing, weights: Weights) -> Match:
        return paired(table, pairing, what.agents, identities, weights)

    return Rounds(what.tables, what.agents, what.drawn, seated)


def hold(what: Plan, folder: Path | None = None, settings: Settings | None = None) -> Held:
    """Play a tournament to its end, or as far as budget, failures and Ctrl-C let it."""
    scenario = what.scenario
    folder = folder or default_folder("tournament", what.name, scenario)
    about = notes("tournament", what.name, scenario, run_key("tournament", scenario))
    schedule = weighed(what) if any(map(moves, what.tables)) else Schedule(what)
    report = execute(
        folder,
        about,
        what.cast,
        schedule.next,
        budget=budget_of(scenario),
        settings=settings,
        settle=schedule.settle,
    )
    with open_run(folder) as run:
        results = schedule.results(run)
        replies = unusable(rows_of(run, results))
    return Held(
        folder=folder,
        report=report,
        results=results,
        ratings=rate(results, agents=what.agents),
        cells=[(cell, rate(some, agents=what.agents)) for cell, some in by_cell(results)],
        standing=what.standing(whole(results, what.tables)),
        unusable=replies,
    )


def rows_of(run: Run, results: Iterable[Result]) -> list[Row]:
    """The rows of a run that results were read from: with all seats, judges too."""
    wanted = {result.match for result in results}
    return [row for row in run.results() if row.match.id in wanted]


def history(
    run: Run, agents: Iterable[str] = (), where: Mapping[str, JSON] | None = None, *, grades: bool = False
) -> list[Result]:
    """Finished matches with their rated seats; of these agents and in these cells alone, where given.

    `grades`: scores are such that their difference is the panel's margin (see `light`).
    """
    entered = set(agents)
    found = []
    roles = run.meta.get("rated", [])
    for row in run.results():
        seats = [seat for seat in row.match.seats if seat.rsplit("_", 1)[0] in roles]
        contesting = {row.match.seats[seat] for seat in seats}
        here = all(same(row.match.cell.get(key), value) for key, value in (where or {}).items())
        if row.status == "done" and not row.match.parent and here and (not entered or contesting <= entered):
            found.append(result_of(light(row, seats) if grades else light(row), seats))
    return found
