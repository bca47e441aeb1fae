"""simarena pairs, from a run to files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simarena.preferences.record import read_jsonl
from tests.cli.conftest import Call
from tests.preferences.spelling import play
from tests.preferences.test_builders import DUEL, SUM, answering, right, seated


@pytest.fixture
def run(tmp_path: Path) -> Path:
    backend = answering({"ann": right(1), "bob": "999"}, {"cat": [9, 3], "dan": [6, 5]})
    params = {**SUM, "orders": "given"}
    play(tmp_path / "run", [seated("arena", params, DUEL, task=n) for n in (1, 2)], backend).close()
    return tmp_path / "run"


def test_pairs_and_what_made_none(simarena: Call, run: Path) -> None:
    said = simarena("pairs", run, "--builder", "duel", "--out", "pairs.jsonl", "--filter", "margin=9", "--json")
    assert said.code == 0
    assert said.json == {"out": "pairs.jsonl", "kept": 0, "dropped": {"below the margin": 2}}
    said = simarena("pairs", run, "--builder", "duel", "--out", "pairs.jsonl")
    assert "2 preferences written to pairs.jsonl" in said.out
    with Path("pairs.jsonl").open(encoding="utf-8") as lines:
        assert [record.responses[0].agent for record in read_jsonl(lines)] == ["ann", "ann"]
    about = json.loads(Path("pairs.jsonl.manifest.json").read_text())
    assert about["run"]["hash"] == "feedbeef"
    assert (about["rows"], about["kept"], about["format"]) == (2, 2, "native")
    assert Path(about["run"]["folder"]).resolve() == run


def test_a_builder_that_finds_nothing_says_what_it_looks_for(simarena: Call, run: Path) -> None:
    said = simarena("pairs", run, "--builder", "verdict", "--out", "pairs.jsonl")
    assert said.out == "0 preferences written to pairs.jsonl\n"
    assert said.err == (
        "nothing here to compare; verdict: debate: of two speeches from one position the one whose judges believed it "
        "more\n"
    )


def test_a_folder_is_a_data_set_with_its_card(simarena: Call, run: Path) -> None:
    assert simarena("pairs", run, "--builder", "duel", "--format", "trl-preference", "--out", "data").code == 0
    rows = [json.loads(line) for line in Path("data/train.jsonl").read_text().splitlines()]
    assert [set(row) for row in rows] == [{"id", "prompt", "chosen", "rejected"}] * 2
    assert "path: train.jsonl" in Path("data/README.md").read_text()
    assert json.loads(Path("data/manifest.json").read_text())["file"] == "train.jsonl"


def test_stdout_holds_records_alone(simarena: Call, run: Path) -> None:
    said = simarena("pairs", run, "--builder", "truth", "--out", "-")
    assert [json.loads(line)["builder"] for line in said.out.splitlines()] == ["truth"]
    assert "1 preferences written to stdout" in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--builder", "dual"), "unknown builder 'dual'; did you mean 'duel'?"),
        (("--builder", "duel", "--format", "trl"), "unknown format 'trl'"),
        (("--builder", "branch", "--set", "value=mood"), "builder 'branch': value"),
        (("--builder", "duel", "--filter", "margins=1"), "--filter: margins"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_leaves_no_file(
    simarena: Call, run: Path, arguments: tuple[str, ...], words: str
) -> None:
    said = simarena("pairs", run, *arguments, "--out", "pairs.jsonl")
    assert said.code == 2
    assert words in said.err
    assert not Path("pairs.jsonl").exists()


def test_builders_and_formats_are_listed(simarena: Call) -> None:
    assert "self_reward" in simarena("list", "builders").out
    assert "trl-unpaired" in simarena("list", "pair-formats").out


def test_branch_wants_a_place_or_a_role(simarena: Call, run: Path) -> None:
    said = simarena("branch", run)
    assert said.code == 2
    assert "give either MATCH and TURN, or --every ROLE" in said.err
    assert "holds no such turn" in simarena("branch", run, "--every", "juror").err


@pytest.mark.parametrize(
    ("out", "file"), [("p.jsonl", "p.jsonl"), ("data", "data/train.jsonl"), ("data", "data/README.md")]
)
def test_its_own_files_are_replaced_and_an_edited_one_only_by_force(
    simarena: Call, run: Path, out: str, file: str
) -> None:
    again = ("pairs", run, "--builder", "duel", "--format", "trl-prompt", "--out", out)
    assert [simarena(*again).code for _ in range(2)] == [0, 0]
    first = Path(file).read_text()
    Path(file).write_text(first + "mine\n")
    said = simarena(*again)
    assert (said.code, said.err) == (2, f"{file} is there already; name another file, or give --force to replace it\n")
    assert Path(file).read_text() == first + "mine\n"
    assert simarena(*again, "--force").code == 0
    assert Path(file).read_text() == first
    assert simarena(*again).code == 0


def test_a_manifest_of_somebody_else_is_left(simarena: Call, run: Path) -> None:
    Path("data").mkdir()
    Path("data/manifest.json").write_text('{"name": "a page of the web", "file": "train.jsonl"}')
    said = simarena("pairs", run, "--builder", "duel", "--out", "data")
    assert said.code == 2
    assert said.err.startswith("data/manifest.json is there already")
    assert [path.name for path in Path("data").iterdir()] == ["manifest.json"]
