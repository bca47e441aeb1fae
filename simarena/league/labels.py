"""Are the labels right? Counted on a round's own decisions whose truth is known, for the panel and for every judge.

In: preferences with marks and truth. Out: shares of right labels by judge and family, with intervals, and each judge's
votes. Of two responses of unequal truth a label is right where the better one was marked higher; an equal mark is none.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import combinations

from simarena.exams import accuracy
from simarena.preferences.record import Preference, Response
from simarena.records import JSON, to_json

PANEL = "panel"
"""All judges together, in the place of a judge's name."""
EVERY = "all"
"""All families together, in the place of a family's name."""


@dataclass(slots=True)
class Labels:
    """Counts by judge and family."""

    known: Counter[tuple[str, str]] = field(default_factory=Counter)
    right: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, record: Preference) -> None:
        """Count every two responses of a decision."""
        for one, other in combinations(record.responses, 2):
            if one.truth is None or other.truth is None or one.truth == other.truth:
                continue
            for judge, gap in judged(one, other).items():
                for family in (record.family, EVERY):
                    self.known[judge, family] += gap != 0
                    self.right[judge, family] += gap * (one.truth - other.truth) > 0

    def share(self, judge: str = PANEL, family: str = EVERY) -> float | None:
        """Share of right labels; None where there are none."""
        known = self.known[judge, family]
        return self.right[judge, family] / known if known else None

    def table(self) -> JSON:
        """Judge -> family -> {known, right, value, low, high}, the panel first."""
        found: dict[str, dict[str, JSON]] = {}
        for judge, family in sorted(self.known, key=lambda key: (key[0] != PANEL, key)):
            known, right = self.known[judge, family], self.right[judge, family]
            if known:
                estimate = to_json(accuracy([1.0] * right + [0.0] * (known - right)))
                found.setdefault(judge, {})[family] = {"known": known, "right": right, **estimate}
        return found


def judged(one: Response, other: Response) -> dict[str, float]:
    """Judge -> how much better it found `one` than `other`; the panel included."""
    gaps = {who: one.scores[who] - other.scores[who] for who in one.scores if who in other.scores}
    return {PANEL: one.score - other.score, **gaps}
