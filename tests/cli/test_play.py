"""Commands that play, as a user calls them."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from simarena import __version__, paths
from simarena.lock import Lock
from simarena.scenario import Expectation, load
from simarena.store import open_run
from simarena.verify import toy, words
from tests.cli.conftest import SMALL, Call

MAIN = [sys.executable, "-c", "from simarena.cli import main; main()"]
DUELS = ("arena/sparta_combat", "--scale", "mini", "--games", 1, "-q")


def test_a_run_prints_measures_by_cell_with_intervals_and_says_where_it_is(simarena: Call) -> None:
    said = simarena("run", *SMALL)
    assert said.code == 0
    assert "consultancy" in said.out
    assert "accuracy" in said.out
    assert "±" in said.out
    assert "invalid turns" in said.out
    folder = next(Path("runs").iterdir())
    assert f"open a transcript with: simarena show {folder} " in said.out


def test_the_same_command_again_plays_nothing_and_more_tasks_only_add(simarena: Call) -> None:
    first = simarena("run", *SMALL, "--json").json
    again = simarena("run", *SMALL, "--json").json
    assert (again["report"]["done"], again["report"]["skipped"]) == (0, first["report"]["done"])
    assert again["cells"] == first["cells"]
    more = simarena("run", *SMALL, "--set", "data.size=3", "--json").json
    assert more["run"] == first["run"]
    assert more["report"]["skipped"] == first["report"]["done"]
    assert more["report"]["done"] > 0


def test_matches_are_counted_across_cells_and_beyond_the_scenarios_own_number(simarena: Call) -> None:
    cells = simarena("run", *SMALL, "--matches", 3, "--json").json["cells"]
    assert sum(cell["matches"] for cell in cells) == 3
    cells = simarena("run", *SMALL, "--matches", 13, "--json").json["cells"]
    assert sum(cell["matches"] for cell in cells) == 13


def test_seats_take_other_agents_and_a_star_takes_them_all(simarena: Call) -> None:
    found = simarena("run", *SMALL, "--seat", "judge=random", "--json").json
    assert all("random" in cell["returns"] and "inattentive" not in cell["returns"] for cell in found["cells"])
    found = simarena("run", *SMALL, "--seat", "*=any/random,any/silent", "--json").json
    assert {name for cell in found["cells"] for name in cell["returns"]} == {"any/random", "any/silent"}


def test_a_set_key_holds_what_the_sweep_varies(simarena: Call) -> None:
    cells = simarena("run", *SMALL, "--set", "protocol=debate", "--json").json["cells"]
    assert [cell["cell"] for cell in cells] == [{}]


def test_a_seed_changes_chances_and_not_tasks(simarena: Call) -> None:
    one = simarena("run", *SMALL, "--seed", 1, "--json").json
    two = simarena("run", *SMALL, "--seed", 2, "--json").json
    assert one["run"] != two["run"]
    tasks = [simarena("show", found["run"], "--json").json for found in (one, two)]
    assert [m["match"]["task_seed"] for m in tasks[0]] == [m["match"]["task_seed"] for m in tasks[1]]
    assert [m["match"]["seed"] for m in tasks[0]] != [m["match"]["seed"] for m in tasks[1]]


def test_a_tournament_swaps_seats_rates_everyone_and_goes_on(simarena: Call) -> None:
    equal = (*DUELS, "--set", "weights=equal")
    said = simarena("tournament", *equal, "--json")
    assert said.code == 0
    assert "30 matches in each of 2 cells, 60 in all" in said.err
    found = said.json
    assert found["report"]["done"] == 60
    assert len(found["leaderboard"]) == 6
    assert [each["cell"] for each in found["cells"]] == [{"judging": "score"}, {"judging": "likelihood"}]
    keys = {"agent", "rating", "low", "high", "rank_low", "rank_high", "matches"}
    assert keys <= set(found["leaderboard"][0])
    again = simarena("tournament", *equal, "--format", "swiss", "--out", found["run"], "--json").json
    assert again["report"]["done"] == 0, "formats share what was played"
    printed = simarena("tournament", *equal, "--out", found["run"])
    assert "95 % interval" in printed.out
    assert "likelihood" in printed.out
    assert "simarena show" in printed.out
    one = simarena("tournament", *equal, "--set", "judging=likelihood", "--json")
    assert "sweep" not in one.err
    assert one.json["report"]["done"] == 30
    assert "cells" not in one.json


def test_agents_are_entered_by_name_and_the_rest_judge(simarena: Call) -> None:
    names = ["any/random", "any/silent", "arena/truthful"]
    equal = (*DUELS, "--set", "weights=equal", "--set", "judging=score")
    found = simarena("tournament", *equal, "--agents", *names, "--json").json
    assert {row["agent"] for row in found["leaderboard"]} == set(names)
    for row in simarena("show", found["run"], "--json").json:
        seats = row["match"]["seats"]
        contesting = {seats["contestant_0"], seats["contestant_1"]}
        assert {name for seat, name in seats.items() if seat.startswith("judge")} == set(names) - contesting
    more = simarena("tournament", *equal, "--agents", *names, "arena/biased", "--json").json
    assert more["report"]["done"] == 6, "an agent more adds its own meetings alone"


def test_no_words_at_all_print_the_help(simarena: Call) -> None:
    said = simarena()
    assert said.code == 0
    assert "tournament" in said.out


def test_verify_passes_and_fails_by_the_scenarios_own_words(simarena: Call, tmp_path: Path) -> None:
    said = simarena("verify", "arena/sparta_combat")
    assert said.code == 0
    assert "pass" in said.out
    assert "toy" in said.out
    text = (paths.shipped("scenarios") / "arena/sparta_combat.yaml").read_text().replace("min: 0.95", "max: 0.1")
    (tmp_path / "wrong.yaml").write_text(text.replace("accuracy, max", "accurracy, max", 1))
    said = simarena("verify", "wrong.yaml", "--json")
    assert said.code == 1
    checks = said.json[0]["checks"]
    assert not any(check["passed"] for check in checks)
    assert "they measured" in checks[0]["why"]
    assert checks[1]["found"]["mean"] > 0.9


SWEPT = """\
env: debate
params: {rounds: 1}
data: {task: story, params: {sentences: 6}, size: 2}
roster: {debater: [debate/honest]}
judges: {judge: [debate/quote_counter]}
sweep: {judges.judge: [[debate/quote_counter], [any/silent]]}
expect:
  - {metric: accuracy, min: 0}
  - {metric: accuracy, where: {judges.judge: [any/silent]}, min: 0.4}
