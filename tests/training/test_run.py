"""One training as a function: killed between its last files it is finished by the next call, and it can be read."""

from __future__ import annotations

import errno
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from simarena import threads
from simarena.agents.members import member
from simarena.casting import role
from simarena.errors import OutputError, Unwritten
from simarena.outputs import explained
from simarena.threads import Choice
from simarena.training import policy, run
from simarena.training.arguments import Arguments
from simarena.training.journal import is_training, read_training
from simarena.training.run import OtherTraining, Trained, train_agent
from tests.tiny import Tiny
from tests.training.conftest import SMALL
from tests.training.planted import record


@pytest.fixture
def teach(tiny: Tiny, tmp_path: Path, template: Any) -> Any:
    """Train on four pairs, in the folder "out"."""
    agent = tmp_path / "ann.yaml"
    agent.write_text(f"backend: transformers\nmodel: {tiny.base}\n")

    def train(**settings: Any) -> Trained:
        records = [record(n, template=template) for n in range(4)]
        return train_agent(str(agent), records, tmp_path / "out", Arguments(**(SMALL | settings)), version="1")

    return train


def test_the_number_of_threads_stays_what_the_training_began_with(
    teach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "train", partial(cut_short, run.train))
    monkeypatch.setattr(threads, "measured", lambda *_: Choice(count=2, by="measured", cores=4))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with pytest.raises(Killed):
        teach(epochs=2, checkpoint_every=1)
    monkeypatch.undo()
    monkeypatch.setattr(threads, "measured", lambda *_: Choice(count=1, by="measured", cores=4))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    made = teach(epochs=2, checkpoint_every=1)
    assert made.meta["threads"] == {"count": 2, "by": "training.json"}
    asked, _ = read_training(tmp_path / "out")
    assert (asked["threads"]["count"], asked["threads"]["by"], asked["threads"]["cores"]) == (2, "measured", 4)


def cut_short(train: Any, *given: Any) -> Any:
    """A training that is killed after its first step."""
    yield next(train(*given))
    raise Killed


class Killed(BaseException):
    """As nothing catches it."""


def test_killed_between_the_agent_s_file_and_its_folder_the_next_call_finishes_it(
    teach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = os.replace

    def last_move(source: Any, target: Any) -> None:
        if Path(target).name == "ann@1":
            raise Killed
        move(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(policy.os, "replace", last_move)
        with pytest.raises(Killed):
            teach()
    assert not (tmp_path / "out" / "ann@1").exists()
    made = teach()
    assert role(member(str(made.agent))).adapter == str(made.folder)
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if "ann" in path.name) == ["ann@1", "ann@1.yaml"]


def test_an_agent_s_folder_never_appears_before_the_file_that_seats_it(
    teach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(policy, "write_agent", none)
        with pytest.raises(Killed):
            teach()
    assert not (tmp_path / "out" / "ann@1").exists()
    assert teach().agent.is_file()


def test_what_was_asked_for_and_every_step_can_be_read_afterwards(teach: Any, tmp_path: Path) -> None:
    made = teach(epochs=2)
    assert is_training(tmp_path / "out")
    asked, metrics = read_training(tmp_path / "out")
    assert (asked["agent"], asked["arguments"]["epochs"]) == ("ann@1", 2)
    assert [each["step"] for each in metrics] == [1, 2]
    assert list(made.metrics) == metrics
    assert made.meta["scores"]["loss"] == metrics[-1]["loss"]


def test_a_file_in_the_place_of_the_folder_is_refused(teach: Any, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="is a file; give a folder with --out"):
        teach()


def test_a_full_disk_at_the_end_names_the_folder_and_the_next_call_finishes(
    teach: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.save_file", full)
        with pytest.raises(Unwritten, match=r"cannot write .*ann@1: .*No space left.*; make room, then run the same"):
            teach()
    assert not list(tmp_path.glob("out/*ann@1*"))
    assert teach().agent.is_file()


def test_a_full_disk_for_the_metrics_names_their_file(tmp_path: Path) -> None:
    said = r"cannot write .*metrics\.jsonl: No space left on device; make room"
    with pytest.raises(Unwritten, match=said), explained(tmp_path / "metrics.jsonl"):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_folder_of_another_training_is_refused_and_left_as_it_is(teach: Any, tmp_path: Path) -> None:
    made = teach()
    before = made.agent.read_text()
    with pytest.raises(OtherTraining, match="arguments differ"):
        teach(seed=1)
    assert made.agent.read_text() == before
    assert run.found(tmp_path / "out", "ann@1").meta == made.meta


@pytest.mark.parametrize("taken", ["ann@1", "ann@1.yaml"])
def test_what_is_in_the_place_of_the_agent_stays_and_is_named_before_the_first_step(
    teach: Any, tmp_path: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(run, "fulfil", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            teach()
        if taken == "ann@1":
            (tmp_path / "out" / taken).mkdir()
        else:
            (tmp_path / "out" / taken).write_text("name: mine")
        with pytest.raises(OutputError, match=f"{taken} is there"):
            teach()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [taken, "training.json"]


def test_a_folder_with_other_files_is_refused_and_left(teach: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "metrics.jsonl").write_text("mine")
    with pytest.raises(OutputError, match=r"out holds other files \(metrics\.jsonl\)"):
        teach()
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["mine"]


def test_a_training_json_of_somebody_else_is_another_training(teach: Any, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    for text in ("[]", "{", "{}"):
        (tmp_path / "out" / "training.json").write_text(text)
        with pytest.raises(OtherTraining, match="holds another training"):
            teach()
        assert (tmp_path / "out" / "training.json").read_text() == text
