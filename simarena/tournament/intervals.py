"""Quantiles of the normal and Student's t, without scipy."""

from __future__ import annotations

import math
from statistics import NormalDist


def quantile(p: float, degrees: float = math.inf) -> float:
    """The value that a t variable with so many degrees of freedom stays below with probability p.

    Normal for infinitely many. The expansion of Abramowitz and Stegun 26.7.5, good to 1% from five degrees up and for
    p between .0001 and .9999; at four and fewer it is too short, so nothing rests on it there.
    """
    x = NormalDist().inv_cdf(p)
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / degrees**power for power, term in enumerate(terms, start=1))


def two_sided(confidence: float, degrees: float = math.inf, among: int = 1) -> float:
    """Half-width, in standard errors, of intervals of which all `among` hold with this confidence (Bonferroni)."""
    return quantile(1 - (1 - confidence) / (2 * max(among, 1)), degrees)