"""


def test_verify_skips_checks_of_an_axis_that_is_held_from_outside(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SWEPT)
    said = simarena("verify", "s.yaml", "--seat", "judge=any/random")
    assert said.code == 0
    assert "skip" in said.out
    assert "judges.judge does not vary here" in said.out
    checks = simarena("verify", "s.yaml", "--seat", "judge=any/random", "--json").json[0]["checks"]
    assert [(check["passed"], check["skipped"]) for check in checks] == [(True, False), (False, True)]
    checks = simarena("verify", "s.yaml", "--json").json[0]["checks"]
    assert [check["skipped"] for check in checks] == [False, False]


def test_checks_read_like_sentences() -> None:
    assert words(Expectation(metric="accuracy", min=0.5, max=0.5)) == "accuracy exactly 0.5"
    said = words(Expectation(metric="a", higher={"x": 2}, than={"x": 1}, by=0.1, where={"y": "z"}))
    assert said == "a higher with x 2 than with x 1 by more than 0.1 where y z"


def test_toys_are_known_by_everyone_who_sits_in_any_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/x.yaml").write_text("{backend: openai, model: m, options: {base_url: 'http://localhost:1/v1'}}")
    (tmp_path / "s.yaml").write_text(SWEPT)
    assert toy(load("s.yaml"))
    for scripted in ("debate/honest", "any/silent"):
        (tmp_path / "s.yaml").write_text(SWEPT.replace(scripted, "x"))
        assert not toy(load("s.yaml"))


@pytest.mark.parametrize("name", paths.scenario_names())
def test_every_shipped_scenario_plays_and_holds(name: str, simarena: Call) -> None:
    said = simarena("verify", name)
    assert said.code == 0, said.out


WRONG = """\
env: debat
data: {task: story, sise: 3}
roster:
  debater: [debate/honset, {policy: debate/echo, prams: {}}]
