"""Moves of scripted groups and mediators in package bargaining.

In: a View of `bargain`, kind package. Out: the fields of a reply or a post. Knows no policy.
"""

from __future__ import annotations

import random

from simarena.agents.policies.bargain import words
from simarena.agents.policies.bargain.table import read_table
from simarena.records import JSON, View
from simarena.tasks import measures
from simarena.tasks.measures import NONE, Amendment, Instance

KEEP = "keep"
"""A package of this alone leaves the present one as it is."""


def accept_package() -> dict[str, JSON]:
    """The plain acceptance."""
    return {"scratchpad": "", "reply": "accept", "add": NONE, "drop": NONE, "reason": ""}


def object_to(change: Amendment, reason: str, scratchpad: str = "") -> dict[str, JSON]:
    """An objection with an amendment."""
    return {"scratchpad": scratchpad, "reply": "object", "add": change.add, "drop": change.drop, "reason": reason}


def own_row(view: View) -> dict[str, int]:
    """A group's base and effects, from the public rubric or from its card."""
    row: dict[str, int] = view.task.get(view.seat) or view.card
    return row


def costs_of(view: View) -> Instance:
    """The package problem without effects: enough for what may be paid."""
    costs = tuple(view.task["costs"].values())
    return Instance((), costs, ((),) * len(costs), view.task["budget"])


def honest_reply(view: View, rng: random.Random) -> dict[str, JSON]:
    """Object with the affordable amendment that does most for the own group, cheapest first; else accept."""
    row, package = own_row(view), read_table(view).package
    budget = costs_of(view)
    changes = measures.amendments(budget, package)

    def gain(change: Amendment) -> int:
        return row.get(change.add, 0) - row.get(change.drop, 0)

    best = max(changes, key=lambda change: (gain(change), -measures.price(budget, change)), default=None)
    now = row["base"] + sum(row[name] for name in package)
    if best is None or gain(best) <= 0:
        return {**accept_package(), "scratchpad": f"We have {now}; no amendment gives us more."}
    working = f"We have {now}; add {best.add}, drop {best.drop}: {now + gain(best)}."
    return object_to(best, words.objection(best, gain(best), rng), working)


def merged_post(view: View) -> dict[str, JSON]:
    """First the empty package, then the best of the amendments asked for, or the same package again."""
    table, instance = read_table(view), measures.read_public(view.task)
    if not table.posted:
        return {"scratchpad": "", "message": "We start with no measures; tell me what you need.", "package": []}
    after = (
        measures.merged(instance, table.package, table.amendments)
        if instance
        else most_wanted(costs_of(view), table.package, table.amendments)
    )
    if after == table.package:
        return {"scratchpad": "", "message": "No amendment helps all, so the package stays.", "package": [KEEP]}
    working = words.points(measures.points_under(instance, after)) if instance else ""
    return {"scratchpad": working, "message": words.change(table.package, after), "package": after}


def most_wanted(budget: Instance, package: list[str], changes: list[Amendment]) -> list[str]:
    """Without a rubric: the amendment that most groups ask for, the cheaper of equals; as is where there is none."""
    change = max(changes, key=lambda c: (changes.count(c), -measures.price(budget, c)), default=None)
    return package if change is None else change.apply(package)
