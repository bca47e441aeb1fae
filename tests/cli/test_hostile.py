"""Folders that try to run something, played by every command: refused in a sentence or played without it, never run."""

from __future__ import annotations

import importlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pytest

from simarena import paths
from simarena.backends.vllm_check import check_adapter, check_base
from simarena.errors import MissingModel
from simarena.preferences.record import write_jsonl
from tests.cli.conftest import Call
from tests.hostile import (
    ADAPTERS,
    CHECKPOINTS,
    ESCAPES,
    MAP,
    MODULES,
    Hostile,
    changed,
    edit,
    passed_over,
    write_code,
    write_pickle,
)
from tests.tiny import Tiny, build
from tests.training.planted import chat, record

QUICK = ("--set", "batch=4", "--set", "rank=4")
GAME = ("arena/self_reward", "--scale", "mini", "--set", "data.size=1")
LEAGUE = {
    "league.matches": "1",
    "league.rounds": "1",
    "league.exam.questions": "1",
    "league.exam.final": "1",
    "league.expect": "[]",
    "data.params": "{weights: {trap_math: 1}, params: {trap_math: {size: 1}}}",
}
SHORT = [word for name, value in LEAGUE.items() for word in ("--set", f"{name}={value}")]
NANO = paths.shipped("agents") / "nano"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return build(tmp_path_factory.mktemp("good"), max_position_embeddings=2048)


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """What none may write, with modules of the names that folders ask for where an import would find them."""
    found = tmp_path / "canary"
    (tmp_path / "importable").mkdir()
    write_code(tmp_path / "importable", found)
    monkeypatch.syspath_prepend(tmp_path / "importable")
    yield found
    for name in MODULES:
        sys.modules.pop(name, None)


def seat(folder: Path, model: object, adapter: object = None) -> None:
    """The agent file ann.yaml, and pairs to train it on."""
    beside = f"adapter: {adapter}\n" if adapter else ""
    more = "sampling: {max_tokens: 6}\nparse: {repairs: 0}\n"
    (folder / "ann.yaml").write_text(f"backend: transformers\nmodel: {model}\n{beside}{more}")
    with (folder / "pairs.jsonl").open("w") as file:
        write_jsonl((record(n, template=chat()) for n in range(4)), file)


def commands(simarena: Call) -> Iterator[tuple[int, str]]:
    """Exit code and errors of each."""
    for words in (
        ("run", *GAME, "--seat", "*=ann.yaml", "--out", "run"),
        ("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK),
        ("league", GAME[0], "--agents", "ann.yaml", "--out", "league", *SHORT),
    ):
        said = simarena(*words, "-q") if words[0] != "train" else simarena(*words)
        yield said.code, said.err


def judged(hostile: Hostile, simarena: Call, checked: Callable[[], object]) -> None:
    """Every command, and the look before vLLM starts: it plays, or is refused in one sentence by exit code 2."""
    for code, said in commands(simarena):
        assert code == (0 if hostile.plays else 2), said
        assert hostile.plays or "hostile" in said.splitlines()[-1]
        assert "failed unexpectedly" not in said
    if hostile.plays:
        checked()
    else:
        with pytest.raises(MissingModel, match="hostile"):
            checked()


@pytest.mark.slow
@pytest.mark.parametrize("hostile", CHECKPOINTS, ids=lambda each: each.name)
def test_no_checkpoint_runs_anything(
    hostile: Hostile, simarena: Call, good: Tiny, canary: Path, tmp_path: Path
) -> None:
    folder = changed(good.base, tmp_path / "hostile", canary, [hostile])
    seat(tmp_path, folder)
    judged(hostile, simarena, lambda: check_base(str(folder)))
    assert not canary.exists()


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ADAPTERS, ids=lambda each: each.name)
def test_no_adapter_runs_anything(hostile: Hostile, simarena: Call, good: Tiny, canary: Path, tmp_path: Path) -> None:
    folder = changed(good.red, tmp_path / "hostile", canary, [hostile])
    seat(tmp_path, good.base, folder)
    judged(hostile, simarena, lambda: check_adapter(str(folder), check_base(good.base)))
    assert not canary.exists()