judges: {judge: [7]}
"""


def test_a_wrong_file_tells_all_its_errors_and_writes_nothing(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    for command in ("run", "validate", "tournament", "verify"):
        said = simarena(command, "wrong.yaml")
        assert said.code == 2
        lines = said.err.splitlines()
        assert [line.split(" ")[0] for line in lines] == [
            "wrong.yaml:1:1:",
            "wrong.yaml:2:21:",
            "wrong.yaml:4:13:",
            "wrong.yaml:4:50:",
            "wrong.yaml:5:18:",
        ]
        for word in ("'debate'", "'size'", "'debate/honest'", "'params'"):
            assert f"did you mean {word}?" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["wrong.yaml"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "debate/kahn_persuasive_debate"), "did you mean 'debate/khan_persuasive_debate'?"),
        (("run", *SMALL, "--scale", "minni"), "did you mean 'mini'?"),
        (("verify", "arena/sparta_combat", "--scale", "papr"), "did you mean 'paper'?"),
        (("run", *SMALL, "--seat", "judge=debate/quote_countr"), "--seat judge=debate/quote_countr: judges.judge.0"),
        (("run", *SMALL, "--seat", "juge=random"), "no such role"),
        (("run", *SMALL, "--seat", "judge"), "ROLE=AGENT"),
        (("run", *SMALL, "--set", "roundz=3"), "--set roundz=3: params.roundz: unknown key; did you mean 'rounds'?"),
        (("run", *SMALL, "--set", "rounds"), "KEY=VALUE"),
        (("run", *SMALL, "--set", "data.size.x=2"), "holds 2, which has no part 'x'"),
        (("run", *SMALL, "--matches", 0), "'--matches'"),
        (("run",), "SCENARIO"),
        (("runn",), "runn"),
        (("tournament", *DUELS, "--format", "swis"), "did you mean 'swiss'?"),
        (("tournament", *DUELS, "--option", "gams=3"), "gams"),
        (("tournament", *DUELS, "--agents"), "--agents"),
        (("tournament", *DUELS, "--agents", "random"), "enter at least 2"),
        (("tournament", *DUELS, "--agents", "random", "arena/truthful"), "nobody is left to sit as judge"),
        (("list", "agent"), "did you mean 'agents'?"),
        (("schema", "x"), "known: agent, scenario"),
        (("validate", "absent.yaml"), "there is no such file"),
    ],
)
def test_a_wrong_call_says_what_is_wrong_and_writes_nothing(
    arguments: tuple[object, ...], told: str, simarena: Call, tmp_path: Path
) -> None:
    said = simarena(*arguments)
    assert said.code == 2
    assert told in said.err
    assert not said.out
    assert not list(tmp_path.iterdir())


def test_an_agent_without_its_model_says_where_it_was_looked_for(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/lost.yaml").write_text("backend: transformers\nmodel: someone/lost\n")
    said = simarena("run", *SMALL, "--seat", "judge=lost")
    assert said.code == 2
    assert "agents/someone/lost" in said.err
    assert "hf download someone/lost" in said.err
    (tmp_path / "agents/keyless.yaml").write_text(
        "backend: openai\nmodel: m\noptions: {base_url: http://localhost:1/v1, api_key_env: NO_SUCH_KEY}\n"
    )
    said = simarena("run", *SMALL, "--seat", "judge=keyless")
    assert said.code == 2
    assert "NO_SUCH_KEY" in said.err
    assert not (tmp_path / "runs").exists()


def test_an_agent_that_changed_is_not_mixed_with_what_it_was(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents/judy.yaml").write_text("policy: debate/quote_counter\nparams: {attention: 0.5}\n")
    assert simarena("run", *SMALL, "--seat", "judge=judy", "--out", "r").code == 0
    (tmp_path / "agents/judy.yaml").write_text("policy: debate/quote_counter\nparams: {attention: 0.9}\n")
    said = simarena("run", *SMALL, "--seat", "judge=judy", "--out", "r")
    assert said.code == 1
    assert "'judy' changed" in said.err
    assert len(said.err.splitlines()) == 1


def test_another_scenario_and_a_second_runner_are_refused_in_one_line(simarena: Call) -> None:
    assert simarena("run", *SMALL, "--out", "r").code == 0
    said = simarena("run", *SMALL, "--set", "rounds=1", "--out", "r")
    assert said.code == 1
    assert "another scenario" in said.err
    lock = Lock(Path("r/lock"))
    try:
        said = simarena("run", *SMALL, "--out", "r")
    finally:
        lock.release()
    assert said.code == 1
    assert "is being written by process" in said.err
    assert len(said.err.splitlines()) == 1


def test_a_folder_that_cannot_be_one_is_refused_in_one_line(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = simarena("run", *SMALL, "--out", "file/run")
    assert said.code == 1
    assert "cannot write in file/run" in said.err
    assert len(said.err.splitlines()) == 1


def test_failed_matches_end_with_code_3_and_are_tried_again(simarena: Call, tmp_path: Path) -> None:
    (tmp_path / "agents").mkdir()
    options = "options: {base_url: 'http://127.0.0.1:9/v1', attempts: 1, connect_timeout: 1, breaker_failures: 1000}"
    (tmp_path / "agents/gone.yaml").write_text(f"backend: openai\nmodel: m\n{options}\n")
    play = ("run", *SMALL, "--set", "protocol=direct", "--seat", "judge=gone", "--json")
    for _ in range(2):
        said = simarena(*play)
        assert said.code in (1, 3)
        assert "run the same command again" in said.err
        assert said.json["report"]["done"] == 0


def test_a_budget_ends_a_run_with_code_1_and_says_how_to_go_on(simarena: Call) -> None:
    said = simarena("run", *SMALL, "--set", "budget.calls=5", "--out", "r", "--concurrency", 1)
    assert said.code == 1
    assert "budget of 5 calls" in said.err
    assert simarena("run", *SMALL, "--out", "r").code == 0


def test_a_run_killed_in_the_middle_goes_on_and_ends_like_an_unbroken_one(simarena: Call, tmp_path: Path) -> None:
    play = ["run", "debate/khan_persuasive_debate", "--scale", "mini", "--matches", "300", "--seed", "5"]
    process = subprocess.Popen(
        [*MAIN, *play, "--out", "killed", "--concurrency", "2"], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    for _ in range(400):
        time.sleep(0.02)
        log = tmp_path / "killed/run.sqlite-wal"
        if log.exists() and log.stat().st_size > 200_000:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert simarena(*play, "--out", "killed", "-q").code == 0
    assert simarena(*play, "--out", "whole", "-q").code == 0
    with open_run("killed") as one, open_run("whole") as other:
        assert one.tables() == other.tables()


def test_help_is_quick_to_load_and_needs_no_engine() -> None:
    code = (
        "import sys\nfrom simarena.cli import call\ncode = call(['--help'])\n"
        "heavy = {'torch', 'pettingzoo', 'gymnasium', 'transformers', 'aiohttp', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\nraise SystemExit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "tournament" in done.stdout


def test_the_version_is_the_one_that_the_package_says(simarena: Call) -> None:
    said = simarena("--version")
    assert (said.code, said.out) == (0, f"{__version__}\n")


def test_debug_shows_where_an_error_came_from_and_nothing_else_does(simarena: Call, tmp_path: Path) -> None:
    wrong = ["run", "absent/scenario"]
    plain = subprocess.run([*MAIN, *wrong], capture_output=True, text=True, check=False)
    assert plain.returncode == 2
    assert "Traceback" not in plain.stderr
    told = subprocess.run([*MAIN, *wrong, "--debug"], capture_output=True, text=True, check=False)
    assert told.returncode != 0
    assert "Traceback" in told.stderr


def test_language_models_sit_down_by_adapter_and_share_a_base(simarena: Call, tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "agents").mkdir()
    for name in ("red", "blue"):
        agent = {
            "backend": "transformers",
            "model": tiny.base,
            "adapter": getattr(tiny, name),
            "prompt": {"form": "none"},
            "sampling": {"max_tokens": 8},
            "parse": {"repairs": 0},
            "options": {"threads": 1},
        }
        (tmp_path / f"agents/{name}.yaml").write_text(json.dumps(agent))
    said = simarena("run", *SMALL, "--set", "protocol=direct", "--matches", 2, "--seat", "judge=red,blue", "--json")
    assert said.code == 0, said.err
    report = said.json["report"]
    assert report["calls"] >= 2
    assert report["completion_tokens"] > 0
    assert set(said.json["cells"][0]["returns"]) == {"red", "blue"}
    assert simarena("replay", said.json["run"], "--agents").code == 0
