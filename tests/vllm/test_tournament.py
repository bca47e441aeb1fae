"""A tournament of the nano tribe: on one engine, over HTTP, killed and resumed; always the same greedy record."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from simarena import paths
from simarena.cli import call
from simarena.errors import StoreError
from simarena.store import open_run
from tests.vllm.conftest import BASE

pytestmark = pytest.mark.timeout(900)

SIMARENA = [sys.executable, "-c", "from simarena.cli import main; main()"]
NAMES = [f"nano-{letter}" for letter in "abcdef"]
MATCHES = 30
"""Every pair of six, in both seatings, with four judges."""
CALLS = 6 * MATCHES
PATIENCE = 300
"""Seconds to wait for what takes one on a machine with nothing else to do."""
ENOUGH = CALLS // 4
"""Answers on record at which something is killed."""


def agent_files(folder: Path, **changes: Any) -> list[str]:
    """The tribe, greedy, on vLLM."""
    folder.mkdir()
    found = []
    for name in NAMES:
        about = yaml.safe_load((paths.shipped("agents") / f"{name}.yaml").read_text())
        about["sampling"] = {"temperature": 0, "max_tokens": 80}
        adapter = str(paths.shipped("agents") / about["adapter"])
        about |= {"backend": "vllm", "model": BASE, "adapter": adapter, "options": {"dtype": "float32"}} | changes
        found.append(str(folder / f"{name}.yaml"))
        Path(found[-1]).write_text(yaml.safe_dump(about))
    return found


def command(files: list[str], out: Path, live: int = 64) -> list[str]:
    """A short tournament."""
    what = ["tournament", "arena/sparta_combat", "--scale", "demo", "--games", "1"]
    what += ["--set", "weigh=reply", "--concurrency", str(live)]  # judges weigh even where answers agree
    return [*what, "--agents", *files, "--out", str(out), "--quiet", "--json"]


def held(files: list[str], out: Path) -> dict[str, Any]:
    """A tournament's results, as the command line gives them; in this process, where vLLM is loaded already."""
    said, noted = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(noted):
        code = call(command(files, out))
    assert code == 0, noted.getvalue()
    return {**json.loads(said.getvalue()), "stderr": noted.getvalue()}


def record(folder: Path) -> dict[Any, Any]:
    """What was said and what came of it, whoever served the models."""
    found = {}
    with open_run(folder) as run:
        for name in run.statuses():
            played = run.trajectory(name)
            key = (played.match.task_seed, played.match.seed, *sorted(played.match.seats.items()))
            answers = [answer.completion for _, answer in sorted(run.answers(name).items())]
            said = [(each.text, each.finish, each.ids, each.prompt_ids) for each in answers]
            found[key] = (said, played.returns, [(turn.seat, turn.outcome) for turn in played.turns])
    return found


def numbers(folder: Path) -> list[float]:
    """All measures, log-probabilities and scores on record, in the order of `record`'s keys."""
    found: dict[Any, list[float]] = {}
    with open_run(folder) as run:
        for name in run.statuses():
            played = run.trajectory(name)
            key = (played.match.task_seed, played.match.seed, *sorted(played.match.seats.items()))
            answers = [answer.completion for _, answer in sorted(run.answers(name).items())]
            spoken = [value for each in answers for value in each.logprobs or ()]
            found[key] = [*played.metrics.values(), *spoken, *(total for each in answers for total, _ in each.scores)]
    return [value for key in sorted(found) for value in found[key]]


def asked(folder: Path) -> set[str]:
    """Keys of the completions on record."""
    try:
        with open_run(folder) as run:
            return {key for match in run.statuses() for key in run.answers(match)}
    except StoreError:  # there is none yet
        return set()


def cached_share(folder: Path) -> float:
    """Of all prompt tokens, those found in the prefix cache."""
    with open_run(folder) as run:
        usages = [answer.completion.usage for match in run.statuses() for answer in run.answers(match).values()]
    return sum(usage.cached for usage in usages) / sum(usage.prompt for usage in usages)


