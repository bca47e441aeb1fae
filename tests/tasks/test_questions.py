"""Good files are read; every wrong line of a bad one is named."""

import json

import pytest

from simarena.errors import ScenarioError
from simarena.tasks.questions import QuestionFile, sentences

GOOD = {"question": "2 + 2?", "options": ["3", "4"], "answer": "4"}


def write(tmp_path, *lines):
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), encoding="utf-8")
    return str(path)


def test_every_question_comes_up_and_options_are_shuffled(tmp_path):
    path = write(tmp_path, GOOD, "", {**GOOD, "question": "1 + 3?", "reason": "1 + 3 = 4."})
    family = QuestionFile(path=path)
    tasks = [family.generate(seed) for seed in range(60)]
    assert {task.public["question"] for task in tasks} == {"2 + 2?", "1 + 3?"}
    assert {tuple(task.public["options"]) for task in tasks} == {("3", "4"), ("4", "3")}
    assert {tuple(QuestionFile(path=path, shuffle=False).generate(seed).public["options"]) for seed in range(9)} == {
        ("3", "4")
    }
    assert family.wrong(tasks[0], 1) == "3"


def test_tasks_do_not_depend_on_where_the_file_lies(tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    one, two = QuestionFile(path=write(tmp_path, GOOD, GOOD)), QuestionFile(path=write(other, GOOD, GOOD))
    assert [one.generate(seed) for seed in range(9)] == [two.generate(seed) for seed in range(9)]


def test_a_source_is_for_debaters_alone(tmp_path):
    task = QuestionFile(path=write(tmp_path, {**GOOD, "source": "Two and two. Make four!"})).generate(0)
    assert task.private["debater"]["sentences"] == ["Two and two.", "Make four!"]
    assert "Two and" not in json.dumps(task.public)


def test_every_wrong_line_is_named(tmp_path):
    path = write(
        tmp_path,
        GOOD,
        "{",
        {**GOOD, "answer": "5"},
        {**GOOD, "options": ["4"]},
        {**GOOD, "option": []},
        {**GOOD, "options": ["4", " 4 "]},
        "[]",
    )
    with pytest.raises(ScenarioError) as error:
        QuestionFile(path=path)
    message = str(error.value)
    assert f"{path}:1:" not in message
    for number in range(2, 8):
        assert f"{path}:{number}:" in message
    assert "answer '5' is none of the options" in message


def test_many_errors_are_cut_short(tmp_path):
    with pytest.raises(ScenarioError, match="and 80 more"):
        QuestionFile(path=write(tmp_path, *["x"] * 100))


def test_missing_empty_and_binary_files_are_refused(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be read"):
        QuestionFile(path=str(tmp_path / "none.jsonl"))
    with pytest.raises(ScenarioError, match="no question"):
        QuestionFile(path=write(tmp_path, ""))
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ScenarioError, match="UTF-8"):
        QuestionFile(path=str(tmp_path / "b.jsonl"))


def test_sentences_end_at_marks_and_lines():
    assert sentences("One. Two?  Three!\nFour 3.5 e") == ["One.", "Two?", "Three!", "Four 3.5 e"]
