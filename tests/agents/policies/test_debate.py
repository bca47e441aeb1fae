"""Scripted debates come out as worked out beforehand."""

import math
from statistics import fmean

import pytest

from simarena import seeds
from simarena.agents.policies.debate import values as expected
from simarena.agents.policies.debate.policies import POLICIES
from simarena.agents.policies.debate.reading import evidence
from simarena.envs.debate.env import Debate
from simarena.tasks.story import Story


def policy(name, **params):
    return POLICIES[name](**params)


def play(params, seated, seed):
    """One match; `seated` holds policies by seat or role."""
    env = Debate(**params)
    env.reset(seed=seed)
    while not env.over:
        seat = env.agent_selection
        chosen = seated.get(seat) or seated[env.role(seat)]
        env.step(chosen.act(env.view(seat), seeds.rng(seed, seat, env._steps)))
    assert all(set(counts) == {"ok"} for counts in env.outcomes.values())
    return env


def mean(metric, params, seated, size=20):
    found = [play(params, seated, seed).metrics() for seed in range(size)]
    return fmean(each[metric] for each in found if metric in each)


def near(observed, wanted, size):
    """Within four standard errors of a share."""
    return abs(observed - wanted) < 4 * math.sqrt(max(wanted * (1 - wanted), 0.01) / size)


PAIRS = [("honest", "fabricator"), ("fabricator", "honest"), ("honest", "honest"), ("fabricator", "fabricator")]


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("hops", [1, 2])
def test_with_checking_the_truth_always_wins_and_without_it_is_a_coin(pair, hops):
    debaters = {"debater_0": policy(pair[0]), "debater_1": policy(pair[1])}
    task = {"task_params": {"hops": hops}}
    assert mean("accuracy", task, {**debaters, "judge": policy("quote_counter")}) == 1.0
    assert mean("accuracy", {**task, "quotes": "off"}, {**debaters, "judge": policy("quote_counter")}) == 0.5
    assert mean("accuracy", task, {**debaters, "judge": policy("naive")}) == 0.5


@pytest.mark.parametrize("task", ["kks", "arithmetic", "logic_chain", "trap_math"])
def test_a_judge_that_checks_the_working_finds_the_right_answer(task):
    seated = {"debater_0": policy("honest"), "debater_1": policy("fabricator"), "judge": policy("quote_counter")}
    assert mean("accuracy", {"task": task, "rounds": 2}, seated) == 1.0
    assert mean("accuracy", {"task": task, "rounds": 1}, {**seated, "judge": policy("naive")}) == 0.5


def test_required_quotations_do_not_help_the_wrong_side():
    seated = {"debater": policy("honest"), "judge": policy("quote_counter")}
    assert mean("accuracy", {"quotes": "checked_and_required"}, seated) == 1.0


def test_an_echo_proves_nothing():
    seated = {"debater_0": policy("honest"), "debater_1": policy("echo"), "judge": policy("quote_counter")}
    found = [play({}, seated, seed).metrics() for seed in range(20)]
    right = [m["win_debater_0"] for m in found]
    assert set(right) <= {1.0, 0.5}
    assert fmean(m["accuracy"] for m in found) == fmean(right)


@pytest.mark.parametrize("attention", [0.25, 0.6])
def test_an_inattentive_judge_is_as_often_right_as_worked_out(attention):
    params, size = {"assignment": "fixed", "rounds": 3}, 240
    judge = policy("quote_counter", attention=attention)
    debate = mean("accuracy", params, {"debater": policy("fabricator"), "judge": judge}, size)
    adviser = {**params, "protocol": "consultancy", "assignment": "both_sides"}
    advised = mean("accuracy", adviser, {"debater": policy("fabricator"), "judge": judge}, size)
    assert near(debate, expected.debate_accuracy(3, attention), size)
    assert near(advised, expected.consultancy_accuracy(3, attention), size)
    assert debate > advised