def killed_midway(files: list[str], out: Path) -> set[str]:
    """Start the tournament and SIGKILL it when a third has been answered; what was on record then."""
    what = [*SIMARENA, *command(files, out, live=4)]
    child = subprocess.Popen(what, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and len(asked(out)) < ENOUGH:
        time.sleep(0.05)
    child.kill()
    assert child.wait() == -signal.SIGKILL, "it ended before it could be killed; make it longer"
    return asked(out)


@pytest.fixture(scope="module")
def tribe(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return agent_files(tmp_path_factory.mktemp("tribe") / "agents")


@pytest.fixture(scope="module")
def whole(tribe: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The tournament on one engine in one process, never interrupted."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, held(tribe, folder)


class Server:
    """`simarena serve` in a process of its own."""

    def __init__(self, files: list[str], port: int, out: Path) -> None:
        what = [*SIMARENA, "serve", *files, "--port", str(port), "--out", str(out)]
        self.process = subprocess.Popen(what, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            if line.startswith("serving"):
                return
        raise AssertionError("".join(said))

    def children(self) -> list[int]:
        """Process ids of vLLM's own processes."""
        found = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
        rows = [line.split(None, 2) for line in found.splitlines()[1:]]
        return [int(pid) for pid, parent, _ in rows if int(parent) == self.process.pid]

    def stop(self, how: int = signal.SIGTERM) -> None:
        """End it."""
        self.process.send_signal(how)
        self.process.communicate(timeout=PATIENCE)


def runs(pid: int) -> bool:
    """Whether a process is there, and no mere shadow that nobody has asked after."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except OSError:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def server(tribe: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str], int]]:
    """A server, the agent files that it wrote, made greedy and impatient, and its port."""
    port, out = free_port(), tmp_path_factory.mktemp("served")
    server = Server(tribe, port, out)
    files = []
    for name in NAMES:
        path = out / f"{name}.yaml"
        about = yaml.safe_load(path.read_text())
        about["options"] |= {"attempts": 2, "backoff": 0.01, "deadline": 2}
        path.write_text(yaml.safe_dump(about))
        files.append(str(path))
    yield server, files, port
    if server.process.poll() is None:
        server.stop()


def test_a_tournament_on_one_engine_says_what_the_engine_did(whole: tuple[Path, dict[str, Any]]) -> None:
    folder, found = whole
    report = found["report"]
    assert (report["done"], report["failed"], report["calls"]) == (MATCHES, 0, CALLS)
    (engine,) = report["engines"]
    assert engine["sampled"] > 0
    assert engine["cached"] / engine["prompt"] > 0.3
    assert re.search(
        r"prompt tokens \(\d+% cached\), \d+ sampled, \d+/s; .* in the batch on average, idle", found["stderr"]
    )
    assert len(asked(folder)) == report["calls"]


def test_over_http_the_record_is_the_same(
    whole: tuple[Path, dict[str, Any]], server: tuple[Server, list[str], int], tmp_path: Path
) -> None:
    folder, here = whole
    there = held(server[1], tmp_path / "run")
    assert record(tmp_path / "run") == record(folder)
    ours, theirs = numbers(folder), numbers(tmp_path / "run")
    print(f"{sum(a != b for a, b in zip(ours, theirs, strict=True))} of {len(ours)} recorded numbers differ")
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert there["leaderboard"] == here["leaderboard"]
    shares = [cached_share(run) for run in (tmp_path / "run", folder)]
    assert shares[0] > 0.75 * shares[1], "scores over HTTP are read from the prefix cache too"


def test_a_killed_run_goes_on_and_asks_nothing_again(
    whole: tuple[Path, dict[str, Any]], tribe: list[str], tmp_path: Path
) -> None:
    folder, unbroken = whole
    before = killed_midway(tribe, tmp_path / "run")
    assert ENOUGH <= len(before) < unbroken["report"]["calls"]
    again = held(tribe, tmp_path / "run")
    assert again["report"]["calls"] == unbroken["report"]["calls"] - len(before)
    assert record(tmp_path / "run") == record(folder)
    assert again["leaderboard"] == unbroken["leaderboard"]


def test_a_killed_server_costs_what_was_under_way_and_no_more(
    whole: tuple[Path, dict[str, Any]], tribe: list[str], server: tuple[Server, list[str], int], tmp_path: Path
) -> None:
    folder, unbroken = whole
    first, files, port = server
    out = tmp_path / "run"
    what = [*SIMARENA, *command(files, out, live=4)]
    child = subprocess.Popen(what, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while child.poll() is None and len(asked(out)) < ENOUGH:
        time.sleep(0.05)
    engines = first.children()
    for pid in engines:
        os.killpg(pid, signal.SIGKILL)
    said = child.communicate(timeout=PATIENCE)[1]
    assert child.returncode in (1, 3), said
    assert "run the same command again" in said
    assert first.process.wait(PATIENCE) == 1, "serve ends with its server, and says so"
    before = asked(out)
    second = Server(tribe, port, tmp_path / "served")
    try:
        again = held(files, out)
        assert again["report"]["calls"] == unbroken["report"]["calls"] - len(before)
        assert record(out) == record(folder)
        children = second.children()
        second.stop(signal.SIGKILL)
        until = time.monotonic() + PATIENCE
        while any(map(runs, children)):
            assert time.monotonic() < until, "a server outlives whoever started it"
            time.sleep(0.1)
    finally:
        if second.process.poll() is None:
            second.stop()
