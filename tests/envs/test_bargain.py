"""The environment bargain: its course, its votes and merges, who sees what, and its numbers for learners."""

import itertools
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo.test import api_test, seed_test
from pydantic import ValidationError

from simarena.envs import make
from simarena.envs.bargain.env import Bargain
from simarena.tasks import measures

SMALL = {"task_params": {"parties": 3, "issues": (3, 2), "points": 20}}
TOY = {
    "kind": "package",
    "task_params": {
        "groups": 2,
        "measures": 4,
        "base": (10, 8),
        "costs": (2, 2, 1, 2),
        "effects": ((-1, 3), (-1, 4), (3, 2), (2, -1)),
        "budget": 0.5,
    },
}
KINDS = [
    pytest.param(SMALL, id="scorable"),
    pytest.param({**SMALL, "order": "fixed", "turns": 5, "mediator": True, "window": 2}, id="mediated"),
    pytest.param({**SMALL, "attitude": ("coop", "greedy", "targeted"), "accept_rule": "majority"}, id="attitudes"),
    pytest.param(TOY, id="package"),
    pytest.param({**TOY, "mediator": False, "objections": "all", "rounds": 2}, id="ruled"),
    pytest.param({"kind": "package", "task_params": {"groups": 2, "rubric": "private"}, "budget": 5}, id="private"),
]


def speech(deal, message="", **more):
    return {"message": message, "deal": deal, **more}


def play(env, answer):
    """Play to the end with answer(env, seat) -> fields."""
    while not env.over:
        env.step(answer(env, env.agent_selection))
    return env


def started(seed=0, **params):
    env = make("bargain", **params)
    env.reset(seed)
    return env


def to_vote(env, deal):
    """Everybody keeps silent; party_0 offers `deal` at the end."""
    while env.phase.kind != "vote" and not env.over:
        env.step(speech(deal if env.phase.kind == "offer" else []))
    return env


def vote(env, yes):
    while not env.over:
        env.step({"accept": env.agent_selection in yes})
    return env


# ---- scorable -------------------------------------------------------------------------------------------------------


def test_a_match_opens_talks_offers_and_votes():
    env = started(**SMALL)
    names = [phase.name for phase in env._script]
    assert names == ["opening", "round 1", "round 2", "round 3", "round 4", "final offer", "vote"]
    seen = []
    play(
        env,
        lambda e, seat: (
            seen.append((e.phase.kind, seat)) or ({"accept": True} if e.phase.kind == "vote" else speech([]))
        ),
    )
    assert seen[0] == ("propose", "party_0")
    assert seen[-1] == ("offer", "party_0")  # nothing was on the table: no vote
    assert sum(kind == "propose" for kind, _ in seen) == 1 + 12
    assert env.metrics()["passed"] == 0


def test_default_is_the_published_setting():
    env = started()
    assert env.possible_agents == [f"party_{i}" for i in range(6)]
    assert env.task.truth["deals"] == 720
    assert sum(len(phase.actors) for phase in env._script if phase.kind == "propose") == 25
    assert env.rules.needed == 5


@pytest.mark.parametrize("seed", range(6))
def test_random_order_gives_everybody_a_turn_and_nobody_two_running(seed):
    env = started(seed, **SMALL)
    seats = []
    while env.phase.kind != "offer":
        seats.append(env.agent_selection)
        env.step(speech([]))
    rounds = [seats[i : i + 3] for i in range(1, 13, 3)]
    assert all(sorted(each) == env.possible_agents for each in rounds)
    assert all(a != b for a, b in itertools.pairwise(seats))


@pytest.mark.parametrize("order", ["random", "fixed"])
@pytest.mark.parametrize("turns", [0, 1, 2, 4, 7])
def test_turns_are_counted_exactly(order, turns):
    env = started(2, **SMALL, order=order, turns=turns)
    count = 0
    while env.phase.kind != "offer":
        count += 1
        env.step(speech([]))
    assert count == 1 + turns


