"""What question families with a single item share: whole-number answers, and answers chosen from listed options.

A family that builds on these puts its plausible mistakes into `truth["wrong"]`, likeliest first.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.base import QuestionFamily, Task
from simarena.tasks.wording import read_option, read_whole

WHOLE_NUMBER = "a whole number"


class NumberFamily(QuestionFamily):
    """Questions whose answer is one whole number; options may be shown, other numbers can still be read."""

    def values(self, task: Task, item: str) -> list[str]:
        """The options; for open questions the answer among three plausible mistakes, in numerical order."""
        found = task.public["options"] or sorted([task.truth["answer"], *task.truth["wrong"][:3]], key=int)
        return list(found)

    def parse(self, task: Task, answer: JSON) -> list[str] | None:
        """One whole number, e.g. 12, "12", "= 12."."""
        number = read_whole(answer)
        return None if number is None else [str(number)]

    def wrong(self, task: Task, seed: int) -> str:
        """One of the plausible mistakes."""
        return rng(self.name, "wrong", task.seed, seed).choice(mistakes(task))


class ChoiceFamily(QuestionFamily):
    """Questions whose answer is one of the listed options."""

    def values(self, task: Task, item: str) -> list[str]:
        """The options, in the task's order."""
        return list(task.public["options"])

    def parse(self, task: Task, answer: JSON) -> list[str] | None:
        """The option that is written out, case and spacing aside."""
        option = read_option(answer, task.public["options"])
        return None if option is None else [option]

    def wrong(self, task: Task, seed: int) -> str:
        """One of the other options."""
        others: list[str] = [option for option in task.public["options"] if option != task.truth["answer"]]
        return rng(self.name, "wrong", task.seed, seed).choice(others)


def mistakes(task: Task) -> list[str]:
    """The mistakes that may be made: those among the options where there are options, else all that were planned."""
    options = task.public["options"]
    return [wrong for wrong in task.truth["wrong"] if wrong in options] if options else list(task.truth["wrong"])


def plausible(random: Random, answer: int, slips: Iterable[int]) -> list[str]:
    """`slips` and then near misses, all different and none the answer.

    Near misses lie around the first slip as often as around the answer: the middle one of the options is no hint.
    """
    slips = list(slips)
    near = [base + step for base in (answer, slips[0]) for step in (-10, -2, -1, 1, 2, 10)]
    random.shuffle(near)
    return [str(number) for number in dict.fromkeys([*slips, *near]) if number != answer]


def offered(random: Random, answer: str, wrong: list[str], count: int) -> list[str]:
    """`count` options in random order: the answer and the likeliest mistakes; none where `count` is 0."""
    return random.sample([answer, *wrong[: count - 1]], count) if count else []
