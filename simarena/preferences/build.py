"""A run into preferences: matches in groups, a builder over each, filters over what it makes.

Streams: a group of matches is in memory at a time, and of all others their ids. Every candidate is either kept or
counted as dropped, by reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from simarena.preferences.builders import BUILDERS, Builder
from simarena.preferences.filters import Filters
from simarena.preferences.played import Dropped, Played
from simarena.preferences.record import Preference
from simarena.records import JSON
from simarena.registry import lookup
from simarena.store import Run


@dataclass(slots=True)
class Counts:
    """What became of the candidates; complete once all preferences were taken."""

    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> how many."""


def build(
    run: Run,
    builder: str,
    params: Mapping[str, JSON] | None = None,
    filters: Filters | None = None,
    *,
    only: Container[str] | None = None,
) -> tuple[Iterator[Preference], Counts]:
    """A run's preferences by one builder, in the order of play, and the counts, which grow as they are taken.

    `only`: ids of the matches to look at; None: all that are finished. UnknownName or ScenarioError at once for a
    builder or parameters that there are not.
    """
    made: Builder = lookup(BUILDERS, "builder", builder)
    read = made.read(dict(params or {}))
    counts = Counts()
    return _build(run, made, read, filters or Filters(), only, counts), counts


def _build(
    run: Run, builder: Builder, params: Any, filters: Filters, only: Container[str] | None, counts: Counts
) -> Iterator[Preference]:
    passes = filters.passes()
    source = str(run.meta.get("scenario_hash", ""))
    for ids in groups(run, builder, only):
        group = [Played(run, run.trajectory(name), source) for name in ids]
        for found in builder.make(group, params):
            kept = found if isinstance(found, Dropped) else passes(found)
            if isinstance(kept, Dropped):
                counts.dropped[kept.reason] += 1
            else:
                counts.kept += 1
                yield kept


def groups(run: Run, builder: Builder, only: Container[str] | None = None) -> Iterator[list[str]]:
    """Ids of the finished matches that a builder looks at together."""
    if builder.group == "match":
        done = (name for name, status in run.statuses().items() if status == "done")
        yield from ([name] for name in done if only is None or name in only)
        return
    units: dict[str, list[str]] = {}
    for result in run.results():
        if result.status == "done" and (only is None or result.match.id in only):
            units.setdefault(result.match.unit, []).append(result.match.id)
    yield from units.values()
