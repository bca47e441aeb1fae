"""Results to a leaderboard: ratings with intervals, ranks with intervals, seat effect, and what one number cannot say.

In: results. Out: one `Ratings` record that `to_json` writes. The scale is Elo's: 1500 is the average of the agents that
can be compared, and 400 points are odds of ten to one. Knows no environment, model or file.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from simarena.tournament.bradley_terry import Cluster, Fit, fit
from simarena.tournament.cycles import cycles, surely_beats
from simarena.tournament.intervals import two_sided
from simarena.tournament.results import TIE, TIE_MARGIN, Comparisons, Floats, Result, compare

CENTRE = 1500.0
"""Points of the average agent."""
POINTS = 400 / math.log(10)
"""Points per nat."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One agent's line on the leaderboard."""

    agent: str
    rating: float
    """Points."""
    low: float | None
    """Ends of the rating's interval, points; None where nothing says how good it is (no match against anyone)."""
    high: float | None
    rank_low: int
    """Best rank it may have: 1 + the number of agents that are surely better."""
    rank_high: int
    """Worst rank it may have: all agents but those that are surely worse."""
    matches: int
    """Matches it sat in."""
    score: float | None
    """Share of its comparisons that it won, ties half."""
    invalid_rate: float
    """Share of its turns whose reply could not be applied as meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeatEffect:
    """What a seat is worth."""

    seat: str
    points: float
    """Points that sitting here adds over sitting in the other rated seats (their average)."""
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratings:
    """What a tournament says."""

    leaderboard: tuple[Row, ...]
    """Best first."""
    seat_effect: SeatEffect | None
    """The first seat's; None where there is one seat, or no agent changed seats so that it cannot be told."""
    seat_effects: tuple[SeatEffect, ...]
    """Every rated seat's."""
    tie_rate: float
    """Share of comparisons that were tied."""
    invalid_rate: float
    """Share of turns, in the rated seats, whose reply could not be applied as meant."""
    matches: int
    undecided: int
    """Of `matches`, those that no judge decided: they are in no rating, score or tie rate."""
    win_matrix: dict[str, dict[str, float]]
    """Agent -> opponent -> share won, ties half; only opponents it met."""
    cycles: tuple[tuple[str, ...], ...]
    """Each beats the next and the last beats the first, every step outside its interval: no single scale fits them."""
    components: tuple[tuple[str, ...], ...]
    """Groups that never met, directly or through others: ratings compare within a group only. One group is the rule."""
    confidence: float
    """Of every interval here."""
    cluster: Cluster
    """What errors are clustered by: "task", or "unit" or "model" where there were too few of the former."""
    clusters: int
    prior: float
    """Weight of the virtual draw that everyone got because somebody won or lost everything; 0.0: not needed."""


def rate(
    results: Sequence[Result],
    *,
    agents: Iterable[str] = (),
    confidence: float = 0.95,
    cluster: Cluster = "task",
    prior: float = 1.0,
    tie_margin: float = TIE_MARGIN,
) -> Ratings:
    """Rate everyone who sat in `results`, and `agents` who may not have.

    A rating's interval is its own. Rank intervals are corrected for the number of opponents (Bonferroni), so that each
    holds the true rank with at least `confidence`.
    """
    data = compare(results, agents, tie_margin)
    if not data.agents:
        return _nothing(confidence)
    fitted = fit(data, cluster, prior)
    beats = surely_beats(data, by="task" if fitted.cluster == "task" else "unit", confidence=confidence)
    effects = _seat_effects(data, fitted, confidence)
    parts = [np.flatnonzero(fitted.component == c) for c in range(int(fitted.component.max()) + 1)]
    return Ratings(
        leaderboard=_leaderboard(results, data, fitted, confidence),
        seat_effect=effects[0] if effects else None,
        seat_effects=effects,
        tie_rate=_share(float(data.weight[data.outcome == TIE].sum()), float(data.weight.sum())),
        invalid_rate=_share(sum(sum(r.invalid) for r in results), sum(sum(r.turns) for r in results)),
        matches=len(results),
        undecided=sum(not result.decided for result in results),
        win_matrix=_named(data.agents, win_shares(data)),
        cycles=cycles(data.agents, beats),
        components=tuple(tuple(data.agents[i] for i in part) for part in parts),
        confidence=confidence,
        cluster=fitted.cluster,
        clusters=fitted.clusters,
        prior=fitted.prior,
    )


def win_shares(data: Comparisons) -> Floats:
    """(agents, agents): share of the comparisons of row and column that the row's agent won, ties half; NaN: none."""
    n = len(data.agents)
    there, back = data.first * n + data.second, data.second * n + data.first
    met = np.bincount(there, data.weight, minlength=n * n) + np.bincount(back, data.weight, minlength=n * n)
    won = np.bincount(there, data.weight * data.outcome / 2, minlength=n * n)
    won = won + np.bincount(back, data.weight * (2 - data.outcome) / 2, minlength=n * n)
    shares: Floats = np.divide(won, met, out=np.full(n * n, np.nan), where=met > 0)
    return shares.reshape(n, n)


