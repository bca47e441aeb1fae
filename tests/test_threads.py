"""The number of threads: by measurement, by whoever says one, on record; and they sleep while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simarena import threads
from simarena.store import open_run
from simarena.threads import ASLEEP, COUNT, Miscounted, choose, counts, elsewhere, fastest, sleep_while_waiting
from tests.tiny import Tiny

RUN = ["run", "debate/khan_persuasive_debate", "--scale", "mini", "--set", "protocol=direct", "--matches", "1", "-q"]
WATCHED = """
import os, sys
class Watch:
    def find_spec(self, name, *_):
        if name == "torch":
            print("torch", os.environ.get("OMP_WAIT_POLICY"))
            sys.meta_path.remove(self)
sys.meta_path.insert(0, Watch())
from simarena.cli import main
main(sys.argv[1:])
"""
"""The command line; it says how threads are to wait at the moment in which torch is loaded."""


def sharing(idle: float) -> Callable[[int], float]:
    """Slots of work that splits evenly, on a machine with so many idle cores: a thread beyond them waits for a turn."""
    return lambda count: max(1 / count, 1 / idle if count > idle else 0)


@pytest.mark.parametrize(
    ("cores", "idle", "count"), [(1, 1, 1), (2, 2, 2), (2, 1, 1), (2, 4 / 3, 1), (8, 8, 8), (8, 4, 4), (12, 12, 12)]
)
def test_as_many_threads_as_there_are_idle_cores_and_one_beside_a_busy_one(cores: int, idle: float, count: int) -> None:
    assert fastest(cores, sharing(idle))[0] == count


def test_work_that_is_quick_alone_is_left_alone_and_no_more_is_measured() -> None:
    asked: list[int] = []

    def slot(count: int) -> float:
        asked.append(count)
        return 1 + 0.1 * count

    assert fastest(16, slot) == (1, {1: 1.1, 2: 1.2})
    assert set(asked) == {1, 2}


def test_one_disturbed_slot_decides_nothing_and_two_do() -> None:
    def disturbed(often: int) -> Callable[[int], float]:
        left = iter([9.0] * often)
        return lambda count: next(left, 0.5) if count == 2 else 1.0

    assert fastest(2, disturbed(1))[0] == 2
    assert fastest(2, disturbed(2))[0] == 1


def test_counts_double_up_to_all_cores() -> None:
    assert [counts(n) for n in (1, 2, 3, 8, 12)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8], [1, 2, 4, 8, 12]]


def test_an_agent_comes_before_the_environment_and_that_before_what_was_used_earlier(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "CHOICES", {})
    monkeypatch.setenv(COUNT, "3,2")
    assert (choose("a", 1, 1, options=5).count, choose("b", 1, 1, earlier=7).count) == (5, 3)
    assert elsewhere(1, 1).by == "OMP_NUM_THREADS", "and no process is started for it"
    monkeypatch.delenv(COUNT)
    assert choose("b", 1, 1, earlier=7).by == "training.json"
    assert {name: each["count"] for name, each in threads.record().items() if name != "wait"} == {"a": 5, "b": 7}


@pytest.mark.parametrize("said", ["many", "0", "-1", ",2"])
def test_a_number_that_is_none_is_refused_with_the_next_move(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    monkeypatch.setenv(COUNT, said)
    with pytest.raises(Miscounted, match=f"{COUNT} is '{said}'; set it to a number"):
        choose("a", 1, 1)


def test_a_measurement_names_every_count_that_it_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COUNT, raising=False)
    found = elsewhere(4, 8)
    assert found.by == "measured"
    assert 1 <= found.count <= found.cores
    assert found.cores == 1 or {"1", "2"} <= found.milliseconds.keys()
    assert all(f"with {count}" in found.line() for count in found.milliseconds)


def test_a_process_that_cannot_measure_is_told_of_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(COUNT, raising=False)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(Miscounted, match=r"exit code 1.*set OMP_NUM_THREADS"):
        elsewhere(4, 8)


def test_how_the_user_lets_threads_wait_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ASLEEP:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    sleep_while_waiting()
    assert {name: os.environ[name] for name in ASLEEP} == {"OMP_WAIT_POLICY": "active", "KMP_BLOCKTIME": "0"}


# ---- in processes of their own ---------------------------------------------------------------------------------------


@pytest.fixture
def played(tiny: Tiny, tmp_path: Path) -> Callable[..., tuple[str, dict[str, Any]]]:
    """Play one match with a model in an environment; how threads were to wait as torch came, and what is on record."""
    (tmp_path / "ann.yaml").write_text(
        f"backend: transformers\nmodel: {tiny.base}\nprompt: {{form: none}}\nsampling: {{max_tokens: 4}}\n"
        "parse: {repairs: 0}\n"
    )

    def play(**changes: str) -> tuple[str, dict[str, Any]]:
        inherited = {name: value for name, value in os.environ.items() if name not in (COUNT, *ASLEEP)}
        command = [sys.executable, "-c", WATCHED, *RUN, "--seat", "judge=ann.yaml", "--out", "run"]
        done = subprocess.run(command, cwd=tmp_path, env=inherited | changes, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        with open_run(tmp_path / "run") as run:
            return done.stdout.splitlines()[0], run.sessions()[-1]["threads"]

    return play


def test_threads_sleep_before_torch_is_loaded_and_the_measured_choice_is_on_record(played: Any) -> None:
    policy, record = played()
    assert policy == "torch passive"
    assert record["wait"] == "passive"
    choice = record["transformers"]
    assert choice["by"] == "measured"
    assert choice["cores"] == 1 or {"1", "2"} <= choice["milliseconds"].keys()


def test_the_environment_is_obeyed_and_on_record(played: Any) -> None:
    policy, record = played(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="active")
    assert policy == "torch active"
    assert record["wait"] == "active"
    assert (record["transformers"]["count"], record["transformers"]["by"]) == (1, "OMP_NUM_THREADS")
    assert record["transformers"]["milliseconds"] == {}


@pytest.mark.parametrize("module", ["training.trainer", "league.check", "backends.checkpoint"])
def test_whatever_leads_to_torch_lets_threads_sleep_first(module: str) -> None:
    code = WATCHED.partition("from simarena.cli")[0] + f"import simarena.{module}\nimport torch"
    inherited = {name: value for name, value in os.environ.items() if name not in ASLEEP}
    done = subprocess.run([sys.executable, "-c", code], env=inherited, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["torch", "passive"]
