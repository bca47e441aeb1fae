"""Planted laws show in what they produce, at the rates that were planted."""

from random import Random

import pytest
from pydantic import ValidationError

from simarena.tasks.matrix import equilibria
from simarena.tasks.skills import STYLES, TOPICS, Grader, SkillTable, attempt, cycle, prefer, result, skill_table


def test_results_are_right():
    assert [result(topic, [17, 5]) for topic in TOPICS] == [22, 12, 85, 17, 5, 2]
    family = SkillTable(topics=TOPICS)
    for seed in range(100):
        task = family.generate(seed)
        assert str(result(task.structure["topic"], task.structure["numbers"])) == task.truth["answer"]
        assert task.public["question"].startswith(f"What is the {task.truth['topic']} of ")


def test_the_table_is_the_same_in_every_task_and_ordered_by_mean():
    family = SkillTable()
    assert family.table == SkillTable().table != SkillTable(table_seed=1).table
    assert all(len(family.generate(seed).truth["skills"]) == 10 for seed in range(5))
    table = skill_table(10, TOPICS, 0.2, 0.8, 0.0, 0)
    assert [row["sum"] for row in table] == pytest.approx([0.2 + i * 0.6 / 9 for i in range(10)], abs=1e-4)


@pytest.mark.parametrize("options", [0, 4])
@pytest.mark.parametrize("skill", [0.0, 0.3, 0.9, 1.0])
def test_attempts_are_right_as_often_as_planted(skill, options):
    family = SkillTable(options=options)
    tasks = [family.generate(seed) for seed in range(50)]
    random = Random(0)
    right = [family.verify(task, attempt(task.known, skill, random)) for task in tasks for _ in range(20)]
    assert sum(right) / len(right) == pytest.approx(skill, abs=0.04)


def test_graders_are_biased_as_planted():
    random = Random(0)
    fair = Grader()
    assert (fair.grade(True, 0, random), fair.grade(False, 1, random)) == (8, 3)
    assert Grader(bias=1).grade(True, 0, random) == 9
    assert [Grader(first=2).grade(False, place, random) for place in (0, 1)] == [5, 3]
    assert Grader(bias=50).grade(True, 0, random) == 10
    assert Grader(bias=-50).grade(True, 0, random) == 1
    blind = [Grader(sight=0.25).grade(True, 1, random) for _ in range(2000)]
    assert sum(grade == 8 for grade in blind) / 2000 == pytest.approx(0.25, abs=0.03)
    noisy = [Grader(noise=1).grade(False, 1, random) for _ in range(2000)]
    assert sum(noisy) / 2000 == pytest.approx(3, abs=0.1)


def test_style_judges_have_one_third_of_each_style_as_their_only_equilibrium():
    table = cycle(3)
    payoffs = [[[2 * win - 1, 1 - 2 * win] for win in row] for row in table]
    (only,) = equilibria(payoffs)
    assert only["row"] == pytest.approx([1 / 3] * 3)
    assert all(sum(row) == pytest.approx(1.5) for row in table)


def test_style_judges_prefer_round_the_cycle():
    random = Random(0)
    for i, style in enumerate(STYLES):
        beaten = STYLES[(i + 1) % 3]
        assert prefer(style, beaten, random) == 0
        assert prefer(beaten, style, random) == 1
    half = [prefer("plain", "ornate", random, strength=0.5) for _ in range(2000)]
    assert sum(half) / 2000 == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("params", [{"low_skill": 0.9, "high_skill": 0.1}, {"topics": ()}, {"topics": ("sum", "sum")}])
def test_impossible_knobs_are_refused(params):
    with pytest.raises(ValidationError):
        SkillTable(**params)
