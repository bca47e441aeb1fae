"""Builders: how decisions on record become preferences, one small file each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from simarena.errors import ScenarioError
from simarena.preferences.played import Dropped, Played
from simarena.preferences.record import Preference
from simarena.records import JSON
from simarena.yamlfile import complaints

BUILDERS: dict[str, str] = {
    "duel": "simarena.preferences.builders.duel:BUILDER",
    "verdict": "simarena.preferences.builders.verdict:BUILDER",
    "ranking": "simarena.preferences.builders.ranking:BUILDER",
    "branch": "simarena.preferences.builders.branch:BUILDER",
    "segment": "simarena.preferences.builders.segment:BUILDER",
    "revision": "simarena.preferences.builders.revision:BUILDER",
    "hindsight": "simarena.preferences.builders.hindsight:BUILDER",
    "truth": "simarena.preferences.builders.truth:BUILDER",
    "outcome": "simarena.preferences.builders.outcome:BUILDER",
    "self_reward": "simarena.preferences.builders.self_reward:BUILDER",
}
"""Name -> import path, as in `simarena.registry`."""

Made = Preference | Dropped
Group = Sequence[Played]
"""Matches that are looked at together."""


class Params(BaseModel):
    """Base of a builder's parameters: strict, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class Builder:
    """A way to make preferences."""

    name: str
    make: Callable[[Group, Any], Iterable[Made]]
    """A group of matches and parameters in; preferences, and what was dropped, out."""
    line: str
    """What it prefers to what."""
    params: type[Params] = Params
    group: Literal["match", "unit"] = "match"
    """What is looked at together: one match; or the matches that share a unit, forks included."""

    def read(self, given: dict[str, JSON]) -> Any:
        """Its parameters; ScenarioError where they are none of its own."""
        try:
            return self.params(**given)
        except ValidationError as error:
            raise ScenarioError(f"builder {self.name!r}: {'; '.join(complaints(self.params, error))}") from error
