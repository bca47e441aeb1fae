"""Whose replies could not be used: turns by role and by agent, verdicts by judge and order of reading.

In: results of matches. Out: one record that tables print and JSON holds, with what a careful reader has to be told.
Forks are left out, as they are in tables and ratings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from simarena.store import Result
from simarena.tournament.results import READ

TOLERATED = 0.05
"""Share of its verdicts that a judge may miss before a warning says so."""
ORDERS = {"dealt": "as dealt", "reversed": "reversed", "random": "shuffled", "none": "no order"}
"""Order in which a judge read -> its name in tables."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of counted things."""

    share: float
    of: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MissedVerdicts:
    """How often an agent that was asked for verdicts gave none."""

    missed: Share
    orders: dict[str, Share]
    """Order in which it read -> share of the verdicts missed in that order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusable:
    """What of a set of matches could not be used."""

    roles: dict[str, Share]
    """Role -> share of its turns whose reply could not be applied as meant."""
    agents: dict[str, Share]
    """Agent -> the same of its turns, in whatever role."""
    judges: dict[str, MissedVerdicts]
    """Agent -> its verdicts."""
    undecided: Share
    """Share of the finished matches that no judge decided."""
    warnings: tuple[str, ...]


def unusable(results: Iterable[Result]) -> Unusable:
    """Count over finished matches."""
    done = [result for result in results if result.status == "done" and not result.match.parent]
    judges = {agent: judge_of(orders) for agent, orders in sorted(verdicts(done).items())}
    undecided = share(sum(not result.decided for result in done), len(done))
    return Unusable(
        roles=turns(done, lambda _, seat: seat.rsplit("_", 1)[0]),
        agents=turns(done, lambda result, seat: result.match.seats[seat]),
        judges=judges,
        undecided=undecided,
        warnings=tuple(warnings(judges, undecided)),
    )


def share(part: int, whole: int) -> Share:
    """`part` of `whole`; 0 of nothing."""
    return Share(part / whole if whole else 0.0, whole)


def turns(results: Sequence[Result], group: Callable[[Result, str], str]) -> dict[str, Share]:
    """Group of seats -> share of their turns that could not be applied as meant; groups without turns are left out."""
    bad: defaultdict[str, int] = defaultdict(int)
    total: defaultdict[str, int] = defaultdict(int)
    for result in results:
        for seat, counts in result.outcomes.items():
            name = group(result, seat)
            total[name] += sum(counts.values())
            bad[name] += sum(n for outcome, n in counts.items() if outcome not in READ)
    return {name: share(bad[name], count) for name, count in sorted(total.items()) if count}


def verdicts(results: Sequence[Result]) -> dict[str, dict[str, list[int]]]:
    """Agent -> order -> [verdicts given, verdicts missed]."""
    found: dict[str, dict[str, list[int]]] = {}
    for result in results:
        for seat, orders in result.verdicts.items():
            mine = found.setdefault(result.match.seats[seat], {})
            for order, counts in orders.items():
                mine[order] = [a + b for a, b in zip(mine.get(order, [0, 0]), counts, strict=True)]
    return found


def judge_of(orders: Mapping[str, Sequence[int]]) -> MissedVerdicts:
    """A judge's record from its counts by order."""
    given, missed = (sum(counts[i] for counts in orders.values()) for i in (0, 1))
    return MissedVerdicts(
        missed=share(missed, given + missed),
        orders={order: share(orders[order][1], sum(orders[order])) for order in ORDERS if order in orders},
    )


def warnings(judges: Mapping[str, MissedVerdicts], undecided: Share) -> Iterator[str]:
    """What a reader has to be told, one sentence each."""
    for agent, judge in judges.items():
        if max(each.share for each in judge.orders.values()) > TOLERATED:
            yield f"judge {agent} gave no verdict in {percent(judge.missed)} that it was asked for{by_order(judge)}"
    if undecided.share:
        count = round(undecided.share * undecided.of)
        yield f"{count} of {undecided.of} matches were decided by no judge: they are no ties and are in no rating"


def by_order(judge: MissedVerdicts) -> str:
    """Shares by order of reading, in words, where there are several."""
    if len(judge.orders) < 2:
        return ""
    return f" ({', '.join(f'{ORDERS[order]}: {percent(each)}' for order, each in judge.orders.items())})"


def percent(each: Share) -> str:
    """A share in words."""
    return f"{100 * each.share:.1f} % of {each.of}"
