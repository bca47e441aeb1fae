"""Right over wrong: replies at the same observation that the rules themselves tell apart."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import Marked, by_prompt, compared
from simarena.preferences.played import Dropped
from simarena.preferences.rules import worth


class TruthParams(Params):
    """Parameters of `truth`."""

    right: float = 1.0
    """Worth from which on a reply is right."""
    wrong: float = 1.0
    """Worth below which a reply is wrong; what lies between is neither."""


def make(group: Group, params: TruthParams) -> Iterator[Made]:
    """Every right reply with every wrong one to the same prompt, whoever said them and in which match."""
    known = []
    for played in group:
        for turn in played.turns:
            value = worth(played, turn)
            if value is not None:
                known.append(Marked(said=played.said(turn), score=value, truth=value))
    replies, dropped = by_prompt(known)
    yield from dropped
    for here in replies:
        right = [each for each in here if each.score >= params.right]
        wrong = [each for each in here if each.score < min(params.wrong, params.right)]
        if not right or not wrong:
            yield from [Dropped("no other answer was right" if not right else "no other answer was wrong")] * len(here)
        for pair in product(right, wrong):
            yield compared("truth", pair)


BUILDER = Builder(
    name="truth",
    make=make,
    line="a right answer over a wrong one at the same observation, by the task's own verifier",
    params=TruthParams,
    group="unit",
)