@pytest.mark.parametrize(
    ("rule", "veto", "yes", "passed"),
    [
        ("n-1", ("party_0", "party_1"), {"party_1"}, True),
        ("n-1", ("party_0", "party_1"), {"party_2"}, False),
        ("n-1", (), {"party_2"}, True),
        ("n", (), {"party_2"}, False),
        ("n", (), {"party_1", "party_2"}, True),
        ("majority", (), {"party_2"}, True),
        (1, (), set(), True),
        (1, ("party_2",), set(), False),
    ],
)
def test_votes_pass_by_number_and_veto(rule, veto, yes, passed):
    env = vote(to_vote(started(**SMALL, accept_rule=rule, veto=veto), ["A1", "B1"]), yes)
    assert env.metrics()["passed"] == passed
    result = [e.data for e in env.log if e.kind == "result"]
    assert result == [{"passed": passed, "accepted": sorted({"party_0", *yes})}]


def test_rewards_are_scores_or_minimums_and_the_bonus():
    env = started(3, **SMALL)
    deal = env.task.truth["maximin"]["deal"]
    cards = [env.task.private[seat] for seat in env.possible_agents]
    worth = [sum(card["scores"][name] for name in deal) for card in cards]
    minimums = [card["minimum"] for card in cards]
    assert all(w >= m for w, m in zip(worth, minimums, strict=True))
    all_in = vote(to_vote(env.fork(), deal), {"party_1", "party_2"})
    assert list(all_in.returns.values()) == pytest.approx([worth[0] / 20 + 0.1, worth[1] / 20, worth[2] / 20])
    most = vote(to_vote(env.fork(), deal), {"party_1"})
    assert list(most.returns.values()) == pytest.approx([w / 20 for w in worth])
    none = vote(to_vote(env.fork(), deal), set())
    assert list(none.returns.values()) == pytest.approx([m / 20 for m in minimums])


@pytest.mark.parametrize("shortfall", ["minimum", "score"])
def test_a_party_under_its_minimum_gets_that_or_what_the_deal_gives(shortfall):
    env = started(3, **SMALL, shortfall=shortfall)
    card = env.task.private["party_2"]
    worst = [min(names, key=card["scores"].__getitem__) for names in env.task.public["issues"].values()]
    env = vote(to_vote(env, worst), {"party_1"})
    worth = sum(card["scores"][name] for name in worst)
    assert env.metrics()["passed"] == 1
    assert worth < card["minimum"]
    assert env.returns["party_2"] == pytest.approx((card["minimum"] if shortfall == "minimum" else worth) / 20)


def test_a_simple_learner_in_a_partys_seat_learns_to_vote():
    """REINFORCE over the last features (worth, minimum, met or not) beats accepting and rejecting everything."""
    params = {"parties": 2, "issues": (3, 2, 3), "points": 20, "thresholds": 0.5}
    env = make("bargain", task_params=params, turns=0, accept_rule="n", shortfall="score")
    moves, weights, base = np.random.default_rng(0), np.zeros(4), 0.0
    right = []
    for seed in range(1500):
        env.reset(seed)
        offer = [f"{issue}{moves.integers(1, len(names) + 1)}" for issue, names in env.task.public["issues"].items()]
        env.step(speech([]))
        env.step(speech(offer))
        seen = np.array([*env.features("party_1")[-3:], 1.0])
        chance = 1 / (1 + np.exp(-weights @ seen))
        accept = int(moves.random() < chance)
        env.step(env.compact_action("party_1", [0, 0, 0, accept]))
        gain = env.returns["party_1"] - base
        weights, base = weights + 10 * gain * (accept - chance) * seen, base + 0.02 * gain
        right.append((chance > 0.5) == bool(seen[2]))
    assert np.mean(right[-300:]) > 0.9


