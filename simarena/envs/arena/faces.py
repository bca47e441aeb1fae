"""The arena as numbers: answers as choices among an item's values, questions as bags of words.

Pure functions of a family, a task and answers; knows no seat and no phase.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

from simarena.records import JSON
from simarena.tasks.base import QuestionFamily, Task

BUCKETS = 24
MEASURED = 12
"""Tasks looked at to find how many items and values an answer has."""


class Shape(NamedTuple):
    """How large an answer of a family is."""

    items: int
    values: int
    """Of the item that has the most."""


def shape(family: QuestionFamily) -> Shape:
    """The largest answer among the family's first tasks; what is beyond it, compact actions cannot reach."""
    tasks = [family.generate(seed) for seed in range(MEASURED)]
    items = max(len(family.items(task)) for task in tasks)
    return Shape(items, max(len(family.values(task, item)) for task in tasks for item in family.items(task)))


def answer_mask(family: QuestionFamily, task: Task, size: Shape) -> list[int]:
    """Flat mask of an answer's values; items that this task lacks have their first value only."""
    counts = [min(len(family.values(task, item)), size.values) for item in family.items(task)[: size.items]]
    counts += [1] * (size.items - len(counts))
    return [int(value < count) for count in counts for value in range(size.values)]


def answer_text(family: QuestionFamily, task: Task, picks: Sequence[int]) -> str:
    """The answer that takes value number `picks[i]` for item i; first values for items beyond the picks."""
    items = family.items(task)
    padded = [*picks, *[0] * len(items)][: len(items)]
    values = [family.values(task, item) for item in items]
    return family.write(task, [each[min(pick, len(each) - 1)] for each, pick in zip(values, padded, strict=True)])


def answer_codes(family: QuestionFamily, task: Task, entry: dict[str, JSON], size: Shape) -> list[float]:
    """Readable or not, then each item's value as a number in [0, 1]; -1 where it is none of the item's values.

    `entry["values"]` holds the answer as read, one value an item, or None.
    """
    read = entry["values"]
    codes = [-1.0] * size.items
    for i, (item, value) in enumerate(zip(family.items(task)[: size.items], read or [], strict=False)):
        known = family.values(task, item)
        codes[i] = known.index(value) / max(1, len(known) - 1) if value in known else -1.0
    return [float(read is not None), *codes]


@lru_cache(maxsize=256)
def bag(text: str) -> tuple[float, ...]:
    """Hashed counts of the words of `text`, each n as n/(n+1)."""
    counts = [0] * BUCKETS
    for word in text.lower().split():
        counts[crc32(word.encode()) % BUCKETS] += 1
    return tuple(count / (count + 1) for count in counts)
