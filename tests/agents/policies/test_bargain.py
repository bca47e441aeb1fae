"""Scripted bargainers against the numbers that enumeration gives."""

import statistics

import pytest

from simarena import seeds
from simarena.agents.policies.bargain import expected, policies, words
from simarena.envs import make
from simarena.registry import lookup_policy
from simarena.tasks import measures, scoresheets

SMALL = {"task_params": {"parties": 3, "issues": (3, 2, 3), "points": 20, "thresholds": 0.5}}
TALK = [name for name in policies.POLICIES if name not in ("exact", "merger", "honest")]


def play(seed, seats=None, options=None, **params):
    """A match of scripted agents; seat or role -> policy name or policy, references elsewhere."""
    env = make("bargain", **params)
    env.reset(seed, options)
    names = {**policies.REFERENCE, **(seats or {})}
    given = {seat: names.get(seat, names[env.role(seat)]) for seat in env.possible_agents}
    agents = {seat: lookup_policy(who)() if isinstance(who, str) else who for seat, who in given.items()}
    while not env.over:
        seat = env.agent_selection
        env.step(agents[seat].act(env.view(seat), seeds.rng(seed, seat, env._steps)))
    return env


def near(share, chance, trials):
    """Whether an observed share lies within four standard errors of its chance."""
    return abs(share - chance) <= 4 * max(1e-9, (chance * (1 - chance) / trials) ** 0.5)


# ---- every policy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(policies.POLICIES))
def test_every_policy_plays_legally_in_every_seat(name):
    for params in ({**SMALL, "mediator": True}, {"kind": "package"}, {"kind": "package", "mediator": False}):
        roles = {"party": f"bargain/{name}", "group": f"bargain/{name}", "mediator": f"bargain/{name}"}
        env = play(3, roles, **params)
        assert all(set(counts) == {"ok"} for counts in env.outcomes.values())


@pytest.mark.parametrize("name", sorted(policies.POLICIES))
def test_private_rubrics_are_no_obstacle(name):
    roles = {"group": f"bargain/{name}", "mediator": f"bargain/{name}"}
    env = play(1, roles, kind="package", task_params={"groups": 3, "rubric": "private"})
    assert all(set(counts) == {"ok"} for counts in env.outcomes.values())


@pytest.mark.parametrize("name", TALK)
def test_scripted_messages_leak_no_number(name):
    env = play(2, {"party": f"bargain/{name}"})
    assert env.metrics()["leakage"] == 0


def test_a_leaking_conceder_leaks_every_time():
    env = play(2, {"party": lookup_policy("bargain/conceder")(leak=True)}, **SMALL)
    assert env.metrics()["leakage"] == 1


# ---- scorable -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("veto", "needed"), [(("party_0", "party_1"), 2), (("party_0",), 2)])
def test_random_offers_pass_as_often_as_enumeration_says(veto, needed):
    """Party 0 offers at random, voters vote at their minimum: the pass rate is the share of deals that pass."""
    trials = 250
    truth = scoresheets.ScoreSheets(**SMALL["task_params"]).generate(11).truth
    chance = expected.expected_pass_rate(truth, needed, tuple(int(seat[6:]) for seat in veto))
    seats = {"party_0": "bargain/random", "party": "bargain/voter"}
    runs = [play(s, seats, {"task_seed": 11}, **SMALL, turns=0, veto=veto).metrics() for s in range(trials)]
    assert 0 < chance < 1
    assert near(statistics.mean(run["passed"] for run in runs), chance, trials)


def test_a_spoiler_lowers_the_pass_rate_to_the_enumerated_one():
    trials = 250
    truth = scoresheets.ScoreSheets(**SMALL["task_params"]).generate(11).truth
    free, spoiled = (expected.expected_pass_rate(truth, 2, (0,), against) for against in ((), (2,)))
    seats = {"party_0": "bargain/random", "party_1": "bargain/voter", "party_2": "bargain/spoiler"}
    runs = [play(s, seats, {"task_seed": 11}, **SMALL, turns=0, veto=("party_0",)).metrics() for s in range(trials)]
    assert spoiled < free
    assert near(statistics.mean(run["passed"] for run in runs), spoiled, trials)


