"""Phases: the script of a match, declared as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from simarena.records import JSON

Order = Literal["sequential", "simultaneous", "random", "chosen"]
ReadingOrder = Literal["", "none", "dealt", "reversed", "random"]
"""In which order a judge read what it judges: as dealt, the other way round, or shuffled. "none": it read no list.
"": the action is no verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """One step of the script: who acts, in what order, what an action holds and who may see it."""

    name: str
    """Unique in the script, e.g. "speech 2"."""
    kind: str
    """The same for alike phases in every match, e.g. "argue"."""
    actors: tuple[str, ...]
    fields: type[BaseModel]
    instruction: str = ""
    """What a language agent is told to do now."""
    order: Order = "sequential"
    """simultaneous: actions are committed unseen and revealed together when the phase ends. random: seeded order.
    chosen: the environment's `chosen_order` says."""
    audience: tuple[str, ...] | None = None
    """Seats that see the actions; None: everybody; (): nobody."""
    private: frozenset[str] = frozenset()
    """Fields that only the author sees (thinking, plans)."""
    default: Mapping[str, JSON] | None = field(default_factory=dict)
    """Fields applied where an action cannot be read or is illegal. None: nothing is applied (see `Contract.missed`)."""
    choices: Mapping[str, tuple[JSON, ...]] = field(default_factory=dict)
    """Legal values of fields that have finitely many in this match; they become enums in the schema."""
    words: Mapping[str, int] = field(default_factory=dict)
    """Word limits of text fields; longer ones are cut and flagged `truncated`."""
    unless: str = ""
    """Skip this phase where this entry of the environment's `memo` is true: the stop rule."""
    probe: bool = False
    """A question out of band: nobody sees the answer, and it enters no later context."""
    score: bool = False
    """The action is log-probabilities of given texts (see `PhaseEnv.score`)."""
    verdict: ReadingOrder = ""
    """Set where the action is a judge's verdict; verdicts given and missed are counted by seat and order of reading."""
