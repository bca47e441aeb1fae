"""What the end of a league prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from simarena.cli.league import checked, show_end
from simarena.execution import Settings
from simarena.league.rounds import play
from tests.league.conftest import Make


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
