"""Rules of scorable bargaining: secret score sheets, public talk in turns, a final offer and a vote.

After LLM-Deliberation (Abdelnabi et al. 2024): party_0 opens, the parties speak in turns with a private scratchpad, a
public message with a deal and a private plan, party_0 makes the final offer, the others vote on it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from simarena.envs import spaces
from simarena.envs.phases import Phase
from simarena.reading import Fields
from simarena.records import JSON, Event
from simarena.tasks import scoresheets, welfare
from simarena.tasks.base import Task

if TYPE_CHECKING:
    from simarena.envs.bargain.env import Bargain

Attitude = Literal["coop", "greedy", "spoiler", "targeted"]

NUMBER = re.compile(r"(?<![\w.])\d+(?![\w]|\.\d)")
"""Numbers that stand alone: the 2 of an option A2 tells no secret."""
KINDS = ("propose", "suggest", "offer", "vote")

WISHES = {
    "coop": "Look for a deal that is good for all.",
    "greedy": "Get as many points for yourself as you can.",
    "spoiler": "You gain most if no deal passes; do not let it show.",
    "targeted": "You gain most if {target} gets few points; do not let it show.",
}


class Proposal(Fields):
    """A turn at the table."""

    scratchpad: str = ""
    """Private working."""
    message: str
    """What all hear."""
    deal: list[str]
    """One option per issue, in the issues' order; [] leaves the table as it is."""
    plan: str = ""
    """Private note for the next turn."""


class Suggestion(Fields):
    """What a mediator says."""

    scratchpad: str = ""
    """Private working."""
    message: str
    """What all hear."""
    deal: list[str]
    """One option per issue, in the issues' order; [] leaves the table as it is."""


class Vote(Fields):
    """A vote on the final offer."""

    scratchpad: str = ""
    """Private working."""
    accept: bool