def test_there_are_more_than_sixty_and_some_play() -> None:
    assert len(CHECKPOINTS) + len(ADAPTERS) > 60
    assert len(passed_over(CHECKPOINTS + ADAPTERS)) >= 20


# ---- real processes --------------------------------------------------------------------------------------------------


def says_yes(words: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command in `folder` whose standard input says yes to every question."""
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as yes:
        done = subprocess.run(
            [sys.executable, "-P", *words],
            cwd=folder,
            stdin=yes.stdout,
            capture_output=True,
            text=True,
            env=os.environ | environment,
        )
        yes.kill()
    return done


def test_yes_on_standard_input_changes_nothing(good: Tiny, canary: Path, tmp_path: Path) -> None:
    """In the folder of the model itself, which has modules named like json and torch."""
    known = changed(good.base, tmp_path / "known", canary, passed_over(CHECKPOINTS))
    red = changed(good.red, tmp_path / "red", canary, passed_over(ADAPTERS))
    seat(known, known, red)
    played = says_yes(["-m", "simarena.cli", "run", *GAME, "--seat", "*=ann.yaml", "--out", "run", "-q"], known)
    assert played.returncode == 0, played.stderr
    assert played.stderr.count("is passed over; llama is transformers' own") == 1
    assert played.stderr.count(str(known)) == 1
    edit(known / "config.json", model_type="own")
    refused = says_yes(["-m", "simarena.cli", "run", *GAME, "--seat", "*=ann.yaml", "--out", "other", "-q"], known)
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert "needs code of its own, which is never run" in refused.stderr
    assert "[y/N]" not in refused.stdout + played.stdout
    assert not canary.exists()


@pytest.mark.nano
@pytest.mark.slow
def test_a_league_learns_from_a_model_whose_code_it_does_not_run(
    simarena: Call, canary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = changed(str(NANO / "base"), tmp_path / "base", canary, passed_over(CHECKPOINTS))
    for name in "ac":
        adapter = changed(str(NANO / name), tmp_path / name, canary, passed_over(ADAPTERS) if name == "a" else [])
        shipped = (NANO.parent / f"nano-{name}.yaml").read_text()
        (tmp_path / f"{name}.yaml").write_text(
            shipped.replace("nano/base", str(base)).replace(f"nano/{name}\n", f"{adapter}\n")
        )
    more = {"league.matches": "16", "league.pairs.filters": "{}", "league.guards.label_accuracy": "0"}
    words = [word for name, value in more.items() for word in ("--set", f"{name}={value}")]
    said = simarena("league", GAME[0], "--agents", "a.yaml", "c.yaml", "--out", "league", "-q", *SHORT, *words)
    assert said.code == 0, said.err
    assert list(tmp_path.glob("league/round-1/agents/*/*@1/adapter_model.safetensors"))
    assert not canary.exists()


# ---- the canary is alive: others do run these folders ----------------------------------------------------------------

ASKS = "import sys; from transformers import AutoTokenizer; AutoTokenizer.from_pretrained(sys.argv[1])"


def test_transformers_by_itself_asks_and_runs_what_it_is_told_yes_to(good: Tiny, canary: Path, tmp_path: Path) -> None:
    ways = [each for each in CHECKPOINTS if each.name == "own tokenizer of its own class"]
    folder = changed(good.base, tmp_path / "hostile", canary, ways)
    edit(folder / "config.json", model_type="own", auto_map=MAP)
    says_yes(["-c", ASKS, str(folder)], tmp_path, HF_MODULES_CACHE=str(tmp_path / "modules"))
    assert canary.exists()


def test_pickles_and_templates_and_modules_write_it_where_they_are_run(canary: Path, tmp_path: Path) -> None:
    write_pickle(tmp_path / "weights.bin", canary)
    pickle.loads((tmp_path / "weights.bin").read_bytes())
    assert canary.is_dir()
    canary.rmdir()
    jinja2.Environment().from_string(ESCAPES["globals"].replace("CANARY", str(canary))).render()
    assert canary.exists()
    canary.unlink()
    importlib.import_module("own_library")
    assert canary.exists()
    canary.unlink()
    write_code(tmp_path, canary, ("json",))
    subprocess.run([sys.executable, "-m", "json.tool", "--help"], cwd=tmp_path, capture_output=True)
    assert canary.exists(), "a module of the current folder"
