"""Scripted bargainers for every seat of `bargain`.

A policy sees its view alone. Sentences carry the reasons that the policy has; a scratchpad holds its sums, which nobody
else sees. `table` reads views; `expected` computes what these policies reach.
"""

from __future__ import annotations

import random
from typing import ClassVar

from pydantic import Field

from simarena.agents.policies.bargain import words
from simarena.agents.policies.bargain.groups import (
    KEEP,
    accept_package,
    costs_of,
    honest_reply,
    merged_post,
    object_to,
)
from simarena.agents.policies.bargain.table import Sheet, Table, read_sheet, read_table
from simarena.agents.policies.base import Policy
from simarena.records import JSON, View
from simarena.tasks import measures, welfare
from simarena.tasks.base import Knobs
from simarena.tasks.measures import NONE, Amendment


class Bargainer(Policy):
    """Handles every kind of phase; subclasses say which deal to name and what to vote."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Dispatch on what is asked for."""
        if view.kind == "vote":
            return self.vote(view, rng)
        if view.kind == "reply":
            return self.reply(view, rng)
        if view.kind == "package":
            return self.post(view, rng)
        if view.kind == "suggest":
            return self.suggest(view, rng)
        return self.propose(view, rng)

    def propose(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """A turn at the table, or the final offer."""
        sheet, table = read_sheet(view), read_table(view)
        deal = self.choose(view, sheet, table, rng)
        return {
            "scratchpad": words.working(sheet, deal),
            "message": self.say(view, sheet, table, deal, rng),
            "deal": deal,
            "plan": words.plan(sheet, deal, view.kind == "offer"),
        }

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """The deal to name; the present one where it meets the own minimum, else the nearest that does."""
        return nearest(sheet, table.deal, sheet.minimum)

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """The public message that goes with a deal."""
        return words.proposal(sheet, table, deal, rng)

    def vote(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Accept what is worth the minimum or more."""
        sheet, table = read_sheet(view), read_table(view)
        return ballot(sheet, table.offer, self.accepts(sheet, table, rng))

    def accepts(self, sheet: Sheet, table: Table, rng: random.Random) -> bool:
        """Whether the final offer is good enough."""
        return sheet.worth(table.offer) >= sheet.minimum

    def suggest(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """A mediator's suggestion: of each issue the option most often named of late."""
        deal = read_table(view).popular()
        return {"scratchpad": "", "message": words.suggestion(deal), "deal": deal}

    def reply(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """A group's answer: accept, or the amendment that does most for it."""
        return honest_reply(view, rng)

    def post(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """A mediator's package: the present one with the best amendment that was asked for."""
        return merged_post(view)


class Voter(Bargainer):
    """Keeps to its minimum: names the deal nearest to the table that meets it, and votes by it."""


class Concession(Knobs):
    """How a conceder gives way."""

    start: float = Field(1.0, ge=0, le=1)
    """Share of the way from minimum to best deal that it asks for at first."""
    end: float = Field(0.0, ge=0, le=1)
    """The same in the last round and in the final offer."""
    leak: bool = False
    """Whether messages state what the deal is worth to it."""


class Conceder(Bargainer):
    """Asks for much at first and for its minimum at last; of the deals worth that, the one others come nearest to."""

    Params = Concession

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """The most supported deal among those worth the present aspiration."""
        return most_supported(sheet, table, self.aspiration(view, sheet))

    def aspiration(self, view: View, sheet: Sheet) -> float:
        """Points asked for now: a straight line over the rounds of talk."""
        share: float = self.params.start + (self.params.end - self.params.start) * progress(view)
        return sheet.minimum + share * (sheet.best - sheet.minimum)

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """With the secret worth of the deal, where this one leaks."""
        if self.params.leak:
            return f"{words.listed(deal)} gives me {sheet.worth(deal)} points."
        return words.proposal(sheet, table, deal, rng)


class GreedyConcession(Concession):
    """A greedy party stays half-way to its best deal."""

    end: float = Field(0.5, ge=0, le=1)


class Greedy(Conceder):
    """A conceder that stops half-way; it still accepts whatever is worth its minimum."""

    Params = GreedyConcession


class Stubborn(Bargainer):
    """Names its best deal, whatever others say, and accepts nothing worth less."""

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """The deal it likes best."""
        return sheet.favourite()

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """No reason but its own wish."""
        return words.insist(deal, rng)

    def accepts(self, sheet: Sheet, table: Table, rng: random.Random) -> bool:
        """Only what is as good as its favourite."""
        return sheet.worth(table.offer) >= sheet.best

    def reply(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Objects to everything, with the amendment that does most for it, or with none."""
        answer = honest_reply(view, rng)
        return answer if answer["reply"] == "object" else {**answer, "reply": "object", "reason": "I want more for us."}

    def post(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Never moves."""
        return {"scratchpad": "", "message": "The package stays as it is.", "package": [KEEP]}


class Coin(Bargainer):
    """Random but legal: any deal, package or amendment, and votes by the toss of a coin."""

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """One option of each issue by lot."""
        return [rng.choice(names) for names in sheet.options]

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """The deal, no reason."""
        return f"I propose {words.listed(deal)}."

    def accepts(self, sheet: Sheet, table: Table, rng: random.Random) -> bool:
        """By the toss of a coin."""
        return rng.random() < 0.5

    def suggest(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Any deal."""
        deal = [rng.choice(names) for names in read_table(view).options]
        return {"scratchpad": "", "message": words.suggestion(deal), "deal": deal}

    def reply(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Accept, or any affordable amendment."""
        budget, package = costs_of(view), read_table(view).package
        change = rng.choice([Amendment(NONE, NONE), *measures.amendments(budget, package)])
        if change == (NONE, NONE):
            return accept_package()
        return object_to(change, words.objection(change, None, rng))

    def post(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Measures in random order while the money lasts."""
        budget, package = costs_of(view), list[str]()
        for name in rng.sample(list(view.task["costs"]), len(view.task["costs"])):
            if rng.random() < 0.5 and view.task["costs"][name] <= measures.left(budget, package):
                package.append(name)
        package = [name for name in view.task["costs"] if name in package]
        return {"scratchpad": "", "message": words.package(package), "package": package}


class Spoiler(Bargainer):
    """Wants no deal: names what nobody asked for, and rejects the final offer. As a group it objects in vain."""

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """Of each issue the option least often named of late."""
        return [min(names, key=lambda name: (table.share(name), -sheet.scores[name])) for names in sheet.options]

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """Doubts about everything on the table."""
        return words.doubt(table, deal, rng)

    def accepts(self, sheet: Sheet, table: Table, rng: random.Random) -> bool:
        """Never."""
        return False

    def reply(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Objects without an amendment."""
        return object_to(Amendment(NONE, NONE), "This package is not good enough.")


class TargetedSpoiler(Bargainer):
    """Works against one party: names what that party did not ask for, among deals worth its own minimum."""

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """Furthest from the target's last deal, then nearest to the others."""
        wish = table.last_deal(view.card.get("target", "party_1"))
        return max(
            sheet.worth_at_least(sheet.minimum),
            key=lambda deal: (sum(a != b for a, b in zip(deal, wish, strict=False)), table.support(deal)),
        )

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """As a conceder would: it hides its aim."""
        return words.proposal(sheet, table, deal, rng)

    def vote(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Accepts where the offer takes at most half of what the target asked for last, and meets its own minimum."""
        sheet, table = read_sheet(view), read_table(view)
        wish = table.last_deal(view.card.get("target", "party_1"))
        granted = sum(name in wish for name in table.offer)
        good = sheet.worth(table.offer) >= sheet.minimum and 2 * granted <= len(table.offer)
        return ballot(sheet, table.offer, good)


class ByAttitude(Bargainer):
    """Plays the attitude that its card names: conceder, greedy, spoiler or targeted spoiler."""

    PLAYS: ClassVar[dict[str, type[Bargainer]]] = {
        "coop": Conceder,
        "greedy": Greedy,
        "spoiler": Spoiler,
        "targeted": TargetedSpoiler,
    }

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """What that policy would do."""
        return self.PLAYS[view.card.get("attitude", "coop")]().act(view, rng)


class Accepter(Bargainer):
    """Names no deal of its own, accepts every offer and package."""

    def choose(self, view: View, sheet: Sheet, table: Table, rng: random.Random) -> list[str]:
        """What is on the table."""
        return table.deal

    def say(self, view: View, sheet: Sheet, table: Table, deal: list[str], rng: random.Random) -> str:
        """Agreement."""
        return f"I agree to {words.listed(deal)}." if deal else "I wait for a proposal."

    def accepts(self, sheet: Sheet, table: Table, rng: random.Random) -> bool:
        """Always."""
        return True

    def reply(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Always accepts."""
        return accept_package()


class Exact(Bargainer):
    """A mediator that enumerates all affordable packages and posts the best for its objective, at once.

    Where the rubric is private it merges instead.
    """

    def post(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """The optimum, and no other."""
        instance = measures.read_public(view.task)
        if instance is None:
            return merged_post(view)
        objective: welfare.Objective = view.card["objective"]
        best = measures.optimum(instance, objective)
        package = best["package"]
        if read_table(view).posted and read_table(view).package == package:
            return {"scratchpad": "", "message": "No amendment is better for all.", "package": [KEEP]}
        points = measures.points_under(instance, package)
        return {"scratchpad": words.points(points), "message": words.package(package), "package": package}


# ---- table seats -----------------------------------------------------------------------------------------------------


def ballot(sheet: Sheet, offer: list[str], accept: bool) -> dict[str, JSON]:
    """A vote with the sum that led to it."""
    return {"scratchpad": words.verdict(sheet, offer, accept), "accept": accept}


def progress(view: View) -> float:
    """Share of the talk that is over: 0 in the opening, 1 in the last round and the final offer."""
    if view.kind == "offer":
        return 1.0
    done = int(view.phase.removeprefix("round ")) if view.phase.startswith("round ") else 0
    return min(1.0, done / max(1, int(view.card.get("rounds", 1))))


def nearest(sheet: Sheet, deal: list[str], worth: float) -> list[str]:
    """The deal with the fewest changes to `deal` that is worth so much; of equals the best for this sheet."""
    return max(
        sheet.worth_at_least(worth),
        key=lambda d: (sum(a == b for a, b in zip(d, deal, strict=False)), sheet.worth(d)),
    )


def most_supported(sheet: Sheet, table: Table, worth: float) -> list[str]:
    """The deal worth so much whose options others named most of late; of equals the best for this sheet."""
    return max(sheet.worth_at_least(worth), key=lambda d: (table.support(d), sheet.worth(d)))


POLICIES: dict[str, type[Policy]] = {
    "accepter": Accepter,
    "attitude": ByAttitude,
    "conceder": Conceder,
    "exact": Exact,
    "greedy": Greedy,
    "honest": Bargainer,
    "merger": Bargainer,
    "random": Coin,
    "spoiler": Spoiler,
    "stubborn": Stubborn,
    "targeted": TargetedSpoiler,
    "voter": Voter,
}

REFERENCE: dict[str, str] = {
    "party": "bargain/attitude",
    "group": "bargain/honest",
    "mediator": "bargain/merger",
}
