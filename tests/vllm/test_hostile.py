"""Folders that try to run something, on the real engine and behind a real server: refused, or played without it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from simarena.backends.vllm_backend import VLLMBackend
from simarena.cli import call
from simarena.errors import MissingModel
from tests.hostile import ADAPTERS, CHECKPOINTS, SHADOWS, Hostile, changed, passed_over, write_code
from tests.tiny import Tiny, build
from tests.vllm.asking import request
from tests.vllm.conftest import opened
from tests.vllm.test_tournament import PATIENCE, free_port

pytestmark = pytest.mark.timeout(600)

REFUSED = [each for each in CHECKPOINTS + ADAPTERS if not each.plays]
PASSED_OVER = [each for each in passed_over(CHECKPOINTS) if each.name != "quantization of its own"]
"""All but a method that vLLM, which has none of that name, refuses itself."""


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return build(tmp_path_factory.mktemp("good"), max_position_embeddings=2048)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """What none may write."""
    yield tmp_path / "canary"
    assert not (tmp_path / "canary").exists()


def seated(folder: Path, model: object, adapter: object) -> Path:
    """An agent file."""
    options = "options: {dtype: float32, cache_mb: 64}"
    path = folder / "ann.yaml"
    path.write_text(f"backend: vllm\nmodel: {model}\nadapter: {adapter}\n{options}\n")
    return path


@pytest.mark.parametrize("hostile", REFUSED, ids=lambda each: each.name)
def test_what_is_refused_is_refused_before_an_engine_or_a_server_starts(
    hostile: Hostile, good: Tiny, canary: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = changed(good.red if hostile in ADAPTERS else good.base, tmp_path / "hostile", canary, [hostile])
    base, adapter = (good.base, str(folder)) if hostile in ADAPTERS else (str(folder), good.red)
    with pytest.raises(MissingModel, match="hostile"):
        VLLMBackend(base, [adapter])
    assert call(["serve", str(seated(tmp_path, base, adapter))]) == 2
    assert "hostile" in capsys.readouterr().err


def test_an_engine_plays_what_is_passed_over(
    good: Tiny, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Started in the model's own folder, where modules are named like json and torch."""
    base = changed(good.base, tmp_path / "base", canary, PASSED_OVER)
    red = changed(good.red, tmp_path / "red", canary, passed_over(ADAPTERS))
    monkeypatch.chdir(base)
    floor = opened(str(base), [str(red)], max_adapters=2)
    try:
        hostile = floor.ask(request(), request(adapter=str(red)))
    finally:
        floor.close()
    plain = opened(good.base, [good.red], max_adapters=2)
    try:
        assert [each.ids for each in hostile] == [each.ids for each in plain.ask(request(), request(adapter=good.red))]
    finally:
        plain.close()


def test_a_server_serves_what_is_passed_over(good: Tiny, canary: Path, tmp_path: Path) -> None:
    base = changed(good.base, tmp_path / "base", canary, PASSED_OVER)
    red = changed(good.red, tmp_path / "red", canary, passed_over(ADAPTERS))
    write_code(base, canary, (*SHADOWS, "fastapi", "uvicorn", "zmq"))
    words = ["serve", str(seated(base, base, red)), "--port", str(free_port())]
    with (
        subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "simarena.cli", *words],
            cwd=base,
            stdin=yes.stdout,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONSAFEPATH": ""},
        ) as server,
    ):
        assert server.stderr is not None
        said = list[str]()
        until = time.monotonic() + PATIENCE
        for line in server.stderr:
            said.append(line)
            if "serving; Ctrl-C stops" in line or time.monotonic() > until:
                break
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=PATIENCE)
        yes.kill()
    assert "serving" in said[-1], said
    assert sum("is passed over; llama is transformers' own" in line for line in said) == 1
