"""Elo by least squares on win rates: the fit that the persuasive-debate studies report.

In: a matrix of shares won (`ratings.win_shares`). Out: points, without errors; for those, and where pairs met unequally
often, use `ratings.rate`.
"""

from __future__ import annotations

import numpy as np

from simarena.tournament.results import Floats

CENTRE = 1500.0
"""Mean of the points."""
STEPS = 200
"""Levenberg-Marquardt steps; about ten are usual."""
REACH = 15.0
"""Nats from the mean beyond which nobody is carried: a share of exactly 1 would ask for infinity."""


def least_squares(shares: Floats) -> Floats:
    """(agents,) points R that minimise the squared gaps between shares[i, j] and 1 / (1 + 10^((R_j - R_i) / 400)).

    `shares` is (agents, agents), NaN where two never met; every pair counts once, however often it met
    (Khan et al. 2024, arXiv:2402.06782).
    """
    first, second = np.nonzero(~np.isnan(shares))
    target, at, damping = shares[first, second], np.zeros(len(shares)), 1e-3
    design = np.eye(len(shares))[first] - np.eye(len(shares))[second]
    for _ in range(STEPS):
        p = 1 / (1 + np.exp(-design @ at))
        slope = design * (p * (1 - p))[:, None]
        normal = slope.T @ slope + (damping + 1e-12) * np.eye(len(shares))
        step = np.asarray(np.linalg.solve(normal, slope.T @ (target - p)), dtype=np.float64)
        moved = np.clip(at + step, -REACH, REACH)
        if np.sum((target - 1 / (1 + np.exp(-design @ moved))) ** 2) <= np.sum((target - p) ** 2):
            at, damping = moved, damping / 10
            if np.abs(step).max(initial=0.0) < 1e-10:
                break
        else:
            damping *= 10
    points: Floats = CENTRE + 400 / np.log(10) * (at - at.mean() if len(at) else at)
    return points
