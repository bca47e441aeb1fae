"""Winner over loser: two answers to one question, as the judges of an arena match found them."""

from __future__ import annotations

from collections.abc import Iterator

from simarena.preferences import panel
from simarena.preferences.builders import Builder, Group, Made, Params
from simarena.preferences.comparing import pairs


def make(group: Group, params: Params) -> Iterator[Made]:
    """Every two answers of a match; of a panel or of several samples every two of them."""
    for played in group:
        if panel.judged(played):
            yield from pairs("duel", panel.marks(played))


BUILDER = Builder(name="duel", make=make, line="arena: the answer that the judges found better over the other one")
