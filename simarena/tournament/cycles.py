"""Who surely beats whom, and the circles in it: what no single scale can show.

In: pairwise comparisons. Out: pairs, and cycles of names. Knows no rating.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import networkx as nx
import numpy as np

from simarena.tournament.intervals import two_sided
from simarena.tournament.results import Comparisons

MIN_CLUSTERS = 6
"""With fewer, a clean sweep still has a chance of one in sixteen or more between equals: it settles nothing."""


def surely_beats(data: Comparisons, *, by: Literal["task", "unit"], confidence: float) -> list[tuple[int, int]]:
    """Pairs (winner, loser) where the winner's share of their comparisons is above one half beyond its interval.

    The score test of "neither wins more", clustered: z = sum of S_g / root of the sum of S_g^2, where S_g is what the
    first took from cluster g above one half, held against Student's t so that a few clusters prove little.
    """
    n, column = len(data.agents), data.task if by == "task" else data.unit
    kinds = int(column.max(initial=0)) + 1
    pair = np.minimum(data.first, data.second) * n + np.maximum(data.first, data.second)
    gain = data.weight * (data.outcome - 1) / 2 * np.where(data.first < data.second, 1, -1)
    keys, label = np.unique(pair * kinds + column, return_inverse=True)
    each, pair = np.bincount(label.reshape(-1), gain, minlength=len(keys)), keys // kinds
    total, square = np.bincount(pair, each, minlength=n * n), np.bincount(pair, each**2, minlength=n * n)
    clusters = np.bincount(pair, minlength=n * n)
    found = []
    for where in np.flatnonzero(clusters >= MIN_CLUSTERS).tolist():
        needed = two_sided(confidence, int(clusters[where]) - 1) * math.sqrt(square[where])
        if abs(total[where]) > needed:
            i, j = divmod(where, n)
            found.append((i, j) if total[where] > 0 else (j, i))
    return found


def cycles(names: Sequence[str], beats: Iterable[tuple[int, int]]) -> tuple[tuple[str, ...], ...]:
    """A shortest cycle through every agent that is in one; each is told once and starts at its first name."""
    graph: nx.DiGraph[int] = nx.DiGraph(beats)
    found = set()
    for part in nx.strongly_connected_components(graph):
        for i in part if len(part) > 1 else ():
            back = nx.single_target_shortest_path(graph, i)
            cycle = [i, *min((back[j] for j in sorted(graph.successors(i)) if j in part), key=len)[:-1]]
            start = cycle.index(min(cycle))
            found.add(tuple(names[at] for at in cycle[start:] + cycle[:start]))
    return tuple(sorted(found, key=lambda cycle: (len(cycle), cycle)))
