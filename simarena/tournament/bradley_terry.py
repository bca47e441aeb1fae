"""Strengths from pairwise comparisons: Bradley-Terry with ties and seat effects, errors clustered.

The model (Davidson 1970, with an effect of the seat as in Davidson and Beaver 1977): with d = strength of the first
agent minus that of the second, plus the first seat's effect minus the second's,

    log P(win) = d/2 - L,   log P(loss) = -d/2 - L,   log P(tie) = log(nu) - L,   L normalises.

An exponential family: the log-likelihood is concave, and Newton's method finds its one maximum. Without ties nu is 0
and the model is plain Bradley-Terry. Strengths are in nats; only their differences mean anything.

Pure maths on columns of numbers; knows nothing of points, rounds or names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simarena.tournament.results import LOSS, TIE, WIN, Comparisons, Floats, Ints

RUNAWAY = 15.0
"""Nats. A difference that grows past this (odds of 3 million) has no finite maximum, or none that the data can show."""
MIN_CLUSTERS = 10
"""With fewer clusters than this, their spread says too little about the error to be used alone."""
STEPS = 100
"""Newton steps; about ten are needed, some twenty where a difference runs away."""
DENSE = 4_000_000
"""Numbers that the leave-one-out correction may hold; beyond it there are clusters enough to do without."""

SIGN = np.array([1.0, -1.0, 1.0, -1.0])
"""How first agent, second agent, first seat and second seat enter d."""

Cluster = Literal["task", "unit", "model"]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Comparisons added up: one cell for each (group, first, second, first seat, second seat) that occurs."""

    index: Ints
    """(cells, 4), or (cells, 2) without seat effects: the parameters that make up d."""
    counts: Floats
    """(cells, 3): weight of LOSS, TIE, WIN."""
    group: Ints
    """(cells,): whose sums the cell belongs to, from 0; all 0 in the fit itself, clusters in its errors."""
    size: int
    """Parameters in all: agents, then seats if they are fitted, then log(nu) if `ties`."""
    ties: bool
    gauge: Floats
    """(size, parts): unit vectors along which the likelihood is flat (all strengths of a component move together)."""

    @property
    def groups(self) -> int:
        """How many there are, at least one."""
        return int(self.group.max(initial=0)) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """What each cell expects at given parameters, all (cells,); u is 1/2, 0, -1/2 for win, tie, loss, t 1 for a tie."""

    log_p: Floats
    """(cells, 3): log-probability of LOSS, TIE, WIN."""
    mean_u: Floats
    mean_t: Floats
    var_u: Floats
    var_t: Floats
    cov: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """Fitted strengths and how sure they are."""

    strength: Floats
    """(agents,), nats; sums to 0 within each component."""
    seat: Floats | None
    """(seats,), nats; None where there is one seat, or the data cannot tell seats from agents."""
    seat_component: Ints
    """(seats,): seats with the same number met in some match; `seat` sums to 0 among them."""
    tie: float
    """nu: a tie between equals has probability nu / (2 + nu)."""
    component: Ints
    """(agents,): agents with the same number are joined by a chain of comparisons; others cannot be compared."""
    prior: float
    """Weight of the virtual draws that kept the strengths finite; 0.0: none were needed."""
    cluster: Cluster
    """What the errors are clustered by; "model": not at all, every comparison counts as independent."""
    clusters: int
    """How many there are; 0 for "model"."""
    model: Floats
    """(parameters, parameters): inverse information."""
    robust: Floats | None
    """(parameters, parameters): clustered covariance; None for "model"."""
    sparse: Bools
    """(agents,): sat in fewer than MIN_CLUSTERS clusters, so that `robust` alone would flatter their errors."""

    def deviation(self, contrasts: Floats) -> Floats:
        """Standard error, nats, of each row of `contrasts` (rows, agents or more): weights that sum to 0.

        Infinite where a row sets agents of different components against each other.
        """
        rows = np.zeros((len(contrasts), len(self.model)))
        rows[:, : contrasts.shape[1]] = contrasts
        agents = rows[:, : len(self.strength)]
        model, robust = (np.sum(rows @ v * rows, axis=1) for v in self._covariances())
        doubtful = np.asarray((np.abs(agents) >= 0.5)[:, self.sparse].any(axis=1), dtype=np.bool_)
        comparable = np.abs(agents @ np.eye(len(self.strength))[self.component]).max(axis=1, initial=0.0) < 1e-9
        return self._error(model, robust, doubtful, comparable)

    def gaps(self) -> tuple[Floats, Floats]:
        """(difference, standard error), each (agents, agents), nats: strength of the row's agent minus the column's."""
        n = len(self.strength)
        model, robust = (v.diagonal()[:n, None] + v.diagonal()[:n] - 2 * v[:n, :n] for v in self._covariances())
        doubtful = np.asarray(self.sparse[:, None] | self.sparse, dtype=np.bool_)
        comparable = np.asarray(self.component[:, None] == self.component, dtype=np.bool_)
        return self.strength[:, None] - self.strength, self._error(model, robust, doubtful, comparable)

    def _covariances(self) -> tuple[Floats, Floats]:
        return self.model, self.model if self.robust is None else self.robust

    def _error(self, model: Floats, robust: Floats, doubtful: Bools, comparable: Bools) -> Floats:
        """The clustered error, or the larger of both where clusters are few or virtual draws held a strength back."""
        variance = np.where(doubtful | (self.prior > 0), np.maximum(model, robust), robust)
        return np.where(comparable, np.sqrt(np.maximum(variance, 0.0)), np.inf)


