"""Verdicts against enumeration of all models."""

from collections import Counter
from itertools import product

import pytest
from pydantic import ValidationError

from simarena.tasks.logic_chain import Literal, LogicChain, read_literal, read_rules, verdict

KNOBS = [{}, {"length": 5, "distractors": 4}, {"negation": False}, {"unknown": False}, {"length": 1, "distractors": 0}]


def by_enumeration(public):
    rules, fact = read_rules(public), read_literal(public["fact"])
    letters = sorted({literal.letter for rule in rules for literal in rule} | {public["asked"], fact.letter})
    seen = set()
    for values in product((False, True), repeat=len(letters)):
        model = dict(zip(letters, values, strict=True))
        true = {
            literal
            for literal in (Literal(a, b) for a in letters for b in (False, True))
            if model[literal.letter] == literal.holds
        }
        if fact in true and all(rule.then in true for rule in rules if rule.given in true):
            seen.add(model[public["asked"]])
    assert seen, "the premises contradict one another"
    return {(True,): "yes", (False,): "no", (False, True): "unknown"}[tuple(sorted(seen))]


@pytest.mark.parametrize("params", KNOBS)
def test_answers_are_classical_entailment(params):
    family = LogicChain(**params)
    for seed in range(40):
        task = family.generate(seed)
        assert by_enumeration(task.structure) == task.truth["answer"]
        rules, fact = read_rules(task.structure), read_literal(task.structure["fact"])
        assert verdict(fact, rules, task.structure["asked"]) == task.truth["answer"]
        assert len(rules) == family.params.length + family.params.distractors
        assert set(task.public["options"]) == set(family.params.answers)


@pytest.mark.parametrize("params", KNOBS)
def test_answers_are_equally_frequent(params):
    family = LogicChain(**params)
    counts = Counter(family.generate(seed).truth["answer"] for seed in range(600))
    assert all(count / 600 == pytest.approx(1 / len(counts), abs=0.08) for count in counts.values())
    assert set(counts) == set(family.params.answers)


def test_the_sign_at_the_asked_letter_is_no_hint():
    """Somebody who answers by the signs alone of the rules that end in the asked letter is at chance."""
    family, right = LogicChain(unknown=False, distractors=2), 0
    for seed in range(400):
        task = family.generate(seed)
        signs = [
            not then.startswith("not") for _, then in task.structure["rules"] if then[-1] == task.structure["asked"]
        ]
        right += ("yes" if signs[0] else "no") == task.truth["answer"]
    assert right / 400 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("params", [{"negation": False, "unknown": False}, {"length": 0}, {"length": 11}])
def test_impossible_knobs_are_refused(params):
    with pytest.raises(ValidationError):
        LogicChain(**params)