def test_failure_pays_spoilers_and_the_targets_loss_pays_its_enemy():
    attitude = ("coop", "coop", "targeted")
    env = started(3, **SMALL, attitude=attitude)
    deal, card = ["A1", "B1"], env.task.private["party_1"]
    passed = vote(to_vote(env.fork(), deal), {"party_1"})
    worth = sum(card["scores"][name] for name in deal)
    assert passed.returns["party_2"] == pytest.approx(1 - worth / 20)
    failed = vote(to_vote(env.fork(), deal), set())
    assert failed.returns["party_2"] == pytest.approx(1 - card["minimum"] / 20)
    spoiled = vote(to_vote(started(3, **SMALL, attitude=("coop", "coop", "spoiler")), deal), set())
    assert spoiled.returns["party_2"] == 1.0


def test_an_empty_final_offer_offers_the_table():
    env = started(**SMALL)
    env.step(speech(["A2", "B1"]))
    to_vote(env, [])
    assert [e.data for e in env.log if e.kind == "offer"] == [{"deal": ["A2", "B1"]}]
    assert env.phase.kind == "vote"


@pytest.mark.parametrize("deal", [["A1"], ["B1", "A1"], ["A1", "B9"], ["A1", "B1", "B2"], ["A1", "A2"]])
def test_deals_that_are_none_are_illegal_and_change_nothing(deal):
    env = started(**SMALL)
    env.step(speech(deal, "I want this."))
    assert env.outcomes["party_0"] == {"illegal": 1}
    assert env.log[-3].data == {"message": "", "deal": []}
    assert "table" not in env.memo


def test_long_messages_are_cut():
    env = started(**SMALL, words=3)
    env.step(speech(["A1", "B1"], "one two three four"))
    assert env.log[-3].data["message"] == "one two three"
    assert env.outcomes["party_0"] == {"truncated": 1}


def test_proposals_below_minimum_and_leaks_are_counted():
    env = started(3, **SMALL)
    card = env.task.private["party_0"]
    lists = env.task.public["issues"].values()
    worst = [min(names, key=card["scores"].__getitem__) for names in lists]
    best = [max(names, key=card["scores"].__getitem__) for names in lists]
    env.step(speech(worst, f"I need {card['minimum']} points."))
    vote(to_vote(env, best), {"party_1"})
    assert env.metrics()["below_minimum"] == 0.5
    assert env.metrics()["leakage"] == pytest.approx(1 / 14)


@pytest.mark.parametrize(
    ("text", "leaks"),
    [
        ("I take A2 and B1.", False),
        ("That is worth {m}.", True),
        ("{m}!", True),
        ("A{m} or {m}a", False),
        ("{m}.5", False),
    ],
)
def test_leaks_are_own_numbers_that_stand_alone(text, leaks):
    env = started(3, **SMALL)
    minimum = env.task.private["party_0"]["minimum"]
    assert env.rules.leaks("party_0", text.format(m=minimum), None) is leaks


def test_any_time_success_remembers_a_deal_that_was_dropped():
    env = started(3, **SMALL)
    good = env.task.truth["maximin"]["deal"]
    env.step(speech(good))
    card = env.task.private["party_1"]
    worst = [min(names, key=card["scores"].__getitem__) for names in env.task.public["issues"].values()]
    vote(to_vote(env, worst), {"party_1", "party_2"})
    found = env.metrics()
    assert (found["any_success"], found["any_unanimous"]) == (1, 1)
    assert (found["final_success"], found["final_unanimous"], found["passed"], found["unanimous"]) == (0, 0, 1, 1)


def test_the_maximin_deal_has_no_distance_to_the_optimum():
    env = started(3, **SMALL)
    found = vote(to_vote(env, env.task.truth["maximin"]["deal"]), {"party_1", "party_2"}).metrics()
    assert found["maximin_distance"] == 0
    assert found["worst"] == pytest.approx(min(env.task.truth["maximin"]["scores"]) * 5)
    assert found["pareto_distance"] == 0


@pytest.mark.parametrize("window", [1, 2, 6])
def test_a_seat_is_shown_the_newest_messages_only(window):
    env = started(**SMALL, window=window, turns=9)
    said = []
    while env.phase.kind != "vote":
        seat = env.agent_selection
        view = env.view(seat)
        shown = [e.data["message"] for e in view.history() if e.kind == "act"]
        assert shown == said[-window:]
        assert len([e for e in view.events if e.kind == "act"]) <= window
        assert [e for e in view.history() if e.kind == "private"] == [
            e for e in env.log if e.kind == "private" and e.author == seat
        ]
        said.append(f"message {len(said)}")
        env.step(speech(["A1", "B1"], said[-1]))


