"""Who is strong where no scale fits: Nash averaging and alpha-rank, for fields in which A beats B beats C beats A.

In: a matrix of shares won (`ratings.win_shares`). Out: one number per agent. Pure maths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simarena.tournament.results import Floats

COLDEST = 1e-9
"""Temperature at which the equilibrium is read; it can be exploited by at most this times log(agents)."""
COOLING = 0.5
"""Factor from one temperature to the next."""
NEWTON = 50
"""Newton steps at one temperature; two or three are usual."""
LEAST = 1e-290
"""Smallest rate of a move in alpha-rank's chain: keeps every state reachable where the true rate underflows."""


@dataclass(frozen=True, slots=True)
class Nash:
    """The maximum-entropy equilibrium of "pick an agent; the more often it beats the other's, the better"."""

    weights: Floats
    """(agents,), sums to 1: how often the equilibrium picks each. Copies of an agent share its weight."""
    skills: Floats
    """(agents,): each one's expected margin against the equilibrium, at most `exploitability`; picked ones have 0."""
    exploitability: float
    """Greatest margin that anyone has against `weights`: 0 but for rounding."""


def margins(shares: Floats) -> Floats:
    """(n, n) antisymmetric, -1..1: share won minus share lost; pairs that never met (NaN) count as even."""
    share = np.where(np.isnan(shares), 0.5, shares)
    return np.asarray(share - share.T, dtype=np.float64)


def nash(margin: Floats) -> Nash:
    """Nash averaging (Balduzzi et al. 2018, arXiv:1806.02643) of an antisymmetric (n, n) matrix of margins.

    Follows the logit equilibria p = softmax(margin p / t) from hot to cold. At every t there is exactly one, for the
    entropy term makes the game strictly monotone, and as t falls they lead to the equilibrium of greatest entropy
    (Tikhonov regularisation of a monotone problem). At t nobody gains more than t log n over p, which is the proof of
    convergence and is returned as `exploitability`.
    """
    n = len(margin)
    log_p, temperature = np.full(n, -np.log(n)), max(1.0, float(np.abs(margin).max(initial=0.0)))
    while temperature > COLDEST:
        temperature = max(temperature * COOLING, COLDEST)
        log_p = _logit_equilibrium(margin, temperature, log_p)
    weights = np.exp(log_p)
    weights /= weights.sum()
    skills: Floats = margin @ weights
    return Nash(weights, skills, float(skills.max(initial=0.0)))


def _logit_equilibrium(margin: Floats, temperature: float, start: Floats) -> Floats:
    """Log p with temperature * log p - margin p constant and sum p = 1, by damped Newton from `start`."""
    n, log_p = len(margin), start
    for _ in range(NEWTON):
        p = np.exp(log_p)
        system = np.ones((n + 1, n + 1))
        system[:n, :n] = temperature * np.eye(n) - margin * p
        system[n, :n], system[n, n] = p, 0.0
        gap = np.append(temperature * log_p - margin @ p, p.sum() - 1)
        step = np.linalg.solve(system, -gap)[:n]
        # Where p is tiny a step in its logarithm is harmless however long; elsewhere it must not overshoot.
        live = np.abs(step[(p > 1e-12) | (step > 0)]).max(initial=0.0)
        log_p = np.minimum(log_p + step * min(1.0, 2.0 / max(live, 1e-300)), 0.0)
        if live < 1e-11:
            break
    return log_p - float(np.log(np.exp(log_p).sum()))


def alpha_rank(margin: Floats, alpha: float = 100.0, population: int = 50) -> Floats:
    """alpha-rank (Omidshafiei et al. 2019, arXiv:1903.01373) of one population: (n,), how long it holds each agent.

    A population of copies of one agent is invaded by another at rate rho = (1 - e^-x) / (1 - e^-mx) with x = alpha
    times the invader's margin and m = `population`; the result is the chain's stationary distribution. The larger
    alpha, the more nearly only wins count; margins are from -1 to 1.
    """
    n = len(margin)
    if n == 1:
        return np.ones(1)
    rates = np.maximum(_fixation(alpha * margin.T, population), LEAST) / (n - 1)
    np.fill_diagonal(rates, 0.0)
    return _stationary(rates)


def _fixation(x: Floats, m: int) -> Floats:
    """Chance that one invader with advantage x takes over a population of m; 1/m where x is 0."""
    size = np.abs(x) + (x == 0)
    win = np.expm1(-size) / np.expm1(-m * size)
    # Below 0 both terms blow up; dividing them by e^(m|x|) leaves the same ratio without overflow.
    lose = win * np.exp(-(m - 1) * size)
    chance: Floats = np.where(x == 0, 1 / m, np.where(x > 0, win, lose))
    return chance


def _stationary(rates: Floats) -> Floats:
    """(n,): stationary distribution of a chain by state reduction (Grassmann, Taksar and Heyman 1985).

    Nothing is subtracted, so rates a hundred orders of magnitude apart keep their relative accuracy.
    """
    a = rates.copy()
    for last in range(len(a) - 1, 0, -1):
        a[:last, last] /= a[last, :last].sum()
        a[:last, :last] += np.outer(a[:last, last], a[last, :last])
    held = np.ones(len(a))
    for state in range(1, len(a)):
        held[state] = held[:state] @ a[:state, state]
    share: Floats = held / held.sum()
    return share