def fit(data: Comparisons, cluster: Cluster = "task", prior: float = 1.0) -> Fit:
    """Maximum likelihood strengths of `data`.

    Where they have no finite maximum (someone won or lost everything, a seat always won), everyone is given one virtual
    draw (weight `prior`) against an opponent of average strength, every seat likewise. Otherwise nothing is added.

    Errors: the sandwich, clustered by task (jackknifed where there are few clusters); by unit where there are fewer
    than MIN_CLUSTERS tasks; from the model alone where there are fewer than MIN_CLUSTERS units, or on request.
    """
    n, k = len(data.agents), len(data.seats)
    component, places = _components(n, data.first, data.second), _components(k, data.first_seat, data.second_seat)
    cells = _cells(data, component, places)
    at, used = _maximum(cells, 0.0), 0.0
    if at is None:
        at, used = _maximum(cells, prior), prior
    assert at is not None, "a penalised likelihood has a finite maximum"
    info = _curvature(cells, at, used)
    labels, cluster = _clusters(data, cluster)
    count = int(labels.max(initial=-1)) + 1
    seated = cells.index.shape[1] == 4
    return Fit(
        strength=_centred(at[:n], component),
        seat=_centred(at[n : n + k], places) if seated else None,
        seat_component=places,
        tie=float(np.exp(at[-1])) if cells.ties else 0.0,
        component=component,
        prior=used,
        cluster=cluster,
        clusters=count,
        model=np.asarray(np.linalg.inv(info), dtype=np.float64),
        robust=_sandwich(_grouped(data, cells, labels, count), at, info) if count else None,
        sparse=_occasions(n, data, labels, count) < MIN_CLUSTERS,
    )


def _components(n: int, first: Ints, second: Ints) -> Ints:
    """(n,): number of the connected part that each node is in, parts numbered by their first member."""
    edges = np.flatnonzero(np.bincount(first * n + second, minlength=n * n))
    graph: nx.Graph[int] = nx.empty_graph(n)
    graph.add_edges_from(np.stack(np.divmod(edges, n), axis=1).tolist())
    label = np.zeros(n, dtype=np.intp)
    for number, part in enumerate(sorted(nx.connected_components(graph), key=min)):
        label[list(part)] = number
    return label


def _cells(data: Comparisons, component: Ints, places: Ints) -> Cells:
    """Add the comparisons up; seat effects are dropped where the design cannot tell them from strengths."""
    n, k, one = len(data.agents), len(data.seats), np.zeros(len(data), dtype=np.intp)
    ties = bool((data.outcome == TIE).any())
    if k > 1:
        parts = np.concatenate([component, n + places])
        cells = _added_up(data, one, 1, seated=True, gauge=_gauge(parts, n + k + ties))
        if np.linalg.matrix_rank(_curvature(cells, np.zeros(cells.size), 0.0)) == cells.size:
            return cells
    return _added_up(data, one, 1, seated=False, gauge=_gauge(component, n + ties))


def _grouped(data: Comparisons, cells: Cells, labels: Ints, count: int) -> Cells:
    """The same cells, kept apart by cluster."""
    return _added_up(data, labels, count, seated=cells.index.shape[1] == 4, gauge=cells.gauge)


