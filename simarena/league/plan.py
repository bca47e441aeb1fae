"""A league before it is played: everything that can be wrong with it is told here, before anything is written.

In: a scenario with its `league` block. Out: a Plan: the scenario as the league has it, members, papers, table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from simarena import yamlfile
from simarena.agents.members import Entry, member
from simarena.casting import Cast
from simarena.errors import ScenarioError
from simarena.exams import Paper, papers
from simarena.identity import content_hash
from simarena.league import check, learning
from simarena.league.learning import Learn
from simarena.league.matchmaking import Entrants, Rule, seated
from simarena.league_spec import League
from simarena.scenario import Scenario
from simarena.seating import Table
from simarena.studies import tables

FREE = ("rounds", "expect")
"""Keys of a league that may change while it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A league before it is played."""

    name: str
    scenario: Scenario
    """In the first cell of its sweep, with the league's changes."""
    league: League
    entries: dict[str, Entry]
    """Member -> what it is at first."""
    learners: frozenset[str]
    """Members that can learn; the others stay as they are."""
    table: Table
    """With the members on the roster."""
    papers: list[Paper]
    """Asked after each round."""
    final: list[Paper]
    """Asked before and after the league."""
    learn: Learn
    key: str
    """Hash of what may not change while a league goes on."""


def plan(scenario: Scenario, name: str, entries: Sequence[Entry] = (), learn: Learn | None = None) -> Plan:
    """The league of a scenario; `entries` instead of its members, `learn` instead of the trainer."""
    league = scenario.league
    source = yamlfile.Source(name, elsewhere={(): name})
    check.examine_play(scenario, source)
    if learn is None:
        check.examine_training(league.train, source)
    source.check()
    here = scenario.at({**scenario.cells()[0], **league.changes})
    role = next(iter(here.roster))
    members = {member(each).name: each for each in entries or league.members or here.roster[role]}
    here = here.model_copy(update={"roster": {each: list(members.values()) for each in here.roster}})
    cast = Cast(members.values())
    table = tables(here, cast)[0]
    examine(here, league, table)
    able = frozenset(name for name, each in members.items() if learn or check.can_learn(each))
    if not able:
        raise ScenarioError(f"{name}: no member can learn ({', '.join(members)}); enter local models with --agents")
    exam = league.exam
    asked = papers(table.cell.params, exam.questions + exam.final, only=exam.families)
    judges = {name: cast.roles[name].identity for names in table.judges.values() for name in names or ()}
    conditions = league.model_dump(mode="json", exclude={*FREE, "members"})
    identities = {name: cast.roles[name].identity for name in members}
    return Plan(
        name=name,
        scenario=here,
        league=league,
        entries=members,
        learners=able,
        table=table,
        papers=[replace(each, seeds=each.seeds[: exam.questions]) for each in asked],
        final=[replace(each, seeds=each.seeds[exam.questions :]) for each in asked],
        learn=learn or learning.train,
        key=content_hash(["league", here.key(), conditions, identities, judges]),
    )


def examine(scenario: Scenario, league: League, table: Table) -> None:
    """Refuse a table at which its members could not be seated."""
    if not table.rated:
        raise ScenarioError(f"none of the roster's roles ({', '.join(scenario.roster)}) has a seat: nobody can play")
    if league.opponents in ("tribe", "nearest", "random") and len(table.everybody) < 2:
        raise ScenarioError(
            f"league.opponents: {league.opponents} needs two members at least (got {len(table.everybody)})"
            "; enter more with --agents, or say history or self"
        )
    entrants = Entrants(present=table.everybody, past={}, reputation={})
    seated(table, entrants, Rule(opponents=league.opponents, seed=0, round=1), 0)
