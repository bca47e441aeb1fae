"""The roundtable: who hears what, how the answer is decided, and what is measured."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pettingzoo.test import api_test, parallel_api_test, seed_test
from pydantic import ValidationError

import simarena
from simarena import seeds
from simarena.agents.policies.anywhere import Random
from simarena.envs.roundtable import measures
from simarena.envs.roundtable.env import Roundtable
from simarena.envs.roundtable.measures import Said
from simarena.envs.roundtable.rules import TIT_FOR_TAT

MAD = {"task": "trap_math", "n": 2, "structure": TIT_FOR_TAT, "discuss": "answer", "phases": ["per_item"], "depth": 2}
MAIN = {
    "default": {},
    "whole": {"task": "arithmetic", "phases": ["initial", "per_item"], "depth": 2},
    "options": {"task": "logic_chain", "phases": ["initial", "per_item", "final"], "early_stop": True},
    "ring": {"structure": "ring", "confidence_visible": True, "decision": "supervisor", "reward": "individual"},
    "star": {"structure": "star", "order": "agent_chosen", "reward": "delta", "tie": "random"},
    "mad": {**MAD, "decision": "judge_extract", "early_stop": True, "stubborn": 1.0},
    "moderated": {"discuss": "answer", "decision": "moderator", "depth": 2, "probes": ["samples"]},
    "mixed": {"task": "mixed", "decision": "judge_extract", "phases": ["initial", "per_item", "self_adjust"]},
    "alone": {"n": 1, "phases": ["initial"], "grade": "solved"},
}


def make(**params):
    env = Roundtable(**params)
    env.reset(seed=0)
    return env


def answer(env, values=None):
    """The answer with these values; the right one if None."""
    return env.task.truth["answer"] if values is None else env.family.write(env.task, values)


def wrong(env, item=0, which=0):
    """The right values, but for one item."""
    right = env.family.parse(env.task, env.task.truth["answer"])
    others = [value for value in env.options[item] if value != right[item]]
    return [others[which] if i == item else value for i, value in enumerate(right)]


def act(env, text, **fields):
    """Act for the next seat, with neutral values for what is not said."""
    base = {**env.phase.default, "answer": text}
    env.step({key: value for key, value in {**base, **fields}.items() if key in env.phase.fields.model_fields})


def everybody(env, texts, **fields):
    """One phase: an answer for each seat."""
    for text in texts:
        act(env, text, **fields)


def random_match(env, seed):
    env.reset(seed=seed)
    while not env.over:
        seat = env.agent_selection
        env.step(Random().act(env.view(seat), seeds.rng(seed, seat, env._steps)))
    return env


# ---- contract -----------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning:pettingzoo.test.api_test")
@pytest.mark.parametrize("params", MAIN.values(), ids=MAIN)
@pytest.mark.parametrize("compact", [False, True], ids=["text", "compact"])
def test_keeps_the_contract_of_pettingzoo(params, compact):
    api_test(simarena.make("roundtable", compact=compact, **params), num_cycles=25)
    seed_test(lambda: simarena.make("roundtable", compact=compact, **params), num_cycles=8)


@pytest.mark.parametrize("name", ["default", "whole", "ring", "star"])
def test_plays_in_parallel_where_nobody_waits_for_another(name):
    parallel_api_test(simarena.make_parallel("roundtable", **MAIN[name]), num_cycles=25)


@pytest.mark.parametrize("params", MAIN.values(), ids=MAIN)
def test_restored_at_any_moment_it_goes_on_the_same(params):
    env = make(**params)
    copy = env
    while not env.over:
        seat = env.agent_selection
        copy = Roundtable.restore(json.loads(json.dumps(copy.snapshot())))
        action = Random().act(env.view(seat), seeds.rng(seat, env._steps))
        env.step(action)
        copy.step(action)
        assert copy.state_hash() == env.state_hash()
    assert copy.metrics() == env.metrics()
    assert copy.returns == env.returns


@pytest.mark.parametrize("params", MAIN.values(), ids=MAIN)
def test_compact_actions_that_the_mask_allows_are_legal(params):
    env = simarena.make("roundtable", compact=True, **params)
    for seed in range(3):
        env.reset(seed=seed)
        for seat in env.possible_agents:
            env.action_space(seat).seed(seed)
        for seat in env.agent_iter():
            seen, _, ended, cut, _ = env.last()
            assert seen in env.observation_space(seat)
            sizes = env.action_space(seat).nvec.tolist()
            parts = [seen["mask"][sum(sizes[:i]) : sum(sizes[: i + 1])] for i in range(len(sizes))]
            env.step(None if ended or cut else env.action_space(seat).sample(tuple(parts)))
        assert set(env.unwrapped.outcomes["solver_0"]) <= {"ok"}


@pytest.mark.parametrize("params", MAIN.values(), ids=MAIN)
def test_measures_can_be_taken_wherever_the_match_is_cut(params):
    whole = random_match(Roundtable(**params), 1)
    names = set(whole.metrics()) - {"overturn_rate", "justified_share"}
    for turns in range(1, whole._steps):
        cut = random_match(Roundtable(**params, max_turns=turns), 1)
        found = cut.metrics()
        baseline = {"baseline_accuracy", "baseline_solved", "gain_over_baseline", "sample_accuracy"}
        assert names - baseline <= set(found)
        assert set(cut.truncations.values()) == {cut._steps < whole._steps}  # a simultaneous phase is finished first
        assert all(0 <= found[key] <= 1 for key in found if key.endswith(("accuracy", "solved", "agreement", "rate")))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"phases": []}, "one or more"),
        ({"phases": ["final", "initial"]}, "in this order"),
        ({"phases": ["initial", "initial"]}, "in this order"),
        ({"phases": ["initial", "self_adjust"]}, "add per_item"),
        ({"structure": TIT_FOR_TAT}, "set discuss: answer"),
        ({"structure": TIT_FOR_TAT, "discuss": "answer", "n": 1}, "two sides"),
        ({"structure": TIT_FOR_TAT, "discuss": "answer", "phases": ["initial"]}, "needs a discussion"),
        ({"decision": "moderator", "discuss": "answer", "n": 1}, "n to 2"),
        ({"stubborn": 0.5}, "negative side"),
        ({"stubborn": 1.5, **MAD}, "stubborn"),
        ({"order": "agent_chosen", "discuss": "answer"}, "about items"),
        ({"reward": "delta", "phases": ["final"]}, "initial answer"),
        ({"task": "scoresheets"}, "no question"),
        ({"n": 0}, r"\bn\b"),
        ({"speakers": 3}, "speakers"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused_with_the_next_move(params, words):
    with pytest.raises(ValidationError, match=words):
        Roundtable(**params)


# ---- who hears what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("structure", "hears"),
    [
        ("all_to_all", {0: [1, 2, 3], 1: [0, 2, 3]}),
        ("ring", {0: [3], 1: [0], 3: [2]}),
        ("star", {0: [1, 2, 3], 1: [0], 3: [0]}),
    ],
)
def test_a_seat_hears_those_whom_the_structure_lets_it_hear(structure, hears):
    env = make(task="arithmetic", n=4, structure=structure, phases=["initial", "per_item"])
    everybody(env, ["101", "102", "103", "104"])
    for seat, others in hears.items():
        said = {e.author: e.data["answer"] for e in env.view(f"solver_{seat}").events if e.kind == "act"}
        assert said == {f"solver_{i}": str(101 + i) for i in others}


def test_first_answers_show_as_labels_only_when_items_are_discussed():
    env = make(confidence_visible=True)
    everybody(env, [answer(env), "none", answer(env, wrong(env))], explanation="MY SECRET REASON", confidence=7)
    events = env.view("solver_1").events
    assert [e.kind for e in events] == ["topic"]
    right = env.task.truth["roles"]["Ann"]
    other = wrong(env)[0]
    assert events[0].data == {"item": "Ann", "solver_0": f"{right}, confidence 7", "solver_2": f"{other}, confidence 7"}


def test_private_answers_reach_nobody_but_their_author():
    env = make(decision="supervisor")
    everybody(env, [answer(env)] * 3)
    everybody(env, [env.options[0][0]] * 3)
    everybody(env, [answer(env)] * 3, explanation="SECRET")
    for seat in env.possible_agents:
        texts = [e for e in env.visible(seat) if "SECRET" in json.dumps(e.data)]
        assert [e.author for e in texts] == ([seat] if seat in env.solvers else [])


def test_answers_are_committed_before_they_are_revealed():
    env = make(**MAIN["whole"])
    before = env.features("solver_1")
    act(env, answer(env))
    assert env.features("solver_1") == before
    assert [e.kind for e in env.view("solver_1").events] == ["task"]


def test_the_negative_side_alone_is_told_how_much_to_disagree():
    env = make(**MAD, stubborn=0.9)
    assert env.card("solver_1") == {"side": "negative", "disagreement": 0.9}
    assert env.card("solver_0") == {}
    assert "Never agree" in env.brief("solver_1")
    assert "Never agree" not in env.brief("solver_0")
    act(env, "7")
    assert env.view("solver_1").events[-1].data["answer"] == "7"


@pytest.mark.parametrize("params", MAIN.values(), ids=MAIN)
def test_nobody_is_shown_the_right_answer(params):
    env = Roundtable(**params)
    for seed in range(3):
        env.reset(seed=seed)
        reason = env.task.truth["reason"]
        while not env.over:
            seat = env.agent_selection
            view = env.view(seat)
            shown = json.dumps([[e.data for e in view.history()], view.card, view.brief, view.instruction])
            assert reason not in shown
            assert not view.schema.get("truth")
            env.step({})


def test_samples_leave_no_trace_in_any_view():
    params = {"task": "arithmetic", "phases": ["initial", "per_item"], "depth": 2}
    with_samples, without = make(**params, probes=["samples"]), make(**params)
    while with_samples.phase.probe:
        act(with_samples, "5")
    assert with_samples._steps == 3 * 3
    for seat in without.solvers:
        assert with_samples.view(seat).events == without.view(seat).events
        assert with_samples.features(seat) == without.features(seat)


# ---- the course of a match ----------------------------------------------------------------------------------------


def names(env):
    return [phase.name for phase in env._script]


def test_the_controlled_study_discusses_item_by_item_and_adjusts_in_private():
    assert names(make(depth=2)) == [
        "initial",
        *[f"item {k} {stage}" for k in (1, 2, 3) for stage in ("round 1", "round 2", "adjust")],
        "final",
    ]


def test_with_a_moderator_each_round_ends_in_a_ruling():
    assert names(make(**MAD, decision="judge_extract")) == ["round 1", "ruling 1", "round 2", "ruling 2", "extract"]


def test_the_sum_of_proposed_ranks_decides_the_order_of_items():
    env = make(order="agent_chosen", phases=["per_item"])
    for order in (["Cal", "Ann", "Bob"], ["Cal", "Bob", "Ann"], ["Ann", "Bob", "Cal"]):
        env.step({"order": order})
    topics = []
    while not env.over:
        topics.append(next(e.data["item"] for e in reversed(env.log) if e.kind == "topic"))
        everybody(env, ["knight"] * 3)
    assert topics == ["Cal", "Ann", "Bob"]  # sums of ranks: 2, 3, 4


def test_a_settled_item_is_discussed_no_more():
    env = make(depth=3, early_stop=True, phases=["initial", "per_item"])
    everybody(env, [answer(env), answer(env), answer(env, wrong(env, item=1))])
    played = []
    while not env.over:
        played.append(env.phase.name)
        everybody(env, [env.task.truth["roles"]["Bob"]] * 3)
    assert played == ["item 2 round 1"]
    assert env.metrics()["rounds"] == pytest.approx(1 / 3)
    assert env.metrics()["accuracy"] == 1.0


def test_the_moderator_ends_the_discussion_only_where_that_is_agreed_on():
    for early in (True, False):
        env = make(**MAD, decision="moderator", early_stop=early)
        everybody(env, ["5", "6"])
        act(env, answer(env), stop=True, side="solver_1")
        assert env.over is early
        assert env.metrics()["rounds"] == 1
        assert env.metrics()["stopped"] == 1


def test_bad_actions_keep_the_answer_that_was_given_last():
    env = make(task="arithmetic", phases=["initial", "per_item"])
    everybody(env, ["7", "8", "9"])
    env.step("rubbish")
    env.step({"explanation": "", "answer": "a lot", "agree": [], "disagree": []})
    env.step({"explanation": "", "answer": "9", "agree": ["solver_0"], "disagree": ["solver_0"]})
    assert env.memo["now"] == {"solver_0": ["7"], "solver_1": ["8"], "solver_2": ["9"]}
    assert [env.outcomes[seat] for seat in env.solvers] == [{"ok": 1, "malformed": 1}] + [{"ok": 1, "illegal": 1}] * 2


@pytest.mark.parametrize("params", MAIN.values(), ids=MAIN)
def test_defaults_are_legal(params):
    env = make(**params)
    while not env.over:
        env.step(dict(env.phase.default))
    assert all(set(counts) <= {"ok"} for counts in env.outcomes.values())


# ---- decisions and pay --------------------------------------------------------------------------------------------


def decided(texts, **params):
    env = make(task="arithmetic", n=len(texts), phases=["initial"], **params)
    everybody(env, texts)
    return env


@pytest.mark.parametrize(
    ("votes", "tie", "winner"),
    [
        (["5", "6", "5"], "undecided", ["5"]),
        (["5", "6", "7"], "undecided", [""]),
        (["5", "6", "7"], "first", ["5"]),
        (["none", "6", "7", "7"], "undecided", ["7"]),
        (["none", "none"], "first", [""]),
    ],
)
def test_the_most_frequent_answer_wins(votes, tie, winner):
    assert decided(votes, tie=tie).decision() == winner


def test_a_drawn_tie_depends_on_the_seed_alone():
    found = set()
    for seed in range(20):
        env = Roundtable(task="arithmetic", n=2, phases=["initial"], tie="random")
        env.reset(seed=seed)
        everybody(env, ["5", "6"])
        assert env.decision() == env.decision()
        found.add(env.decision()[0])
    assert found == {"5", "6"}


def test_a_supervisor_settles_only_what_has_no_majority():
    env = make(phases=["initial"], decision="supervisor")
    rows = [wrong(env, 0, 0), wrong(env, 0, 1), wrong(env, 1, 0)]
    everybody(env, [answer(env, row) for row in rows])
    assert env.agent_selection == "supervisor_0"
    note = env.view("supervisor_0").events[-1].data
    assert note["undecided"] == ["Ann"]
    assert note["solver_2"] == answer(env, rows[2])
    act(env, answer(env, wrong(env, 2)))
    assert env.decision() == env._right()
    agreed = make(phases=["initial"], decision="supervisor")
    everybody(agreed, [answer(agreed)] * 3)
    assert agreed.over


def test_a_judge_is_asked_only_where_the_moderator_did_not_rule():
    params = {**MAD, "decision": "judge_extract", "early_stop": True, "depth": 1}
    ruled, open_ = make(**params), make(**params)
    for env, stop in ((ruled, True), (open_, False)):
        everybody(env, ["5", "6"])
        act(env, "5", side="solver_0", stop=stop)
    assert ruled.over
    assert ruled.decision() == ["5"]
    assert open_.agent_selection == "supervisor_0"
    assert {e.author for e in open_.view("supervisor_0").events if e.kind == "act"} == {"solver_0", "solver_1"}
    act(open_, "6", candidates=["5", "6"])
    assert open_.decision() == ["6"]


def played(**params):
    """Two solvers: the first mends an item, the second spoils one; the third is right throughout."""
    env = make(phases=["initial", "final"], **params)
    right, bad = answer(env), answer(env, wrong(env))
    everybody(env, [bad, right, right])
    everybody(env, [right, bad, right])
    return env


@pytest.mark.parametrize(
    ("params", "paid"),
    [
        ({}, [1, 1, 1]),
        ({"reward": "individual"}, [1, 2 / 3, 1]),
        ({"reward": "individual", "grade": "solved"}, [1, 0, 1]),
        ({"reward": "delta"}, [1 / 3, -1 / 3, 0]),
        ({"reward": "delta", "grade": "solved"}, [1, -1, 0]),
    ],
)
def test_solvers_are_paid_for_what_the_reward_says(params, paid):
    assert list(played(**params).returns.values()) == pytest.approx(paid)


def test_moderators_are_paid_for_their_own_answer():
    env = make(**MAD, decision="judge_extract")
    for _ in range(2):
        everybody(env, ["5", "6"])
        act(env, answer(env))
    act(env, "5")
    assert env.returns["moderator_0"] == 1
    assert env.returns["supervisor_0"] == env.returns["solver_0"] == 0


# ---- measures -----------------------------------------------------------------------------------------------------


def test_measures_of_a_match_by_hand():
    found = played().metrics()
    expected = {
        "accuracy": 1,
        "solved": 1,
        "initial_accuracy": 8 / 9,
        "initial_solved": 2 / 3,
        "final_solved": 2 / 3,
        "initial_majority_accuracy": 1,
        "initial_agreement": 7 / 9,
        "right_with_right_majority_to_right": 7,
        "right_with_right_majority_to_wrong": 1,
        "wrong_with_right_majority_to_right": 1,
        "changes": 2,
        "justified_changes": 0,
        "wrong_consensus": 0,
        "answers": 6,
        "rounds": 0,
    }
    assert {key: found[key] for key in expected} == pytest.approx(expected)
    assert "overturn_rate" not in found


def test_a_change_is_justified_by_a_valid_deduction_of_the_new_value():
    env = make(phases=["initial", "final"], n=2)
    bad = answer(env, wrong(env))
    everybody(env, [bad, bad])
    act(env, answer(env), explanation=env.task.truth["reason"])
    act(env, answer(env), explanation="Everybody says so.")
    found = env.metrics()
    assert (found["changes"], found["justified_changes"], found["justified_share"]) == (2, 1, 0.5)
    assert (found["wrong_consensus"], found["overturned"], found["overturn_rate"]) == (1, 1, 1)


def test_rounds_about_items_are_put_together_to_whole_answers():
    env = make(phases=["initial", "per_item"], n=2)
    right, roles = answer(env), list(env.task.truth["roles"].values())
    everybody(env, [answer(env, wrong(env)), right])
    everybody(env, [roles[0]] * 2)
    everybody(env, [wrong(env, 1)[1], roles[1]])
    everybody(env, [roles[2]] * 2)
    found = env.metrics()
    assert found["initial_accuracy"] == pytest.approx(5 / 6)
    assert found["round_1_accuracy"] == pytest.approx(5 / 6)
    assert found["round_1_solved"] == 0.5
    assert found["changes"] == 2


def test_the_baseline_is_the_majority_of_as_many_samples_as_the_match_takes_answers():
    env = make(task="arithmetic", n=2, phases=["initial", "per_item"], probes=["samples"])
    right = answer(env)
    everybody(env, [right, "1001", right, "1001"])
    everybody(env, ["1", "2", "3", "4"])
    found = env.metrics()
    assert (found["baseline_accuracy"], found["sample_accuracy"], found["answers"]) == (0, 0.5, 4)
    assert found["gain_over_baseline"] == 0


def test_the_gain_is_that_over_the_first_majority():
    env = make(task="arithmetic", phases=["initial", "final"])
    everybody(env, ["1", "2", "3"])
    everybody(env, [answer(env), answer(env), "3"])
    assert env.metrics()["gain"] == 1


values = st.sampled_from(["", "a", "b", "c"])
tables = st.integers(1, 4).flatmap(
    lambda items: st.dictionaries(
        st.sampled_from(["s0", "s1", "s2", "s3"]), st.lists(values, min_size=items, max_size=items), min_size=1
    )
)


@given(tables, st.randoms(use_true_random=False))
def test_transitions_count_every_solver_and_item_once(before, random):
    items = len(next(iter(before.values())))
    right = [random.choice("abc") for _ in range(items)]
    after = {seat: [random.choice("abc") for _ in range(items)] for seat in before}
    counts = measures.transitions(before, after, right)
    assert sum(counts.values()) == len(before) * items
    held = sum(value for key, value in counts.items() if key.startswith("right"))
    assert held == sum(value == truth for row in before.values() for value, truth in zip(row, right, strict=True))


@given(st.lists(values, max_size=7))
def test_a_vote_does_not_depend_on_its_order(votes):
    undecided = measures.settle(votes, "undecided", seeds.rng(0))
    assert undecided == measures.settle(votes[::-1], "undecided", seeds.rng(0))
    assert measures.most(votes) in ("", undecided)


def test_stages_that_touch_nothing_carry_on_what_was_said():
    said = [Said("s0", "initial", {0: "a", 1: "b"}, ""), Said("s0", "round 2", {1: "c"}, "")]
    table = measures.stages(said, ["s0"], 2, ["initial", "round 1", "round 2"])
    assert [table[name]["s0"] for name in table] == [["a", "b"], ["a", "b"], ["a", "c"], ["a", "c"]]