def test_a_mediator_suggests_before_the_final_offer_and_shares_the_result():
    env = started(3, **SMALL, mediator=True, turns=3)
    deal = env.task.truth["maximin"]["deal"]
    while env.phase.kind != "suggest":
        env.step(speech([]))
    assert env.agent_selection == "mediator_0"
    env.step(speech(deal, "Take this."))
    vote(to_vote(env, []), {"party_1", "party_2"})
    assert env.returns["mediator_0"] == pytest.approx(np.mean(env.task.truth["maximin"]["scores"]) / 20)


# ---- package --------------------------------------------------------------------------------------------------------


def post(*package):
    return {"message": "", "package": list(package)}


def reply(add="none", drop="none", reason=""):
    return {"reply": "object", "add": add, "drop": drop, "reason": reason}


ACCEPT = {"reply": "accept"}


def test_talks_end_when_nobody_objects():
    env = started(**TOY)
    for action in (post("m3"), ACCEPT, ACCEPT):
        env.step(action)
    assert env.over
    assert env.returns == {"group_0": 3, "group_1": 2, "mediator_0": pytest.approx(2.00025)}
    assert env.metrics()["settled"] == 1


@pytest.mark.parametrize("last", [post("keep"), post("m3"), {"nonsense": 1}])
def test_talks_end_when_the_mediator_leaves_the_package(last):
    env = started(**TOY)
    for action in (post("m3"), ACCEPT, reply(add="m2"), last):
        env.step(action)
    assert env.over
    assert env.metrics()["rounds"] == 1
    assert env.metrics()["objections"] == 0.5


def test_talks_end_after_the_last_round():
    env = started(**TOY, rounds=2)
    for action in (post("m3"), reply("m4"), ACCEPT, post("m3", "m4"), reply("m1", "m4"), ACCEPT, post("m1", "m3")):
        assert not env.over
        env.step(action)
    assert env.over
    assert env.rules.package == ["m1", "m3"]
    assert env.metrics()["settled"] == 0


@pytest.mark.parametrize("package", [("m1", "m2"), ("m3", "m3"), ("m9",), ("keep", "m3")])
def test_packages_that_cost_too_much_or_make_no_sense_are_illegal(package):
    env = started(**TOY)
    env.step(post(*package))
    assert env.outcomes["mediator_0"] == {"illegal": 1}
    assert env.rules.package == []


@pytest.mark.parametrize("bad", [reply("m3"), reply(drop="m1"), reply("m1", "m9"), reply("m1") | {"reply": "maybe"}])
def test_bad_amendments_count_as_acceptance(bad):
    env = started(**TOY)
    for action in (post("m2", "m3"), bad, ACCEPT):
        env.step(action)
    assert env.over
    assert sum(env.outcomes["group_0"].values()) == 1
    assert "ok" not in env.outcomes["group_0"]


def test_an_amendment_over_the_budget_is_illegal():
    env = started(**TOY)
    env.step(post("m2", "m3"))
    env.step(reply("m4"))
    assert env.outcomes["group_0"] == {"illegal": 1}
    assert env._buffer[0][3] == "the amendment costs 2, 0 is left"


def test_objections_reach_the_mediator_and_acceptances_nobody():
    env = started(**TOY)
    for action in (post(), reply("m3", reason="we need m3"), ACCEPT):
        env.step(action)
    heard = [e for e in env.view("mediator_0").events if e.author]
    assert [(e.author, e.kind, e.data) for e in heard] == [
        ("group_0", "objection", {"add": "m3", "drop": "none", "cost": 1, "reason": "we need m3"})
    ]
    assert not [e for e in env.visible("group_1") if e.author == "group_0"]
    assert [e.data for e in env.log if e.kind == "floor"] == [{"objections": 1}]


