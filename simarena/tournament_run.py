"""Tournaments over the rollout: a format names the next matches, they are played, and the results are rated.

Rated are the seats of the roster's roles, whoever the scenario puts there: entered agents take them in turn, while
judges stay as the scenario has them ("rest": entered agents that do not contest the match). A tournament is held in one
cell of the sweep. What was played is read from the run folder each time, so that a killed tournament goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from simarena.casting import Cast
from simarena.errors import ScenarioError, UnknownName
from simarena.execution import Settings, budget_of, execute, notes
from simarena.ledger import RunReport
from simarena.records import JSON, Match
from simarena.registry import lookup
from simarena.scenario import Scenario
from simarena.seating import Table, paired
from simarena.store import Run, open_run
from simarena.studies import default_folder, run_key, tables
from simarena.summary import same
from simarena.tournament.ratings import Ratings, rate
from simarena.tournament.results import Result, result_of
from simarena.tournament.schedule import FORMATS, Format, Pairing, make_format
from simarena.weighing import Rounds, light, moves

WHOLE_FIELD = ("round_robin", "gauntlet")
"""Formats that play the scenario's number of tasks unless told otherwise; the others decide by their results."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A tournament before it is held."""

    name: str
    scenario: Scenario
    """In the cell it is held in."""
    left_out: int
    """Cells of the sweep that are not played."""
    table: Table
    cast: Cast
    agents: list[str]
    format: Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A tournament as far as it came."""

    folder: Path
    report: RunReport
    results: list[Result]
    ratings: Ratings
    standing: list[str]
    """The format's own order, best first."""


def plan(scenario: Scenario, name: str, entries: Sequence[str], kind: str, options: Mapping[str, JSON]) -> Plan:
    """Everything that can be wrong with a tournament is told here, before anything is written."""
    cells = scenario.cells()
    here = scenario.at(cells[0])
    cast = Cast()
    table = tables(here, cast)[0]
    agents = [cast.add(entry) for entry in entries] or table.everybody
    seated = set(agents) | {name for names in table.judges.values() for name in names or ()}
    cast.roles = {name: role for name, role in cast.roles.items() if name in seated}
    made = make_format(kind, {**default_options(kind, here), **options})
    found = Plan(name=name, scenario=here, left_out=len(cells) - 1, table=table, cast=cast, agents=agents, format=made)
    if not table.rated:
        raise ScenarioError(
            f"{name}: none of the roster's roles ({', '.join(here.roster)}) has a seat: nothing to rate"
        )
    round_of(found, [])
    return found


def default_options(kind: str, scenario: Scenario) -> dict[str, JSON]:
    """What the scenario says of a format's size."""
    knows = "games" in lookup(FORMATS, "tournament format", kind).model_fields
    return {"games": scenario.data.size} if knows and kind in WHOLE_FIELD else {}


def drawn(what: Plan, history: Sequence[Result]) -> list[Pairing]:
    """What the format plays next."""
    return what.format.next_round(what.agents, history, seats=len(what.table.rated), seed=what.scenario.seed)


def round_of(what: Plan, history: Sequence[Result]) -> list[Match]:
    """The matches to play next."""
    identities = what.cast.identities()
    return [paired(what.table, pairing, what.agents, identities) for pairing in drawn(what, history)]


def weighed_rounds(what: Plan) -> Rounds | None:
    """The tournament's rounds where judges' weights move from one to the next (see `weighing`)."""
    if not moves(what.table):
        return None
    identities = what.cast.identities()

    def seated(pairing: Pairing, weights: Mapping[str, float]) -> Match:
        return paired(what.table, pairing, what.agents, identities, weights)

    return Rounds(what.table, what.agents, lambda results: drawn(what, results), seated)


def hold(what: Plan, folder: Path | None = None, settings: Settings | None = None) -> Held:
    """Play a tournament to its end, or as far as budget, failures and Ctrl-C let it."""
    scenario = what.scenario
    folder = folder or default_folder("tournament", what.name, scenario)
    about = notes("tournament", what.name, scenario, run_key("tournament", scenario))
    asked: set[str] = set()
    told = weighed_rounds(what)

    def rounds(run: Run) -> list[Match]:
        """The next round without those that failed in this execution: asking again at once would not help."""
        batch = told.next(run) if told else round_of(what, history(run, what.agents))
        fresh = [match for match in batch if match.id not in asked]
        asked.update(match.id for match in fresh)
        return fresh

    report = execute(
        folder,
        about,
        what.cast,
        rounds,
        budget=budget_of(scenario),
        settings=settings,
    )
    with open_run(folder) as run:
        if told:
            told.next(run)
        results = told.results if told else history(run, what.agents)
    standing = what.format.standing(what.agents, results, seats=len(what.table.rated), seed=scenario.seed)
    ratings = rate(results, agents=what.agents)
    return Held(folder=folder, report=report, results=results, ratings=ratings, standing=standing)


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


def methods() -> tuple[str, ...]:
    """Further ways to rate, for fields that no single scale fits."""
    return ("reputation", "nash", "alpha_rank", "elo")


def rated_by(
    method: str, results: Sequence[Result], agents: Sequence[str], options: Mapping[str, Any]
) -> dict[str, float]:
    """Agent -> value by one of `methods()`, best first."""
    import numpy as np

    from simarena.tournament import elo, nontransitive, reputation
    from simarena.tournament.ratings import win_shares
    from simarena.tournament.results import compare

    if method not in methods():
        raise UnknownName("method", method, methods())
    if method == "reputation":
        try:
            constants = reputation.Constants(**options)
        except ValidationError as error:
            lines = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors(include_url=False))
            known = ", ".join(reputation.Constants.model_fields)
            raise ScenarioError(f"reputation does not take these options: {lines} (it knows {known})") from error
        table = reputation.reputations(results, agents, constants)
        found = {name: each.value for name, each in table.items()}
    else:
        data = compare(results, agents)
        shares = win_shares(data)
        margin = nontransitive.margins(shares)
        columns: dict[str, Callable[[], Any]] = {
            "nash": lambda: nontransitive.nash(margin).weights,
            "alpha_rank": lambda: nontransitive.alpha_rank(margin, **options),
            "elo": lambda: elo.least_squares(shares),
        }
        found = dict(zip(data.agents, np.asarray(columns[method]()).tolist(), strict=True))
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
