"""Labels on planted judges, who learns from what, who meets whom, states and steps: by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena import seeds
from simarena.errors import StoreError
from simarena.league import state as states
from simarena.league import steps
from simarena.league.labels import PANEL, Labels
from simarena.league.lessons import shared_out, trust_of, weights_of
from simarena.league.lineage import Version, ancestors, graph, to_data
from simarena.league.matchmaking import Entrants, Rule, opponents, turn
from simarena.league_spec import Stop
from simarena.preferences.record import Response, preference
from simarena.records import Message
from simarena.tournament.results import Result

FLIPS = {"good": 0.1, "poor": 0.3, "bad": 0.6}


def reply(agent, score, scores, truth, text="x"):
    return Response(
        messages=(Message("assistant", text),), agent=agent, score=score, scores=scores, truth=truth, outcome="ok"
    )


def decision(best, worst, family="kks", number=0):
    return preference(
        builder="duel",
        prompt=(Message("user", str(number)),),
        responses=(best, worst),
        family=family,
        match=str(number),
    )


def planted(count, family="kks"):
    """Decisions of one right and one wrong answer by judges that err at known rates; the panel has its majority."""
    for number in range(count):
        chance = seeds.rng("planted", family, number)
        says = {who: 1.0 if chance.random() >= flip else -1.0 for who, flip in FLIPS.items()}
        total = sum(says.values())
        right = reply("a", total / 2, {w: s / 2 for w, s in says.items()}, 1.0, "right")
        wrong = reply("b", -total / 2, {w: -s / 2 for w, s in says.items()}, 0.0, "wrong")
        yield decision(*((right, wrong) if total > 0 else (wrong, right)), family, number)


def test_label_accuracy_is_one_minus_the_planted_rate_of_errors():
    labels = Labels()
    records = [*planted(2000), *planted(1000, "sums")]
    for record in records:
        labels.add(record)
    table = labels.table()
    assert next(iter(table)) == PANEL
    for who, flip in FLIPS.items():
        assert table[who]["all"]["known"] == 3000
        assert table[who]["kks"]["value"] == pytest.approx(1 - flip, abs=0.03)
        assert table[who]["all"]["right"] == table[who]["kks"]["right"] + table[who]["sums"]["right"]
    panel = [record.responses[0].truth == 1.0 for record in records]
    assert labels.share() == pytest.approx(sum(panel) / len(panel))


def test_labels_count_what_has_a_truth_and_an_opinion():
    labels = Labels()
    labels.add(decision(reply("a", 1, {"j": 2, "k": 1}, 1.0), reply("b", 0, {"j": 1, "k": 1}, 0.0)))
    labels.add(decision(reply("a", 1, {"j": 2}, 1.0), reply("b", 0, {"j": 1}, 1.0)))
    labels.add(decision(reply("a", 1, {"j": 2}, None), reply("b", 0, {"j": 1}, 0.0)))
    assert labels.share() == 1.0
    assert labels.share("j") == 1.0
    assert labels.share("k") is None
    assert labels.known[PANEL, "kks"] == 1


def test_trust_from_votes_alone_recovers_planted_rates_of_errors():
    rates = {"one": 0.1, "two": 0.2, "three": 0.3, "four": 0.15, "five": 0.25}
    rows = []
    for number in range(3000):
        chance = seeds.rng("votes", number)
        truth = chance.random() < 0.5
        rows.append({who: float((chance.random() >= flip) == truth) for who, flip in rates.items()})
    trust = trust_of({"kks": rows})["kks"]
    for who, flip in rates.items():
        assert trust[who] == pytest.approx(1 - flip, abs=0.03)
    weights = weights_of(trust, 100.0)
    assert max(weights.values()) == 100.0 == weights["one"]
    assert sorted(weights, key=weights.__getitem__) == ["three", "five", "two", "four", "one"]


def test_who_learns_from_what():
    kept = [
        decision(reply("ann@1", 1, {}, 1.0), reply("bob", 0, {}, 0.0), number=0),
        decision(reply("bob", 1, {}, 1.0), reply("cid", 0, {}, 0.0), number=1),
        decision(reply("cid", 1, {}, 1.0), reply("ann@1", 0, {}, 0.0), number=2),
    ]
    members = {"ann": "ann", "ann@1": "ann", "bob": "bob", "cid": "cid"}

    def numbers(policy, limit=0):
        found = shared_out(kept, policy, members, limit, seed=1)
        return {name: [int(record.match) for record in records] for name, records in found.items()}

    assert numbers("all") == {"ann": [0, 1, 2], "bob": [0, 1, 2], "cid": [0, 1, 2]}
    assert numbers("own") == {"ann": [0, 2], "bob": [0, 1], "cid": [1, 2]}
    assert numbers("others") == {"ann": [1, 2], "bob": [0, 2], "cid": [0, 1]}
    few = numbers("all", limit=2)
    assert len(few["ann"]) == 2
    assert few["ann"] == few["bob"] == few["cid"] == sorted(few["ann"])


FIELD = Entrants(
    present=["a@2", "b", "c@1", "d", "e"],
    past={"a@2": ["a@1", "a"], "c@1": ["c"]},
    reputation={"a@2": 100, "b": 101, "c@1": 150, "d": 160, "e": 40},
)


@pytest.mark.parametrize("kind", ["tribe", "random", "nearest"])
def test_nobody_meets_itself_and_everyone_has_its_turn(kind):
    rule = Rule(opponents=kind, seed=3, round=1)
    turns = [turn(FIELD.present, rule, n) for n in range(50)]
    assert set(Counter(turns).values()) == {10}
    for number, focus in enumerate(turns):
        others = opponents(FIELD, rule, number, focus, 2)
        assert focus not in others
        assert len(set(others)) == 2


def test_the_tribe_meets_evenly():
    rule = Rule(opponents="tribe", seed=3, round=1)
    met = Counter()
    for number in range(100):
        focus = turn(FIELD.present, rule, number)
        met[focus, *opponents(FIELD, rule, number, focus, 1)] += 1
    assert set(met.values()) == {5}
    assert len(met) == 20


def test_the_nearest_are_nearest_and_chance_is_sparta_s():
    from simarena.tournament.reputation import Constants

    rule = Rule(opponents="nearest", seed=3, round=1, constants=Constants(nearest=1))
    met = Counter(opponents(FIELD, rule, n, "a@2", 1)[0] for n in range(2000))
    assert met["b"] / 2000 == pytest.approx(0.8 + 0.2 / 4, abs=0.03)


def test_history_and_self():
    past = Rule(opponents="history", seed=0, round=3)
    assert opponents(FIELD, past, 0, "a@2", 2) == ["a@1", "a"]
    assert opponents(FIELD, past, 0, "c@1", 2) == ["c", "c"]
    assert opponents(FIELD, past, 0, "b", 2) == ["b", "b"], "who has no past meets itself"
    assert opponents(FIELD, Rule(opponents="self", seed=0, round=3), 0, "b", 1) == ["b"]


VERSIONS = (
    Version(name="a", member="a", round=0),
    Version(name="a@1", member="a", round=1, parent="a", file="x"),
    Version(name="a@2", member="a", round=2, parent="a@1", kept=False),
    Version(name="a@3", member="a", round=3, parent="a@1"),
)


def test_lineage_is_a_tree_of_versions():
    made = graph(VERSIONS)
    assert nx.is_arborescence(made)
    assert nx.ancestors(made, "a@3") == {"a", "a@1"}
    assert ancestors(VERSIONS, "a@3") == ["a@1", "a"], "what was rolled back is nobody's ancestor"
    data = json.loads(json.dumps(to_data(VERSIONS, ["a@3"])))
    again = nx.node_link_graph(data, edges="edges")
    assert set(again.edges) == set(made.edges)
    assert [node for node, seated in again.nodes(data="seated") if seated] == ["a@3"]


@pytest.mark.parametrize(
    ("means", "patience", "gain", "ends"),
    [
        ([0.5, 0.6, 0.7], 0, 0.0, False),
        ([0.5, 0.5], 1, 0.0, True),
        ([0.5, 0.6], 1, 0.0, False),
        ([0.5, 0.6, 0.59], 2, 0.0, False),
        ([0.5, 0.6, 0.59, 0.6], 2, 0.0, True),
        ([0.5, 0.51], 1, 0.02, True),
    ],
)
def test_the_stop_rule(means, patience, gain, ends):
    assert bool(states.stopped(means, Stop(patience=patience, gain=gain))) == ends


def test_reputations_move_by_duels_between_members_alone():
    state = states.beginning(["a", "b", "c"])
    duel = Result(match="1", unit="1", task="t", seats=("x", "y"), agents=("a", "b"), scores=(4.0, -4.0))
    old = Result(match="2", unit="2", task="t", seats=("x", "y"), agents=("a", "a@0"), scores=(4.0, -4.0))
    after = states.fought(state, [duel, old])
    assert after["a"]["value"] > 100 > after["b"]["value"]
    assert after["c"]["value"] == 100
    assert after["a"]["duels"] == 1


def test_nobody_is_weighed_before_anything_is_known():
    state = states.begun(states.beginning(["a", "b"]), 0.5)
    assert states.weights(state, "reputation", "kks", 100.0) == {}
    record = {
        "versions": [],
        "seated": {"a": "a@1", "b": "b"},
        "reputations": {
            "a": {"value": 101.5, "changes": [], "duels": 3},
            "b": {"value": 98.5, "changes": [], "duels": 3},
        },
        "trust": {"kks": {"a": 0.9, "b": 0.6, "outside": 0.7}},
        "mean": 0.6,
    }
    later = states.after(state, record)
    assert states.weights(later, "reputation", "kks", 100.0) == {"a@1": 101.5, "b": 98.5}
    assert states.weights(later, "equal", "kks", 100.0) == {}
    trusted = states.weights(later, "reliability", "kks", 100.0)
    assert trusted["a@1"] == 100.0 > trusted["outside"] > trusted["b"]
    assert states.weights(later, "reliability", "unseen", 100.0) == {}


def test_a_step_is_taken_once_and_a_torn_file_is_told(tmp_path: Path):
    path = tmp_path / "sub" / "step.json"
    assert steps.done(path, lambda: {"n": (1, 2)}) == {"n": [1, 2]}
    assert steps.done(path, lambda: 1 / 0) == {"n": [1, 2]}
    path.write_text("{")
    with pytest.raises(StoreError, match="the same command makes it again"):
        steps.done(path, dict)


@given(st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False) | st.text(), max_size=3))
def test_what_is_put_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, value):
    path = tmp_path_factory.mktemp("step") / "x.json"
    steps.put(path, value)
    assert steps.read(path) == json.loads(json.dumps(value))
