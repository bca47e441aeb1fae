"""What scripted bargainers are expected to reach, computed from a task's truth by enumeration.

Knows no view and no policy object: tests compare these numbers with what seeded matches show.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simarena.tasks import measures, scoresheets
from simarena.tasks.measures import Amendment, Instance


def expected_pass_rate(
    truth: dict[str, Any], needed: int, veto: tuple[int, ...], against: tuple[int, ...] = ()
) -> float:
    """Chance that a random final offer of party 0 passes where all others vote at their minimum.

    Party 0 counts as accepting; parties in `against` never do. By enumeration over all deals.
    """
    sheets, minimums = scoresheets.as_sheets(truth["sheets"]), np.asarray(truth["minimums"])
    happy = scoresheets.score_table(sheets) >= minimums[:, None]
    happy[0] = True
    happy[list(against)] = False
    return float(((happy.sum(axis=0) >= needed) & happy[list(veto)].all(axis=0)).mean())


def expected_below(truth: dict[str, Any]) -> list[float]:
    """For each party, the share of all deals that are worth less than its minimum to it."""
    table = scoresheets.score_table(scoresheets.as_sheets(truth["sheets"]))
    return [float(share) for share in (table < np.asarray(truth["minimums"])[:, None]).mean(axis=1)]


def expected_merge(instance: Instance, rounds: int) -> list[str]:
    """The package that honest objectors and a merging mediator end with after so many rounds of replies."""
    package: list[str] = []
    for _ in range(rounds):
        asked = [best for g in range(len(instance.base)) if (best := wish(instance, package, g))]
        after = measures.merged(instance, package, asked)
        if after == package:
            break
        package = after
    return package


def wish(instance: Instance, package: list[str], group: int) -> Amendment | None:
    """The amendment that does most for a group, the cheapest of equals; None where none does anything for it."""

    def gain(change: Amendment) -> tuple[int, int]:
        after = measures.points_under(instance, change.apply(package))[group]
        return after - measures.points_under(instance, package)[group], -measures.price(instance, change)

    best = max(measures.amendments(instance, package), key=gain, default=None)
    return best if best and gain(best)[0] > 0 else None