class Scorable:
    """The rules, held by one match."""

    def __init__(self, match: Bargain) -> None:
        self.match, self.params = match, match.params
        self._dealt: Task | None = None
        self._held: scoresheets.Sheets = ()
        self.sizes: tuple[int, ...] = match.family.sizes
        self.members = [f"party_{i}" for i in range(match.family.parties)]
        self.options = [scoresheets.options(i, size) for i, size in enumerate(self.sizes)]
        count = len(self.members)
        rules = {"n-1": count - 1, "n": count, "majority": count // 2 + 1}
        self.needed: int = rules.get(self.params.accept_rule, self.params.accept_rule)
        self.turns = 4 * count if self.params.turns is None else self.params.turns

    def deal(self, seed: int) -> Task:
        """The family's task."""
        task: Task = self.match.family.generate(seed)
        return task

    # ---- what seats are told ----------------------------------------------------------------------------------------

    def attitude(self, seat: str) -> Attitude:
        """What a party wants."""
        wishes = self.params.attitude
        if isinstance(wishes, tuple):
            place = self.members.index(seat)
            return wishes[place] if place < len(wishes) else "coop"
        wish: Attitude = wishes
        return wish

    def card(self, seat: str) -> dict[str, JSON]:
        """A party's minimum and scores, and how many passes of talk there are; nothing for a mediator."""
        if seat not in self.members:
            return {}
        attitude = self.attitude(seat)
        target = {"target": self.params.target} if attitude == "targeted" else {}
        rounds = -(-self.turns // len(self.members))
        return {"attitude": attitude, **target, "rounds": rounds, **self.match.task.private[seat]}

    def brief(self, seat: str) -> str:
        """Rules and wish."""
        count, veto = len(self.members), " and ".join(self.params.veto)
        rule = f"It passes if at least {self.needed} of {count} parties accept"
        rule += f", {veto} among them." if veto else "."
        deal = f"{count} parties must agree on one deal. A deal takes one option of each issue, like {self._example()}."
        if seat not in self.members:
            return (
                f"You are the neutral mediator. {deal} Scores are secret. party_0 makes the final offer. {rule} "
                "Suggest a deal that all can accept."
            )
        wish = WISHES[self.attitude(seat)].format(target=self.params.target)
        return (
            f"You are {seat}. {deal} It is worth the sum of your scores of its options. Your scores and your minimum "
            f"are secret: write no numbers of yours in a message. party_0 makes the final offer. {rule} "
            f"Without a deal you get your minimum. {wish}"
        )

    def _example(self) -> str:
        return "[" + ", ".join(f'"{options[0]}"' for options in self.options) + "]"

    # ---- the course of a match --------------------------------------------------------------------------------------

    def script(self) -> list[Phase]:
        """Opening, passes of talk, maybe a suggestion, final offer, vote."""
        first, count = (self.members[0],), len(self.members)
        talk = [self._speak("opening", first)]
        for start in range(0, self.turns, count):
            size = count if self.params.order == "random" else self.turns - start
            talk.append(self._speak(f"round {start // count + 1}", tuple(self.members[:size])))
        if "mediator_0" in self.match.possible_agents:
            talk.append(self._suggest())
        return [*talk, self._offer(first), self._vote()]

    def _speak(self, name: str, actors: tuple[str, ...]) -> Phase:
        return Phase(
            name=name,
            kind="propose",
            actors=actors,
            fields=Proposal,
            order="chosen" if self.params.order == "random" and name != "opening" else "sequential",
            instruction="Your turn: work in the scratchpad, write a short public message, propose a deal, note a plan. "
            "An empty deal [] keeps the deal on the table.",
            **self._common("message", "scratchpad", "plan"),
        )

    def _suggest(self) -> Phase:
        return Phase(
            name="suggestion",
            kind="suggest",
            actors=("mediator_0",),
            fields=Suggestion,
            instruction="Suggest one deal that all can accept, with a short public message.",
            **self._common("message", "scratchpad"),
        )

    def _offer(self, first: tuple[str, ...]) -> Phase:
        return Phase(
            name="final offer",
            kind="offer",
            actors=first,
            fields=Proposal,
            instruction="Make the final offer: the others vote on your deal. [] offers the deal on the table.",
            **self._common("message", "scratchpad", "plan"),
        )

    def _common(self, *texts: str) -> dict[str, Any]:
        """What phases with a deal share: choices, limits, privacy and a default that changes nothing."""
        private = frozenset(texts) - {"message"}
        limit = self.params.words
        return {
            "choices": {"deal": tuple(name for options in self.options for name in options)},
            "words": {text: limit * (2 if text in private else 1) for text in texts},
            "private": private,
            "default": {**dict.fromkeys(texts, ""), "deal": []},
        }

    def _vote(self) -> Phase:
        return Phase(
            name="vote",
            kind="vote",
            actors=tuple(self.members[1:]),
            fields=Vote,
            order="simultaneous",
            instruction="Vote on the final offer. Add up your scores in the scratchpad; accept is true or false.",
            private=frozenset({"scratchpad"}),
            words={"scratchpad": 2 * self.params.words},
            default={"scratchpad": "", "accept": False},
            unless="no_offer",
        )

    def chosen_order(self, phase: Phase) -> Sequence[str]:
        """A seeded order for each pass; its first speaker did not speak last. A short pass leaves some out by lot."""
        order = list(self.members)
        self.match.rng("order", phase.name).shuffle(order)
        before = (int(phase.name.removeprefix("round ")) - 1) * len(order)
        order = order[: self.turns - before]
        if len(order) > 1 and order[0] == self.match.memo.get("last"):
            order.append(order.pop(0))
        return order

    def within_window(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Events without the public messages that are older than the last `window` of them."""
        speeches = [e.seq for e in events if e.kind == "act" and "message" in e.data]
        if len(speeches) <= self.params.window:
            return events
        old = set(speeches[: -self.params.window])
        return tuple(e for e in events if e.seq not in old)

    def legal(self, phase: Phase, fields: dict[str, JSON]) -> str:
        """A deal is empty or names one option of each issue, in order."""
        deal = fields.get("deal")
        if not deal or scoresheets.position(self.sizes, deal) is not None:
            return ""
        return f"a deal takes one option of each of the {len(self.sizes)} issues, in order, like {self._example()}"

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """A deal goes on the table and into the tallies; a vote is kept."""
        memo = self.match.memo
        if phase.kind == "vote":
            memo.setdefault("votes", {})[seat] = fields["accept"]
            return
        memo["last"] = seat
        if fields["deal"]:
            memo["table"] = list(fields["deal"])
            memo["recent"] = [*memo.get("recent", []), memo["table"]][-self.params.window :]
        if seat in self.members:
            self._tally(seat, fields)

    def _tally(self, seat: str, fields: dict[str, JSON]) -> None:
        memo, scores = self.match.memo, self._scores(fields["deal"])
        if scores is not None:
            happy = [s >= m for s, m in zip(scores, self._minimums(), strict=True)]
            self._count("proposals")
            self._count("below", not happy[self.members.index(seat)])
            memo["any_success"] = memo.get("any_success", False) or self._passes(happy)
            memo["any_unanimous"] = memo.get("any_unanimous", False) or all(happy)
        self._count("messages")
        self._count("leaks", self.leaks(seat, fields["message"], scores))

    def _count(self, what: str, by: bool = True) -> None:
        self.match.memo[what] = self.match.memo.get(what, 0) + int(by)

    def leaks(self, seat: str, message: str, scores: list[int] | None) -> bool:
        """Whether a message states a number of the author's card, or what its deal is worth to it."""
        card = self.match.task.private[seat]
        secrets = {card["minimum"], *card["scores"].values()}
        if scores is not None:
            secrets.add(scores[self.members.index(seat)])
        said = {int(number) for number in NUMBER.findall(message) if len(number) < 6}
        return bool(said & (secrets - {0}))

    def _passes(self, yes: Sequence[bool]) -> bool:
        return sum(yes) >= self.needed and all(yes[self.members.index(seat)] for seat in self.params.veto)

    def _scores(self, deal: JSON) -> list[int] | None:
        """What a deal is worth to every party; None for no deal."""
        place = scoresheets.position(self.sizes, deal)
        return None if place is None else [int(s) for s in scoresheets.score_table(self._sheets())[:, place]]

    def _sheets(self) -> scoresheets.Sheets:
        if self._dealt is not self.match.task:  # read once a match
            self._dealt = self.match.task
            self._held = scoresheets.as_sheets(self._dealt.truth["sheets"])
        return self._held

    def _minimums(self) -> list[int]:
        minimums: list[int] = self.match.task.truth["minimums"]
        return minimums

    def phase_over(self, phase: Phase) -> None:
        """The final offer is told in clear; votes are counted."""
        memo = self.match.memo
        if phase.kind == "offer":
            memo["offer"] = memo.get("table", [])
            memo["no_offer"] = not memo["offer"]
            self.match.note("offer", {"deal": memo["offer"]})
        elif phase.kind == "vote":
            yes = [seat == self.members[0] or bool(memo["votes"].get(seat)) for seat in self.members]
            memo["passed"], memo["all"] = self._passes(yes), all(yes)
            accepted = [seat for seat, vote in zip(self.members, yes, strict=True) if vote]
            self.match.note("result", {"passed": memo["passed"], "accepted": accepted})

    # ---- what it was worth ------------------------------------------------------------------------------------------

    def payoffs(self) -> dict[str, float]:
        """Parties in shares of their best deal; a mediator gets the mean share where something passed, else 0."""
        memo, best = self.match.memo, self._best()
        passed = bool(memo.get("passed"))
        scores = self._scores(memo["offer"]) if passed else None
        pays = {seat: self._payoff(seat, scores, best) for seat in self.members}
        if memo.get("all") and passed:
            pays[self.members[0]] += self.params.bonus_unanimous / 100
        if "mediator_0" in self.match.possible_agents:
            pays["mediator_0"] = sum(s / b for s, b in zip(scores, best, strict=True)) / len(best) if scores else 0.0
        return pays

    def _best(self) -> list[int]:
        """The score of each party's best deal, 1 at least."""
        return [max(1, sum(map(max, sheet))) for sheet in self._sheets()]

    def _payoff(self, seat: str, scores: list[int] | None, best: list[int]) -> float:
        attitude, own = self.attitude(seat), self.members.index(seat)
        if attitude == "targeted":
            other = self.members.index(self.params.target)
            got = self._minimums()[other] if scores is None else scores[other]
            return 1 - got / best[other]
        minimum = self._minimums()[own]
        if scores is None:
            return float(self.params.spoiler_no_deal) if attitude == "spoiler" else minimum / best[own]
        bare = attitude == "spoiler" or self.params.shortfall == "score"
        return (scores[own] if bare else max(scores[own], minimum)) / best[own]

    def metrics(self) -> dict[str, float]:
        """Success by sheets and by votes, proposals, leakage, efficiency and fairness.

        Utilities of the outcome: scores of the deal that passed, else the minimums, in hundredths of a best deal.
        """
        memo, minimums = self.match.memo, self._minimums()
        offer = self._scores(memo.get("offer", []))
        happy = [s >= m for s, m in zip(offer, minimums, strict=True)] if offer else [False] * len(minimums)
        passed = bool(memo.get("passed"))
        points = offer if passed and offer else minimums
        return {
            "any_success": float(memo.get("any_success", False)),
            "any_unanimous": float(memo.get("any_unanimous", False)),
            "final_success": float(self._passes(happy)),
            "final_unanimous": float(all(happy)),
            "passed": float(passed),
            "unanimous": float(bool(memo.get("all")) and passed),
            "below_minimum": memo.get("below", 0) / max(1, memo.get("proposals", 0)),
            "leakage": memo.get("leaks", 0) / max(1, memo.get("messages", 0)),
            **self._fairness(points),
        }

    def _fairness(self, points: Sequence[int]) -> dict[str, float]:
        best, table, front = self._best(), scoresheets.score_table(self._sheets()), scoresheets.front(self._sheets())
        scale = np.asarray(best)[:, None] / 100
        shares = [100 * p / b for p, b in zip(points, best, strict=True)]
        content = welfare.satisfaction(points, table.min(axis=1), table.max(axis=1))
        return {
            "pareto_distance": welfare.distance_to(front / scale, shares, 100.0),
            "total": sum(shares),
            "worst": min(shares),
            "p20": welfare.percentile(content, 0.2),
            "gini": welfare.gini(shares),
            "envy": welfare.envy(shares),
            "maximin_distance": float((table / scale).min(axis=0).max()) - min(shares),
        }

    # ---- numbers for learners ---------------------------------------------------------------------------------------

    def sized(self, schema: dict[str, JSON]) -> dict[str, JSON]:
        """A schema whose deal has as many options as there are issues."""
        properties = schema["properties"]
        if "deal" not in properties:
            return schema
        return {**schema, "properties": {**properties, "deal": {**properties["deal"], "maxItems": len(self.sizes)}}}

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """One option per issue; parties also 0 reject, 1 accept."""
        votes = [2] if seat in self.members else []
        return gymnasium.spaces.MultiDiscrete([*self.sizes, *votes])

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Everything is allowed: the part that a phase does not ask for is not read."""
        return np.ones(spaces.mask_size(self.compact_space(seat)), np.int8)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """A wordless proposal, or a vote."""
        if self.match.phase.kind == "vote":
            return {"scratchpad": "", "accept": bool(value[-1])}
        deal = [names[int(v)] for names, v in zip(self.options, value, strict=False)]
        return {**(self.match.phase.default or {}), "deal": deal}

    def features(self, seat: str) -> list[float]:
        """Phase (4), progress, recent options' shares and the table's (options each), then a party's own sheet:
        scores (options), minimum, the table's worth and whether that meets the minimum; in shares of a best deal."""
        match, recent = self.match, self.match.memo.get("recent", [])
        table = match.memo.get("table", [])
        kind = "" if match.over else match.phase.kind
        names = [name for options in self.options for name in options]
        flat = [float(kind == k) for k in KINDS] + [match._index / len(match._script)]
        flat += [sum(name in deal for deal in recent) / max(1, len(recent)) for name in names]
        flat += [float(name in table) for name in names]
        if seat in self.members:
            card = match.task.private[seat]
            scores, minimum = card["scores"], card["minimum"]
            best = self._best()[self.members.index(seat)]
            worth = sum(scores[name] for name in table)
            flat += [scores[name] / best for name in names]
            flat += [minimum / best, worth / best, float(bool(table) and worth >= minimum)]
        return flat
