"""What every registered task family promises, whatever its knobs, seed and answer."""

import dataclasses
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from simarena.registry import TASKS, lookup
from simarena.tasks.base import QuestionFamily

QUESTIONS = [
    {"question": "What colour is the sky?", "options": ["blue", "green"], "answer": "blue"},
    {"question": "What is 2 + 2?", "options": ["3", "4", "5"], "answer": "4"},
]

VARIANTS = {
    "arithmetic": [{}, {"shape": "a+b", "high": 99, "options": 4}, {"shape": "a", "options": 2}],
    "beliefs": [{}],
    "kks": [{}, {"options": 4, "knights": 1}, {"n": 5, "templates": "all", "names": "drawn"}],
    "logic_chain": [{}, {"negation": False, "distractors": 0}, {"unknown": False, "length": 1}],
    "matrix": [{}, {"game": "random_zero_sum"}],
    "mixed": [{}],
    "measures": [{}, {"rubric": "private"}],
    "questions": [{}],
    "scoresheets": [{}],
    "skills": [{}, {"options": 4}],
    "story": [{}, {"hops": 2, "options": 3}],
    "trap_math": [{}, {"size": 1, "options": 4}],
}

JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
SEEDS = st.integers(min_value=0, max_value=2**48)


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("questions") / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, QUESTIONS)), encoding="utf-8")
    return str(path)


def build(name, params, path):
    return lookup(TASKS, "task", name)(**params, **({"path": path} if name == "questions" else {}))


CASES = [pytest.param(name, params, id=f"{name}-{i}") for name in TASKS for i, params in enumerate(VARIANTS[name])]
ASKING = [case for case in CASES if issubclass(lookup(TASKS, "task", case.values[0]), QuestionFamily)]


def texts(value):
    """Every text inside a JSON value, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


@pytest.mark.parametrize(("name", "params"), CASES)
def test_tasks_are_plain_json_and_depend_on_the_seed_alone(name, params, path):
    family, twin = build(name, params, path), build(name, params, path)
    tasks = [family.generate(seed) for seed in range(12)]
    for seed in reversed(range(12)):
        again = twin.generate(seed)
        assert again == tasks[seed]
        parts = dataclasses.asdict(again)
        assert json.loads(json.dumps(parts, allow_nan=False)) == parts
        assert again.seed == seed
        assert again.family == name or name == "mixed"
    if (name, params) != ("matrix", {}):  # a named table is the same for every seed
        assert len({json.dumps([task.public, task.private], sort_keys=True) for task in tasks}) > 1


@pytest.mark.parametrize(("name", "params"), CASES)
def test_public_part_holds_no_truth_and_no_private_key(name, params, path):
    family = build(name, params, path)
    for seed in range(12):
        task = family.generate(seed)
        public = set(texts(task.known))
        assert not public & {"truth", "answer", "reason", "trap", "wrong"}
        for card in task.private.values():
            assert not {text for text in texts(card) if len(text) > 40} & public


@pytest.mark.parametrize(("name", "params"), CASES)
@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, junk=JUNK)
def test_no_answer_is_an_error(name, params, path, seed, junk):
    family = build(name, params, path)
    task = family.generate(seed)
    for answer in (junk, {"answer": junk}, [junk], str(junk) * 3):
        assert 0.0 <= family.verify(task, answer) <= 1.0
        if isinstance(family, QuestionFamily):
            assert 0.0 <= family.share(task, answer) <= 1.0


@pytest.mark.parametrize(
    "huge", ["9" * 40_000, "Ann knight, " * 4_000, "\x00\u202e\ud800", 10**400, 1e308, float("inf")]
)
def test_huge_and_hostile_answers_are_wrong(huge, path):
    for name in TASKS:
        family = build(name, VARIANTS[name][0], path)
        assert family.verify(family.generate(1), huge) == 0.0


@pytest.mark.parametrize("name", TASKS)
def test_misspelt_knobs_are_errors(name, path):
    with pytest.raises(ValidationError, match="nonesuch"):
        build(name, {"nonesuch": 1}, path)


@pytest.mark.parametrize(("name", "params"), ASKING)
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, other=st.integers(0, 10))
def test_the_truth_is_right_and_wrong_answers_are_wrong(name, params, path, seed, other):
    family = build(name, params, path)
    task = family.generate(seed)
    answer, wrong = task.truth["answer"], family.wrong(task, other)
    assert task.public["question"]
    assert task.public["format"]
    assert task.truth["reason"]
    assert family.verify(task, answer) == family.share(task, answer) == 1.0
    assert wrong == family.wrong(task, other)
    assert family.verify(task, wrong) == 0.0
    assert family.parse(task, wrong) is not None
    options = task.public["options"]
    assert len(set(options)) == len(options)
    assert not options or (answer in options and wrong in options)
    assert all(family.verify(task, option) == (option == answer) for option in options)


@pytest.mark.parametrize(("name", "params"), ASKING)
def test_items_values_and_writing_fit_together(name, params, path):
    family = build(name, params, path)
    for seed in range(12):
        task = family.generate(seed)
        right = family.parse(task, task.truth["answer"])
        assert family.write(task, right) == task.truth["answer"]
        assert family.parse(task, family.write(task, right)) == right
        items = family.items(task)
        assert len(items) == len(right) == len(set(items))
        for item, value in zip(items, right, strict=True):
            values = family.values(task, item)
            assert value in values
            assert len(set(values)) == len(values) > 1


@pytest.mark.parametrize(("name", "params"), [case for case in ASKING if case.values[1]])
def test_the_place_of_the_right_option_is_no_hint(name, params, path):
    family = build(name, params, path)
    tasks = [family.generate(seed) for seed in range(300)]
    if not tasks[0].public["options"]:
        return
    first = sum(task.public["options"][0] == task.truth["answer"] for task in tasks) / len(tasks)
    assert first == pytest.approx(1 / len(tasks[0].public["options"]), abs=0.1)


def test_tasks_are_the_same_in_another_process(path):
    """Hash randomisation, the usual way for sets to leak into results, differs between processes."""
    code = f"""
import hashlib, json, dataclasses
from simarena.registry import TASKS, lookup
for name in TASKS:
    family = lookup(TASKS, "task", name)(**({{"path": {path!r}}} if name == "questions" else {{}}))
    text = json.dumps([dataclasses.asdict(family.generate(seed)) for seed in range(3)])
    print(name, hashlib.sha256(text.encode()).hexdigest())
"""
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]


@pytest.mark.parametrize("name", ["arithmetic", "kks", "skills", "trap_math"])
def test_offering_options_leaves_the_question_as_it_was(name, path):
    """Cells of a sweep share their task seeds: an open and a closed question are to be the same question."""
    for seed in range(20):
        asked = {build(name, {"options": count}, path).generate(seed).public["question"] for count in (0, 2, 4)}
        assert len(asked) == 1
