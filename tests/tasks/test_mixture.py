from collections import Counter

import pytest
from pydantic import ValidationError

from simarena.tasks.arithmetic import Arithmetic
from simarena.tasks.mixture import Mixture


def test_tasks_come_from_the_families_as_often_as_weighted():
    family = Mixture(weights={"arithmetic": 3, "logic_chain": 1, "kks": 0})
    counts = Counter(family.generate(seed).family for seed in range(400))
    assert set(counts) == {"arithmetic", "logic_chain"}
    assert abs(counts["arithmetic"] - 300) < 4 * (400 * 0.75 * 0.25) ** 0.5


def test_a_task_is_its_own_familys_task_of_that_seed():
    family = Mixture(weights={"arithmetic": 1}, params={"arithmetic": {"shape": "a+b"}})
    assert family.generate(7) == Arithmetic(shape="a+b").generate(7)


@pytest.mark.parametrize("seed", range(12))
def test_answers_are_read_written_and_marked_by_the_tasks_family(seed):
    family = Mixture()
    task = family.generate(seed)
    right = task.truth["answer"]
    assert family.verify(task, right) == 1.0
    assert family.verify(task, family.wrong(task, 0)) < 1.0
    values = family.parse(task, right)
    assert values is not None
    assert family.parse(task, family.write(task, values)) == values
    assert [value in family.values(task, item) for item, value in zip(family.items(task), values, strict=True)]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"weights": {"kks": 0}}, "all weights are 0"),
        ({"weights": {"kks": 1}, "params": {"arithmetic": {}}}, "arithmetic"),
        ({"weights": {"mixed": 1}}, "no family of questions"),
        ({"weights": {"scoresheets": 1}}, "no family of questions"),
    ],
)
def test_impossible_mixtures_are_refused(params, words):
    with pytest.raises(ValidationError, match=words):
        Mixture(**params)