def test_pass_rate_by_hand():
    # two deals; party 0 counts as accepting, party 1 likes the first, party 2 the second
    truth = {"sheets": [[[1, 0]], [[1, 0]], [[0, 1]]], "minimums": [1, 1, 1]}
    assert expected.expected_pass_rate(truth, 2, ()) == 1.0
    assert expected.expected_pass_rate(truth, 2, (0, 1)) == 0.5
    assert expected.expected_pass_rate(truth, 3, ()) == 0.0
    assert expected.expected_pass_rate(truth, 2, (), against=(1,)) == 0.5
    assert expected.expected_below(truth) == [0.5, 0.5, 0.5]


def test_random_proposals_fall_below_minimum_as_often_as_enumeration_says():
    below = expected.expected_below(scoresheets.ScoreSheets(**SMALL["task_params"]).generate(11).truth)
    hits, chances = 0.0, []
    for seed in range(25):
        env = play(seed, {"party": "bargain/random"}, {"task_seed": 11}, **SMALL)
        chances += [below[int(e.author[6:])] for e in env.log if e.kind == "act" and "deal" in e.data]
        hits += env.memo["below"]
    spread = sum(chance * (1 - chance) for chance in chances) ** 0.5
    assert len(chances) == 25 * 14
    assert abs(hits - sum(chances)) <= 4 * spread


@pytest.mark.parametrize("seed", range(12))
def test_stubborn_offers_its_favourite_and_passing_is_decided_by_the_sheets(seed):
    seats = {"party_0": "bargain/stubborn", "party": "bargain/voter"}
    env = play(seed, seats, **SMALL)
    table = scoresheets.score_table(scoresheets.as_sheets(env.task.truth["sheets"]))
    place = scoresheets.position((3, 2, 3), env.memo["offer"])
    assert table[0, place] == table[0].max()
    assert env.metrics()["passed"] == env.metrics()["final_success"]
    assert env.metrics()["below_minimum"] == 0


@pytest.mark.parametrize("name", ["conceder", "greedy", "stubborn", "voter", "targeted"])
def test_no_own_proposal_is_worth_less_than_the_minimum(name):
    for seed in range(6):
        assert play(seed, {"party": f"bargain/{name}"}, **SMALL).metrics()["below_minimum"] == 0


def test_conceders_agree_more_often_than_greedy_greedy_than_stubborn():
    rate = {}
    for name in ("conceder", "greedy", "stubborn"):
        runs = [play(seed, {"party": f"bargain/{name}"}, **SMALL).metrics() for seed in range(40)]
        rate[name] = statistics.mean(run["passed"] for run in runs)
    assert rate["conceder"] > rate["greedy"] > rate["stubborn"]


def test_a_conceders_aspiration_falls_in_a_straight_line_to_its_minimum():
    env = make("bargain", **SMALL)
    env.reset(0)
    policy, asked = lookup_policy("bargain/conceder")(), []
    while env.phase.kind != "vote":
        view = env.view(env.agent_selection)
        if view.seat == "party_0":
            asked.append(policy.aspiration(view, policies.read_sheet(view)))
        env.step(policy.act(view, seeds.rng(0)))
    low = env.task.private["party_0"]["minimum"]
    assert asked == pytest.approx([low + (20 - low) * share for share in (1, 0.75, 0.5, 0.25, 0, 0)])


def test_by_attitude_plays_what_the_card_says():
    env = play(4, {"party": "bargain/attitude"}, **SMALL, attitude=("coop", "coop", "spoiler"))
    same = play(
        4, {"party": "bargain/conceder", "party_2": "bargain/spoiler"}, **SMALL, attitude=("coop", "coop", "spoiler")
    )
    assert env.log == same.log


