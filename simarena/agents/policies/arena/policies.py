"""Reference policies of the arena: table-skill members, truthful, biased and non-transitive judges, matrix players.

They act from the view alone: contestants know what `solver` can work out, judges read what is on their desk.
What they come to is computed in `expected`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal, NamedTuple

from pydantic import Field

from simarena.agents.policies.arena.matrix import POLICIES as MATRIX
from simarena.agents.policies.arena.solver import Candidate, knowledge
from simarena.agents.policies.base import Policy
from simarena.records import JSON, View
from simarena.registry import TASKS, lookup
from simarena.tasks.base import Knobs, Task
from simarena.tasks.skills import Grader, prefer
from simarena.tasks.wording import squash

TIE = "tie"
SCALE = 10
"""Points of a judge that is not asked for points."""
NATS = 1.0
"""Log-probability that a point is worth to a judge that weighs texts."""
OPENINGS: dict[str, str] = {"plain": "In short:", "ornate": "Step by step, and with care:", "terse": "Plainly:"}
"""What a reason in each style begins with."""


class Shown(NamedTuple):
    """An answer as a judge reads it."""

    label: str
    """Letter; "" where it is weighed and has none."""
    answer: str
    reason: str


class MemberParams(Knobs):
    """What a member can do."""

    skill: float = Field(0.7, ge=0, le=1)
    """Chance of a right answer."""
    topics: dict[str, float] = Field(default_factory=dict)
    """Family, or topic within it -> chance of a right answer, where it differs."""
    sight: float = Field(1.0, ge=0, le=1)
    """Chance, as a judge, to tell a right answer from a wrong one."""
    bias: float = 0.0
    """Points added to every grade."""
    first: float = 0.0
    """Points added to the answer that is read first."""
    noise: float = Field(0.0, ge=0)
    """Standard deviation of a grade, in points."""


class Member(Policy):
    """Answers by a table of skills and judges by what it finds right: sits in any seat."""

    Params = MemberParams

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Answer, judge or move."""
        if view.score is not None:
            return self._weigh(view, rng)
        if view.kind == "answer":
            found = self.candidate(view, rng)
            fields = {"reason": found.reason, "answer": found.answer}
            return {key: value for key, value in fields.items() if key in view.fields.model_fields}
        if view.kind == "move":
            return {"reason": "Any move will do.", "move": rng.choice(list(view.choices["move"]))}
        return self._judge(view, rng)

    # ---- answering --------------------------------------------------------------------------------------------------

    def candidate(self, view: View, rng: random.Random) -> Candidate:
        """The right answer with the chance that the table says, else a mistake."""
        found = knowledge(view.task, view.card, rng)
        if not found.solved or rng.random() < self.chance(view.task):
            return found.candidates[0]
        return rng.choice(found.candidates[1:] or found.candidates)

    def chance(self, task: Mapping[str, JSON]) -> float:
        """Of a right answer to `task`."""
        table: dict[str, float] = self.params.topics
        for key in ("topic", "family"):
            if task.get(key) in table:
                return table[task[key]]
        skill: float = self.params.skill
        return skill

    # ---- judging ----------------------------------------------------------------------------------------------------

    def grades(self, view: View, shown: Sequence[Shown], top: int, rng: random.Random) -> list[int]:
        """1..`top` points for each answer on the sheet; where the question cannot be solved, all seem wrong."""
        p = self.params
        grader = Grader(p.bias, p.first, p.noise, p.sight, top)
        right = find_right(view, shown, rng)
        return [grader.grade(ok, place, rng) for place, ok in enumerate(right)]

    def _judge(self, view: View, rng: random.Random) -> dict[str, JSON]:
        shown, points = on_desk(view), "scores" in view.fields.model_fields
        top = int(view.schema["properties"]["scores"]["items"]["maximum"]) if points else SCALE
        grades = self.grades(view, shown, top, rng)
        reason = comment(shown, grades, top)
        if points:
            return {"reason": reason, "scores": grades}
        return {"reason": reason, "winner": best(shown, grades, view.choices["winner"], rng)}

    def _weigh(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Answers by their grades; verdicts by the grade of the answer they name, a tie by the mean of all."""
        assert view.score is not None
        texts = [json.loads(text) for text in view.score.continuations]
        verdicts = "winner" in texts[0]
        shown = on_desk(view) if verdicts else [Shown("", t["answer"], t.get("reason", "")) for t in texts]
        worth: list[float] = list(self.grades(view, shown, SCALE, rng))
        if verdicts:
            table = {each.label: grade for each, grade in zip(shown, worth, strict=True)}
            table[TIE] = sum(worth) / len(worth)
            worth = [table[text["winner"]] for text in texts]
        return {"logprobs": [NATS * (each - SCALE) for each in worth], "tokens": [1] * len(worth)}


def on_desk(view: View) -> list[Shown]:
    """The answers that a judge has before it, in reading order."""
    return [
        Shown(event.data["label"], event.data["answer"], event.data.get("reason", ""))
        for event in view.events
        if event.kind == "answer"
    ]


def find_right(view: View, shown: Sequence[Shown], rng: random.Random) -> list[bool]:
    """Which answers are right; where the question cannot be solved, none is."""
    found = knowledge(view.task, view.card, rng)
    return [found.solved and same(view.task, each.answer, found.candidates[0].answer) for each in shown]


def same(task: Mapping[str, JSON], a: str, b: str) -> bool:
    """Whether two answers to `task` say the same, in whatever spelling."""
    if squash(a) == squash(b):
        return True
    name = str(task.get("family", ""))
    if name not in PARSED:
        return False
    stand_in = Task(family=name, seed=0, public=dict(task), structure=dict(task))
    family = lookup(TASKS, "task family", name)()
    read = family.parse(stand_in, a)
    return read is not None and bool(read == family.parse(stand_in, b))


PARSED = ("arithmetic", "kks", "logic_chain", "skills", "story", "trap_math")
"""Families that read an answer from the public part of a task alone."""


def best(shown: Sequence[Shown], grades: Sequence[int], offered: Sequence[JSON], rng: random.Random) -> JSON:
    """The label of the answer with the best grade; among equals a tie if it is offered, else any."""
    top = max(grades)
    labels = [each.label for each, grade in zip(shown, grades, strict=True) if grade == top]
    return labels[0] if len(labels) == 1 else TIE if TIE in offered else rng.choice(labels)


def comment(shown: Sequence[Shown], grades: Sequence[int], top: int) -> str:
    """A judge's reason, answer by answer."""
    return " ".join(
        f"{each.label} says {each.answer or 'nothing'}: {'right' if 2 * grade > top else 'wrong'}."
        for each, grade in zip(shown, grades, strict=True)
    )


class TruthfulParams(MemberParams):
    """A member without fault."""

    skill: float = Field(1.0, ge=0, le=1)
    """Chance of a right answer."""


class Truthful(Member):
    """Solves the question and judges by that; answers rightly too."""

    Params = TruthfulParams


class BiasedParams(MemberParams):
    """A member that is no good judge."""

    first: float = 3.0
    """Points added to the answer that is read first."""
    noise: float = Field(2.0, ge=0)
    """Standard deviation of a grade, in points."""


class Biased(Member):
    """Leans to what it reads first."""

    Params = BiasedParams


class AlwaysFirst(Member):
    """Answers the first option and prefers the first answer, whatever they say."""

    def candidate(self, view: View, rng: random.Random) -> Candidate:
        """The first option; an open question gets 0."""
        options = view.task.get("options") or ["0"]
        return Candidate(str(options[0]), "The first one will do.")

    def grades(self, view: View, shown: Sequence[Shown], top: int, rng: random.Random) -> list[int]:
        """All points to the first answer."""
        return [top if place == 0 else 1 for place in range(len(shown))]


class StyledParams(MemberParams):
    """A member with a manner."""

    style: Literal["plain", "ornate", "terse"] = "plain"
    """How it opens its reasons."""
    strength: float = Field(1.0, ge=0, le=1)
    """As a judge: 1 always prefers the style that beats the other one, 0 is a coin."""


class Styled(Member):
    """Answers in a style, and judges by style alone, in a cycle: each style beats the next (`skills.cycle`)."""

    Params = StyledParams

    def candidate(self, view: View, rng: random.Random) -> Candidate:
        """The table-skill answer, its reason opened in this member's style."""
        answer, reason = super().candidate(view, rng)
        return Candidate(answer, f"{OPENINGS[self.params.style]} {reason}")

    def grades(self, view: View, shown: Sequence[Shown], top: int, rng: random.Random) -> list[int]:
        """The share of the other answers on the sheet that each one is preferred to, as points; half for no style."""
        styles = [style_of(each.reason) for each in shown]
        won = [0.5 * (len(styles) - 1)] * len(styles)
        for (i, one), (j, other) in combinations(enumerate(styles), 2):
            if one and other and one != other:
                first_wins = prefer(one, other, rng, self.params.strength) == 0
                won[i] += 0.5 if first_wins else -0.5
                won[j] -= 0.5 if first_wins else -0.5
        return [round(1 + (top - 1) * each / max(1, len(styles) - 1)) for each in won]


def style_of(reason: str) -> str:
    """The style that a reason is written in; "" for none."""
    return next((style for style, opening in OPENINGS.items() if reason.startswith(opening)), "")


POLICIES: dict[str, type[Policy]] = {
    "table_skill": Member,
    "truthful": Truthful,
    "biased": Biased,
    "always_first": AlwaysFirst,
    "style": Styled,
    **MATRIX,
}
REFERENCE: dict[str, str] = {
    "contestant": "arena/table_skill",
    "opponent": "arena/table_skill",
    "member": "arena/table_skill",
    "judge": "arena/truthful",
}
