"""Expressions over whole numbers: sums, differences and products of a given shape.

The default shape a+b*c+d-e*f with integers under 30 is the one of Du et al. 2023 (multi-agent debate).
"""

from __future__ import annotations

import re
from random import Random

from pydantic import Field, field_validator, model_validator

from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.answers import WHOLE_NUMBER, NumberFamily, offered, plausible
from simarena.tasks.base import Knobs, Task

SHAPE = re.compile(r"[a-z](?:[-+*][a-z])*")


class ArithmeticParams(Knobs):
    """Knobs of the expressions."""

    shape: str = "a+b*c+d-e*f"
    """A letter for each number, with + - * between; "a+b" with high 99: two-digit sums."""
    low: int = Field(0, ge=0)
    """Smallest number."""
    high: int = Field(29, ge=1, le=10_000)
    """Greatest number."""
    options: int = Field(0, ge=0, le=6)
    """Answers to choose from; 0: an open question."""

    @field_validator("shape")
    @classmethod
    def _readable(cls, shape: str) -> str:
        if not SHAPE.fullmatch(shape) or len(shape) > 39:
            raise ValueError(f"{shape!r} is no shape; write letters with + - * between them, e.g. a+b*c (20 at most)")
        return shape

    @model_validator(mode="after")
    def _ordered(self) -> ArithmeticParams:
        if self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}")
        return self


class Arithmetic(NumberFamily):
    """What is 3 + 14 * 5?"""

    name = "arithmetic"
    Params = ArithmeticParams

    def generate(self, seed: int) -> Task:
        """An expression with its value, its working and the usual slips."""
        p: ArithmeticParams = self.params
        random = rng("arithmetic", seed)
        signs = p.shape[1::2]
        numbers = [random.randint(p.low, p.high) for _ in p.shape[::2]]
        answer = value(numbers, signs)
        wrong = plausible(random, answer, slips(random, numbers, signs))
        public = {
            "question": f"What is {written(numbers, signs)}?",
            "options": offered(random, str(answer), wrong, p.options),
            "format": WHOLE_NUMBER,
        }
        structure: dict[str, JSON] = {"numbers": numbers, "signs": signs}
        truth = {"answer": str(answer), "reason": working(numbers, signs), "wrong": wrong}
        return Task(family=self.name, seed=seed, public=public, structure=structure, truth=truth)


def written(numbers: list[int], signs: str) -> str:
    """The expression as text, e.g. "3 + 14 * 5"."""
    return " ".join([str(numbers[0]), *(f"{sign} {number}" for sign, number in zip(signs, numbers[1:], strict=True))])


def terms(numbers: list[int], signs: str) -> list[list[int]]:
    """The summands, each as its factors; a subtracted summand has a negative first factor."""
    found = [[numbers[0]]]
    for sign, number in zip(signs, numbers[1:], strict=True):
        if sign == "*":
            found[-1].append(number)
        else:
            found.append([number if sign == "+" else -number])
    return found


def product(factors: list[int]) -> int:
    """The product of `factors`."""
    result = 1
    for factor in factors:
        result *= factor
    return result


def value(numbers: list[int], signs: str) -> int:
    """The value of the expression, products first."""
    return sum(product(factors) for factors in terms(numbers, signs))


def left_to_right(numbers: list[int], signs: str) -> int:
    """The value for somebody who takes the signs as they come."""
    result = numbers[0]
    for sign, number in zip(signs, numbers[1:], strict=True):
        result = result * number if sign == "*" else result + (number if sign == "+" else -number)
    return result


def without_carry(numbers: list[int], signs: str) -> int:
    """The value for somebody who drops every carry: sums digit by digit, modulo ten; other expressions lose ten."""
    right = value(numbers, signs)
    if set(signs) != {"+"}:
        return right - 10
    places = range(len(str(max(numbers))))
    return sum(sum(number // 10**place for number in numbers) % 10 * 10**place for place in places)


def slips(random: Random, numbers: list[int], signs: str) -> list[int]:
    """What comes of the usual mistakes: no precedence, no carry, a wrong sign, one off, a number misread by one."""
    found = [
        left_to_right(numbers, signs),
        without_carry(numbers, signs),
        value(numbers, signs) + random.choice((-1, 1)),
    ]
    if signs:
        at = random.randrange(len(signs))
        other = {"+": "-", "-": "+", "*": "+"}[signs[at]]
        found.append(value(numbers, signs[:at] + other + signs[at + 1 :]))
    at = random.randrange(len(numbers))
    return [*found, value([number + (i == at) for i, number in enumerate(numbers)], signs)]


def by_tens(a: int, b: int) -> str:
    """A sum of two larger numbers as one does it in the head: 83 + 26 is 80 + 20 = 100, 3 + 6 = 9, 100 + 9 = 109."""
    tens, ones = a // 10 * 10 + b // 10 * 10, a % 10 + b % 10
    return f"{a // 10 * 10} + {b // 10 * 10} = {tens}. {a % 10} + {b % 10} = {ones}. {tens} + {ones} = {tens + ones}."


def working(numbers: list[int], signs: str) -> str:
    """The calculation step by step: products first, then the sum from left to right; a lone sum by tens and ones."""
    if signs == "+" and min(numbers) >= 10:
        return by_tens(*numbers)
    steps, sums = [], []
    for factors in terms(numbers, signs):
        sums.append(product(factors))
        if len(factors) > 1:
            steps.append(f"{' * '.join(str(abs(factor)) for factor in factors)} = {abs(sums[-1])}.")
    total = sums[0]
    for sign, amount in zip([sign for sign in signs if sign != "*"], sums[1:], strict=True):
        steps.append(f"{total} {sign} {abs(amount)} = {total + amount}.")
        total += amount
    return " ".join(steps) or f"{total}."
