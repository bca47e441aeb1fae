"""Matrix games in the arena: two contestants move at once, a table pays them, as many rounds as wanted.

The table is public; each contestant reads it from its own side. Knows nothing of questions and judges.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from simarena.envs.arena import fields as words
from simarena.envs.arena.env import Arena
from simarena.envs.phases import Phase
from simarena.records import JSON
from simarena.tasks.base import Task
from simarena.tasks.matrix import regret

ROW, COLUMN = "contestant_0", "contestant_1"
SHOWN = ("game",)


class MatrixArena(Arena):
    """A repeated game for two in normal form."""

    def seats(self) -> list[str]:
        """The row player and the column player."""
        return [ROW, COLUMN]

    def deal(self, seed: int) -> Task:
        """The game. Its table is shown on cards, from each side; policies find it in the structure."""
        task: Task = self.family.generate(seed)
        public = {**{key: task.public[key] for key in SHOWN}, "family": task.family, "rounds": self.params.rounds}
        return dataclasses.replace(task, public=public, structure=task.known)

    @property
    def _actions(self) -> list[str]:
        actions: list[str] = self.task.structure["actions"]
        return actions

    def _pay(self, row: str, column: str) -> list[float]:
        i, j = self._actions.index(row), self._actions.index(column)
        pair: list[float] = self.task.structure["payoffs"][i][j]
        return pair

    def card(self, seat: str) -> dict[str, JSON]:
        """Own move -> the other's move -> what this seat gets and what the other gets."""
        moves = self._actions
        if seat == ROW:
            return {"payoffs": {mine: {other: self._pay(mine, other) for other in moves} for mine in moves}}
        return {"payoffs": {mine: {other: self._pay(other, mine)[::-1] for other in moves} for mine in moves}}

    def brief(self, seat: str) -> str:
        """The rules."""
        return (
            f"You are {seat}. You play a game against one other. Both move at the same time. "
            "Your card says what your move and the other's move pay you and the other."
        )

    def script(self) -> list[Phase]:
        """One simultaneous phase a round."""
        return [self._round(number + 1) for number in range(self.params.rounds)]

    def _round(self, number: int) -> Phase:
        return Phase(
            name=f"round {number}",
            kind="move",
            actors=(ROW, COLUMN),
            order="simultaneous",
            fields=words.Move,
            instruction="Make your move. First one short reason, then the move.",
            private=frozenset({"reason"}),
            default={"reason": "", "move": self._actions[0]},
            choices={"move": tuple(self._actions)},
            words={"reason": self.params.words},
        )

    def audience(self, seat: str, phase: Phase) -> tuple[str, ...] | None:
        """Moves are public, their reasons are not."""
        return None

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """Keep the move."""
        self._part("moves").setdefault(seat, []).append(fields["move"])

    def phase_over(self, phase: Phase) -> None:
        """Pay the round."""
        moves = self.memo["moves"]
        pair = self._pay(moves[ROW][-1], moves[COLUMN][-1])
        for seat, amount in zip((ROW, COLUMN), pair, strict=True):
            self.pay(seat, float(amount))
        self.note("payoff", {"round": len(moves[ROW]), ROW: pair[0], COLUMN: pair[1]})

    def payoffs(self) -> dict[str, float]:
        """Nothing more: every round was paid."""
        return {}

    def metrics(self) -> dict[str, float]:
        """Mean payoffs, how often each move was made, and what each could have gained against the other's mixture."""
        if not self.memo.get("moves"):
            return {}
        moves: dict[str, list[str]] = self.memo["moves"]
        mixtures = [self._mixture(moves[seat]) for seat in (ROW, COLUMN)]
        rounds = len(moves[ROW])
        lost = regret(self.task.structure["payoffs"], mixtures[0], mixtures[1])
        found = {"welfare": sum(self.returns.values()) / rounds, "duality_gap": sum(lost)}
        for seat, mixture, gain in zip((ROW, COLUMN), mixtures, lost, strict=True):
            found |= {f"payoff/{seat}": self.returns[seat] / rounds, f"regret/{seat}": gain}
            found |= {f"share/{seat}/{move}": share for move, share in zip(self._actions, mixture, strict=True)}
        return found

    def _mixture(self, moves: list[str]) -> list[float]:
        counts = Counter(moves)
        return [counts[move] / len(moves) for move in self._actions]

    # ---- numeric face -----------------------------------------------------------------------------------------------

    @cached_property
    def _size(self) -> int:
        return len(self.family.generate(0).public["actions"])

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """Discrete: the move's number."""
        return gymnasium.spaces.Discrete(self._size)

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Every move is legal."""
        return np.ones(self._size, np.int8)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """The move of that number."""
        return {"reason": "", "move": self._actions[int(value)]}

    def features(self, seat: str) -> list[float]:
        """Rounds played, the last moves, the other's mixture so far, and the own payoffs scaled to [-1, 1]."""
        moves: dict[str, list[str]] = self.memo.get("moves", {})
        own, other = moves.get(seat, []), moves.get(COLUMN if seat == ROW else ROW, [])
        found = [len(own) / self.params.rounds]
        for past in (own, other):
            found += [float(bool(past) and past[-1] == move) for move in self._actions]
        found += self._mixture(other) if other else [0.0] * self._size
        table = self.task.structure["payoffs"]
        most = max(1.0, *(abs(pay) for row in table for pair in row for pay in pair))
        return found + [pair[seat == COLUMN] / most for row in table for pair in row]
