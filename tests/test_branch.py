"""Forks of whole runs: where they are made, and how far they are played."""

from __future__ import annotations

import asyncio
from pathlib import Path

from simarena.agents.base import ScriptedAgent
from simarena.branch import everywhere, fork, simultaneous, spoken_by
from simarena.casting import scripted
from simarena.identity import new_match
from simarena.records import Match
from simarena.rollout import rollout
from simarena.store import Run, open_run, start_run

ROUNDTABLE = {"n": 3, "phases": ["initial", "per_item", "final"], "task": "kks", "task_params": {"n": 3}}
SOLVERS = [f"solver_{i}" for i in range(3)]
DEBATE = {"task": "story", "rounds": 1, "assignment": "coin"}
DEBATERS = {"debater_0": "bob", "debater_1": "bob", "judge_0": "cat"}
AGENTS = {
    "ann": ScriptedAgent("ann", "roundtable/follower", {"accuracy": 0.5}),
    "bob": ScriptedAgent("bob", "debate/honest", {}),
    "cat": ScriptedAgent("cat", "debate/naive", {}),
}


def table(**params: object) -> Match:
    seats = dict.fromkeys(SOLVERS, "ann")
    return new_match("roundtable", {**ROUNDTABLE, **params}, seats, {"ann": "1"}, task_seed=7, seed=7)


def debate(order: str) -> Match:
    names = dict.fromkeys(AGENTS, "1")
    return new_match("debate", {**DEBATE, "order": order}, DEBATERS, names, task_seed=7, seed=7)


def played(folder: Path, matches: list[Match]) -> None:
    with start_run(folder, {"scenario_hash": "x"}, extend=folder.exists()) as run:
        asyncio.run(rollout(run, matches, AGENTS, {"scripted": scripted(AGENTS)}))


def forked(folder: Path, role: str, phase: str, turns: int = 0) -> list[Match]:
    with open_run(folder) as run:
        return list(everywhere(run, spoken_by(role, phase), 2, turns=turns))


def turns_of(run: Run, match: Match) -> list[str]:
    return [turn.phase for turn in run.trajectory(match.id).turns]


def test_of_turns_unseen_by_one_another_only_the_first_is_forked(tmp_path: Path) -> None:
    """Three solvers answer at once: two forks have two more first answers of each. One after the other: each has."""
    assert {"initial", "final"} <= simultaneous(table())
    played(tmp_path / "x", [table()])
    assert [each.turn for each in forked(tmp_path / "x", "solver", "initial")] == [0, 0]
    assert [each.turn for each in forked(tmp_path / "x", "solver_1", "initial")] == [1, 1]
    played(tmp_path / "y", [debate("simultaneous")])
    played(tmp_path / "z", [debate("sequential")])
    assert [each.turn for each in forked(tmp_path / "y", "debater", "speech")] == [0, 0]
    assert [each.turn for each in forked(tmp_path / "z", "debater", "speech")] == [0, 0, 1, 1]


def test_a_short_fork_ends_after_its_own_turns(tmp_path: Path) -> None:
    match = table()
    played(tmp_path, [match])
    short = forked(tmp_path, "solver", "final", turns=3)
    assert {each.id for each in short}.isdisjoint(each.id for each in forked(tmp_path, "solver", "final"))
    first = fork(match, 0, 0, turns=3)
    played(tmp_path, [*short, first])
    with open_run(tmp_path) as run:
        whole = turns_of(run, match)
        assert [turns_of(run, each) for each in short] == [whole, whole]
        assert turns_of(run, first) == ["initial"] * 3
        assert forked(tmp_path, "solver", "final", turns=3) == short, "forks are not forked again"
    assert fork(table(max_turns=5), 3, 0, turns=9).params["max_turns"] == 5
