"""Matrix games for two: named payoff tables, random zero-sum tables, tables of your own, and their equilibria.

Equilibria come from enumeration of supports in exact fractions; no solver is needed. A mixture is one probability for
each action, in the order of `actions`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import combinations
from math import isfinite
from typing import Literal

from pydantic import Field, model_validator

from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.base import Family, Knobs, Task

Payoffs = Sequence[Sequence[Sequence[float]]]
"""Row action -> column action -> (row's payoff, column's payoff)."""
Fractions = list[list[Fraction]]

Game = Literal[
    "prisoners_dilemma",
    "stag_hunt",
    "chicken",
    "battle",
    "matching_pennies",
    "rock_paper_scissors",
    "random_zero_sum",
    "own",
]
ZERO = Fraction(0)
TABLES: dict[str, tuple[tuple[str, ...], tuple[tuple[tuple[int, int], ...], ...]]] = {
    "prisoners_dilemma": (("cooperate", "defect"), (((3, 3), (0, 5)), ((5, 0), (1, 1)))),
    "stag_hunt": (("stag", "hare"), (((4, 4), (0, 3)), ((3, 0), (2, 2)))),
    "chicken": (("swerve", "straight"), (((0, 0), (-1, 1)), ((1, -1), (-5, -5)))),
    "battle": (("opera", "boxing"), (((3, 2), (0, 0)), ((0, 0), (2, 3)))),
    "matching_pennies": (("heads", "tails"), (((1, -1), (-1, 1)), ((-1, 1), (1, -1)))),
    "rock_paper_scissors": (
        ("rock", "paper", "scissors"),
        (((0, 0), (-1, 1), (1, -1)), ((1, -1), (0, 0), (-1, 1)), ((-1, 1), (1, -1), (0, 0))),
    ),
}
MAX_ACTIONS = 5
"""251 pairs of supports at most, about 30 ms."""
CLOSE = 1e-6
"""How much a deviation may gain before a profile is no equilibrium any more."""


class MatrixParams(Knobs):
    """Knobs of the games."""

    game: Game = "rock_paper_scissors"
    """Which table; random_zero_sum draws one for each seed, own takes `actions` and `payoffs`."""
    size: int = Field(3, ge=2, le=MAX_ACTIONS)
    """random_zero_sum: actions."""
    stake: int = Field(5, ge=1, le=100)
    """random_zero_sum: payoffs are whole numbers from -stake to stake."""
    actions: tuple[str, ...] = ()
    """own: names of the actions, the same for both."""
    payoffs: tuple[tuple[tuple[float, float], ...], ...] = ()
    """own: row action -> column action -> (row's payoff, column's payoff)."""

    @model_validator(mode="after")
    def _complete(self) -> MatrixParams:
        if (self.game == "own") != bool(self.actions or self.payoffs):
            raise ValueError("actions and payoffs belong to game: own; give both with it, and neither without")
        size = len(self.actions)
        if self.game == "own" and not (2 <= size <= MAX_ACTIONS and len(set(self.actions)) == size):
            raise ValueError(f"actions need 2 to {MAX_ACTIONS} different names, got {list(self.actions)}")
        if [len(row) for row in self.payoffs] != [size] * size:
            raise ValueError(f"payoffs need {size} rows of {size} pairs, one for each of the actions")
        if not all(isfinite(pay) for row in self.payoffs for pair in row for pay in pair):
            raise ValueError("payoffs must be finite numbers")
        return self


class MatrixGame(Family):
    """Which action, when the other chooses at the same time?"""

    name = "matrix"
    Params = MatrixParams

    def generate(self, seed: int) -> Task:
        """A game. Public: "game", "actions" and "payoffs". Truth: "equilibria", "zero_sum" and "value".

        An equilibrium is {"row": mixture, "column": mixture, "payoffs": [row's, column's]}. "value" is what a zero-sum
        game is worth to the row, None elsewhere.
        """
        p: MatrixParams = self.params
        actions, payoffs = self._table(seed)
        found = equilibria(payoffs)
        zero_sum = all(pair[0] + pair[1] == 0 for row in payoffs for pair in row)
        public: dict[str, JSON] = {"game": p.game, "actions": list(actions), "payoffs": payoffs}
        truth = {"equilibria": found, "zero_sum": zero_sum, "value": found[0]["payoffs"][0] if zero_sum else None}
        return Task(family=self.name, seed=seed, public=public, truth=truth)

    def verify(self, task: Task, answer: JSON) -> float:
        """1.0 where `answer` is an equilibrium: a pair of mixtures, or of action names, row first."""
        actions = task.public["actions"]
        if not isinstance(answer, list) or len(answer) != 2:
            return 0.0
        row, column = (read_mixture(actions, entry) for entry in answer)
        return float(row is not None and column is not None and is_equilibrium(task.public["payoffs"], row, column))

    def _table(self, seed: int) -> tuple[tuple[str, ...], list[list[list[float]]]]:
        p: MatrixParams = self.params
        if p.game == "random_zero_sum":
            random = rng("matrix", seed)
            stakes = [[random.randint(-p.stake, p.stake) for _ in range(p.size)] for _ in range(p.size)]
            return tuple("abcdef"[: p.size]), [[[pay, -pay] for pay in row] for row in stakes]
        actions, table = (p.actions, p.payoffs) if p.game == "own" else TABLES[p.game]
        return actions, [[list(pair) for pair in row] for row in table]


def read_mixture(actions: Sequence[str], entry: JSON) -> list[float] | None:
    """`entry` as a mixture: an action's name, or probabilities that sum to one; None for anything else."""
    if isinstance(entry, str):
        return [float(entry == action) for action in actions] if entry in actions else None
    if not isinstance(entry, list) or len(entry) != len(actions):
        return None
    if not all(isinstance(p, (int, float)) and not isinstance(p, bool) and 0 <= p <= 1 for p in entry):
        return None
    return [float(p) for p in entry] if abs(sum(entry) - 1) <= CLOSE else None


