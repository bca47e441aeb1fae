"""Who meets whom, and over which question: one match a question, none of them held out.

In: the tribe, its reputations, and the scenario's table. Out: the round's matches. Everything is drawn from the
league's seed and the round's number. A match's first contestant is its focus: members take turns in it, and the others
are drawn for it by the league's rule.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simarena import envs
from simarena.errors import ScenarioError
from simarena.exams import held_out
from simarena.league_spec import Opponents
from simarena.records import Match
from simarena.seating import Table, made, with_rest
from simarena.seeds import rng
from simarena.tasks.base import Task
from simarena.tournament.reputation import Constants

PUBLISHED = Constants()
MOST_SKIPPED = 10_000
"""Held-out questions in a row after which a family counts as having no others."""

WeightsOf = Callable[[str], Mapping[str, float]]
"""Task family -> agent -> what its word counts as a judge there; {}: all alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrants:
    """Who may be drawn in a round."""

    present: Sequence[str]
    """Versions that sit in the tribe, one for each member, in the members' order."""
    past: Mapping[str, Sequence[str]]
    """Version -> its earlier versions, nearest first."""
    reputation: Mapping[str, float]
    """Version -> reputation, for `nearest`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How opponents are drawn."""

    opponents: Opponents
    seed: int
    round: int
    repeats: int = 1
    """Plays of each question."""
    constants: Constants = PUBLISHED


def matches(
    table: Table, field: Entrants, rule: Rule, identities: Mapping[str, str], size: int, weights: WeightsOf
) -> list[Match]:
    """The round's matches, on `size` questions of their own; questions go on after those of the round before.

    The repeats of a question are one unit: the same agents in the same seats, with chances of their own.
    """
    first = (rule.round - 1) * 10 * size  # more than a tenth are held out with no chance worth naming
    found = []
    for number, (place, task) in enumerate(itertools.islice(questions(table, first), size)):
        seats, heard = seated(table, field, rule, number), weights(task.family)
        found += [
            made(table, seats, identities, place, replica=f"league {n}", weights=heard) for n in range(rule.repeats)
        ]
    return found


def questions(table: Table, first: int) -> Iterator[tuple[int, Task]]:
    """Numbers and tasks, from the first on, that are kept from exams."""
    cell = table.cell
    env: Any = envs.make(cell.scenario.env, **cell.params)
    skipped = 0
    for number in itertools.count(first):
        task = env.family.generate(cell.scenario.data.seed + number)  # in the words that exams know it by
        if not held_out(task):
            skipped = 0
            yield number, task
        elif (skipped := skipped + 1) > MOST_SKIPPED:
            raise ScenarioError(f"{cell.scenario.data.task}: all questions are kept for exams; widen data.params")


def seated(table: Table, field: Entrants, rule: Rule, number: int) -> dict[str, str]:
    """Who sits where in the round's match of this number."""
    focus = turn(field.present, rule, number)
    contesting = [focus, *opponents(field, rule, number, focus, len(table.rated) - 1)]
    chance = rng(rule.seed, "seats", rule.round, number)
    if len({seat.rsplit("_", 1)[0] for seat in table.rated}) == 1:
        chance.shuffle(contesting)  # one role: nobody has the first seat for good
    seats = dict(zip(table.rated, contesting, strict=True))
    for role, names in table.judges.items():
        here = table.cell.roles.get(role, [])
        if names is not None:
            chosen = list(itertools.islice(itertools.cycle(names), max(len(names), len(here))))
            seats |= dict(zip(here, chance.sample(chosen, len(chosen)), strict=False))
    if rule.opponents == "self":
        rest = [
            seat for role, names in table.judges.items() if names is None for seat in table.cell.roles.get(role, [])
        ]
        return {seat: seats.get(seat, focus) for seat in table.cell.seats if seat in seats or seat in rest}
    return with_rest(table, seats, field.present, number)


def turn(present: Sequence[str], rule: Rule, number: int) -> str:
    """Whose turn it is: everyone once before anyone twice, in a new order each time round."""
    cycle, place = divmod(number, len(present))
    order = sorted(present)
    rng(rule.seed, "cycle", rule.round, cycle).shuffle(order)
    return order[place]


def opponents(field: Entrants, rule: Rule, number: int, focus: str, count: int) -> list[str]:
    """Who sits in the other `count` contesting seats; of a pool that is too small some sit twice."""
    if not count:
        return []
    chance = rng(rule.seed, "opponent", rule.round, number)
    pool = POOLS[rule.opponents](field, rule, number, focus, chance) or [focus]
    few = (
        pool[: max(count, 1)] if rule.opponents in ("tribe", "history") else chance.sample(pool, min(count, len(pool)))
    )
    return list(itertools.islice(itertools.cycle(few), count))


def _tribe(field: Entrants, rule: Rule, number: int, focus: str, chance: Any) -> list[str]:
    """The others in turn: whom the focus meets moves on by one each time it is its turn."""
    others = [name for name in sorted(field.present) if name != focus]
    step = number // len(field.present) % max(len(others), 1)
    return others[step:] + others[:step]


def _random(field: Entrants, rule: Rule, number: int, focus: str, chance: Any) -> list[str]:
    return [name for name in sorted(field.present) if name != focus]


def _nearest(field: Entrants, rule: Rule, number: int, focus: str, chance: Any) -> list[str]:
    """SPARTA's rule: with `constants.chance` anybody, else one of the `constants.nearest` of nearest reputation."""
    others = _random(field, rule, number, focus, chance)
    if chance.random() >= rule.constants.chance:
        start = rule.constants.start
        own = field.reputation.get(focus, start)
        others.sort(key=lambda name: abs(field.reputation.get(name, start) - own))
        others = others[: rule.constants.nearest]
    return others


def _history(field: Entrants, rule: Rule, number: int, focus: str, chance: Any) -> list[str]:
    return list(field.past.get(focus, ()))


def _self(field: Entrants, rule: Rule, number: int, focus: str, chance: Any) -> list[str]:
    return [focus]


POOLS: dict[str, Callable[[Entrants, Rule, int, str, Any], list[str]]] = {
    "tribe": _tribe,
    "random": _random,
    "nearest": _nearest,
    "history": _history,
    "self": _self,
}
