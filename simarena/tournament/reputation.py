"""SPARTA's reputation: a rating that moves with every duel and weighs its holder's word as a judge.

In: mean grades of two contestants. Out: reputations, verdicts of a panel, and who meets whom next. Every constant of
the paper (SPARTA Alignment, arXiv:2506.04721, and its code) is a parameter; `weights: equal` is the control in which
everybody's word counts the same. Pure functions; knows no judge and no match.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from simarena.seeds import rng
from simarena.tournament.results import Result

PHI = NormalDist().cdf


class Constants(BaseModel):
    """The rule's constants; defaults are the published ones."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    start: PositiveFloat = 100.0
    """Reputation before the first duel."""
    step: PositiveFloat = 10.0
    """K at the start: how far one duel can move a reputation."""
    least_step: NonNegativeFloat = 5.0
    """K never falls below it."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Factor on K ..."""
    decay_every: PositiveFloat = 10.0
    """... for so many duels fought."""
    scale: PositiveFloat = 20.0
    """Divides every change."""
    first_deviation: PositiveFloat = 0.5
    """sigma before there are two changes to take it from."""
    least_deviation: PositiveFloat = 0.1
    """sigma never falls below it."""
    window: Annotated[int, Field(ge=2)] = 10
    """Latest changes whose standard deviation is sigma."""
    least_surprise: NonNegativeFloat = 0.01
    """Least factor for the gap between the two: equals would not move at all without it."""
    floor: PositiveFloat = 10.0
    """Reputations never fall below it."""
    in_turn: bool = True
    """The second contestant's change is reckoned against the first's new reputation, as in the published code."""
    weights: Literal["reputation", "equal"] = "reputation"
    """Whose word counts how much on a panel."""
    chance: Annotated[float, Field(ge=0, le=1)] = 0.2
    """alpha: share of duels whose opponent is drawn from everybody."""
    nearest: PositiveInt = 5
    """Otherwise it is drawn from so many of nearest reputation."""


@dataclass(frozen=True, slots=True)
class Reputation:
    """What one agent has made of itself."""

    value: float
    changes: tuple[float, ...] = ()
    """Its latest changes, oldest first."""
    duels: int = 0

    def deviation(self, constants: Constants) -> float:
        """sigma: how unsettled it is."""
        if len(self.changes) < 2:
            return constants.first_deviation
        return max(statistics.pstdev(self.changes), constants.least_deviation)


Table = Mapping[str, Reputation]


def newcomers(
    agents: Iterable[str], constants: Constants, start: Mapping[str, float] | None = None
) -> dict[str, Reputation]:
    """Everyone at the start, or at a value of their own (such as an accuracy measured before, rescaled)."""
    return {agent: Reputation((start or {}).get(agent, constants.start)) for agent in agents}


def duel(
    table: Table, first: str, second: str, grades: tuple[float, float], constants: Constants
) -> dict[str, Reputation]:
    """`table` after a duel, `grades` being the panel's mean for the first and the second.

    dR = K (s_i - s_j) tanh(sigma_i) max(|Phi(z) - Phi(-z)|, least) / scale,
    z = (R_i - R_j) / sqrt(sigma_i^2 + sigma_j^2), K = max(least, step x decay^(n / every)), n being
    the duels that agent has fought before.
    """
    after, gap = dict(table), grades[0] - grades[1]
    after[first] = _moved(table[first], table[second], gap, constants)
    after[second] = _moved(table[second], (after if constants.in_turn else table)[first], -gap, constants)
    return after


def _moved(own: Reputation, other: Reputation, gap: float, c: Constants) -> Reputation:
    sigma, theirs = own.deviation(c), other.deviation(c)
    step = max(c.least_step, c.step * c.decay ** (own.duels / c.decay_every))
    z = (own.value - other.value) / math.hypot(sigma, theirs)
    surprise = max(abs(PHI(z) - PHI(-z)), c.least_surprise)
    value = max(own.value + step * gap * math.tanh(sigma) * surprise / c.scale, c.floor)
    return Reputation(value, (*own.changes, value - own.value)[-c.window :], own.duels + 1)


def verdict(table: Table, grades: Mapping[str, Sequence[float]], constants: Constants) -> tuple[float, ...]:
    """Weighted mean grade of each contestant; `grades`: judge -> its grade for each."""
    weight = {judge: table[judge].value if constants.weights == "reputation" else 1.0 for judge in grades}
    total = sum(weight.values())
    columns = zip(*grades.values(), strict=True)
    return tuple(sum(w * g for w, g in zip(weight.values(), column, strict=True)) / total for column in columns)


def contestants(table: Table, number: int, constants: Constants, seed: int = 0) -> tuple[str, str]:
    """Who fights duel `number`: the first of all in turn, in a new order each time round; the second drawn near it."""
    agents = sorted(table)
    turn, place = divmod(number, len(agents))
    cycle = agents.copy()
    rng(seed, "cycle", turn).shuffle(cycle)
    first, draw = cycle[place], rng(seed, "opponent", number)
    others = [agent for agent in agents if agent != first]
    if draw.random() >= constants.chance:
        others.sort(key=lambda agent: abs(table[agent].value - table[first].value))
        others = others[: constants.nearest]
    return first, draw.choice(others)


def reputations(
    results: Iterable[Result], agents: Iterable[str], constants: Constants, start: Mapping[str, float] | None = None
) -> dict[str, Reputation]:
    """Everyone's reputation after `results` of two seats, in their order; scores count as the panel's grades."""
    table = newcomers(agents, constants, start)
    for result in results:
        if result.decided and len(result.agents) == 2 and result.agents[0] != result.agents[1]:
            table = duel(table, *result.agents, (result.scores[0], result.scores[1]), constants)
    return table


def settled(table: Table) -> dict[str, Reputation]:
    """`table` at the start of a new iteration: values and their spread stay, K starts anew."""
    return {agent: replace(reputation, duels=0) for agent, reputation in table.items()}
