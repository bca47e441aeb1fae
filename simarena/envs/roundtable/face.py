"""The numeric face of a roundtable: what a seat sees as numbers in [-1, 1].

Pure functions over values, options and public task data. Knows nothing of phases or seats.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from simarena.records import JSON
from simarena.registry import TASKS, lookup
from simarena.tasks.kks_logic import KINDS, ROLES

SEEDS_SEEN = 64
"""Tasks looked at to learn how many options the questions of a family have."""
NUMBERS = 8
"""How many numbers of a question are shown."""
NUMBER = re.compile(r"-?\d+")


class Shape(NamedTuple):
    """How large a family's tasks are at most, as far as the first of them tell."""

    items: int
    width: int
    """Options of an item."""
    numbers: int
    """Length of the task's features."""


@lru_cache(maxsize=256)
def shape(task: str, params: str) -> Shape:
    """The shape of a family with `params` (JSON). Puzzles are all alike, and slow to make: one of them is enough."""
    family = lookup(TASKS, "task family", task)(**json.loads(params))
    tasks = [family.generate(seed) for seed in range(1 if task == "kks" else SEEDS_SEEN)]
    options = [[family.values(one, item) for item in family.items(one)] for one in tasks]
    width = max(len(possible) for each in options for possible in each)
    numbers = [len(task_numbers(one.known, each, width)) for one, each in zip(tasks, options, strict=True)]
    return Shape(max(map(len, options)), width, max(numbers))


def one_hot(index: int, size: int) -> list[float]:
    """1 at `index`; all zeros where it is outside."""
    return [float(i == index) for i in range(size)]


def encode(values: Sequence[str], options: Sequence[Sequence[str]], width: int) -> list[float]:
    """An answer: for each item one place per option and one for any other answer; zeros where nothing is known."""
    found: list[float] = []
    for value, possible in zip(values, options, strict=False):
        at = possible.index(value) if value in possible[:width] else -1
        found += [*one_hot(at, width), float(value != "" and at < 0)]
    return found


def scale(number: float) -> float:
    """Any number into (-1, 1), small differences of small numbers kept."""
    return math.copysign(math.log1p(abs(number)) / (1 + math.log1p(abs(number))), number)


def task_numbers(known: Mapping[str, JSON], options: Sequence[Sequence[str]], width: int) -> list[float]:
    """The task: statements of a knight / knave / spy puzzle, else the numbers in the question and in the options."""
    if "statements" in known:
        people = list(known["people"])
        return [x for said in known["statements"] for x in statement(said, people, depth=1)]
    asked = [scale(int(text[:12])) for text in NUMBER.findall(str(known.get("question", "")))[:NUMBERS]]
    offered = [
        scale(int(text[:12])) if NUMBER.fullmatch(text) else 0.0 for possible in options for text in possible[:width]
    ]
    return pad(asked, NUMBERS) + pad(offered, width * len(options))


def pad(numbers: list[float], size: int) -> list[float]:
    """`numbers`, filled with zeros up to `size`, or cut there."""
    return numbers[:size] + [0.0] * (size - len(numbers))


def statement(said: Mapping[str, Any], people: Sequence[str], depth: int) -> list[float]:
    """A statement: its kind, whom it names, its count, its parity; `depth` 1: its two parts as well."""
    kinds: tuple[str, ...] = KINDS
    numbers = one_hot(kinds.index(said["kind"]), len(kinds))
    numbers += [float(name in said["people"]) for name in people]
    numbers += [said["count"] / len(people)] + [float(said["of"] == word) for word in (*ROLES, "true", "false")]
    if depth:
        size = len(numbers)
        parts = [x for part in said["parts"] for x in statement(part, people, 0)]
        numbers += pad(parts, 2 * size)
    return numbers
