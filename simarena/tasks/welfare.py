"""Who gets how much: welfare, fairness and efficiency of outcomes, by plain formulas and full enumeration.

In: utilities of n parties, either (n,) for one outcome or (n, N) for all N outcomes. Knows nothing of deals,
packages or seats.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Objective = Literal["worst_then_total", "nash", "total"]
Numbers = Sequence[float] | NDArray[Any]
SECOND = 1e-4
"""Weight of the mean beside the worst: whole-number utilities under 10,000 are ordered by the worst first."""
TINY = 1e-9


def welfare(table: Numbers, objective: Objective) -> NDArray[np.float64]:
    """Welfare of outcomes, (n,) -> () or (n, N) -> (N,), in the unit of the utilities.

    worst_then_total: the least utility, ties broken by the mean (times 1e-4). nash: geometric mean, where utilities
    under zero count as zero. total: the sum.
    """
    values = np.asarray(table, np.float64)
    if objective == "worst_then_total":
        return np.asarray(values.min(axis=0) + SECOND * values.mean(axis=0))
    if objective == "nash":
        return np.asarray(np.exp(np.log(np.maximum(values, TINY)).mean(axis=0)))
    return np.asarray(values.sum(axis=0))


def best(table: NDArray[Any], objective: Objective) -> int:
    """Position of the outcome with the most welfare; the first of equals."""
    return int(np.argmax(welfare(table, objective)))


def pareto(table: NDArray[Any]) -> NDArray[np.bool_]:
    """(n, N) -> (N,): which outcomes no other outcome dominates (as good for all and better for one)."""
    order = np.argsort(-table.sum(axis=0), kind="stable")
    kept = np.zeros(table.shape[1], np.bool_)
    front = np.empty((0, table.shape[0]), table.dtype)
    for position in order:  # whatever dominates an outcome has a larger sum, so it came before
        column = table[:, position]
        dominated = (front >= column).all(axis=1) & (front > column).any(axis=1)
        if not dominated.any():
            kept[position] = True
            front = np.vstack([front, column])
    return kept


def distance_to(front: NDArray[Any], utilities: Numbers, scale: float) -> float:
    """Root mean square difference between `utilities` (n,) and the nearest column of `front` (n, F), over `scale`."""
    gaps = (front - np.asarray(utilities, np.float64)[:, None]) / scale
    return float(np.sqrt((gaps**2).mean(axis=0)).min())


def gini(utilities: Numbers) -> float:
    """Gini coefficient, 0 (all equal) to 1 - 1/n: mean absolute difference over twice the mean; 0 where all are 0."""
    values = np.asarray(utilities, np.float64)
    whole = float(np.abs(values).sum()) * len(values)
    return float(np.abs(values[:, None] - values[None, :]).sum()) / (2 * whole) if whole else 0.0


def envy(utilities: Numbers) -> float:
    """Mean over parties of how far the best-off is above them, in the unit of the utilities."""
    values = np.asarray(utilities, np.float64)
    return float((values.max() - values).mean())


def satisfaction(utilities: Numbers, low: Numbers, high: Numbers) -> list[float]:
    """Each party's utility between the least (0) and the most (1) that any outcome could give it."""
    triples = zip(np.asarray(utilities).tolist(), np.asarray(low).tolist(), np.asarray(high).tolist(), strict=True)
    return [1.0 if most == least else (value - least) / (most - least) for value, least, most in triples]


def percentile(values: Numbers, share: float) -> float:
    """Linear-interpolated quantile of a few numbers; share .2 gives P20."""
    return float(np.quantile(np.asarray(values, np.float64), share))
