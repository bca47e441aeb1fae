"""Bargaining: parties with secret score sheets agree on one deal, or groups and a mediator on a costed package.

In: a task of the families `scoresheets` (kind scorable) or `measures` (kind package). Protocols after LLM-Deliberation
(Abdelnabi et al. 2024) and, in an own formalisation, negotiative alignment. The rules of the two kinds stand in
`scorable` and `package`; this file chooses between them and knows no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from simarena.envs.bargain.package import Package
from simarena.envs.bargain.scorable import Attitude, Scorable
from simarena.envs.base import Params, PhaseEnv
from simarena.envs.phases import Phase
from simarena.records import JSON, Event
from simarena.registry import TASKS, lookup
from simarena.tasks.base import Task
from simarena.tasks.welfare import Objective

FAMILIES = {"scorable": "scoresheets", "package": "measures"}


class BargainParams(Params):
    """What a bargain is played with. Issues, sheets, thresholds, measures and effects are the task family's."""

    kind: Literal["scorable", "package"] = "scorable"
    """scorable: secret sheets, one deal, a vote. package: measures within a budget, objections, a mediator."""
    task: str = ""
    """"scoresheets" or "measures", as the kind needs; filled in where left out."""
    veto: tuple[str, ...] = ("party_0", "party_1")
    """scorable: parties without whose acceptance nothing passes."""
    accept_rule: Literal["n-1", "n", "majority"] | PositiveInt = "n-1"
    """scorable: how many of the n parties have to accept, the proposer among them."""
    turns: NonNegativeInt | None = None
    """scorable: turns between the opening and the final offer; None: four for each party."""
    order: Literal["random", "fixed"] = "random"
    """scorable: who speaks when; random: every pass over the parties in a new order, nobody twice running."""
    window: PositiveInt = 6
    """scorable: the newest public messages that a seat is shown at its turn. Older ones that it has not been shown
    never reach it; policies' history and learners' features hold just these. What a language agent was shown stays
    in its own transcript, since prompts only grow."""
    attitude: Attitude | tuple[Attitude, ...] = "coop"
    """scorable: what the parties want; one for all, or one each from party_0 on, the rest coop."""
    target: str = "party_1"
    """scorable: whom a targeted party works against."""
    bonus_unanimous: float = Field(10, ge=0)
    """scorable: hundredths of a best deal that party_0 gains where all accept."""
    shortfall: Literal["minimum", "score"] = "minimum"
    """scorable: what a passed deal under its minimum is worth to a party. minimum: as much as no deal, so that
    accepting never costs anything; score: what the deal gives, so that it pays to reject (learners need that)."""
    spoiler_no_deal: float = Field(1.0, ge=0)
    """scorable: what a spoiler gets where nothing passes (where something does: its score)."""
    words: PositiveInt = 60
    """Word limit of public texts; twice as many in private ones."""
    budget: PositiveInt | None = None
    """package: what a package may cost; None: the task's own."""
    objective: Objective = "worst_then_total"
    """package: what the mediator is paid for."""
    rounds: PositiveInt = 4
    """package: rounds of replies at most."""
    objections: Literal["mediator", "all"] = "mediator"
    """package: who hears the objections; that somebody accepts is told to nobody."""
    mediator: bool | None = None
    """Whether a mediator is seated; None: in package only. In scorable it sees the public messages and suggests a
    deal before the final offer. A package without one is merged by rule."""

    @model_validator(mode="before")
    @classmethod
    def _family(cls, data: Any) -> Any:
        if isinstance(data, dict) and not data.get("task"):
            return {**data, "task": FAMILIES.get(str(data.get("kind", "scorable")), "scoresheets")}
        return data

    @model_validator(mode="after")
    def _fits(self) -> BargainParams:
        if self.task != FAMILIES[self.kind]:
            raise ValueError(f"kind {self.kind!r} plays tasks of {FAMILIES[self.kind]!r}, not {self.task!r}")
        if self.kind == "package":
            cheapest = self.task_params.get("costs")
            if self.budget and isinstance(cheapest, (list, tuple)) and self.budget < min(cheapest):
                raise ValueError(f"budget={self.budget} pays for no measure (cheapest: {min(cheapest)})")
            return self
        count = lookup(TASKS, "task family", self.task)(**self.task_params).parties
        seats = {f"party_{i}" for i in range(count)}
        if strangers := {*self.veto, self.target} - seats:
            raise ValueError(f"{sorted(strangers)}: veto and target name parties 0 to {count - 1}")
        if isinstance(self.accept_rule, int) and self.accept_rule > count:
            raise ValueError(f"accept_rule={self.accept_rule} can never be met by {count} parties")
        wishes = self.attitude if isinstance(self.attitude, tuple) else (self.attitude,)
        if len(wishes) > count:
            raise ValueError(f"attitude has {len(wishes)} entries for {count} parties")
        if "targeted" in (self.attitude, *wishes[int(self.target[6:]) :][:1]):
            raise ValueError(f"{self.target} cannot be targeted against itself; name another target")
        return self


