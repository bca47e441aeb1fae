"""Commands that read a run folder or play on from it, and those that look things up."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest

from simarena import paths
from simarena.identity import new_match
from simarena.records import Event, Trajectory, Turn
from simarena.store import Result, open_run, start_run
from simarena.weighing import light
from tests.cli.conftest import SMALL, Call

FORGED = "\x1b[2J\x1b]0;owned\x07 [bold]judge_0 (inattentive)[/bold] \u202egnihton :emoji: \x9b31m"


@pytest.fixture
def played(simarena: Call) -> str:
    """A small run."""
    assert simarena("run", *SMALL, "--set", "protocol=debate", "--out", "r").code == 0
    return "r"


def first(simarena: Call, run: str) -> str:
    name: str = simarena("show", run, "--json").json[0]["match"]["id"]
    return name


def test_rate_holds_what_scripts_read(simarena: Call, played: str) -> None:
    found = simarena("rate", played, "--json").json
    assert {"leaderboard", "seat_effect", "tie_rate", "invalid_rate"} <= set(found)
    assert {"agent", "rating", "low", "high", "rank_low", "rank_high", "matches"} <= set(found["leaderboard"][0])
    assert {row["agent"] for row in found["leaderboard"]} == {"debate/honest", "debate/fabricator"}


@pytest.mark.parametrize("method", ["reputation", "nash", "alpha_rank", "elo"])
def test_rate_knows_fields_that_no_scale_fits(method: str, simarena: Call, played: str) -> None:
    said = simarena("rate", played, "--method", method, "--json")
    assert set(said.json[method]) == {"debate/honest", "debate/fabricator"}
    assert method in simarena("rate", played, "--method", method).out


def test_rate_says_how_sure_its_intervals_are(simarena: Call, played: str) -> None:
    assert "95 % interval" in simarena("rate", played).out
    said = simarena("rate", played, "--confidence", 0.8).out
    assert "80 % interval" in said
    assert "95 %" not in said


@pytest.mark.parametrize(("metrics", "gap"), [({"grade/a_0": 4.5, "grade/a_1": -4.5}, 4.5), ({}, 1.0)])
def test_reputations_move_by_the_panels_margin_once(metrics: dict[str, float], gap: float) -> None:
    match = new_match("arena", {}, {"a_0": "x", "a_1": "y"}, {"x": "", "y": ""}, task_seed=0, seed=0, cell={})
    row = Result(match=match, status="done", returns={"a_0": 1.0, "a_1": -1.0}, metrics=metrics)
    found = light(row, ("a_0", "a_1"))
    assert found.returns["a_0"] - found.returns["a_1"] == gap


def test_rate_refuses_what_it_does_not_know(simarena: Call, played: str) -> None:
    assert simarena("rate", played, "--method", "ello").code == 2
    assert simarena("rate", played, "--method", "reputation", "--option", "steps=3").code == 2
    for method, option in (("alpha_rank", "alpha=x"), ("nash", "alpha=1"), ("elo", "k=32")):
        refused = simarena("rate", played, "--method", method, "--option", option)
        assert refused.code == 2
        assert f"{method} does not take these options" in refused.err
    assert "none is given" in simarena("rate", played, "--option", "alpha=1").err
    for option in ("--where=protocl=debate", "--by=protocl"):
        refused = simarena("rate", played, option)
        assert refused.code == 2
        assert "unknown sweep axis 'protocl'" in refused.err
    assert simarena("rate", ".").code == 1


def test_rate_tells_cells_apart(simarena: Call) -> None:
    both = "sweep.protocol=[consultancy, debate, open_debate]"
    assert simarena("run", *SMALL, "--set", both, "--out", "swept").code == 0
    found = simarena("rate", "swept", "--by", "protocol", "--json").json
    cells = found["cells"]
    assert [each["cell"]["protocol"] for each in cells] == ["debate", "open_debate"], "a consultant meets nobody"
    alone = simarena("rate", "swept", "--where", "protocol=debate", "--json").json
    assert cells[0]["leaderboard"] == alone["leaderboard"]
    said = simarena("rate", "swept", "--by", "protocol").out
    assert "open_debate" in said
    assert "ties" in said
    refused = simarena("rate", "swept", "--where", "protocol=debat")
    assert refused.code == 2
    assert "unknown value of protocol 'debat'; did you mean 'debate'?" in refused.err


def test_replay_compares_every_state_and_every_prompt(simarena: Call, played: str) -> None:
    said = simarena("replay", played)
    assert said.code == 0
    assert "2 of 2 matches replayed as recorded" in said.out
    assert simarena("replay", played, first(simarena, played)[:9], "--agents", "--json").json["same"] == 1


def test_a_branch_plays_on_from_a_turn_and_stays_out_of_ratings(simarena: Call, played: str) -> None:
    name, before = first(simarena, played), simarena("rate", played, "--json").json
    said = simarena("branch", played, name, 3, "--n", 2, "--json", "-q")
    assert said.code == 0
    assert [fork["match"]["parent"] for fork in said.json["forks"]] == [name, name]
    assert said.json["report"]["replayed"] > 0
    assert simarena("branch", played, name, 3, "--n", 3, "-q", "--json").json["report"]["done"] == 1
    assert simarena("rate", played, "--json").json == before
    assert "fork 0" in simarena("branch", played, name, 3, "--n", 2, "-q").out
    assert simarena("branch", played, name, 99).code == 1


def test_show_tells_a_match_and_keeps_the_truth_from_a_seats_view(simarena: Call, played: str) -> None:
    name = first(simarena, played)
    assert name in simarena("show", played).out
    whole = simarena("show", played, name[:10]).out
    assert "debater_0 (debate/honest)" in whole
    assert "verdict" in whole
    assert "truth, returns" in whole
    with open_run(played) as run:
        record = run.trajectory(name)
    source = next(e.data["source"] for e in record.events if e.kind == "card" and "source" in e.data)
    view = " ".join(simarena("show", played, name, "--seat", "judge_0").out.split())
    assert "as judge_0 saw it" in view
    assert "truth" not in view
    assert source not in view
    assert source in " ".join(simarena("show", played, name, "--seat", "debater_1").out.split())
    assert simarena("show", played, name, "--seat", "juge_0").code == 2
    assert "reply [stop]" in simarena("show", played, name, "--prompts").out
    assert simarena("show", played, "zzz").code == 1


def written(folder: Path) -> str:
    """A run that holds one match full of things that no terminal should be sent."""
    match = new_match("debate", {}, {"judge_0": FORGED}, {FORGED: "x"}, task_seed=0, seed=0, cell={FORGED: FORGED})
    record = Trajectory(
        match=match,
        status="failed",
        turns=(
            Turn(
                n=0,
                seat="judge_0",
                agent=FORGED,
                phase=FORGED,
                calls=(),
                fields=None,
                outcome="malformed",
                state="",
                error=FORGED,
            ),
        ),
        events=(
            Event(0, FORGED, "judge_0", None, "act", {FORGED: FORGED}),
            Event(1, "x", "", None, FORGED, {"a": [FORGED]}),
        ),
        returns={"judge_0": 0.0},
        truth={"answer": FORGED},
        error=FORGED,
    )
    with start_run(folder, {"scenario_hash": "x", "rated": ["judge"]}) as run:
        run.start(match)
        asyncio.run(run.finish(record, 0.1))
    return match.id


def test_what_models_wrote_never_reaches_a_terminal_raw(simarena: Call, tmp_path: Path) -> None:
    name = written(tmp_path / "r")
    for arguments in (
        ("show", "r"),
        ("show", "r", name),
        ("show", "r", name, "--prompts"),
        ("rate", "r"),
        ("show", "r", "--json"),
    ):
        said = simarena(*arguments)
        text = said.out + said.err
        assert not {c for c in text if not c.isprintable() and c != "\n"}, arguments
    shown = simarena("show", "r", name).out
    assert "\\x1b[2J" in shown
    assert "[bold]judge_0" in shown
    assert ":emoji:" in shown
    assert "!! malformed" in shown


def test_export_writes_a_line_a_match(simarena: Call, played: str, tmp_path: Path) -> None:
    assert simarena("export", played, "--out", "x.jsonl").code == 0
    lines: list[dict[str, Any]] = [json.loads(line) for line in (tmp_path / "x.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["completions"]
    assert len(simarena("export", played, "--out", "-", "--no-completions").out.splitlines()) == 2
    said = simarena("export", played, "--out", "x.jsonl/y.jsonl")
    assert said.code == 1
    assert "cannot write x.jsonl/y.jsonl" in said.err


def test_export_replaces_a_file_by_force_alone_and_its_run_never(simarena: Call, played: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("mine")
    said = simarena("export", played, "--out", "x.jsonl")
    assert (said.code, said.err) == (2, "x.jsonl is there already; name another file, or give --force to replace it\n")
    assert simarena("export", played, "--out", "x.jsonl", "--force").code == 0
    assert len((tmp_path / "x.jsonl").read_text().splitlines()) == 2
    for name in ("run.sqlite", "lock"):
        said = simarena("export", played, "--out", f"{played}/{name}", "--force")
        assert (said.code, said.err) == (2, f"r/{name} belongs to what this command reads; write to another file\n")
    assert simarena("replay", played).code == 0


def test_a_corrupt_store_is_refused(simarena: Call, played: str) -> None:
    Path(played, "run.sqlite").write_bytes(b"SQLite format 3\x00" + b"x" * 5000)
    for command in (("rate", played), ("show", played), ("replay", played), ("run", *SMALL, "--out", played)):
        said = simarena(*command)
        assert said.code == 1
        assert len(said.err.splitlines()) == 1, said.err


@pytest.mark.parametrize("kind", ["environments", "tasks", "scenarios", "agents", "policies", "backends", "formats"])
def test_everything_that_is_listed_is_described(kind: str, simarena: Call) -> None:
    found = simarena("list", kind, "--json").json[kind]
    assert found
    assert all(found.values())
    lines = simarena("list", kind).out.splitlines()
    assert [line.split()[0] for line in lines] == list(found)


def test_all_shipped_files_are_valid(simarena: Call) -> None:
    names = [*paths.scenario_names(), *paths.agent_names()]
    said = simarena("validate", *names)
    assert said.code == 0
    assert len(said.out.splitlines()) == len(names)


@pytest.mark.parametrize(("kind", "folder"), [("scenario", "scenarios"), ("agent", "agents")])
def test_the_schema_that_editors_read_is_the_present_one(kind: str, folder: str, simarena: Call) -> None:
    assert simarena("schema", kind).json == json.loads((paths.shipped(folder) / "schema.json").read_text())


def test_doctor_tells_what_works_and_what_to_do(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/lost.yaml").write_text("backend: transformers\nmodel: someone/lost\n")
    said = simarena("doctor")
    assert said.code == 0
    assert "agent lost" in said.out
    assert "hf download someone/lost" in said.out
    assert re.search(r"ok  threads +\d+ of \d+ cores, ", said.out)
    assert all({"what", "fine", "said", "remedy"} == set(each) for each in simarena("doctor", "--json").json)
