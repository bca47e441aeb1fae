"""Scenario files: what they mean, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simarena import paths
from simarena.errors import ScenarioError, UnknownName
from simarena.scenario import Scenario, load, match_seed, put, ready_cells

GOOD = """\
env: debate
params: {rounds: 1}
data: {task: story, params: {sentences: 6}, size: 3}
roster:
  debater: [debate/honest, {name: weak, policy: debate/echo}]
judges:
  judge: [debate/quote_counter]
sweep: {protocol: [debate, consultancy]}
scale: {mini: {data.size: 1, data.sentences: 8, rounds: 2}}
expect:
  - {metric: accuracy, higher: {protocol: debate}, than: {protocol: consultancy}}
"""


def saved(folder: Path, text: str = GOOD, **replaced: str) -> Path:
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    path = folder / "s.yaml"
    path.write_text(text)
    return path


def wrong(folder: Path, *changes: tuple[str, str]) -> list[str]:
    text = GOOD
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (folder / "s.yaml").write_text(text)
    with pytest.raises(ScenarioError) as found:
        load(folder / "s.yaml")
    return [line.removeprefix(f"{folder}/") for line in str(found.value).splitlines()]


def test_a_scenario_has_a_cell_for_each_point_of_its_sweep(tmp_path: Path) -> None:
    cells = list(ready_cells(load(saved(tmp_path))))
    assert [cell.at for cell in cells] == [{"protocol": "debate"}, {"protocol": "consultancy"}]
    assert cells[0].seats == ("debater_0", "debater_1", "judge_0")
    assert cells[0].roles == {"debater": ["debater_0", "debater_1"], "judge": ["judge_0"]}
    assert cells[1].params["protocol"] == "consultancy"
    assert cells[1].params["task_params"] == {"sentences": 6}


def test_scales_and_changes_override_by_dotted_key(tmp_path: Path) -> None:
    path = saved(tmp_path)
    found = load(path, "mini")
    assert (found.data.size, found.data.params, found.params) == (1, {"sentences": 8}, {"rounds": 2})
    found = load(path, "mini", {"data.size": 9, "protocol": "debate", "roster.debater.1.params": {}})
    assert found.data.size == 9
    assert found.sweep == {}
    assert found.params["protocol"] == "debate"
    with pytest.raises(UnknownName, match="did you mean 'mini'"):
        load(path, "minni")


def test_a_mistake_of_a_scale_is_told_where_the_scale_stands(tmp_path: Path) -> None:
    path = saved(tmp_path, GOOD.replace("data.sentences: 8", "data.sentences: 5"))
    load(path)
    with pytest.raises(ScenarioError, match=r"s.yaml:9:30: data.params.sentences: "):
        load(path, "mini")


def test_seats_given_from_outside_replace_a_role_and_hold_it(tmp_path: Path) -> None:
    path = saved(tmp_path, GOOD.replace("sweep: {", "sweep: {judges.judge: [[debate/quote_counter], [any/random]], "))
    found = load(path, seats={"judge": ["any/silent"]})
    assert found.judges == {"judge": ["any/silent"]}
    assert list(found.sweep) == ["protocol"]
    found = load(path, seats={"*": ["any/random"]})
    assert found.roster == {"debater": ["any/random"]}
    assert found.judges == {"judge": ["any/random"]}


def test_put_reaches_into_lists_and_says_where_it_cannot() -> None:
    data: dict[str, Any] = {"roster": {"a": [{"params": {}}]}, "params": {"rounds": 1}}
    put(data, "roster.a.0.params.skill", 0.5)
    put(data, "judges.b", ["x"])
    put(data, "swap.sides", True)
    assert data == {
        "roster": {"a": [{"params": {"skill": 0.5}}]},
        "judges": {"b": ["x"]},
        "params": {"rounds": 1, "swap": {"sides": True}},
    }
    with pytest.raises(ScenarioError, match="no place in a list of 1"):
        put(data, "roster.a.1.params", {})
    with pytest.raises(ScenarioError, match="holds 1, which has no part 'x'"):
        put(data, "rounds.x", 1)


MISTAKES = {
    ("env: debate", "env: debat"): "1:1: env: unknown environment 'debat'; did you mean 'debate'?",
    ("rounds: 1", "roundz: 1"): "2:10: params.roundz: unknown key; did you mean 'rounds'?",
    ("task: story", "task: storry"): "3:8: data.task: unknown task family 'storry'; did you mean 'story'?",
    ("sentences: 6", "sentence: 6"): "3:30: data.params.sentence: unknown key; did you mean 'sentences'?",
    ("[debate/honest", "[debate/honst"): "5:13: roster.debater.0: unknown agent or policy 'debate/honst'; did",
    ("policy: debate/echo", "policy: debate/eco"): "5:41: roster.debater.1.policy: unknown policy 'debate/eco'; did",
    ("sweep: {protocol", "sweep: {protocl"): "8:9: sweep.protocl: debate has no parameter 'protocl'; did you mean",
    ("consultancy]", "consultant]"): "8:28: sweep.protocol.1: ",
    ("than: {protocol", "than: {protokol"): "11:59: expect.0.than.protokol: is no axis of the sweep; did you mean",
    ("higher: {protocol: debate}, ", ""): "11:24: expect.0.than: needs higher beside it",
    ("judge: [debate/quote_counter]", "juge: [any/random]"): "4:1: roster: no agent for role 'judge'; name one",
    ("debater: [", "debater: [] #"): "4:1: roster: debater: name an agent at least",
    ("[debate, consultancy]", "[]"): "8:1: sweep: protocol: give a value at least",
    ("judge: [debate/quote_counter]", "judge: some"): "7:3: judges.judge: ",
    ("sweep: {", "sweep: {metrics: [[a]], "): "8:9: sweep.metrics: metrics cannot be varied",
    ("sweep: {", "sweep: {data.size: [1, 3], "): "8:9: sweep.data.size: data.size cannot be varied: all cells play",
    ("sweep: {", "sweep: {data.seed: [1, 3], "): "8:9: sweep.data.seed: data.seed cannot be varied",
    ("sweep: {", "sweep: {data: [{task: story, size: 3}], "): "8:9: sweep.data: data.size cannot be varied",
    ("judges:\n", "probes: [nonsense]\njudges:\n"): "6:1: probes: debate has none to switch on",
    ("sweep: {", "sweep: {probes: [[], [nonsense]], "): "8:22: sweep.probes.1: debate has none to switch on",
}


@pytest.mark.parametrize(("change", "told"), MISTAKES.items())
def test_each_mistake_is_told_where_it_stands(change: tuple[str, str], told: str, tmp_path: Path) -> None:
    lines = wrong(tmp_path, change)
    assert any(line.startswith(f"s.yaml:{told}") for line in lines), lines


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("probes: [samples]", "probes: [sample]", "19:10: probes.0: "),
        ("n: [2, 3]", "probes: [[x]]", "21:13: sweep.probes.0.0: "),
    ],
)
def test_a_wrong_probe_is_told_where_it_stands(old: str, new: str, told: str, tmp_path: Path) -> None:
    text = paths.find_scenario("du_society_of_minds").read_text()
    with pytest.raises(ScenarioError) as found:
        load(saved(tmp_path, text, **{old: new}))
    assert told in str(found.value)
    assert "params" not in str(found.value)


def test_many_mistakes_are_told_at_once(tmp_path: Path) -> None:
    lines = wrong(
        tmp_path, ("rounds: 1", "roundz: 1"), ("sentences: 6", "sentences: x"), ("debate/honest", "debate/honst"),
        ("than: {protocol", "than: {protokol"),
    )  # fmt: skip
    assert [line.split(":")[1] for line in lines] == ["2", "3", "5", "11"]


def test_two_agents_of_one_name_are_told_apart(tmp_path: Path) -> None:
    sweep = "sweep: {judges.judge: [[{name: j, policy: any/random}], [{name: j, policy: any/silent}]], "
    lines = wrong(tmp_path, ("sweep: {", sweep))
    assert "another agent is called 'j' too" in lines[0]
    assert lines[0].startswith("s.yaml:8:")


def test_a_role_that_no_cell_seats_is_told(tmp_path: Path) -> None:
    lines = wrong(tmp_path, ("judges:\n", "judges:\n  judje: [any/random]\n"))
    assert lines == ["s.yaml:7:3: judges.judje: debate has no such role with these parameters; did you mean 'judge'?"]


def test_parameters_that_do_not_go_together_are_told_with_their_cell(tmp_path: Path) -> None:
    lines = wrong(tmp_path, ("rounds: 1", "options: 40"))
    assert lines
    assert all(line.startswith("s.yaml:2:") for line in lines)


def test_conditions_and_not_who_or_how_much_decide_which_run_it_is(tmp_path: Path) -> None:
    one = load(saved(tmp_path))
    assert load(tmp_path / "s.yaml", changes={"data.size": 50, "metrics": ["accuracy"]}).key() == one.key()
    assert load(tmp_path / "s.yaml", seats={"debater": ["any/random"]}).key() == one.key()
    assert load(tmp_path / "s.yaml", seats={"judge": ["any/random"]}).key() != one.key()
    assert load(tmp_path / "s.yaml", changes={"rounds": 2}).key() != one.key()
    assert load(tmp_path / "s.yaml", changes={"seed": 1}).key() != one.key()


def test_cells_share_the_seeds_of_their_tasks(tmp_path: Path) -> None:
    cells = list(ready_cells(load(saved(tmp_path))))
    assert len({match_seed(cell.scenario, 3) for cell in cells}) == 1
    assert match_seed(cells[0].scenario, 3) != match_seed(cells[0].scenario, 4)


@pytest.mark.parametrize("name", paths.scenario_names())
def test_shipped_scenarios_load_at_every_scale_and_say_what_they_are(name: str) -> None:
    path = paths.find_scenario(name)
    found = load(path)
    assert found.description
    assert found.provenance
    assert found.expect
    assert {"mini", "paper"} <= set(found.scale)
    assert path.read_text().startswith("# yaml-language-server: $schema=../schema.json\n")
    for scale in found.scale:
        assert isinstance(load(path, scale), Scenario)


def test_a_scenario_is_found_by_path_name_and_last_part(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert paths.find_scenario(str(path)) == path
    assert paths.find_scenario("sparta_combat") == paths.find_scenario("arena/sparta_combat")
    for name in ("x" * 5000, "\0", ""):
        with pytest.raises(UnknownName):
            paths.find_scenario(name)