def action_values(payoffs: Payoffs, seat: int, other: Sequence[float]) -> list[float]:
    """Expected payoff of each action of `seat` (0 row, 1 column) against the other's mixture."""
    if seat == 0:
        return [sum(q * pair[0] for q, pair in zip(other, row, strict=True)) for row in payoffs]
    return [sum(q * row[k][1] for q, row in zip(other, payoffs, strict=True)) for k in range(len(payoffs[0]))]


def best_responses(payoffs: Payoffs, seat: int, other: Sequence[float]) -> list[int]:
    """Numbers of the actions that pay `seat` most against the other's mixture."""
    values = action_values(payoffs, seat, other)
    return [i for i, value in enumerate(values) if value >= max(values) - CLOSE]


def expected(payoffs: Payoffs, row: Sequence[float], column: Sequence[float]) -> tuple[float, float]:
    """Expected payoffs of row and column under two mixtures."""
    rows, columns = action_values(payoffs, 0, column), action_values(payoffs, 1, row)
    return sum(p * v for p, v in zip(row, rows, strict=True)), sum(q * v for q, v in zip(column, columns, strict=True))


def regret(payoffs: Payoffs, row: Sequence[float], column: Sequence[float]) -> tuple[float, float]:
    """What each could gain by changing alone; (0, 0) in equilibrium. In zero-sum games the sum is the duality gap."""
    have = expected(payoffs, row, column)
    best = max(action_values(payoffs, 0, column)), max(action_values(payoffs, 1, row))
    return best[0] - have[0], best[1] - have[1]


def is_equilibrium(payoffs: Payoffs, row: Sequence[float], column: Sequence[float]) -> bool:
    """Whether neither gains by changing alone."""
    return max(regret(payoffs, row, column)) <= CLOSE


