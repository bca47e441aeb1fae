"""A league before it is played: everything that can be wrong with it is told here, before anything is written.

In: a scenario with its `league` block. Out: a Plan: the scenario as the league has it, members, papers, table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from simarena import yamlfile
from simarena.agents.members import Entry, member
from simarena.casting import Cast
from simarena.errors import ScenarioError
from simarena.exams import Paper, in_matches, papers
from simarena.identity import content_hash
from simarena.league import check, learning
from simarena.league.learning import Learn
from simarena.league.lineage import next_name
from simarena.league.matchmaking import Entrants, Rule, seated
from simarena.league_spec import Exam, League
from simarena.names import checked, distinct
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
    examiners: list[Entry]
    """Who sits in the papers' matches beside the examinee."""
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
    examine_names(name, members, league.rounds)
    here = here.model_copy(update={"roster": {each: list(members.values()) for each in here.roster}})
    cast = Cast(members.values())
    table = tables(here, cast)[0]
    examine(here, league, table)
    able = frozenset(name for name, each in members.items() if learn or check.can_learn(each))
    if not able:
        raise ScenarioError(f"{name}: no member can learn ({', '.join(members)}); enter local models with --agents")
    exam = league.exam
    asked, examiners = examination(here, exam)
    judges = {name: cast.roles[name].identity for names in table.judges.values() for name in names or ()}
    conditions = league.model_dump(mode="json", exclude={*FREE, "members"}, exclude_none=True)
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
        examiners=examiners,
        learn=learn or learning.train,
        key=content_hash(["league", here.key(), conditions, identities, judges]),
    )


def examine_names(scenario: str, members: Iterable[str], rounds: int) -> None:
    """ScenarioError where a member's name, or that of a version it may become, could be no file's of its own."""
    for each in members:
        for part in next_name(each, rounds).split("/"):  # a policy's name, "debate/honest", becomes a folder and a file
            checked(part, f"{scenario}: league member {each!r}")
    versions = (next_name(each, number) for each in members for number in range(1, rounds + 1))
    distinct([*members, *versions], f"{scenario}: league members and their versions")


def examination(scenario: Scenario, exam: Exam) -> tuple[list[Paper], list[Entry]]:
    """The papers, with the questions of all exams; and who sits in their matches, where they are matches."""
    here = scenario.at(exam.changes or {})
    cast = Cast()
    table = tables(here, cast)[0]
    asked = papers(table.cell.params, exam.questions + exam.final, only=exam.families)
    if exam.metric is None:
        return asked, []
    others: dict[str, str] = {}
    for role, names in table.judges.items():
        if names is None:
            raise ScenarioError(f"league.exam.metric: in an exam nobody is the rest; name who sits as {role} (judges)")
        seats = table.cell.roles.get(role, [])
        others |= {seat: names[n % len(names)] for n, seat in enumerate(seats)}
    played = [in_matches(each, here.env, table.cell.params, exam.metric, others) for each in asked]
    return played, [each for agents in here.judges.values() for each in agents]


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
