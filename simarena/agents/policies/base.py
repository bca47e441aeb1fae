"""What a scripted policy is: a view in, fields out. Deterministic given its generator."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from simarena.records import JSON, View
from simarena.tasks.base import Knobs


class Policy:
    """A scripted seat. Policies see a view and nothing else, so they can cheat no more than a model can.

    One object serves many matches and keeps no state between turns: what it must remember, it reads from
    `view.history()` or from its private events.
    """

    Params: ClassVar[type[Knobs]] = Knobs

    def __init__(self, **params: Any) -> None:
        self.params: Any = self.Params(**params)

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """The fields of this turn's action; `rng` is this turn's own generator."""
        raise NotImplementedError  # abstract: what a policy is