class Bargain(PhaseEnv):
    """Parties (and maybe a mediator) who look for one agreement."""

    metadata: ClassVar[dict[str, Any]] = {"name": "bargain_v0", "render_modes": ["ansi"], "is_parallelizable": False}
    name: ClassVar[str] = "bargain"
    Params: ClassVar[type[Params]] = BargainParams

    @cached_property
    def rules(self) -> Scorable | Package:
        """The rules of this kind of bargain."""
        return Scorable(self) if self.params.kind == "scorable" else Package(self)

    def seats(self) -> list[str]:
        """Parties or groups, then the mediator where one is seated."""
        wanted = self.params.mediator
        seated = self.params.kind == "package" if wanted is None else wanted
        return self.rules.members + ["mediator_0"] * seated

    def deal(self, seed: int) -> Task:
        """The family's task, with the budget of these parameters."""
        return self.rules.deal(seed)

    def card(self, seat: str) -> dict[str, JSON]:
        """A party's sheet and minimum, a group's effects where the rubric is private, the mediator's objective."""
        return self.rules.card(seat)

    def brief(self, seat: str) -> str:
        """The rules, and what this seat wants."""
        return self.rules.brief(seat)

    def script(self) -> list[Phase]:
        """The phases of this kind."""
        return self.rules.script()

    def chosen_order(self, phase: Phase) -> Sequence[str]:
        """A new order of speakers for each pass."""
        return self.rules.chosen_order(phase)

    def visible(self, seat: str, since: int = 0, until: int | None = None) -> tuple[Event, ...]:
        """What a seat may see, with no more than the last `window` public messages."""
        return self.rules.within_window(super().visible(seat, since, until))

    def legal(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> str:
        """Deals name one option per issue; packages and amendments fit the budget."""
        return self.rules.legal(phase, fields)

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """Move the table's deal or package, count votes and objections."""
        self.rules.effect(seat, phase, fields)

    def phase_over(self, phase: Phase) -> None:
        """Call the vote, tell its result, pass objections on."""
        self.rules.phase_over(phase)

    def payoffs(self) -> dict[str, float]:
        """Parties: their score or what no deal is worth to them; groups: points gained; mediator: welfare gained."""
        return self.rules.payoffs()

    def metrics(self) -> dict[str, float]:
        """Success, fairness and distance to the enumerated optima."""
        return self.rules.metrics()

    def schema(self, phase: Phase) -> dict[str, JSON]:
        """As everywhere, with the length of a deal."""
        return self.rules.sized(super().schema(phase))

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """party: MultiDiscrete(options of each issue, then vote); group: MultiDiscrete(reply, add, drop);
        mediator: MultiDiscrete(options of each issue) or MultiBinary(measures)."""
        return self.rules.compact_space(seat)

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Amendments and measures that make no sense or cost too much are masked."""
        return self.rules.compact_mask(seat)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """The parts of a compact action that the present phase asks for, as its fields."""
        return self.rules.compact_action(seat, value)

    def features(self, seat: str) -> list[float]:
        """Own sheet or effects, the table, the recent proposals and the phase."""
        return self.rules.features(seat)
