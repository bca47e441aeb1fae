"""Rules of package bargaining: a mediator posts packages of measures, groups accept or object with an amendment.

Own formalisation of negotiative alignment: the mediator posts a package within the budget; each group accepts or
objects with one costed amendment; the mediator merges; it ends when nobody objects, when the mediator leaves the
package as it is (no amendment helps), or after the last round. Without a mediator, `measures.merged` merges by rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from simarena.envs.phases import Phase
from simarena.reading import Fields
from simarena.records import JSON, Event
from simarena.tasks import measures, welfare
from simarena.tasks.base import Task
from simarena.tasks.measures import NONE, Amendment, Instance

if TYPE_CHECKING:
    from simarena.envs.bargain.env import Bargain

KEEP = "keep"
"""A package of this alone leaves the present one as it is."""
MOST, STEP = 50, 10
"""Points per unit of a feature, of utilities and of effects: as drawn, they stay within 1."""
GOALS = {
    "worst_then_total": "raise the points of the worst-off group first, then the total",
    "nash": "raise the product of all groups' points",
    "total": "raise the total of all groups' points",
}


class Post(Fields):
    """A package from the mediator."""

    scratchpad: str = ""
    """Private working."""
    message: str
    """What all hear."""
    package: list[str]
    """Measures of the whole package; ["keep"] leaves it as it is."""


class Reply(Fields):
    """A group's answer to a package."""

    scratchpad: str = ""
    """Private working."""
    reply: Literal["accept", "object"]
    add: str = NONE
    """Measure that the amendment adds, or "none"."""
    drop: str = NONE
    """Measure that the amendment drops, or "none"."""
    reason: str = ""
    """Heard with an objection."""


