"""Values against Python's own arithmetic, and slips that are really slips."""

import re

import pytest
from pydantic import ValidationError

from simarena.tasks.arithmetic import Arithmetic, left_to_right, value, without_carry


def python_value(expression):
    """Sum of products, by splitting the text."""
    total = 0
    for sign, term in re.findall(r"([+-]?)((?:\d+\*?)+)", expression.replace(" ", "")):
        product = 1
        for factor in term.split("*"):
            product *= int(factor)
        total += -product if sign == "-" else product
    return total


@pytest.mark.parametrize("shape", ["a+b*c+d-e*f", "a+b", "a*b*c-d", "a-b-c", "a"])
def test_answers_and_workings_hold(shape):
    family = Arithmetic(shape=shape, high=29)
    for seed in range(200):
        task = family.generate(seed)
        expression = task.public["question"].removeprefix("What is ").removesuffix("?")
        assert python_value(expression) == int(task.truth["answer"])
        assert all(0 <= number <= 29 for number in task.structure["numbers"])
        for step in task.truth["reason"].split(".")[:-1]:
            left, *right = step.split(" = ")
            numbers = [int(number) for number in re.findall(r"-?\d+", left.replace("- ", "-"))]
            got = numbers[0] * numbers[1] if "*" in left and len(numbers) == 2 else sum(numbers)
            assert "*" in left or not right or got == int(right[0])
        assert task.truth["reason"].endswith(f"{abs(int(task.truth['answer']))}.")


def test_slips_are_what_they_say():
    assert value([2, 3, 4], "+*") == 14
    assert left_to_right([2, 3, 4], "+*") == 20
    assert without_carry([27, 35], "+") == 52
    assert without_carry([21, 35], "+") == value([21, 35], "+")


@pytest.mark.parametrize("answer", [46, 46.0, "46", " = 46. ", "+46", "046"])
def test_numbers_are_read_as_they_are_written(answer):
    family = Arithmetic()
    assert family.parse(family.generate(0), answer) == ["46"]


@pytest.mark.parametrize("answer", [True, 46.5, "46 or 47", "forty-six", "4 6", "", "٤٦", [46], None])
def test_anything_else_is_not_read(answer):
    family = Arithmetic()
    assert family.parse(family.generate(0), answer) is None


@pytest.mark.parametrize("params", [{"shape": "a/b"}, {"shape": ""}, {"shape": "a+"}, {"low": 5, "high": 2}])
def test_unreadable_shapes_are_refused(params):
    with pytest.raises(ValidationError):
        Arithmetic(**params)
