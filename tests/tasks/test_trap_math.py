"""Each riddle solved again from its own words, without the generator's formula."""

import re
from fractions import Fraction

import pytest

from simarena.tasks.trap_math import RIDDLES, TrapMath


def snail_day(up, slide, wall):
    height, day = 0, 0
    while True:
        day, height = day + 1, height + up
        if height >= wall:
            return day
        height -= slide


SOLVERS = {
    "pair": lambda total, gap: next(x for x in range(total) if 2 * x + gap == total),
    "machines": lambda k, parts, minutes, many, wanted: Fraction(wanted * minutes * k, parts * many),
    "speed": lambda there, back: 2 / (Fraction(1, there) + Fraction(1, back)),
    "doubling": lambda full: next(day for day in range(full) if 2 * 2**day == 2**full),
    "ages": lambda age, later: later - (age - age // 2),
    "posts": lambda length, step: len(range(0, length + 1, step)),
    "cuts": lambda pieces, minutes: sum(minutes for _ in range(1, pieces)),
    "percent": lambda price, up, down: Fraction(price * (100 + up) * (100 - down), 10_000),
    "snail": snail_day,
    "overtake": lambda place: place,
    "groups": lambda few, low, many, high: Fraction(few * low + many * high, few + many),
    "siblings": lambda brothers, sisters: brothers + sisters,
}
"""The answer from the numbers in the text, in order of appearance."""


@pytest.mark.parametrize("kind", RIDDLES)
@pytest.mark.parametrize("size", [1, 2, 20])
def test_answers_follow_from_the_words_and_traps_do_not(kind, size):
    family = TrapMath(kinds=(kind,), size=size, options=3)
    for seed in range(60):
        task = family.generate(seed)
        numbers = [int(number) for number in re.findall(r"\d+", task.public["question"])]
        assert SOLVERS[kind](*numbers) == int(task.truth["answer"])
        assert task.truth["trap"] != task.truth["answer"]
        assert task.truth["trap"] in task.public["options"]
        assert task.truth["answer"] == re.findall(r"\d+", task.truth["reason"])[-1]


def test_wrong_answers_fall_into_the_trap_in_half_of_the_cases():
    family = TrapMath()
    task = family.generate(5)
    share = sum(family.wrong(task, seed) == task.truth["trap"] for seed in range(400)) / 400
    assert share == pytest.approx(0.5, abs=0.08)


def test_small_numbers_stay_small():
    family = TrapMath(size=1)
    numbers = [int(n) for seed in range(300) for n in re.findall(r"\d+", family.generate(seed).public["question"])]
    assert sum(number < 100 for number in numbers) / len(numbers) > 0.85
