"""A round's record into what each member learns from, and what that is worth.

In: the round's run. Out: preferences by member, labels' accuracy before and after the filters, counts of what was
dropped, and RE-PO's trust in every judge. Reads records; trains nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from simarena.league.labels import PANEL, Labels, judged
from simarena.league_spec import LearnFrom, Pairs
from simarena.preferences.build import build
from simarena.preferences.filters import Filters
from simarena.preferences.played import Dropped
from simarena.preferences.record import Preference
from simarena.records import JSON
from simarena.seeds import rng
from simarena.store import Run

EVERYTHING = Filters(valid=False, duplicates=True)

Trust = dict[str, dict[str, float]]
"""Family -> judge -> share of its labels that are right, as estimated from votes alone."""


@dataclass(slots=True)
class Lessons:
    """What a round came to."""

    kept: list[Preference] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> how many."""
    live: Labels = field(default_factory=Labels)
    """Of all decisions."""
    used: Labels = field(default_factory=Labels)
    """Of those that passed the filters."""
    votes: defaultdict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))
    """Family -> for each decision judge -> 1.0 where it agrees with the panel, else 0.0."""

    def about(self) -> dict[str, JSON]:
        """All but the preferences."""
        return {
            "kept": len(self.kept),
            "dropped": dict(self.dropped.most_common()),
            "live": self.live.table(),
            "used": self.used.table(),
            "label_accuracy": self.used.share(),
            "live_label_accuracy": self.live.share(),
            "known": self.used.known[PANEL, "all"],
        }


def collect(run: Run, how: Pairs) -> Lessons:
    """Every decision of the run, counted; and those that pass the filters, to be learnt from."""
    found = Lessons()
    records, counts = build(run, how.builder, how.params, EVERYTHING)
    passes = Filters(**how.filters).passes()
    for record in records:
        found.live.add(record)
        if votes := _votes(record):
            found.votes[record.family].append(votes)
        kept = passes(record)
        if isinstance(kept, Dropped):
            found.dropped[kept.reason] += 1
        else:
            found.used.add(kept)
            found.kept.append(kept)
    found.dropped += counts.dropped
    return found


def _votes(record: Preference) -> dict[str, float]:
    """Judge -> whether it has the first response before the last; those without an opinion are left out."""
    gaps = judged(record.responses[0], record.responses[-1])
    return {who: float(gap > 0) for who, gap in gaps.items() if who != PANEL and gap != 0}


def shared_out(
    kept: Sequence[Preference], learn_from: LearnFrom, members: Mapping[str, str], limit: int, seed: int
) -> dict[str, list[Preference]]:
    """Member -> what it learns from, in the order of play; `members`: version -> member, of those who learn.

    `limit` takes so many by lot; members that learn from all get the same ones.
    """
    found = {}
    for member in dict.fromkeys(members.values()):
        mine = [record for record in kept if CHOICES[learn_from](record, member, members)]
        if limit and len(mine) > limit:
            draw = rng(seed, "lessons", "" if learn_from == "all" else member)
            mine = [mine[i] for i in sorted(draw.sample(range(len(mine)), limit))]
        found[member] = mine
    return found


def _own(record: Preference, member: str, members: Mapping[str, str]) -> bool:
    return any(members.get(response.agent) == member for response in record.responses)


def _others(record: Preference, member: str, members: Mapping[str, str]) -> bool:
    return members.get(record.responses[0].agent) != member


CHOICES = {"all": lambda record, member, members: True, "own": _own, "others": _others}


def trust_of(votes: Mapping[str, Sequence[Mapping[str, float]]]) -> Trust:
    """RE-PO's estimate by family and judge: who agrees with the weighted rest is trusted more."""
    import torch

    from simarena.training.reliability import estimate

    found: Trust = {}
    for family, rows in votes.items():
        judges = sorted({who for row in rows for who in row})
        table = [[row.get(who, float("nan")) for who in judges] for row in rows]
        values = estimate(torch.tensor(table, dtype=torch.float64)).tolist()
        found[family] = dict(zip(judges, values, strict=True))
    return found


def weights_of(trust: Mapping[str, float], scale: float) -> dict[str, float]:
    """Judge -> what its grades count by RE-PO's trust, `scale` for the most trusted, a thousandth at least."""
    from simarena.training.reliability import grade_weights

    return {who: scale * max(value, 1e-3) for who, value in grade_weights(trust, trust).items()}