def test_objections_are_public_where_all_may_hear_them():
    env = started(**TOY, objections="all")
    for action in (post(), reply("m3"), ACCEPT):
        env.step(action)
    assert [e.kind for e in env.visible("group_1") if e.author == "group_0"] == ["objection"]


def test_without_a_mediator_the_rule_merges():
    env = started(**TOY, mediator=False)
    assert env.possible_agents == ["group_0", "group_1"]
    for action in (reply("m4"), reply("m2"), reply("m3"), ACCEPT, ACCEPT, ACCEPT):
        env.step(action)
    # m2 lifts the worst-off from 8 to 9, m4 lowers it; then m3 lifts it from 9 to 12
    assert [e.data["package"] for e in env.log if e.kind == "package"] == [["m2"], ["m2", "m3"]]
    assert env.over
    assert env.metrics()["accuracy"] == 1


def test_budget_of_the_parameters_is_kept_and_enumerated():
    env = started(**TOY, budget=1)
    assert env.task.public["budget"] == 1
    assert env.task.truth["maximin"]["package"] == ["m3"]


@pytest.mark.parametrize(
    ("objective", "gained"), [("worst_then_total", 4.0004), ("total", 8.0), ("nash", (12 * 14) ** 0.5 - 80**0.5)]
)
def test_the_mediator_is_paid_for_its_objective(objective, gained):
    env = started(**TOY, objective=objective)
    for action in (post("m2", "m3"), ACCEPT, ACCEPT):
        env.step(action)
    assert env.returns["mediator_0"] == pytest.approx(gained)


def test_fairness_is_measured_against_the_base_design():
    env = started(**TOY)
    for action in (post("m2", "m3"), ACCEPT, ACCEPT):
        env.step(action)
    found = env.metrics()
    assert (found["total"], found["worst"], found["total_gain"], found["worst_gain"]) == (26, 12, 8, 4)
    assert found["gini"] == pytest.approx(2 * 2 / (2 * 2 * 26))
    assert found["gini_gain"] == pytest.approx(found["gini"] - 4 / (2 * 2 * 18))
    assert (found["accuracy"], found["maximin_distance"], found["pareto_distance"]) == (1, 0, 0)


# ---- both -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", KINDS)
@pytest.mark.parametrize("compact", [False, True])
def test_keeps_pettingzoos_contract(params, compact):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        api_test(make("bargain", compact=compact, **params), num_cycles=60)
        seed_test(lambda: make("bargain", compact=compact, **params), num_cycles=30)


@pytest.mark.parametrize("params", KINDS)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_unmasked_compact_actions_are_legal_in_every_seat(params, data):
    env = started(data.draw(st.integers(0, 1000)), **params)
    while not env.over:
        seat = env.agent_selection
        space, mask = env.compact_space(seat), env.compact_mask(seat)
        nvec = [2] * space.n if hasattr(space, "n") else [int(n) for n in space.nvec]
        value, offset = [], 0
        for size in nvec:
            value.append(data.draw(st.sampled_from([v for v in range(size) if mask[offset + v]])))
            offset += size
        assert offset == len(mask)
        env.step(env.compact_action(seat, np.array(value)))
        assert env.infos[seat]["outcome"] == "ok"
    assert all(set(counts) == {"ok"} for counts in env.outcomes.values())


@pytest.mark.parametrize("params", KINDS)
def test_restored_at_any_turn_a_match_goes_on_as_if_nothing_had_happened(params):
    env = started(5, **params)
    moves = np.random.default_rng(0)
    while not env.over:
        seat = env.agent_selection
        space = env.compact_space(seat)
        space.seed(int(moves.integers(1000)))
        action = env.compact_action(seat, space.sample())
        twin = Bargain.restore(json.loads(json.dumps(env.snapshot())))
        assert twin.snapshot() == env.snapshot()
        env.step(action)
        twin.step(action)
        assert json.dumps(twin.snapshot()) == json.dumps(env.snapshot())
        assert twin.observe_compact(seat)["features"].tolist() == env.observe_compact(seat)["features"].tolist()
    assert twin.metrics() == env.metrics()


