"""Judged rounds: what two debaters said in the same position, each marked by the judges of its own debate."""

from __future__ import annotations

from collections.abc import Iterator

from simarena.preferences import speeches
from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import ALONE, by_prompt, pairs


def make(group: Group, params: Params) -> Iterator[Made]:
    """Speeches from one prompt in the debates of a unit: seats were swapped, or a debate was forked."""
    spoken = [mark for played in group if played.match.env == "debate" for mark in speeches.marks(played)]
    replies, dropped = by_prompt(spoken)
    yield from dropped
    for here in replies:
        yield from pairs("verdict", here) if len(here) > 1 else [ALONE]


BUILDER = Builder(
    name="verdict",
    make=make,
    line="debate: of two speeches from one position the one whose judges believed it more",
    group="unit",
)
