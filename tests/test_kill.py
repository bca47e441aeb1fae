"""SIGKILL at any moment loses nothing: the run resumes, asks again only what was in flight, and ends the same."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simarena.errors import StoreError
from simarena.registry import ENVIRONMENTS
from simarena.store import open_run
from tests import kill_child

ROOT = Path(__file__).parent.parent
KILLS = 20
MATCHES = 120


def life(folder: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.kill_child", str(folder), str(log), str(MATCHES), "8"]
    return subprocess.Popen(command, cwd=ROOT)


def wait_for_lines(log: Path, count: int, child: subprocess.Popen[bytes]) -> None:
    while child.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") < count):
        time.sleep(0.0005)


def keys_on_record(folder: Path) -> set[str]:
    try:
        with open_run(folder) as run:
            return {key for match in run.statuses() for key in run.answers(match)}
    except StoreError:  # killed before there was a store
        return set()


def kill_at_random(folder: Path, log: Path, rng: random.Random) -> list[str]:
    """One life and its end; the keys it asked for."""
    before = log.read_text().splitlines() if log.exists() else []
    child = life(folder, log)
    if rng.random() < 0.2:
        time.sleep(rng.random())  # while it starts, or soon after
    else:
        wait_for_lines(log, len(before) + rng.randint(1, 70), child)
        time.sleep(rng.random() * 0.006)
    child.kill()
    assert child.wait() == -signal.SIGKILL, "the run ended before it could be killed; make it longer"
    return log.read_text().splitlines()[len(before) :] if log.exists() else []


@pytest.mark.slow
def test_a_run_killed_twenty_times_ends_as_if_it_had_not_been(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "toy", "tests.toy:Toy")
    rng, folder, log = random.Random(20), tmp_path / "killed", tmp_path / "asked"
    recorded: set[str] = set()
    asked: list[str] = []
    for _ in range(KILLS):
        fresh = kill_at_random(folder, log, rng)
        assert not recorded & set(fresh), "what is on record is not asked again"
        assert len(fresh) == len(set(fresh)), "nothing is asked twice in one life"
        asked += fresh
        now = keys_on_record(folder)
        assert recorded <= now, "nothing on record is lost"
        recorded = now
        for key in asked:
            sitting, _, n = key.rpartition("/")
            assert n == "0" or f"{sitting}/{int(n) - 1}" in recorded, "an answer is on disk before it is acted on"
    assert life(folder, log).wait() == 0
    last = log.read_text().splitlines()[len(asked) :]
    assert not recorded & set(last)

    whole = asyncio.run(kill_child.main(str(tmp_path / "whole"), str(tmp_path / "asked once"), MATCHES, 8))
    with open_run(folder) as killed, open_run(tmp_path / "whole") as unbroken:
        assert killed.tables() == unbroken.tables()
        assert len(killed.sessions()) > KILLS // 2
        keys = keys_on_record(folder)
    assert whole.calls == len(keys) == len(set(asked + last))
    twice = len(asked) + len(last) - len(keys)
    assert twice <= KILLS * 16, "at most the 8 matches' two seats were in flight at each kill"
