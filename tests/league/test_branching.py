"""A league whose matches are forked: which forks are played, what is learnt from them, and that it resumes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simarena.errors import ScenarioError
from simarena.execution import Settings
from simarena.league.rounds import pairs_of, play
from simarena.store import open_run
from tests.league.conftest import Make

QUIET = Settings(quiet=True)
FORKED = {
    "league.branch": {"role": "contestant", "phase": "answer", "n": 3, "turns": 2},
    "league.pairs": {"builder": "branch", "params": {"value": "truth"}},
    "league.matches": 12,
    "league.rounds": 1,
}


def test_right_and_wrong_answers_to_one_question_come_of_forks(make: Make, tmp_path: Path) -> None:
    found = play(make(FORKED), tmp_path / "league", QUIET)
    assert found.gain.low > 0
    with open_run(tmp_path / "league/round-1/play") as run:
        records = list(run.trajectories())
    forks = [record for record in records if record.match.parent]
    assert (len(records) - len(forks), len(forks)) == (12, 36)
    assert all([turn.phase for turn in fork.turns] == ["answer", "answer"] for fork in forks)
    pairs = pairs_of(tmp_path / "league/round-1", "ann")
    assert len(pairs) > 4
    assert all([each.truth for each in pair.responses] == [1.0, 0.0] for pair in pairs)
    assert {pair.builder for pair in pairs} == {"branch"}


def test_forks_that_were_stopped_are_played_on(make: Make, tmp_path: Path) -> None:
    whole = play(make(FORKED), tmp_path / "whole", QUIET)
    stopped = play(make({**FORKED, "budget.calls": 60}), tmp_path / "run", QUIET)  # 24 of matches, 72 of forks
    assert stopped.report is not None
    assert stopped.records == []
    again = play(make(FORKED), tmp_path / "run", QUIET)
    assert json.loads(json.dumps(again.records)) == json.loads(json.dumps(whole.records))


def test_forks_at_nobody_s_turns_are_refused(make: Make) -> None:
    with pytest.raises(ScenarioError, match="nobody sits as 'solver'"):
        make({"league.branch": {"role": "solver"}})
