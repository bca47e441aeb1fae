"""Leagues in scenario files: every mistake at once, each where it stands, and torch only where a league is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simarena import paths
from simarena.errors import ScenarioError
from simarena.league.check import examine
from simarena.scenario import load

GOOD = """\
env: arena
params: {mode: duel, m: 3, judge_scale: 10, weights: reputation}
data: {task: arithmetic, params: {shape: a+b, high: 99}}
roster:
  contestant: [nano-a, nano-b]
judges:
  judge: [arena/truthful]
sweep: {judging: [score, likelihood]}
scale: {mini: {data.size: 2, league.pairs.params: {}}}
league:
  members: [nano-a, nano-b]
  changes: {judging: likelihood}
  judge_weights: reputation
  pairs: {builder: duel, filters: {margin: 0.5}}
  train: {loss: dpo, params: {beta: 0.1}, arguments: {learning_rate: 1.0e-4}}
  exam: {families: [arithmetic]}
"""

MISTAKES = {
    ("[nano-a, nano-b]\n  changes", "[nano-a, nano-z]\n  changes"): "11:21: league.members.1: unknown agent or policy",
    (
        "[nano-a, nano-b]\n  changes",
        "[any/random]\n  changes",
    ): "11:3: league.members: no member can learn (any/random)",
    (
        "{judging: likelihood}",
        "{judgin: likelihood}",
    ): "12:13: league.changes.judgin: unknown key; did you mean 'judging'?",
    ("{judging: likelihood}", "{judging: some}"): "12:13: league.changes.judging: ",
    ("{judging: likelihood}", "{sweep.judging: []}"): "12:13: league.changes.sweep.judging: cannot be changed",
    ("weights: reputation}", "weights: equal}"): "13:3: league.judge_weights: reputation needs an arena whose",
    ("builder: duel", "builder: dual"): "14:11: league.pairs.builder: unknown builder 'dual'; did you mean 'duel'?",
    ("filters: {margin", "params: {margn: 1}, filters: {margin"): "14:35: league.pairs.params.margn: unknown key",
    ("{margin: 0.5}", "{margn: 0.5}"): "14:36: league.pairs.filters.margn: unknown key; did you mean 'margin'?",
    ("loss: dpo", "loss: dpoo"): "15:11: league.train.loss: unknown loss 'dpoo'; did you mean 'dpo'?",
    ("loss: dpo, params: {beta: 0.1}", "loss: inpo"): "15:11: league.train.loss: loss 'inpo' plays against others; set",
    ("{beta: 0.1}", "{bta: 0.1}"): "15:31: league.train.params.bta: unknown key; did you mean 'beta'?",
    ("learning_rate: 1", "learning_rat: 1"): "15:55: league.train.arguments.learning_rat: unknown key; did you mean",
    ("learning_rate: 1", "epochs: 0, learning_rate: 1"): "15:55: league.train.arguments.epochs: ",
    ("learning_rate: 1", "params: {}, learning_rate: 1"): "15:55: league.train.arguments.params: is said elsewhere",
    (
        "exam: {",
        "branch: {role: judg}\n  exam: {",
    ): "16:12: league.branch.role: nobody sits as 'judg'; did you mean 'judge'?",
    (
        "exam: {",
        "branch: {role: contestant, phase: anser}\n  exam: {",
    ): "16:30: league.branch.phase: contestant acts in no phase whose name begins with 'anser'; did you mean 'answer'?",
    (
        "builder: duel",
        "builder: segment",
    ): "14:11: league.pairs.builder: segment reads forked matches, and none are forked; say where: league.branch",
    (
        "builder: duel",
        "builder: outcome, params: {role: contestants}",
    ): "14:38: league.pairs.params.role: nobody sits as 'contestants'; did you mean 'contestant'?",
    (
        "learning_rate: 1",
        "reference: strat, learning_rate: 1",
    ): "15:55: league.train.arguments.reference: unknown agent or policy 'strat' (see: simarena list agents, simarena "
    "list policies); did you mean 'start'?",
    (
        "exam: {",
        "exam: {metric: acuracy, ",
    ): "16:10: league.exam.metric: unknown measure 'acuracy'; did you mean 'accuracy'?",
    ("exam: {", "exam: {metric: accuracy, changes: {x: 1}, "): "16:38: league.exam.changes.x: unknown key",
    ("[arithmetic]", "[arithmetic, kks]"): "16:33: league.exam.families.1: kks not played here",
}


def wrong(path: Path, text: str) -> list[str]:
    path.write_text(text)
    with pytest.raises(ScenarioError) as found:
        load(path, further=examine)
    return [line.removeprefix(f"{path}:") for line in str(found.value).splitlines()]


@pytest.mark.parametrize(("change", "said"), MISTAKES.items(), ids=[new for _, new in MISTAKES])
def test_a_mistake_is_told_where_it_stands(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    assert change[0] in GOOD
    [line] = wrong(tmp_path / "s.yaml", GOOD.replace(*change))
    assert line.startswith(said)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("builder: duel", "builder: x").replace("beta", "bta").replace("[arithmetic]", "[kks]")
    places = [line.split(" ")[1] for line in wrong(tmp_path / "s.yaml", text)]
    assert places == ["league.pairs.builder:", "league.train.params.bta:", "league.exam.families.0:"]


def test_a_mistake_of_a_scale_is_told_at_the_scale(tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(GOOD.replace("league.pairs.params: {}", "league.pairs.params: {odd: 1}"))
    load(path, further=examine)
    with pytest.raises(ScenarioError, match=r"s\.yaml:9:52: league\.pairs\.params\.odd: unknown key"):
        load(path, "mini", further=examine)


@pytest.mark.parametrize(
    "name", [name for name in paths.scenario_names() if "league:" in paths.find_scenario(name).read_text()]
)
def test_leagues_that_ship_are_right(name: str) -> None:
    load(paths.find_scenario(name), further=examine)


def test_a_scenario_without_a_league_is_checked_without_torch(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(GOOD[: GOOD.index("league:\n  m")].replace(", league.pairs.params: {}", ""))
    code = (
        "import sys; from simarena.cli import call; code = call(['validate', 's.yaml'])\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["s.yaml: scenario is valid", "0 False"], done.stderr
