"""simarena train, trace, and the recipes, as a user meets them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simarena import paths
from simarena.preferences.record import write_jsonl
from simarena.training.recipe import read_recipe
from tests.cli.conftest import Call
from tests.tiny import Tiny
from tests.training.planted import chat, record

QUICK = ("--set", "batch=4", "--set", "rank=4", "--set", "learning_rate=0.01")


@pytest.fixture
def given(tiny: Tiny, tmp_path: Path) -> Callable[..., Path]:
    """An agent file ann.yaml, and pairs.jsonl."""

    def write(count: int = 8) -> Path:
        template = chat()
        (tmp_path / "ann.yaml").write_text(f"backend: transformers\nmodel: {tiny.base}\n")
        with (tmp_path / "pairs.jsonl").open("w") as file:
            write_jsonl((record(n, template=template) for n in range(count)), file)
        return tmp_path / "pairs.jsonl"

    return write


def test_it_says_where_the_new_agent_is_and_how_to_seat_it(simarena: Call, given: Any) -> None:
    given()
    said = simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK, "--set", "beta=0.2")
    assert said.code == 0, said.err
    [folder] = Path("out").glob("ann@*/")
    assert str(folder) in said.out
    assert f"--agents ann {folder}.yaml" in said.out
    assert "step 2/2" in said.err
    meta = json.loads((folder / "meta.json").read_text())
    assert meta["arguments"]["params"] == {"beta": 0.2}
    assert meta["parent"] == "ann"
    assert meta["pairs"]["file"].endswith("pairs.jsonl")
    assert len(Path("out/metrics.jsonl").read_text().splitlines()) == 2
    assert simarena("validate", f"{folder}.yaml").code == 0
    assert all(line.startswith("training ann · ") for line in said.err.splitlines())

    again = simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK, "--set", "beta=0.2")
    assert again.out == said.out
    other = simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK)
    assert other.code == 2
    assert "another training" in other.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "learning_rat=1"), "learning_rat"),
        (("--loss", "dpoo"), "did you mean 'dpo'"),
        (("--recipe", "tr_dpoo"), "did you mean 'tr_dpo'"),
        (("--agent", "random"), "has no weights here"),
        (("--version", "../../../precious"), "--version: '../../../precious' holds '/'"),
        (("--name", ".."), "--name: '..' begins or ends with '.'"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(
    simarena: Call, given: Any, arguments: tuple[str, ...], said: str
) -> None:
    given(2)
    found = simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *arguments)
    assert found.code == 2
    assert said in found.err
    assert not Path("out").exists()


def test_bad_rows_are_named_or_skipped(simarena: Call, given: Any) -> None:
    path = given(4)
    path.write_text(path.read_text() + '{"chosen": "x"}\n')
    refused = simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK)
    assert refused.code == 2
    assert "row 5: " in refused.err
    skipped = simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK, "--skip-bad", "--json")
    assert skipped.code == 0, skipped.err
    assert sum(skipped.json[0]["pairs"]["dropped"].values()) == 1


def test_stages_go_on_from_one_another(simarena: Call, given: Any) -> None:
    given()
    said = simarena(
        "train", "pairs.jsonl", "--agent", "ann.yaml", "--recipe", "sacpo", "--out", "out", *QUICK, "--json", "-q"
    )
    assert said.code == 0, said.err
    first, second = said.json
    assert second["parent"] == first["name"]
    assert first["arguments"]["params"]["beta"] > second["arguments"]["params"]["beta"]


def test_a_training_can_be_looked_at_afterwards(simarena: Call, given: Any) -> None:
    given()
    more = ("--set", "epochs=15", "--set", "checkpoint_every=100", "--version", "1", "-q")
    assert simarena("train", "pairs.jsonl", "--agent", "ann.yaml", "--out", "out", *QUICK, *more).code == 0
    said = simarena("show", "out")
    assert said.out.splitlines()[0] == "ann@1, dpo: step 30 of 30"
    rows = [line.split() for line in said.out.splitlines() if line.split()[:1] and line.split()[0].isdigit()]
    assert [row[0] for row in rows][:2] == ["1", "2"]
    assert rows[-1][0] == "30"
    assert all(len(row) == 10 for row in rows)
    found = simarena("show", "out", "--json").json
    assert found["agent"] == "ann@1"
    assert [each["step"] for each in found["metrics"]] == list(range(1, 31))


def test_the_trainings_of_a_round_can_be_looked_at_in_one_table(simarena: Call, given: Any) -> None:
    given()
    for name in ("bob", "ann"):
        more = ("--set", "epochs=2", "--version", "1", "--name", name, "--out", f"league/round-1/agents/{name}", "-q")
        assert simarena("train", "pairs.jsonl", "--agent", "ann.yaml", *QUICK, *more).code == 0
    rows = [line.split() for line in simarena("show", "league/round-1").out.splitlines() if "@1" in line]
    assert [row[:5] for row in rows] == [[f"{name}@1", "dpo", "4", "of", "4"] for name in ("ann", "bob")]
    assert all(row[5:7] == ["0.6931", ">"] and float(row[-1]) > 0 for row in rows)
    found = simarena("show", "league/round-1", "--json").json
    assert [(each["agent"], len(each["metrics"])) for each in found] == [("ann@1", 4), ("bob@1", 4)]


@pytest.mark.slow
@pytest.mark.timeout(900)  # ten seconds of work, in processes that a busy machine may starve
def test_killed_and_called_again_it_ends_with_the_same_adapter(given: Any, tmp_path: Path) -> None:
    given(16)
    more = (*QUICK, "--set", "checkpoint_every=1", "--set", "epochs=3", "--version", "1")

    def start(*folders: str) -> subprocess.Popen[str]:
        """The command in a process of its own; for several folders one after the other, as loading torch takes long."""
        words = ["train", "pairs.jsonl", "--agent", "ann.yaml", *more, "--out"]
        code = f"from simarena.cli import call; print([call([*{words}, out]) for out in {folders}])"
        return subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    with start("killed") as killed:
        metrics = tmp_path / "killed" / "metrics.jsonl"
        while not metrics.is_file() or metrics.read_text().count("\n") < 5:
            assert killed.poll() is None, "it ended before its fifth step"
            time.sleep(0.005)
        killed.send_signal(signal.SIGKILL)
    assert not (tmp_path / "killed" / "ann@1").exists()
    with start("killed", "whole") as again:
        out, said = again.communicate()
    assert out.splitlines()[-1:] == ["[0, 0]"], said
    assert {line.split(" ")[0] for line in said.splitlines()} == {"training"}, said
    one, two = ((tmp_path / out / "ann@1" / "adapter_model.safetensors").read_bytes() for out in ("killed", "whole"))
    assert one == two
    steps = [json.loads(line)["step"] for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 13))


@pytest.mark.parametrize("name", paths.recipe_names())
def test_every_recipe_that_ships_is_valid_and_names_a_builder(name: str) -> None:
    from simarena.preferences.builders import BUILDERS

    recipe = read_recipe(paths.find_recipe(name))
    assert recipe.pairs.builder in BUILDERS


def test_recipes_are_listed_and_validated(simarena: Call) -> None:
    assert "tr_dpo" in simarena("list", "recipes").out
    assert "recipe is valid" in simarena("validate", "tr_dpo").out
    Path("odd.yaml").write_text(
        "recipe: x\nprovenance: y\npairs: {builder: duel}\nstages:\n  - loss: dpo\n    bta: 1\n"
    )
    wrong = simarena("validate", "odd.yaml")
    assert wrong.code == 2
    assert "odd.yaml:5" in wrong.err
    assert "bta" in wrong.err
    grid = "grid: {reference: ['http://x']}"
    Path("odd.yaml").write_text(
        f"recipe: x\nprovenance: y\npairs: {{builder: duel}}\nstages: [{{loss: dpo}}]\n{grid}\n"
    )
    wrong = simarena("validate", "odd.yaml")
    assert wrong.code == 2
    assert "odd.yaml:5:1: grid: 'reference=http:__x' is the name of a folder, and holds ':'" in wrong.err


def test_an_adapter_that_nobody_trained_cannot_be_traced(simarena: Call, tiny: Tiny) -> None:
    said = simarena("trace", tiny.red)
    assert said.code == 1
    assert "no meta.json" in said.err
