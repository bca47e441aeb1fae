"""What is debated: any family's task as a question, two to four answers and, where there is one, a source.

Knows families and their tasks; knows no seats and no phases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from simarena.errors import ScenarioError
from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.base import Task
from simarena.tasks.story import verify_quote

DRAWS = 64
"""Tries for different wrong answers before giving up."""
PERSONA = 0.75
"""Probability that a judge's persona gives to its own answer, where the task plants none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One question for a debate."""

    question: str
    options: tuple[str, ...]
    right: int | None
    """Number of the right answer; None where there is no truth."""
    sentences: tuple[str, ...] = ()
    """The source, sentence by sentence; empty where there is none."""
    prior: tuple[float, ...] = ()
    """Planted belief of a debater: probability of each answer; empty where none is planted."""
    persona: float = PERSONA
    """Probability that a judge's persona gives to its own answer."""

    @property
    def source(self) -> str:
        """The source as one text."""
        return " ".join(self.sentences)

    def checked(self, quotes: Sequence[str]) -> list[bool]:
        """For each quotation, whether it stands in the source (case, punctuation and spacing aside)."""
        return [verify_quote(self.sentences, quote) is not None for quote in quotes]


def marks(seat: str, checks: Sequence[bool]) -> dict[str, JSON]:
    """What all hear about the quotations of a speech, in their order."""
    return {"by": seat, "marks": ["verified" if ok else "unverified" for ok in checks]}


def item_of(family: Any, task: Task, count: int) -> Item:
    """`task` with `count` answers; ScenarioError where its family has no more to offer."""
    truth = task.truth if isinstance(task.truth, dict) else {}
    answer = truth.get("answer")
    options = _options(family, task, answer, count)
    known = task.private.get("debater", {})
    return Item(
        question=task.public["question"],
        options=options,
        right=None if answer is None else options.index(answer),
        sentences=tuple(known.get("sentences", ())),
        prior=tuple(known.get("prior", ())),
        persona=truth.get("persona_strength", PERSONA),
    )


def _options(family: Any, task: Task, answer: str | None, count: int) -> tuple[str, ...]:
    """The task's own options where it has just as many, else the right one among wrong ones, in a seeded order."""
    own: list[JSON] = task.public.get("options", [])
    if len(own) == count:
        return tuple(own)
    if answer is None:
        raise ScenarioError(f"task family {task.family!r} offers {len(own)} answers: set options to that, not {count}")
    found = [answer]
    for draw in range(DRAWS):
        wrong = family.wrong(task, draw)
        if wrong not in found:
            found.append(wrong)
        if len(found) == count:
            rng("debate options", task.family, task.seed).shuffle(found)
            return tuple(found)
    raise ScenarioError(
        f"task family {task.family!r} has only {len(found)} different answers to a question: "
        f"set options to {len(found)}, not {count}, or let task_params offer more"
    )
