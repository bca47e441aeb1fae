"""A question as a scripted solver has it in mind: items, right values, mistakes, and words for either.

In: the public part of a task (words and structure). Solved from what every seat may read; a question that nobody can
solve so (a file's) has options and no right values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from random import Random
from typing import NamedTuple

from simarena.agents.policies.arena.solver import knowledge
from simarena.records import JSON
from simarena.tasks.kks import Puzzle
from simarena.tasks.kks_logic import ROLES
from simarena.tasks.wording import listed

STEPS = (1, -1, 2, -2, 10, -10)
"""How far slips go from a right number: six mistakes, equally likely."""
LAST_NUMBER = re.compile(r"-?\d+(?!.*\d)", re.DOTALL)
MARKS = {"statements": "kks", "signs": "arithmetic", "rules": "logic_chain"}
"""A key of a task's structure, and the family that it tells."""


class Problem(NamedTuple):
    """What a solver knows of a question."""

    items: list[str]
    """Names of the answer's items; [""] for a single one."""
    right: list[str]
    """The right value of each; [] where this question cannot be solved."""
    wrong: list[list[str]]
    """For each item the mistakes that may be made (any option, where the right one is not known)."""
    trap: list[str]
    """What comes to mind first: a wrong answer."""
    reason: str
    """Why the right answer is right; "" for puzzles, whose reasons are worked out step by step."""
    puzzle: Puzzle | None

    def write(self, values: Sequence[str]) -> str:
        """The whole answer as text."""
        return pairs(self.items, values) if self.puzzle else values[0]

    def draw(self, accuracy: float, rng: Random) -> list[str]:
        """An answer whose items are right with chance `accuracy`, independently, and wrong in all ways alike."""
        if not self.right:
            return [rng.choice(options) for options in self.wrong]
        return [
            right if rng.random() < accuracy else rng.choice(others)
            for right, others in zip(self.right, self.wrong, strict=True)
        ]

    def explain(self, values: Sequence[str], item: int | None = None) -> str:
        """Words for an answer, or for its value of one item: a valid deduction if it is right, a flawed one if not."""
        if self.puzzle:
            return self._deduce(values) if item is None else self._deduce_one(values[item], item)
        return self.reason if list(values) == self.right else self._slip(values[0])

    def _slip(self, value: str) -> str:
        """The right working with another end; where there is no number to change, a bare claim."""
        if LAST_NUMBER.fullmatch(value) and LAST_NUMBER.search(self.reason):
            return LAST_NUMBER.sub(value, self.reason)
        return f"It seems that the answer is {value}."

    def _deduce(self, values: Sequence[str]) -> str:
        assert self.puzzle is not None
        claimed = dict(zip(self.items, values, strict=True))
        return " ".join(
            deduction(said, {name: claimed[name] for name in found}) for said, found in self.puzzle.derivation()
        )

    def _deduce_one(self, value: str, item: int) -> str:
        assert self.puzzle is not None
        name = self.items[item]
        return deduction(grounds(self.puzzle, name), {name: value})


def pairs(names: Iterable[str], values: Iterable[str]) -> str:
    """E.g. "Ann knight, Bob knave"."""
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True))


def deduction(said: Sequence[str], found: Mapping[str, str]) -> str:
    """One step in words, e.g. "From Ann and Cal: Bob knave."."""
    return f"From {listed(said) or 'the numbers'}: {pairs(found, found.values())}."


def grounds(puzzle: Puzzle, name: str) -> tuple[str, ...]:
    """The fewest statements from which the role of `name` follows."""
    role = puzzle.deduce()[name]
    return next(
        said
        for size in range(len(puzzle.people) + 1)
        for said in combinations(puzzle.people, size)
        if puzzle.follows(name, role, said)
    )


def read(known: Mapping[str, JSON]) -> Problem:
    """The question of a view's task."""
    return _puzzle(known) if "statements" in known else _single(known)


def _puzzle(known: Mapping[str, JSON]) -> Problem:
    puzzle = Puzzle.read(known)
    roles = puzzle.deduce()
    right = [roles[name] for name in puzzle.people]
    wrong = [[role for role in ROLES if role != value] for value in right]
    trap = list(puzzle.near_misses(Random(0))[0])
    return Problem(list(puzzle.people), right, wrong, trap, "", puzzle)


def _single(known: Mapping[str, JSON]) -> Problem:
    family = next((family for mark, family in MARKS.items() if mark in known), "trap_math")
    found = knowledge({**known, "family": family}, {}, Random(0))
    options = [str(option) for option in known.get("options", [])]
    answers = [each.answer for each in found.candidates]
    if not found.solved:
        return Problem([""], [], [options or answers], answers[:1], "It is a guess.", None)
    right = answers[0]
    wrong = [option for option in options if option != right] or [str(int(right) + step) for step in STEPS]
    return Problem([""], [right], [wrong], answers[1:2] or wrong[:1], found.candidates[0].reason, None)


def certain(puzzle: Puzzle, size: int) -> dict[str, str]:
    """Roles that follow step by step, each step from at most `size` statements and the roles found before."""
    known: dict[str, str] = {}
    groups = [said for k in range(size + 1) for said in combinations(puzzle.people, k)]
    while True:
        found = dict(known)
        for said in groups:
            found |= puzzle.deduce(said, found)
        if found == known:
            return known
        known = found