def _nothing(confidence: float) -> Ratings:
    return Ratings(
        leaderboard=(),
        seat_effect=None,
        seat_effects=(),
        tie_rate=0.0,
        invalid_rate=0.0,
        matches=0,
        undecided=0,
        win_matrix={},
        cycles=(),
        components=(),
        confidence=confidence,
        cluster="model",
        clusters=0,
        prior=0.0,
    )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _degrees(fitted: Fit) -> float:
    """Degrees of freedom of the errors: what is left of the clusters."""
    return fitted.clusters - 1 if fitted.clusters else math.inf


def _leaderboard(results: Sequence[Result], data: Comparisons, fitted: Fit, confidence: float) -> tuple[Row, ...]:
    sat, turns, invalid = _tallies(results)
    rating, reach = CENTRE + POINTS * fitted.strength, POINTS * _reach(fitted, confidence)
    rank_low, rank_high = _ranks(fitted, confidence)
    score = _scores(data)
    rows = [
        Row(
            agent=name,
            rating=float(rating[i]),
            low=float(rating[i] - reach[i]) if math.isfinite(reach[i]) else None,
            high=float(rating[i] + reach[i]) if math.isfinite(reach[i]) else None,
            rank_low=int(rank_low[i]),
            rank_high=int(rank_high[i]),
            matches=sat[name],
            score=float(score[i]) if math.isfinite(score[i]) else None,
            invalid_rate=_share(invalid[name], turns[name]),
        )
        for i, name in enumerate(data.agents)
    ]
    return tuple(sorted(rows, key=lambda row: (-row.rating, row.agent)))


def _tallies(results: Sequence[Result]) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """(matches, turns, invalid turns) by agent."""
    sat: Counter[str] = Counter()
    turns: Counter[str] = Counter()
    invalid: Counter[str] = Counter()
    for result in results:
        sat.update(set(result.agents))
        for name, n in zip(result.agents, result.turns, strict=False):
            turns[name] += n
        for name, n in zip(result.agents, result.invalid, strict=False):
            invalid[name] += n
    return sat, turns, invalid


def _scores(data: Comparisons) -> Floats:
    """(agents,): share won, ties half; NaN without comparisons."""
    n = len(data.agents)
    won = np.bincount(data.first, data.weight * data.outcome / 2, minlength=n)
    won = won + np.bincount(data.second, data.weight * (2 - data.outcome) / 2, minlength=n)
    met = np.bincount(data.first, data.weight, minlength=n) + np.bincount(data.second, data.weight, minlength=n)
    scores: Floats = np.divide(won, met, out=np.full(n, np.nan), where=met > 0)
    return scores


def _reach(fitted: Fit, confidence: float) -> Floats:
    """(agents,): half-width of each strength's interval, nats; infinite for an agent that met nobody."""
    n = len(fitted.strength)
    same = fitted.component[:, None] == fitted.component[None, :]
    contrasts = np.eye(n) - same / same.sum(axis=1, keepdims=True)
    reach = two_sided(confidence, _degrees(fitted)) * fitted.deviation(contrasts)
    return np.where(same.sum(axis=1) > 1, reach, np.inf)


def _ranks(fitted: Fit, confidence: float) -> tuple[Floats, Floats]:
    """(best, worst) rank of each agent, each (agents,)."""
    n = len(fitted.strength)
    gap, error = fitted.gaps()
    sure = two_sided(confidence, _degrees(fitted), among=n - 1) * error
    better, worse = (gap < -sure).sum(axis=1), (gap > sure).sum(axis=1)
    return 1 + better, n - worse


def _seat_effects(data: Comparisons, fitted: Fit, confidence: float) -> tuple[SeatEffect, ...]:
    if fitted.seat is None or not len(data):
        return ()
    n, k, width = len(data.agents), len(data.seats), two_sided(confidence, _degrees(fitted))
    same = fitted.seat_component[:, None] == fitted.seat_component[None, :]
    others = same & ~np.eye(k, dtype=np.bool_)
    contrasts = np.eye(k) - others / np.maximum(others.sum(axis=1, keepdims=True), 1)
    points = POINTS * contrasts @ fitted.seat
    reach = POINTS * width * fitted.deviation(np.concatenate([np.zeros((k, n)), contrasts], axis=1))
    return tuple(
        SeatEffect(seat=seat, points=float(p), low=float(p - r), high=float(p + r))
        for seat, p, r in zip(data.seats, points, reach, strict=True)
    )


def _named(names: Sequence[str], shares: Floats) -> dict[str, dict[str, float]]:
    return {
        a: {b: float(shares[i, j]) for j, b in enumerate(names) if i != j and math.isfinite(shares[i, j])}
        for i, a in enumerate(names)
    }