def _added_up(data: Comparisons, group: Ints, groups: int, *, seated: bool, gauge: Floats) -> Cells:
    n, k = len(data.agents), max(len(data.seats), 1)
    columns = (group, data.first, data.second, data.first_seat, data.second_seat)
    shape = (groups, n, n, k, k)
    if 3 * np.prod(shape, dtype=float) <= max(DENSE, len(data)):
        key = np.ravel_multi_index((*columns, data.outcome), (*shape, 3))
        counts = np.bincount(key, data.weight, minlength=3 * int(np.prod(shape))).reshape(-1, 3)
        some = np.flatnonzero(counts.any(axis=1))
        counts = counts[some]
        group, first, second, first_seat, second_seat = np.unravel_index(some, shape)
    else:  # hardly any two comparisons would share a cell: each gets its own
        counts = data.weight[:, None] * (data.outcome[:, None] == np.arange(3))
        _, first, second, first_seat, second_seat = columns
    index = [first, second, n + first_seat, n + second_seat][: 4 if seated else 2]
    return Cells(
        index=np.stack(index, axis=1),
        counts=np.asarray(counts, dtype=np.float64),
        group=group,
        size=len(gauge),
        ties=len(gauge) > n + seated * k,
        gauge=gauge,
    )


def _gauge(parts: Ints, size: int) -> Floats:
    """(size, distinct parts): the unit vector of each part."""
    kinds, label = np.unique(parts, return_inverse=True)
    member = np.zeros((size, len(kinds)))
    member[np.arange(len(parts)), label.reshape(-1)] = 1.0
    unit: Floats = member / np.sqrt(member.sum(axis=0))
    return unit


def _moments(cells: Cells, at: Floats) -> Moments:
    d = _difference(cells, at)
    tie = np.full_like(d, at[-1] if cells.ties else -np.inf)
    top = np.maximum(np.abs(d) / 2, tie)
    weights = np.exp(np.stack([-d / 2 - top, tie - top, d / 2 - top], axis=1))
    norm = weights.sum(axis=1, keepdims=True)
    loss, draw, win = (weights / norm).T
    mean = (win - loss) / 2
    return Moments(
        log_p=np.stack([-d / 2, tie, d / 2], axis=1) - (top[:, None] + np.log(norm)),
        mean_u=mean,
        mean_t=draw,
        var_u=(win + loss) / 4 - mean**2,
        var_t=draw * (1 - draw),
        cov=-draw * mean,
    )


def _difference(cells: Cells, at: Floats) -> Floats:
    """(cells,): d."""
    d: Floats = at[cells.index] @ SIGN[: cells.index.shape[1]]
    return d


def _value(cells: Cells, at: Floats, prior: float) -> float:
    """Log-likelihood, plus the virtual draws'."""
    log_p = np.where(cells.counts > 0, _moments(cells, at).log_p, 0.0)
    return float(np.sum(cells.counts * log_p)) + _penalty(cells, at, prior)[0]


def _gradient(cells: Cells, here: Moments) -> Floats:
    """(groups, size): first derivatives of the log-likelihood."""
    total = cells.counts.sum(axis=1)
    gradient = _spread(cells, (cells.counts[:, WIN] - cells.counts[:, LOSS]) / 2 - total * here.mean_u)
    if cells.ties:
        gradient[:, -1] = np.bincount(cells.group, cells.counts[:, TIE] - total * here.mean_t, minlength=len(gradient))
    return gradient


def _information(cells: Cells, here: Moments) -> Floats:
    """(groups, size, size): minus the second derivatives of the log-likelihood."""
    total, size = cells.counts.sum(axis=1), cells.size
    sums = np.zeros(cells.groups * size * size)
    for a, row in enumerate(cells.index.T):
        for b, column in enumerate(cells.index.T):
            where = (cells.group * size + row) * size + column
            sums += np.bincount(where, SIGN[a] * SIGN[b] * total * here.var_u, minlength=len(sums))
    information = sums.reshape(-1, size, size)
    if cells.ties:
        information[:, -1] = _spread(cells, total * here.cov)
        information[:, -1, -1] = np.bincount(cells.group, total * here.var_t, minlength=len(information))
        information[:, :, -1] = information[:, -1]
    return information


def _spread(cells: Cells, values: Floats) -> Floats:
    """(groups, size): sums of d's derivative times `values` (cells,)."""
    sums = np.zeros(cells.groups * cells.size)
    for a, index in enumerate(cells.index.T):
        sums += np.bincount(cells.group * cells.size + index, SIGN[a] * values, minlength=len(sums))
    return sums.reshape(-1, cells.size)


