"""Who sits where: cells and agents to matches.

A role with as many agents as seats or fewer is filled by place, in turn: the first agent in the first seat, and again
from the first when they run out. A role with more agents than seats is played by every choice of them. Judges given as
"rest" are the agents of the roster who do not contest the match. Knows no backend and no run.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from simarena.errors import ScenarioError
from simarena.identity import content_hash, new_match
from simarena.records import Match
from simarena.scenario import Cell, match_seed
from simarena.seeds import rng
from simarena.tournament.schedule import Pairing

Names = Mapping[str, Sequence[str]]
"""Role -> names of agents."""


@dataclass(frozen=True, slots=True)
class Table:
    """A cell with the names of those who may sit in it."""

    cell: Cell
    roster: dict[str, list[str]]
    judges: dict[str, list[str] | None]
    """None: the rest."""

    @property
    def rated(self) -> list[str]:
        """Seats whose agents are compared: those of the roster's roles, in the environment's order."""
        return [seat for seat in self.cell.seats if seat.rsplit("_", 1)[0] in self.roster]

    @property
    def everybody(self) -> list[str]:
        """Names on the roster, each once."""
        return list(dict.fromkeys(name for names in self.roster.values() for name in names))


def matches(tables: Sequence[Table], identities: Mapping[str, str], first: int = 0) -> Iterator[Match]:
    """The matches of all tables without end: task by task, in every cell, in every seating."""
    for n in itertools.count(first):
        for table in tables:
            for replica, seats in enumerate(seatings(table, n)):
                yield made(table, seats, identities, n, replica=replica)


def task_matches(tables: Sequence[Table]) -> int:
    """How many matches are played of one task."""
    return sum(1 for table in tables for _ in seatings(table, 0))


def seatings(table: Table, task: int) -> Iterator[dict[str, str]]:
    """Every way in which the table's agents sit for task number `task`."""
    roles = table.cell.roles
    ways = [choices(names, len(roles[role]), task) for role, names in table.roster.items() if role in roles]
    contesting = [role for role in table.roster if role in roles]
    judging = [role for role, names in table.judges.items() if role in roles and names is not None]
    panels = [choices(table.judges[role] or [], len(roles[role]), task) for role in judging]
    for way in itertools.product(*ways, *panels):
        seats: dict[str, str] = {}
        for role, names in zip([*contesting, *judging], way, strict=True):
            seats |= dict(zip(roles[role], names, strict=True))
        yield with_rest(table, seats, table.everybody, task)


def choices(names: Sequence[str], seats: int, task: int) -> list[tuple[str, ...]]:
    """Who fills the seats of a role: one filling by place, or every choice where there are more agents than seats.

    Of a choice, another agent comes first each time, so that a seat's advantage is shared out.
    """
    if len(names) <= seats:
        return [tuple(names[i % len(names)] for i in range(seats))]
    turn = task % seats if seats else 0
    return [some[turn:] + some[:turn] for some in itertools.combinations(names, seats)]


def with_rest(table: Table, seats: dict[str, str], pool: Sequence[str], task: int) -> dict[str, str]:
    """`seats` in the environment's order, the seats of "rest" filled with those of `pool` who do not contest."""
    contesting = {seats[seat] for seat in table.rated}
    roles = table.cell.roles
    for role, names in table.judges.items():
        if names is not None or role not in roles:
            continue
        rest = [name for name in pool if name not in contesting]
        if not rest:
            raise ScenarioError(
                f"nobody is left to sit as {role}: all {len(pool)} agents contest, and judges are the rest of them; "
                f"enter more agents, or name judges with --seat {role}=AGENT"
            )
        if len(rest) > len(roles[role]):
            rest = rng("rest", task, *sorted(contesting)).sample(rest, len(roles[role]))
        seats |= {seat: rest[i % len(rest)] for i, seat in enumerate(roles[role])}
    return {seat: seats[seat] for seat in table.cell.seats}


def made(
    table: Table,
    seats: Mapping[str, str],
    identities: Mapping[str, str],
    task: int,
    *,
    replica: int | str = 0,
    unit: str = "",
    weights: Mapping[str, float] | None = None,
) -> Match:
    """The match of these seats on task number `task`; `replica` as in `match_seed`, `weights` as in `paired`."""
    scenario = table.cell.scenario
    earned = {seat: weights[name] for seat, name in seats.items() if name in weights} if weights else {}
    judging = {
        seat: value for seat, value in earned.items() if seat not in table.rated or len(table.rated) == len(seats)
    }
    params = {**table.cell.params, "reputation": judging} if judging else table.cell.params
    task_seed = scenario.data.seed + task
    contesting = sorted(seats[seat] for seat in table.rated)
    return new_match(
        scenario.env,
        params,
        seats,
        identities,
        task_seed=task_seed,
        seed=match_seed(scenario, task_seed, replica),
        unit=unit or content_hash([table.cell.at, contesting, task_seed]),
        cell=table.cell.at,
    )


def paired(
    table: Table,
    pairing: Pairing,
    pool: Sequence[str],
    identities: Mapping[str, str],
    weights: Mapping[str, float] | None = None,
) -> Match:
    """A tournament's match: the pairing in the rated seats, judges as the scenario has them.

    The matches of a unit share a seed: what luck gives to a seat in one, it gives to the seat's next owner as well.
    `weights`: name -> reputation, of which those who judge are entered among the match's parameters.
    """
    seats = dict(zip(table.rated, pairing.agents, strict=True))
    roles = table.cell.roles
    for role, names in table.judges.items():
        if names is not None and role in roles:
            ways = choices(names, len(roles[role]), pairing.task)
            seats |= dict(zip(roles[role], ways[pairing.task % len(ways)], strict=True))
    return made(
        table,
        with_rest(table, seats, pool, pairing.task),
        identities,
        pairing.task,
        replica=pairing.unit,
        unit=pairing.unit,
        weights=weights,
    )
