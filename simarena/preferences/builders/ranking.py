"""Whole lists, best first: the answers of a panel, several samples of one policy, the candidates of a speech."""

from __future__ import annotations

from collections.abc import Iterator

from simarena.preferences import panel, speeches
from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import Pick, picked


class RankingParams(Params):
    """Parameters of `ranking`."""

    pick: Pick = "list"
    """list: all replies, ranked. ends: the best and the worst. all: every two."""


def make(group: Group, params: RankingParams) -> Iterator[Made]:
    """Every list of replies to one prompt that a match's judges or critics marked."""
    for played in group:
        if panel.judged(played):
            yield from picked("ranking", panel.marks(played), params.pick)
        if played.match.env == "debate":
            for candidates in speeches.candidates(played):
                yield from picked("ranking", candidates, params.pick)


BUILDER = Builder(
    name="ranking",
    make=make,
    line="arena: all answers to a question, ranked by the judges; debate: the n candidates of a speech, by the critic",
    params=RankingParams,
)
