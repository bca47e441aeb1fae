"""Sentences of scripted bargainers: short, plain, and about the very reasons that the policy has.

Messages never state a number of a party's card; workings (seen by nobody else) do nothing else.
"""

from __future__ import annotations

import random

from simarena.agents.policies.bargain.table import Sheet, Table
from simarena.tasks.measures import NONE, Amendment
from simarena.tasks.wording import listed as _listed


def listed(names: list[str]) -> str:
    """Names in a row; "nothing" for none."""
    return _listed(names) if names else "nothing"


def total(sheet: Sheet, deal: list[str]) -> str:
    """A deal's worth, added up: "A2 12 + B1 3 = 15"."""
    return " + ".join(f"{name} {sheet.scores[name]}" for name in deal) + f" = {sheet.worth(deal)}"


def working(sheet: Sheet, deal: list[str]) -> str:
    """The sum beside the minimum."""
    return f"{total(sheet, deal)}, minimum {sheet.minimum}." if deal else f"No deal yet, minimum {sheet.minimum}."


def verdict(sheet: Sheet, offer: list[str], accept: bool) -> str:
    """The sum, how it compares, and the vote."""
    compared = "at least" if sheet.worth(offer) >= sheet.minimum else "less than"
    return f"{total(sheet, offer)}, {compared} {sheet.minimum}: {'accept' if accept else 'reject'}."


def plan(sheet: Sheet, deal: list[str], last: bool) -> str:
    """What to do next."""
    if last:
        return "Wait for the votes."
    return f"Stay at {sheet.minimum} or more; keep {strongest(sheet, deal)}." if deal else f"Ask for {sheet.minimum}."


def strongest(sheet: Sheet, deal: list[str]) -> str:
    """The option of a deal that matters most on this sheet."""
    return max(deal, key=lambda name: sheet.scores[name])


def proposal(sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
    """A deal and why: support for the table, a concession to somebody, or what matters most."""
    if deal == table.deal:
        return rng.choice(["I can agree to {}.", "That works for me: {}.", "I support {}."]).format(listed(deal))
    mine, key = table.last_deal(table.own), strongest(sheet, deal)
    for before, after in zip(mine, deal, strict=False):
        if before != after and (other := table.mover(after)):
            return f"I propose {listed(deal)}: I move from {before} to {after} to meet {other}."
    reason = rng.choice(["{} matters most to me", "{} is the part I need", "I care most about {}"]).format(key)
    return rng.choice(["I propose {deal}, because {why}.", "Let us take {deal}: {why}."]).format(
        deal=listed(deal), why=reason
    )


def insist(deal: list[str], rng: random.Random) -> str:
    """A demand without a reason."""
    return rng.choice(["I insist on {}.", "I will only take {}.", "It must be {}."]).format(listed(deal))


def doubt(table: Table, deal: list[str], rng: random.Random) -> str:
    """Against what is on the table, for what nobody named."""
    against = listed(table.deal) if table.deal else "a quick deal"
    return rng.choice(
        ["I doubt {}; what about {}?", "{} is not fair to all; try {}.", "I see no gain in {}; take {}."]
    ).format(against, listed(deal))


def suggestion(deal: list[str]) -> str:
    """A mediator's suggestion."""
    return f"Most of you named {listed(deal)}; I suggest that deal."


def objection(change: Amendment, gain: int | None, rng: random.Random) -> str:
    """An amendment and its reason."""
    parts = [f"add {change.add}"] * (change.add != NONE) + [f"drop {change.drop}"] * (change.drop != NONE)
    asked = " and ".join(parts)
    if gain is None:
        return f"Please {asked}."
    return rng.choice(["Please {}: that gives us {} more.", "We ask you to {}, it is worth {} to us."]).format(
        asked, gain
    )


def package(names: list[str]) -> str:
    """What a package holds."""
    return f"I post {listed(names)}."


def change(before: list[str], after: list[str]) -> str:
    """What a merge changed."""
    added = [name for name in after if name not in before]
    dropped = [name for name in before if name not in after]
    parts = [f"add {listed(added)}"] * bool(added) + [f"drop {listed(dropped)}"] * bool(dropped)
    return f"I {' and '.join(parts)}: that helps the worst-off group or the total most."


def points(utilities: list[int]) -> str:
    """Points of all groups, and the least."""
    return f"Points {', '.join(map(str, utilities))}; the least is {min(utilities)}."