def equilibria(payoffs: Payoffs) -> list[dict[str, JSON]]:
    """Equilibria with supports of equal size: all of them, where the game is nondegenerate; never none.

    Source: support enumeration, e.g. Nisan et al., Algorithmic Game Theory, algorithm 3.4. Where a game is so
    degenerate that no such pair of supports works out, supports of unequal size are tried too.
    """
    found = _mixtures(tuple(tuple((pair[0], pair[1]) for pair in row) for row in payoffs))
    result: list[dict[str, JSON]] = []
    for row, column in found:
        mixtures = [float(p) for p in row], [float(q) for q in column]
        entry = {"row": mixtures[0], "column": mixtures[1], "payoffs": list(expected(payoffs, *mixtures))}
        if entry not in result:
            result.append(entry)
    return result


@lru_cache(maxsize=64)
def _mixtures(payoffs: tuple[tuple[tuple[float, float], ...], ...]) -> list[tuple[list[Fraction], list[Fraction]]]:
    tables = [[[Fraction(pair[seat]) for pair in row] for row in payoffs] for seat in (0, 1)]
    size = len(payoffs)
    sets = [chosen for count in range(1, size + 1) for chosen in combinations(range(size), count)]
    equal = [(rows, columns) for rows in sets for columns in sets if len(rows) == len(columns)]
    unequal = [(rows, columns) for rows in sets for columns in sets if len(rows) != len(columns)]
    return list(_supported(tables, equal)) or list(_supported(tables, unequal))


def _supported(
    tables: list[Fractions], pairs: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]
) -> Iterator[tuple[list[Fraction], list[Fraction]]]:
    """The equilibria whose supports are among `pairs`."""
    row_pays, column_pays = tables[0], [list(column) for column in zip(*tables[1], strict=True)]
    for rows, columns in pairs:
        column = _indifferent(row_pays, rows, columns)
        row = _indifferent(column_pays, columns, rows) if column is not None else None
        if row is not None and column is not None:
            yield row, column


def _indifferent(pays: Fractions, own: Sequence[int], other: Sequence[int]) -> list[Fraction] | None:
    """A mixture over `other` that makes all of `own` equally good and no other action better; None where there is none.

    `pays`: own action -> other's action -> own payoff.
    """
    # Unknowns: the probabilities of `other`, and the common value.
    equations = [[*(pays[i][j] for j in other), Fraction(-1), ZERO] for i in own]
    equations.append([*([Fraction(1)] * len(other)), ZERO, Fraction(1)])
    solved = solve(equations)
    if solved is None or min(solved[:-1]) < 0:
        return None
    mixture = [ZERO] * len(pays[0])
    for j, probability in zip(other, solved, strict=False):
        mixture[j] = probability
    values = [sum((p * q for p, q in zip(row, mixture, strict=True)), ZERO) for row in pays]
    return mixture if max(values) <= solved[-1] else None


def solve(equations: Fractions) -> list[Fraction] | None:
    """A solution of linear equations, each a row [coefficients..., right side]; free unknowns are 0; None if none.

    Gauss-Jordan elimination in exact fractions.
    """
    rows = [list(row) for row in equations]
    width = len(rows[0]) - 1
    pivots: list[int] = []
    for column in range(width):
        at = next((i for i in range(len(pivots), len(rows)) if rows[i][column]), None)
        if at is None:
            continue
        done = len(pivots)
        rows[done], rows[at] = rows[at], rows[done]
        rows[done] = [x / rows[done][column] for x in rows[done]]
        for i, row in enumerate(rows):
            if i != done and row[column]:
                rows[i] = [x - row[column] * y for x, y in zip(row, rows[done], strict=True)]
        pivots.append(column)
    if any(row[-1] for row in rows[len(pivots) :]):
        return None
    solution = [ZERO] * width
    for row, column in zip(rows, pivots, strict=False):
        solution[column] = row[-1]
    return solution
