"""What the end of a league prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from simarena.cli.league import checked, show_end
from simarena.execution import Settings
from simarena.league.learning import Lesson, train
from simarena.league.rounds import play
from simarena.league_spec import Training
from tests.league.conftest import Make
from tests.tiny import Tiny
from tests.training.planted import chat, record


def test_the_end_says_before_after_every_check_and_whom_to_seat(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expect = [
        {"measure": "gain", "min": -1},
        {"measure": "rounds", "max": 1},
        {"measure": "rounds", "min": 1, "max": 3},
    ]
    plan = make({"league.expect": expect})
    found = play(plan, tmp_path / "run", Settings(quiet=True))
    show_end(found, checked(plan, found))
    said = " ".join(capsys.readouterr().out.split())
    assert "gain: at least -1" in said
    assert "FAIL 2 rounds: at most 1" in said
    assert "pass 2 rounds: at least 1, at most 3" in said
    assert all(file in said for file in found.files())


def test_every_stage_of_a_league_says_how_far_it_came(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simarena.progress.PLAIN", 600.0)  # last looks alone
    play(make({"league.rounds": 1}), tmp_path / "run", Settings())
    said = capsys.readouterr().err.splitlines()
    stages = [line.partition(" · ")[0] for line in said]
    newcomers = "ann@1, bob@1, cid@1"
    assert stages == [
        "final exam of ann, bob, cid",
        "exam of ann, bob, cid",
        "24/24 matches",
        "labels and lessons",
        "training ann",
        "training bob",
        "training cid",
        f"exam of {newcomers}",
        f"final exam of {newcomers}",
    ]
    assert all("120/120 questions" in line for line in said if "exam" in line)
    assert all(" records" in line for line in said if "training" in line)


def test_a_lesson_reports_every_step_and_the_check_after_it(tiny: Tiny, tmp_path: Path) -> None:
    (tmp_path / "ann.yaml").write_text(f"backend: transformers\nmodel: {tiny.base}\n")
    heard: list[str] = []
    lesson = Lesson(
        agent=str(tmp_path / "ann.yaml"),
        member="ann",
        version="1",
        folder=tmp_path / "lesson",
        records=[record(n, template=chat()) for n in range(4)],
        how=Training(arguments={"batch": 2, "rank": 4, "learning_rate": 0.01}),
        seed=1,
        report=heard.append,
    )
    assert train(lesson).file.is_file()
    assert [words.partition("  ")[0] for words in heard[:-1]] == ["step 1/2", "step 2/2"]
    assert "weights" in heard[-1]