class Package:
    """The rules, held by one match."""

    def __init__(self, match: Bargain) -> None:
        self.match, self.params = match, match.params
        self._dealt: Task | None = None
        self._held: Instance | None = None
        self.members = [measures.group(g) for g in range(match.family.params.groups)]
        self.names = [measures.measure(i) for i in range(match.family.params.measures)]

    def deal(self, seed: int) -> Task:
        """The family's task, under the budget of the parameters where they give one."""
        task: Task = self.match.family.generate(seed)
        if self.params.budget is None:
            return task
        instance = measures.as_instance(task.truth)._replace(budget=self.params.budget)
        limited: Task = self.match.family.task(instance, seed)
        return limited

    @property
    def instance(self) -> Instance:
        """The numbers of this match."""
        if self._held is None or self._dealt is not self.match.task:  # read once a match
            self._dealt = self.match.task
            self._held = measures.as_instance(self._dealt.truth)
        return self._held

    @property
    def package(self) -> list[str]:
        """The present package; empty until one is posted."""
        package: list[str] = self.match.memo.get("package", [])
        return package

    @property
    def seated(self) -> bool:
        """Whether a mediator plays."""
        return "mediator_0" in self.match.possible_agents

    # ---- what seats are told ----------------------------------------------------------------------------------------

    def card(self, seat: str) -> dict[str, JSON]:
        """A group's effects where the rubric is private; the mediator's objective."""
        if seat == "mediator_0":
            return {"objective": self.params.objective}
        return dict(self.match.task.private.get(seat, {}))

    def brief(self, seat: str) -> str:
        """Rules and wish."""
        open_rubric = self.match.family.params.rubric == "public"
        rule = (
            f"{len(self.members)} groups decide on a package of measures. Each measure has a cost, and the package "
            "must not cost more than the budget. A group's points are its base plus what each measure does for it"
            f"{' (its own list, known to all)' if open_rubric else ' (a list that only it knows)'}. "
        )
        start = "" if self.seated else "Talks start from the empty package; the best amendment of each round is taken. "
        if seat == "mediator_0":
            return (
                f"You are the neutral mediator. {rule}You post packages, the groups object with amendments, you merge "
                f"them; posting the same package again ends the talks. Your aim: {GOALS[self.params.objective]}."
            )
        return (
            f"You are {seat}. {rule}{start}Accept a package, or object with one amendment: a measure to add, one to "
            "drop, or both, within the budget. You want many points for your group."
        )

    # ---- the course of a match --------------------------------------------------------------------------------------

    def script(self) -> list[Phase]:
        """Post and reply in turns, and a last post; just replies where nobody is seated to post."""
        phases = []
        for number in range(1, self.params.rounds + 1):
            phases += [self._post(number)] * self.seated + [self._reply(number)]
        return phases + [self._post(self.params.rounds + 1)] * self.seated

    def _post(self, number: int) -> Phase:
        first = "Post the first package, with a short public message."
        later = 'Merge what helps and post the next package, with a short message; ["keep"] ends the talks.'
        return Phase(
            name=f"package {number}",
            kind="package",
            actors=("mediator_0",),
            fields=Post,
            instruction=first if number == 1 else later,
            choices={"package": (*self.names, KEEP)},
            private=frozenset({"scratchpad"}),
            words={"message": self.params.words, "scratchpad": 2 * self.params.words},
            default={"scratchpad": "", "message": "", "package": [KEEP]},
            unless="settled",
        )

    def _reply(self, number: int) -> Phase:
        return Phase(
            name=f"reply {number}",
            kind="reply",
            actors=tuple(self.members),
            fields=Reply,
            order="simultaneous",
            audience=(),  # objections are passed on one by one when all have replied; acceptances are not
            instruction='Accept the package, or object with one amendment: "add" and "drop" name a measure or "none". '
            "Give a short reason.",
            choices={"add": (*self.names, NONE), "drop": (*self.names, NONE)},
            private=frozenset({"scratchpad"}),
            words={"reason": self.params.words, "scratchpad": 2 * self.params.words},
            default={"scratchpad": "", "reply": "accept", "add": NONE, "drop": NONE, "reason": ""},
            unless="settled",
        )

    def chosen_order(self, phase: Phase) -> Sequence[str]:
        """No phase here is in a chosen order."""
        return phase.actors

    def within_window(self, events: tuple[Event, ...]) -> tuple[Event, ...]:
        """Packages and objections are few: all are shown."""
        return events

    def legal(self, phase: Phase, fields: dict[str, JSON]) -> str:
        """Packages and amendments make sense and fit the budget."""
        if phase.kind == "reply":
            return self._bad_amendment(fields)
        package = fields["package"]
        if package == [KEEP]:
            return ""
        bits = measures.bits_of(self.instance, package)
        if bits is None:
            return 'a package names each measure once, or is ["keep"]'
        cost, budget = measures.cost_of(self.instance, bits), self.instance.budget
        return f"the package costs {cost}, the budget is {budget}" if cost > budget else ""

    def _bad_amendment(self, fields: dict[str, JSON]) -> str:
        change = Amendment(fields["add"], fields["drop"])
        if fields["reply"] == "accept":
            return ""
        if change.add in self.package:
            return f"{change.add} is in the package already"
        if change.drop not in (NONE, *self.package):
            return f"{change.drop} is not in the package"
        price, left = measures.price(self.instance, change), measures.left(self.instance, self.package)
        return f"the amendment costs {price}, {left} is left" if price > left else ""

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """A package goes on the table; an objection is kept for the end of the round."""
        memo = self.match.memo
        if phase.kind == "package":
            self._take(fields["package"])
            return
        memo["replies"] = memo.get("replies", 0) + 1
        if fields["reply"] == "object":
            memo["objected"] = memo.get("objected", 0) + 1
            entry = [seat, fields["add"], fields["drop"], fields["reason"]]
            memo["objections"] = [*memo.get("objections", []), entry]

    def _take(self, package: list[str]) -> None:
        """Put a package on the table; the same once more ends the talks."""
        memo, before = self.match.memo, self.match.memo.get("package")
        after = self.package if package == [KEEP] else [name for name in self.names if name in package]
        memo["settled"] = before == after
        memo["package"] = after
        left = measures.left(self.instance, after)
        self.match.note("package", {"package": after, "cost": self.instance.budget - left, "left": left})

    def phase_over(self, phase: Phase) -> None:
        """Pass the objections of a round on; end where there are none."""
        if phase.kind != "reply":
            return
        memo = self.match.memo
        memo["rounds"] = memo.get("rounds", 0) + 1
        objections = memo.pop("objections", [])
        for seat, add, drop, reason in objections:
            audience = None if self.params.objections == "all" else (seat, "mediator_0")
            cost = measures.price(self.instance, Amendment(add, drop))
            self.match.note("objection", {"add": add, "drop": drop, "cost": cost, "reason": reason}, audience, seat)
        self.match.note("floor", {"objections": len(objections)})
        if not objections:
            memo["settled"] = True
        elif not self.seated:
            memo.setdefault("package", [])
            changes = [Amendment(add, drop) for _, add, drop, _ in objections if (add, drop) != (NONE, NONE)]
            self._take(measures.merged(self.instance, self.package, changes))

    # ---- what it was worth ------------------------------------------------------------------------------------------

    def payoffs(self) -> dict[str, float]:
        """Groups: points above base. Mediator: welfare of the final package above that of the base design."""
        instance = self.instance
        points = measures.points_under(instance, self.package)
        pays = {seat: float(p - b) for seat, p, b in zip(self.members, points, instance.base, strict=True)}
        if self.seated:
            after, before = (welfare.welfare(u, self.params.objective) for u in (points, instance.base))
            pays["mediator_0"] = float(after - before)
        return pays

    def metrics(self) -> dict[str, float]:
        """Fairness of the final package, what it gained over the base design, and how far the optima are."""
        memo, truth = self.match.memo, self.match.task.truth
        points = measures.points_under(self.instance, self.package)
        after, before = self._fairness(points), self._fairness(truth["base"])
        goal, ideal = min(truth["maximin"]["utilities"]), truth["maximin"]["utilities"]
        return {
            **after,
            **{f"{name}_gain": after[name] - before[name] for name in ("total", "worst", "p20", "gini", "envy")},
            "accuracy": float(min(points) == goal and sum(points) == sum(ideal)),
            "maximin_distance": float(goal - min(points)),
            "pareto_distance": welfare.distance_to(measures.front(self.instance), points, float(max(ideal)) or 1.0),
            "objections": memo.get("objected", 0) / max(1, memo.get("replies", 0)),
            "rounds": float(memo.get("rounds", 0)),
            "settled": float(bool(memo.get("settled"))),
        }

    def _fairness(self, points: Sequence[int]) -> dict[str, float]:
        truth = self.match.task.truth
        return {
            "total": float(sum(points)),
            "worst": float(min(points)),
            "p20": welfare.percentile(welfare.satisfaction(points, truth["low"], truth["high"]), 0.2),
            "gini": welfare.gini(points),
            "envy": welfare.envy(points),
        }

    # ---- numbers for learners ---------------------------------------------------------------------------------------

    def sized(self, schema: dict[str, JSON]) -> dict[str, JSON]:
        """Packages have any size."""
        return schema

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """Group: accept or object, measure to add (last: none), to drop (last: none). Mediator: a bit per measure."""
        size = len(self.names)
        if seat == "mediator_0":
            return gymnasium.spaces.MultiBinary(size)
        return gymnasium.spaces.MultiDiscrete([2, size + 1, size + 1])

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Additions are outside the package and drops inside; no measure dearer than the whole budget."""
        package, budget = self.package, self.instance.budget
        if seat == "mediator_0":
            return np.array([bit for cost in self.instance.costs for bit in (1, int(cost <= budget))], np.int8)
        adds = [int(name not in package) for name in self.names]
        drops = [int(name in package) for name in self.names]
        return np.array([1, 1, *adds, 1, *drops, 1], np.int8)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """What costs too much is left out: later measures of a package, the addition of an amendment."""
        if seat == "mediator_0":
            return {"scratchpad": "", "message": "", "package": self._affordable(value)}
        names = [*self.names, NONE]
        change = Amendment(names[int(value[1])], names[int(value[2])])
        if measures.price(self.instance, change) > measures.left(self.instance, self.package):
            change = Amendment(NONE, change.drop)
        reply = "object" if value[0] else "accept"
        return {"scratchpad": "", "reply": reply, "add": change.add, "drop": change.drop, "reason": ""}

    def _affordable(self, bits: Any) -> list[str]:
        package, left = [], self.instance.budget
        for name, cost, bit in zip(self.names, self.instance.costs, bits, strict=True):
            if bit and cost <= left:
                package.append(name)
                left -= cost
        return package

    def features(self, seat: str) -> list[float]:
        """Progress, money left, and per measure: cost share, in the package, objections' wishes (-1 to 1; as the seat
        heard them). Then base and effects: a group's own; for the mediator all, where the rubric is public."""
        match, instance, package = self.match, self.instance, self.package
        flat = [match._index / len(match._script), measures.left(instance, package) / instance.budget]
        flat += [cost / sum(instance.costs) for cost in instance.costs]
        flat += [float(name in package) for name in self.names] + self._wishes(seat)
        known = range(len(self.members)) if match.family.params.rubric == "public" else []
        shown = [self.members.index(seat)] if seat in self.members else list(known)
        for g in shown:
            flat += [instance.base[g] / MOST, measures.points_under(instance, package)[g] / MOST]
            flat += [row[g] / STEP for row in instance.effects]
        return flat

    def _wishes(self, seat: str) -> list[float]:
        """Per measure, the share of groups whose objection of the last round adds it less those that drop it."""
        name = f"reply {self.match.memo.get('rounds', 0)}"
        heard = [e.data for e in self._tail() if e.kind == "objection" and e.phase == name and self._hears(seat, e)]
        return [sum((d["add"] == m) - (d["drop"] == m) for d in heard) / len(self.members) for m in self.names]

    def _tail(self) -> list[Event]:
        """The newest events, as many as a round can have: features cost the same at any length of the log."""
        return self.match.log[-(8 * len(self.members) + 8) :]

    @staticmethod
    def _hears(seat: str, event: Event) -> bool:
        return event.audience is None or seat in event.audience
