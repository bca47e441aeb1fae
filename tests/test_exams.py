"""Exams: questions that nobody practises, the same for everyone, and intervals that say what they should."""

from __future__ import annotations

import asyncio

import pytest

from simarena import seeds
from simarena.agents.base import ScriptedAgent
from simarena.casting import scripted
from simarena.errors import ScenarioError
from simarena.exams import accuracy, gain, held_out, in_matches, overall, papers, sit
from simarena.registry import TASKS, lookup
from simarena.tasks.base import Task

MIXED = {
    "task": "mixed",
    "task_params": {"weights": {"kks": 1, "arithmetic": 1}, "params": {"arithmetic": {"shape": "a+b", "high": 99}}},
}


def test_a_tenth_of_questions_is_held_out_by_its_words():
    family = lookup(TASKS, "task family", "kks")()
    tasks = [family.generate(seed) for seed in range(4000)]
    share = sum(map(held_out, tasks)) / len(tasks)
    assert share == pytest.approx(0.1, abs=0.02)
    twins = {}
    for task in tasks:
        assert twins.setdefault(task.public["question"], held_out(task)) == held_out(task), "whatever its seed"


def test_the_rule_is_the_one_that_committed_models_were_trained_by():
    """Changing it would put questions that were practised into exams."""
    asked = [Task(family="x", seed=0, public={"question": f"What is {n}?"}) for n in range(100)]
    assert [n for n, task in enumerate(asked) if held_out(task)] == KNOWN
    assert not held_out(Task(family="x", seed=0, public={"motion": "no question"}))


KNOWN = [10, 14, 15, 17, 27, 41, 64, 68, 70, 89, 98]


def test_papers_are_of_every_family_and_do_not_overlap():
    first, second = papers(MIXED, 30), papers(MIXED, 20, skip=30)
    assert [paper.family for paper in first] == ["arithmetic", "kks"]
    for one, other in zip(first, second, strict=True):
        assert len(one.seeds) == 30
        assert len(other.seeds) == 20
        family = lookup(TASKS, "task family", one.family)(**one.params["task_params"])
        words = [str(family.generate(seed).public["question"]) for seed in (*one.seeds, *other.seeds)]
        assert len(set(words)) == 50
        assert all(held_out(family.generate(seed)) for seed in one.seeds)
    assert [paper.family for paper in papers(MIXED, 5, only=["kks"])] == ["kks"]


def test_what_has_no_exam_is_refused():
    with pytest.raises(ScenarioError, match="different held-out questions"):
        papers({"task": "arithmetic", "task_params": {"shape": "a+b", "high": 5}}, 500)
    with pytest.raises(ScenarioError, match="no question with a right answer"):
        papers({"task": "matrix"}, 5)
    with pytest.raises(ScenarioError, match="not played here"):
        papers(MIXED, 5, only=["story"])


def test_marks_are_the_planted_skill():
    agent = ScriptedAgent("a", "arena/table_skill", {"skill": 0.7})
    asked = papers(MIXED, 300)
    marks = asyncio.run(sit(agent, scripted({"a": agent}), asked))
    for each in marks.values():
        found = accuracy(each)
        assert found.value == pytest.approx(0.7, abs=0.1)
    assert marks == asyncio.run(sit(agent, scripted({"a": agent}), asked)), "the same questions, the same chances"


@pytest.mark.parametrize(
    ("right", "n", "low", "high"), [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1)]
)
def test_wilson_intervals_are_those_of_the_books(right, n, low, high):
    found = accuracy([1.0] * right + [0.0] * (n - right))
    assert (found.low, found.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def test_a_gain_is_paired_and_its_interval_covers():
    """Of 300 planted gains of 5 points, about 95 % lie within their intervals; unpaired ones would be too wide."""
    covered = 0
    for trial in range(300):
        chance = seeds.rng("gain", trial)
        before = [{f: [float(chance.random() < 0.5) for _ in range(80)] for f in ("x", "y")} for _ in range(2)]
        after = [
            {f: [1.0 if chance.random() < 0.1 else mark for mark in marks] for f, marks in member.items()}
            for member in before
        ]
        found = gain(before, after)
        assert found.value == pytest.approx(overall(after) - overall(before))
        covered += found.low <= 0.05 <= found.high
    assert covered / 300 == pytest.approx(0.95, abs=0.04)


DEBATE = {"task": "story", "rounds": 1, "assignment": "coin"}


def held_debates(policy: str, judge: str, metric: str = "accuracy", size: int = 40):
    agent, sits = ScriptedAgent("a", policy, {}), ScriptedAgent("j", judge, {})
    asked = [in_matches(each, "debate", DEBATE, metric, {"judge_0": "j"}) for each in papers(DEBATE, size)]
    backend = scripted({"a": agent, "j": sits})
    (marks,) = asyncio.run(sit(agent, backend, asked, {"j": (sits, backend)})).values()
    return marks


def test_an_exam_in_matches_is_marked_by_a_measure_of_them():
    """Honest debaters prove the right answer alone: whoever counts proofs is right, whoever counts words is not."""
    assert held_debates("debate/honest", "debate/quote_counter") == [1.0] * 40
    assert held_debates("debate/honest", "debate/naive") == [0.5] * 40
    with pytest.raises(ScenarioError, match=r"no 'grace' \(it has accuracy"):
        held_debates("debate/honest", "debate/naive", "grace", 1)