@pytest.mark.parametrize("params", KINDS)
def test_features_have_one_length_and_stay_within_bounds(params):
    env = started(1, **params)
    sizes = {seat: len(env.features(seat)) for seat in env.possible_agents}
    while not env.over:
        for seat in env.possible_agents:
            flat = env.features(seat)
            assert len(flat) == sizes[seat]
            assert -1 <= min(flat) <= max(flat) <= 1
            assert env.observation_space(seat).contains(env.observe(seat))
        space = env.compact_space(env.agent_selection)
        space.seed(env._steps)
        env.step(env.compact_action(env.agent_selection, space.sample()))


def blind(env, seat):
    """All that a seat can see, as text."""
    view = env.view(seat) if seat in env.to_move else None
    parts = [env.brief(seat), env.card(seat), [e.data for e in env.visible(seat)], env.observe(seat)["text"]]
    if view:
        parts += [view.task, view.instruction, view.schema, [e.data for e in view.history()]]
    return json.dumps(parts)


def test_other_parties_sheets_and_notes_never_show():
    """Two matches that differ in another's sheet and private notes alone look the same to a seat."""
    one, two = started(7, **SMALL), started(7, **SMALL)
    other = two.task.private["party_1"]
    other["minimum"] += 1
    other["scores"] = {name: score + 1 for name, score in other["scores"].items()}
    for env, secret in ((one, "alpha"), (two, "beta")):
        while env.phase.kind != "vote":
            own = env.agent_selection == "party_1"
            env.step(speech(["A1", "B1"], "hello", scratchpad=secret * own, plan=secret * own))
    for seat in ("party_0", "party_2"):
        assert blind(one, seat) == blind(two, seat)
        assert one.features(seat) == two.features(seat)


def test_private_rubric_stays_private():
    params = {"kind": "package", "task_params": {"groups": 2, "measures": 3, "rubric": "private"}}
    env = started(0, **params)
    card = json.dumps(env.card("group_0"))
    assert card in json.dumps(env.view("mediator_0").card) or card not in blind(env, "mediator_0")
    assert card not in blind(env, "group_1")
    assert json.dumps(env.task.truth["effects"]) not in blind(env, "group_1")


@pytest.mark.parametrize("params", KINDS)
@pytest.mark.parametrize("limit", [1, 4])
def test_truncated_matches_pay_and_measure(params, limit):
    env = play(started(0, **params, max_turns=limit), lambda e, seat: None)
    assert all(env.truncations.values()) or all(env.terminations.values())
    assert all(np.isfinite(v) for v in [*env.metrics().values(), *env.returns.values()])


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"task": "measures"}, "plays tasks of"),
        ({**SMALL, "veto": ("party_3",)}, "party_3"),
        ({**SMALL, "target": "judge_0"}, "judge_0"),
        ({**SMALL, "accept_rule": 4}, "accept_rule=4"),
        ({**SMALL, "attitude": ("coop",) * 4}, "4 entries"),
        ({**SMALL, "attitude": ("coop", "targeted")}, "against itself"),
        ({**SMALL, "attitude": "targeted"}, "against itself"),
        ({**SMALL, "attitude": "kind"}, "attitude"),
        ({**TOY, "budget": 0}, "budget"),
        ({"kind": "auction"}, "kind"),
        ({"rounds": 0}, "rounds"),
        ({"turn": 3}, "turn"),
        ({"task_params": {"parties": 1}}, "parties"),
    ],
)
def test_impossible_parameters_are_refused(params, says):
    with pytest.raises(ValidationError, match=says):
        make("bargain", **params)


def test_defaults_are_legal_and_listed_parameters_exist():
    for params in (SMALL, TOY):
        env = started(0, **params)
        for phase in env._script:
            found = env._check(phase.actors[0], phase, phase.default)
            assert (found.outcome, found.fields) == ("ok", phase.default)
    assert measures.measure(0) == "m1"
