"""A model grades its own answers: several replies of one agent to one prompt, marked by itself alone. The baseline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from simarena.preferences import panel, speeches
from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import FEW_VOTES, Marked, Pick, picked
from simarena.preferences.played import Dropped

OTHERS = Dropped("not marked by its own author")


class SelfRewardParams(Params):
    """Parameters of `self_reward`."""

    pick: Pick = "ends"
    """ends: the best and the worst. all: every two. list: all, ranked."""


def make(group: Group, params: SelfRewardParams) -> Iterator[Made]:
    """Every list of one agent's replies to one prompt that the agent marked as a judge, or as a critic."""
    for played in group:
        lists: list[Iterable[Marked]] = []
        if panel.judged(played):
            lists.append(panel.marks(played))
        if played.match.env == "debate":
            lists += speeches.candidates(played)
        for marked in lists:
            yield from own(marked, params)


def own(marked: Iterable[Marked], params: SelfRewardParams) -> Iterator[Made]:
    """The lists of each author's own replies, by its own marks."""
    by_author: dict[str, list[Marked]] = {}
    for each in marked:
        if isinstance(each.said, Dropped):
            yield each.said
            continue
        author = each.said.response.agent
        if author not in each.scores:
            yield FEW_VOTES if author in each.ballots else OTHERS
            continue
        mark = {author: each.scores[author]}
        ballots = {who: ballot for who, ballot in each.ballots.items() if who == author}
        alone = replace(each, score=each.scores[author], scores=mark, ballots=ballots)
        by_author.setdefault(author, []).append(alone)
    for replies in by_author.values():
        yield from picked("self_reward", replies, params.pick)


BUILDER = Builder(
    name="self_reward",
    make=make,
    line="of an agent's own replies to one prompt the one that it marked higher itself, sitting as judge or critic",
    params=SelfRewardParams,
)