def test_the_accuracy_of_a_debate_in_closed_form():
    for points in (1, 2, 3, 5):
        for attention in (0.0, 0.3, 1.0):
            closed = 1 - (1 - attention) ** points / 2
            assert expected.debate_accuracy(points, attention) == pytest.approx(closed)
    assert expected.consultancy_accuracy(3, 1.0) == 1.0
    assert expected.consultancy_accuracy(3, 0.0) == 0.5
    assert expected.consultancy_accuracy(3, 0.5) == pytest.approx(0.75)


@pytest.mark.parametrize("attention", [0.0, 0.5, 1.0])
def test_the_accuracy_of_people_who_quote_at_times_is_as_worked_out(attention):
    size, judge = 300, policy("quote_counter", attention=attention)
    params = {"rounds": 1, "assignment": "fixed"}
    careless = policy("honest", care=0.6)
    honest = mean("accuracy", params, {"debater": careless, "judge": judge}, size)
    assert near(honest, expected.quoting_accuracy((0.6, 0.0), 0.0, attention), size)
    forging = mean("accuracy", params, {"debater": policy("fabricator"), "judge": judge}, size)
    assert near(forging, expected.quoting_accuracy((1.0, 0.0), 1.0, attention), size)
    assert expected.quoting_accuracy((1.0, 0.0), 1.0, attention) == expected.debate_accuracy(1, attention)
    assert expected.quoting_accuracy((0.3, 0.7), 1.0, 0.0) == 0.5


@pytest.mark.parametrize("bonus", [-0.2, 0.0, 0.15])
def test_an_order_bonus_is_recovered_exactly(bonus):
    seated = {"debater": policy("honest"), "judge": policy("ordered", bonus=bonus)}
    for swap in (False, True):
        params = {"order": "sequential", "rounds": 2, "swap": {"speakers": swap}}
        assert mean("order_shift", params, seated, 5) == pytest.approx(bonus)
        assert mean("order_bias", params, seated, 5) == expected.last_speaker_advantage(bonus, 0.0)


def test_an_order_bonus_among_noise_gives_the_computed_advantage():
    size, bonus, noise = 400, 0.1, 0.25
    seated = {"debater": policy("echo"), "judge": policy("ordered", bonus=bonus, noise=noise)}
    wanted = expected.last_speaker_advantage(bonus, noise)
    assert wanted == pytest.approx(0.2)
    observed = mean("order_bias", {"order": "sequential", "rounds": 1, "quotes": "off"}, seated, size)
    assert near(observed + 0.5, wanted + 0.5, size)


def test_a_simultaneous_debate_has_no_last_speaker():
    seated = {"debater": policy("honest"), "judge": policy("ordered", bonus=0.3)}
    found = play({"rounds": 1}, seated, 0).metrics()
    assert "order_bias" not in found
    assert found["right_probability"] == 0.5


def test_a_habit_of_listing_is_averaged_out_and_measured():
    seated = {"debater": policy("honest"), "judge": policy("ordered", bonus=0.0, listed=0.2)}
    params = {"swap": {"answers": "both"}, "rounds": 1}
    assert mean("answer_bias", params, seated, 5) == pytest.approx(0.2)
    assert mean("right_probability", params, seated, 5) == pytest.approx(0.5)


BELIEFS = {
    "task": "beliefs",
    "assignment": "chooser",
    "beliefs": {"elicit": True, "persona": "opposed"},
    "judge_mode": "prior_then_post",
    "rounds": 1,
}


@pytest.mark.parametrize("sycophancy", [0.0, 0.4, 1.0])
def test_sycophancy_is_recovered(sycophancy):
    size = 100
    seated = {"debater": policy("believer", sycophancy=sycophancy), "judge": policy("persona_judge")}
    matches = [play(BELIEFS, seated, seed) for seed in range(size)]
    rate = fmean(env.metrics()["sycophancy"] for env in matches)
    assert near(rate, expected.sycophancy_rate(sycophancy), size)
    for env in matches:
        persona = env.memo["persona"]
        own, judge = env.item.prior[persona], env.item.persona
        wanted = expected.blended(own, judge, sycophancy) - own
        assert env.metrics()["sycophancy_shift"] == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("order", ["simultaneous", "sequential"])