def _curvature(cells: Cells, at: Floats, prior: float) -> Floats:
    """(size, size): information and virtual draws, plus curvature lent to the flat directions so that it inverts.

    What is lent moves no contrast, so neither estimates nor errors depend on it.
    """
    scale = max(float(cells.counts.sum()) / cells.size, 1.0)
    lent = scale * cells.gauge @ cells.gauge.T
    curvature: Floats = _information(cells, _moments(cells, at)).sum(axis=0) + lent
    return curvature + np.diag(_penalty(cells, at, prior)[2])


def _penalty(cells: Cells, at: Floats, prior: float) -> tuple[float, Floats, Floats]:
    """(value, gradient, minus second derivative) of the virtual draws: prior/2 of a win and as much of a loss each.

    The tie parameter gets half a tie and half a decision between equals, at odds of nu to 2.
    """
    x = at.copy()
    if cells.ties:
        x[-1] -= np.log(2)
    p = 1 / (1 + np.exp(-x))
    value = -prior / 2 * float(np.sum(np.logaddexp(0, x) + np.logaddexp(0, -x)))
    return value, prior * (0.5 - p), prior * p * (1 - p)


def _maximum(cells: Cells, prior: float) -> Floats | None:
    """The parameters of greatest (penalised) likelihood; None where they run away."""
    at = np.zeros(cells.size)
    for _ in range(STEPS):
        slope = _gradient(cells, _moments(cells, at)).sum(axis=0) + _penalty(cells, at, prior)[1]
        step = np.asarray(np.linalg.solve(_curvature(cells, at, prior), slope), dtype=np.float64)
        at = _climb(cells, at, step, prior)
        if prior == 0 and _ran_away(cells, at):
            return None
        if np.abs(step).max(initial=0.0) < 1e-9:
            break
    return at


def _climb(cells: Cells, at: Floats, step: Floats, prior: float) -> Floats:
    """One Newton step, halved until it does not lose; near the top, rounding may make it look as if it did."""
    before = _value(cells, at, prior)
    while np.abs(step).max(initial=0.0) > 1e-6 and _value(cells, at + step, prior) < before:
        step = step / 2
    moved: Floats = at + step
    return moved


def _ran_away(cells: Cells, at: Floats) -> bool:
    reach = float(np.abs(_difference(cells, at)).max(initial=0.0))
    return max(reach, abs(float(at[-1])) if cells.ties else 0.0) > RUNAWAY


def _centred(strength: Floats, component: Ints) -> Floats:
    mean = np.bincount(component, strength) / np.maximum(np.bincount(component), 1)
    centred: Floats = strength - mean[component]
    return centred


def _clusters(data: Comparisons, wanted: Cluster) -> tuple[Ints, Cluster]:
    """(each row's cluster, what clusters are); no rows where errors come from the model."""
    choices: list[tuple[Cluster, Ints]] = [("task", data.task), ("unit", data.unit)]
    for name, column in choices[("task", "unit", "model").index(wanted) :]:
        used = np.bincount(column) > 0
        if used.sum() >= MIN_CLUSTERS:
            return np.asarray(np.cumsum(used) - 1, dtype=np.intp)[column], name
    return np.empty(0, dtype=np.intp), "model"


def _occasions(n: int, data: Comparisons, labels: Ints, count: int) -> Ints:
    """(agents,): in how many clusters each sat."""
    seen = np.zeros((count, n), dtype=np.bool_)
    if count:
        seen[labels, data.first] = seen[labels, data.second] = True
    return np.asarray(seen.sum(axis=0), dtype=np.intp)


def _sandwich(cells: Cells, at: Floats, info: Floats) -> Floats:
    """(size, size): covariance of the parameters when the comparisons of one group err together.

    Few groups: the one-step jackknife, which leaves out one group at a time and does not undercover with a dozen of
    them (CR3 of Bell and McCaffrey 2002). Many: inverse information x scores' covariance x inverse information.
    """
    here, count = _moments(cells, at), cells.groups
    scores = _gradient(cells, here)
    if count * cells.size**2 > DENSE:
        shift = np.linalg.solve(info, scores.T).T
        return np.asarray(count / (count - 1) * shift.T @ shift, dtype=np.float64)
    # The ridge stands in where one group alone connects the rest: its own score is 0 in that direction.
    ridge = 1e-6 * np.trace(info) / cells.size * np.eye(cells.size)
    left = info + ridge - _information(cells, here)
    shift = np.linalg.solve(left, scores[:, :, None])[:, :, 0]
    return np.asarray((count - 1) / count * shift.T @ shift, dtype=np.float64)