def test_a_targeted_spoiler_costs_its_target():
    attitude = ("coop", "coop", "targeted")
    harmed, free = [], []
    for seed in range(40):
        harmed.append(play(seed, **SMALL, attitude=attitude).returns["party_1"])
        free.append(play(seed, **SMALL).returns["party_1"])
    assert statistics.mean(harmed) < statistics.mean(free)


def test_a_mediators_suggestion_is_what_most_named():
    env = play(1, **SMALL, mediator=True, window=3)
    seq = next(e.seq for e in env.log if e.author == "mediator_0" and e.kind == "act")
    deals = [e.data["deal"] for e in env.log[:seq] if e.kind == "act"][-3:]
    for i, name in enumerate(env.log[seq].data["deal"]):
        counts = [deal[i] for deal in deals]
        assert counts.count(name) == max(map(counts.count, counts))


# ---- package --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("objective", ["worst_then_total", "nash", "total"])
def test_the_exact_mediator_reaches_the_enumerated_optimum(seed, objective):
    env = play(seed, {"mediator": "bargain/exact"}, kind="package", objective=objective)
    goal = {"worst_then_total": "maximin", "nash": "nash", "total": "total"}[objective]
    assert env.rules.package == env.task.truth[goal]["package"]
    if objective == "worst_then_total":
        assert env.metrics()["accuracy"] == 1
        assert env.metrics()["maximin_distance"] == 0


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("rounds", [1, 3, 8])
def test_the_merging_mediator_ends_where_the_computed_path_ends(seed, rounds):
    env = play(seed, kind="package", rounds=rounds)
    instance = measures.as_instance(env.task.truth)
    end = expected.expected_merge(instance, rounds)
    assert env.rules.package == end
    start, found = sorted(instance.base)[0], env.metrics()
    assert start <= found["worst"] <= min(env.task.truth["maximin"]["utilities"])
    assert play(seed, kind="package", rounds=rounds, mediator=False).rules.package == end


def test_talks_raise_total_and_worst_and_lower_inequality():
    """Published directions: total 21.10 to 24.55, worst 3.20 to 3.90, P20 .86 to 1.00, Gini .036 to .025."""
    runs = [play(seed, kind="package").metrics() for seed in range(30)]
    gains = {key: statistics.mean(run[key] for run in runs) for key in runs[0] if key.endswith("_gain")}
    assert gains["total_gain"] > 0
    assert gains["worst_gain"] > 0
    assert gains["p20_gain"] > 0
    assert gains["gini_gain"] < 0


def test_spoiling_groups_leave_the_base_design():
    env = play(0, {"group": "bargain/spoiler"}, kind="package")
    assert env.rules.package == []
    assert env.metrics()["total_gain"] == 0


def test_an_honest_group_asks_for_what_does_most_for_it():
    env = make("bargain", kind="package")
    env.reset(3)
    env.step({"message": "", "package": []})
    instance = measures.as_instance(env.task.truth)
    for number in range(4):
        answer = lookup_policy("bargain/honest")().act(env.view(f"group_{number}"), seeds.rng(0))
        assert (answer["add"], answer["drop"]) == expected.wish(instance, [], number)


# ---- words ----------------------------------------------------------------------------------------------------------


def test_workings_add_up():
    sheet = policies.Sheet((("A1", "A2"), ("B1", "B2")), {"A1": 3, "A2": 9, "B1": 4, "B2": 0}, 10)
    assert words.working(sheet, ["A2", "B1"]) == "A2 9 + B1 4 = 13, minimum 10."
    assert words.verdict(sheet, ["A1", "B1"], False) == "A1 3 + B1 4 = 7, less than 10: reject."
    assert words.verdict(sheet, ["A2", "B1"], True) == "A2 9 + B1 4 = 13, at least 10: accept."


def test_concessions_name_what_moved_and_for_whom():
    said = [
        e.data["message"]
        for seed in range(10)
        for e in play(seed, **SMALL).log
        if e.kind == "act" and "message" in e.data
    ]
    assert any("I move from" in text and "to meet party_" in text for text in said)
    assert all(0 < len(text.split()) <= 25 for text in said)