def test_a_persona_judge_ends_where_it_was_computed_to_end(order):
    judge = {"step": 0.05, "bound": 0.12, "order_bonus": 0.1}
    seated = {"debater": policy("believer", sycophancy=0.5), "judge": policy("persona_judge", **judge)}
    for seed in range(20):
        env = play({**BELIEFS, "order": order}, seated, seed)
        side, persona, held = env.sides(0)["debater_0"], env.memo["persona"], env.task.truth["aligned"]
        own, other = (3, 2) if side == held else (2, 3)
        prior = env.item.persona if side == persona else 1 - env.item.persona
        bonus = -0.1 if order == "sequential" else 0.0
        wanted = expected.persona_verdict(prior, own, other, 0.05, 0.12, bonus)
        assert env.record.probs(0)[side] == pytest.approx(wanted)
        found = env.metrics()
        assert found["persuasion_debater_0"] == pytest.approx(wanted - prior)
        assert found["persuasion_gap"] == pytest.approx((1 if side == held else -1) * 2 * (wanted - prior))


def test_sincere_arguments_move_the_judge_further_by_as_much_as_planted():
    seated = {"debater": policy("believer"), "judge": policy("persona_judge")}
    assert mean("persuasion_gap", BELIEFS, seated) == pytest.approx(0.1)


@pytest.mark.parametrize("n", [1, 2, 4])
def test_the_best_of_n_candidates_proves_as_often_as_worked_out(n):
    size, care = 150, 0.4
    seated = {"debater": policy("honest", care=care), "judge": policy("quote_counter"), "critic": policy("critic")}
    observed = mean("accuracy", {"best_of": n, "rounds": 1}, seated, size)
    assert near(observed, expected.careless_accuracy(care, 1, n), size)


def test_an_open_adviser_that_lies_takes_a_weak_judge_along():
    params = {"protocol": "open_consultancy"}
    weak = policy("quote_counter", attention=0.0)
    assert mean("accuracy", params, {"debater": policy("fabricator"), "judge": weak}) == 0.0
    assert mean("accuracy", params, {"debater": policy("honest"), "judge": weak}) == 1.0
    helpful = {"debater": policy("fabricator", picks="right"), "judge": weak}
    assert mean("accuracy_adviser_right", params, helpful) == 1.0


def test_judges_alone():
    assert mean("accuracy", {"protocol": "direct"}, {"judge": policy("quote_counter")}) == 0.5
    assert mean("accuracy", {"protocol": "direct_with_source"}, {"judge": policy("quote_counter")}) == 1.0
    solver = {"judge": policy("quote_counter", skill=1.0)}
    assert mean("accuracy", {"protocol": "direct", "task": "kks"}, solver) == 1.0


@pytest.mark.parametrize("hops", [1, 2])
def test_evidence_is_found_for_the_right_answer_only(hops):
    family = Story(hops=hops, options=2)
    for seed in range(100):
        task = family.generate(seed)
        known = task.private["debater"]["sentences"]
        for option in task.public["options"]:
            found = evidence(task.public["question"], option, known)
            wanted = [known[i] for i in task.truth["support"]] if option == task.truth["answer"] else []
            assert sorted(found) == sorted(wanted)


def test_evidence_in_a_text_of_ones_own():
    known = ["The bridge was closed in May.", "The tower was opened in June.", "Nobody came in May."]
    assert evidence("When was the bridge closed?", "May", known) == [known[0]]
    assert evidence("When was the bridge closed?", "July", known) == []


def test_speeches_are_as_long_as_they_are_told_to_be():
    params = {"words": {"least": 40, "told": 50, "most": 80}, "rounds": 1}
    env = play(params, {"debater": policy("honest"), "judge": policy("naive")}, 0)
    assert all(40 <= speech["words"] <= 80 for speech in env.memo["speeches"])


def test_wording_varies_with_the_seed():
    seated = {"debater": policy("honest"), "judge": policy("naive")}
    said = {play({"rounds": 1}, seated, seed).log[4].data["argument"].split()[0] for seed in range(20)}
    assert len(said) > 3
