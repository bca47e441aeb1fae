"""Reference policies for matrix games: fixed mixtures, best and fictitious responses, tit for tat, equilibrium play.

Rows and columns are read from the seat's own side: `payoffs[own move][other's move]` holds (own, other's) payoff.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping

from pydantic import Field, NonNegativeFloat, model_validator

from simarena.agents.policies.base import Policy
from simarena.records import JSON, View
from simarena.tasks.base import Knobs
from simarena.tasks.matrix import equilibria

Table = Mapping[str, Mapping[str, list[float]]]


class Mover(Policy):
    """Chooses a move from the table and the moves so far."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """A move and why."""
        own, other = past_moves(view)
        move, reason = self.choose(view, own, other, rng)
        return {"reason": reason, "move": move}

    def choose(self, view: View, own: list[str], other: list[str], rng: random.Random) -> tuple[str, str]:
        """The move and its reason; `own` and `other`: the moves so far, oldest first."""
        raise NotImplementedError  # abstract: each policy of matrix games has its own


def past_moves(view: View) -> tuple[list[str], list[str]]:
    """Own and the other's moves so far, oldest first."""
    acts = [event for event in view.history() if event.kind == "act"]
    return (
        [event.data["move"] for event in acts if event.author == view.seat],
        [event.data["move"] for event in acts if event.author != view.seat],
    )


def response(table: Table, counts: Mapping[str, float]) -> list[str]:
    """Own moves that pay most against the other's moves, weighted by `counts`."""
    worth = {mine: sum(counts.get(other, 0) * pair[0] for other, pair in row.items()) for mine, row in table.items()}
    return [mine for mine, value in worth.items() if value >= max(worth.values()) - 1e-9]


class MixtureParams(Knobs):
    """A fixed mixture."""

    weights: dict[str, NonNegativeFloat] = Field(default_factory=dict)
    """Move -> how often, relative to the others; empty: all alike. Moves that are not named are never made."""

    @model_validator(mode="after")
    def _some(self) -> MixtureParams:
        if self.weights and not sum(self.weights.values()) > 0:
            raise ValueError("all weights are 0; give one move a positive weight")
        return self


class Mixture(Mover):
    """Draws each move anew from a fixed mixture."""

    Params = MixtureParams

    def choose(self, view: View, own: list[str], other: list[str], rng: random.Random) -> tuple[str, str]:
        """A draw; where the game has none of the named moves, any move."""
        moves = [str(move) for move in view.choices["move"]]
        weights = [self.params.weights.get(move, 0.0) for move in moves]
        move = rng.choices(moves, weights if sum(weights) > 0 else None)[0]
        return move, f"I draw lots, and it is {move}."


class BestResponse(Mover):
    """Answers the other's last move as well as can be; any move at first."""

    def choose(self, view: View, own: list[str], other: list[str], rng: random.Random) -> tuple[str, str]:
        """The best response to the last move."""
        if not other:
            return rng.choice([str(move) for move in view.choices["move"]]), "There is nothing to respond to yet."
        move = rng.choice(response(view.card["payoffs"], {other[-1]: 1}))
        return move, f"The other made {other[-1]}, and {move} pays most against it."


class FictitiousPlay(Mover):
    """Answers the mixture of all the other's moves so far (Brown 1951)."""

    def choose(self, view: View, own: list[str], other: list[str], rng: random.Random) -> tuple[str, str]:
        """The best response to the mixture; among equals the first, at first the first move."""
        if not other:
            return str(view.choices["move"][0]), "There is nothing to respond to yet."
        counts = Counter(other)
        move = response(view.card["payoffs"], counts)[0]
        seen = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
        return move, f"So far the other made {seen}. Against that {move} pays most."


class TitForTat(Mover):
    """Makes the first move of the table, then the other's last move."""

    def choose(self, view: View, own: list[str], other: list[str], rng: random.Random) -> tuple[str, str]:
        """What the other did."""
        if not other:
            return str(view.choices["move"][0]), "I begin well."
        return other[-1], f"The other made {other[-1]}, so do I."


class Equilibrium(Mover):
    """Draws each move from the first equilibrium of the table."""

    def choose(self, view: View, own: list[str], other: list[str], rng: random.Random) -> tuple[str, str]:
        """A draw from the mixture that leaves the other nothing to gain."""
        moves = [str(move) for move in view.choices["move"]]
        table = view.card["payoffs"]
        (mixture, *_) = equilibria([[table[mine][other] for other in moves] for mine in moves])
        move = rng.choices(moves, mixture["row"])[0]
        return move, f"In equilibrium {move} is made {mixture['row'][moves.index(move)]:.2f} of the time."


POLICIES: dict[str, type[Policy]] = {
    "best_response": BestResponse,
    "equilibrium": Equilibrium,
    "fictitious_play": FictitiousPlay,
    "mixture": Mixture,
    "tit_for_tat": TitForTat,
}
