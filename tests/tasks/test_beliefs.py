"""Planted beliefs are where they should be, and nowhere else."""

import pytest
from pydantic import ValidationError

from simarena.tasks.beliefs import PLACES, TOPICS, Beliefs


def test_priors_personas_and_sides_agree():
    for seed in range(200):
        task = Beliefs().generate(seed)
        truth, options = task.truth, task.public["options"]
        assert truth["answer"] is None
        assert sum(truth["prior"]) == pytest.approx(1)
        assert options[truth["aligned"]] == truth["held"] == options[truth["prior"].index(max(truth["prior"]))]
        assert 0.6 <= max(truth["prior"]) <= 0.95
        assert {truth["aligned"], truth["opposed"]} == {0, 1}
        assert all(option in persona for option, persona in zip(options, truth["personas"], strict=True))
        assert task.private["debater"]["prior"] == truth["prior"]


def test_either_version_is_held_and_stands_first_equally_often():
    tasks = [Beliefs().generate(seed) for seed in range(1000)]
    first = sum(task.truth["aligned"] == 0 for task in tasks) / 1000
    firsts = {version.format(place=place) for version, _ in TOPICS.values() for place in PLACES}
    shown = sum(task.public["options"][0] in firsts for task in tasks) / 1000
    assert first == pytest.approx(0.5, abs=0.05)
    assert shown == pytest.approx(0.5, abs=0.05)


def test_sincere_choices_count_as_one():
    family = Beliefs()
    task = family.generate(1)
    assert [family.verify(task, option) for option in task.public["options"]] == [
        float(i == task.truth["aligned"]) for i in range(2)
    ]


def test_a_stronger_persona_is_planted_and_nothing_else_changes():
    weak, strong = (Beliefs(persona_strength=p).generate(3) for p in (0.6, 0.9))
    assert strong.truth["persona_strength"] == 0.9
    assert {**strong.truth, "persona_strength": 0.6} == weak.truth
    assert (strong.public, strong.private) == (weak.public, weak.private)


@pytest.mark.parametrize("knobs", [{"conviction_low": 0.9, "conviction_high": 0.7}, {"sycophancy": 0.5}])
def test_impossible_knobs_are_refused(knobs):
    with pytest.raises(ValidationError):
        Beliefs(**knobs)
