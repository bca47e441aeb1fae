"""Debates: who sees what, what is counted, what is paid, and how a verdict is reached."""

import json
import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pettingzoo.test import api_test, seed_test
from pydantic import ValidationError

from simarena import seeds
from simarena.agents.policies.debate.policies import REFERENCE
from simarena.envs.compact import Compact
from simarena.envs.debate.env import Debate
from simarena.errors import ScenarioError
from simarena.registry import lookup_policy

BELIEFS = {
    "task": "beliefs",
    "assignment": "chooser",
    "beliefs": {"elicit": True, "persona": "opposed"},
    "judge_mode": "prior_then_post",
}
BELIEVERS = {"debater": "debate/believer", "judge": "debate/persona_judge"}
KINDS = {
    "default": {},
    "direct": {"protocol": "direct", "swap": {"answers": "both"}},
    "sequential": {"order": "sequential", "task": "kks", "rounds": 2},
    "consultancy": {"protocol": "consultancy", "judge_mode": "interactive", "judges": 2},
    "both sides": {"assignment": "both_sides", "order": "first_blind", "rounds": 2},
    "drafts": {"best_of": 2, "refine": 1, "rounds": 1, "thinking": True},
    "weighed": {"judging": "options", "rounds": 1, "swap": {"answers": "both"}},
    "beliefs": BELIEFS,
    "three": {"options": 3, "task_params": {"options": 3}, "rounds": 1},
}


def cast(env, **names):
    """Seat -> policy, by role."""
    table = {**REFERENCE, **names}
    policies = {name: lookup_policy(name)() for name in set(table.values())}
    return {seat: policies[table.get(seat, table[env.role(seat)])] for seat in env.possible_agents}


def play(params, seed=0, until=None, **names):
    env = Debate(**params)
    env.reset(seed=seed)
    return on(env, cast(env, **names), until)


def on(env, seated, until=None):
    """Play on with these policies, to the end or to the phase `until`."""
    while not env.over and not (until and env.phase.name.startswith(until)):
        seat = env.agent_selection
        env.step(seated[seat].act(env.view(seat), seeds.rng(env.seed, seat, env._steps)))
    return env


def start(**params):
    env = Debate(**params)
    env.reset(seed=3)
    return env


def say(env, *speeches):
    for fields in speeches:
        env.step(fields)
    return env


def shown(env, seat):
    """Everything that a seat may ever read, as one text."""
    return json.dumps([env.visible(seat), env.brief(seat), env.card(seat)])


# ---- contract ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("params", KINDS.values(), ids=KINDS)
def test_pettingzoo_api_holds_with_words_and_with_numbers(params, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for make in (lambda: Debate(**params), lambda: Compact(Debate(**params))):
            api_test(make(), num_cycles=30)
            seed_test(make, num_cycles=10)


@pytest.mark.parametrize("params", KINDS.values(), ids=KINDS)
def test_restored_at_any_turn_it_ends_the_same(params):
    names = BELIEVERS if params is BELIEFS else {}
    env = Debate(**params)
    env.reset(seed=5)
    seated, forks = cast(env, **names), []
    while not env.over:
        forks.append(env.fork())
        seat = env.agent_selection
        env.step(seated[seat].act(env.view(seat), seeds.rng(env.seed, seat, env._steps)))
    ends = {json.dumps(on(fork, seated).snapshot()) for fork in forks}
    assert ends == {json.dumps(env.snapshot())}
    assert env.metrics() == forks[0].metrics()


@pytest.mark.parametrize("params", KINDS.values(), ids=KINDS)
def test_reference_policies_never_act_illegally(params):
    env = play(params, **(BELIEVERS if params is BELIEFS else {}))
    assert all(set(counts) == {"ok"} for counts in env.outcomes.values())
    assert all(math.isfinite(value) for value in env.metrics().values())


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10_000),
    st.lists(st.one_of(st.text(max_size=30), st.none(), st.just('{"argument": 3}')), max_size=12),
)
def test_any_words_end_in_a_finite_verdict(seed, words):
    env = Debate(judging="written", rounds=2, judge_mode="interactive")
    env.reset(seed=seed)
    while not env.over:
        env.step(words.pop() if words else "{}")
    assert env.metrics().get("accuracy", 0.5) == 0.5
    assert env.decided() is ("accuracy" in env.metrics())
    assert env.returns["debater_0"] == env.returns["debater_1"] == 0.0


# ---- who sees what -------------------------------------------------------------------------------------------------


def test_the_judge_never_reads_the_source_and_the_debaters_do():
    env = play({"quotes": "off", "words": {"told": 1, "most": 1}})
    assert env.item.source in shown(env, "debater_0")
    assert env.item.source in shown(env, "debater_1")
    assert not any(sentence in shown(env, "judge_0") for sentence in env.item.sentences)
    assert env.item.source in shown(play({"source_access": "all"}), "judge_0")
    assert env.item.source not in shown(play({"source_access": "none"}), "debater_0")
    assert env.item.source in shown(play({"protocol": "direct_with_source"}), "judge_0")
    assert env.item.source not in shown(play({"protocol": "direct", "source_access": "all"}), "judge_0")


def test_nobody_is_told_which_answer_is_right():
    for task in ("story", "kks", "logic_chain"):
        env = play({"task": task}, until="speech 2")
        for seat in env.possible_agents:
            text = shown(env, seat) + json.dumps(env.infos[seat]) + json.dumps(env.task.known)
            assert not any(f'"{key}"' in text for key in ("support", "truth", "reason", "answer"))


def test_thinking_stays_with_its_author():
    env = start(thinking=True, rounds=1)
    say(env, {"thinking": "SECRET", "argument": "a"}, {"thinking": "", "argument": "b"})
    assert "SECRET" in shown(env, "debater_0")
    assert all("SECRET" not in shown(env, seat) for seat in ("debater_1", "judge_0"))


def test_speeches_of_a_simultaneous_round_are_unseen_until_all_have_spoken():
    env = say(start(), {"argument": "CANARY"})
    assert "CANARY" not in shown(env, "debater_1")
    assert env.agent_selection == "debater_1"
    say(env, {"argument": "b"})
    assert "CANARY" in shown(env, "debater_1")


def test_drafts_stay_between_debater_and_critic_and_candidates_are_seen_by_nobody():
    env = start(refine=1, rounds=1)
    say(env, {"argument": "DRAFT"}, {"argument": "other"})
    seen = {seat for seat in env.possible_agents if "DRAFT" in shown(env, seat)}
    assert seen == {"debater_0", "critic_0"}
    env = start(best_of=2, rounds=1)
    say(env, {"argument": "CANDIDATE"}, {"argument": "other"})
    assert not any("CANDIDATE" in shown(env, seat) for seat in env.possible_agents)


def test_the_judges_of_one_half_know_nothing_of_the_other():
    env = start(assignment="both_sides", rounds=1, quotes="off")
    say(env, {"argument": "FIRST"}, {"argument": "x"}, {"answer": env.item.options[0], "confidence": 90})
    say(env, {"argument": "SECOND"}, {"argument": "y"})
    assert "FIRST" in shown(env, "judge_0")
    assert "SECOND" not in shown(env, "judge_0")
    assert "FIRST" not in shown(env, "judge_1")
    assert "SECOND" in shown(env, "judge_1")
    assert "FIRST" in shown(env, "debater_0")
    assert env.to_move == ["judge_1"]
    assert env.sides(0)["debater_0"] == env.sides(1)["debater_1"]


def test_the_judges_belief_is_told_only_after_the_first_choice():
    env = play(BELIEFS, until="choose", **BELIEVERS)
    assert env.phase.name == "choose"
    assert "the judge believes" not in shown(env, "debater_0")
    on(env, cast(env, **BELIEVERS), "choose again")
    assert all("the judge believes" in shown(env, seat) for seat in env.possible_agents)


def test_beliefs_and_priors_enter_no_later_context():
    env = play(BELIEFS, **BELIEVERS)
    hidden = [event for event in env.log if event.phase.startswith(("belief", "prior")) and event.author]
    assert hidden
    assert all(event.audience == () for event in hidden)
    planted = play({**BELIEFS, "beliefs": {**BELIEFS["beliefs"], "planted": False}}, until="belief")
    assert "you believe" not in shown(planted, "debater_0")


# ---- speeches ------------------------------------------------------------------------------------------------------


def test_quotations_are_matched_without_case_punctuation_and_spacing():
    env = start(rounds=1, order="sequential")
    true, *_ = env.item.sentences
    bent = "  ".join(true.upper().rstrip(".").split())
    say(env, {"argument": "a", "quotes": [true, bent, "nobody wrote this sentence", true[:3]]})
    (marks,) = [event.data for event in env.log if event.kind == "quotes"]
    assert marks == {"by": "debater_0", "marks": ["verified", "verified", "unverified", "unverified"]}
    say(env, {"argument": "b", "quotes": []}, {"answer": env.item.options[0], "confidence": 50})
    found = env.metrics()
    assert (found["quotes_verified"], found["quotes_unverified"], found["quotes_repeated"]) == (2.0, 2.0, 1.0)


@pytest.mark.parametrize(("params", "counted"), [({}, True), ({"quotes": "off"}, False), ({"task": "kks"}, False)])
def test_quotations_are_counted_only_where_there_can_be_any(params, counted):
    env = play({"rounds": 1, **params})
    assert "words" in env.metrics()
    assert any(name.startswith("quotes_") for name in env.metrics()) == counted


def test_unverified_quotations_cost_what_was_set():
    def returns(cost):
        env = start(rounds=1, fake_quote_cost=cost)
        say(env, {"argument": "a", "quotes": ["made up from nothing", "and this as well"]}, {"argument": "b"})
        return say(env, {"answer": env.item.options[0], "confidence": 50}).returns

    assert returns(0.0) == {"debater_0": 0.0, "debater_1": 0.0, "judge_0": math.log(0.5)}
    assert returns(0.1)["debater_0"] == pytest.approx(-0.2)
    assert returns(0.1)["debater_1"] == 0.0


def test_a_required_quotation_and_a_least_length_are_enforced():
    env = start(rounds=1, quotes="checked_and_required", words={"least": 3, "told": 4, "most": 5}, order="sequential")
    assert "at least one quotation" in env.phase.instruction
    assert "at least 3 words" in env.phase.instruction
    assert env.view("debater_0").read('{"argument": "one two three", "quotes": []}').outcome == "illegal"
    assert env.view("debater_0").read('{"argument": "one two", "quotes": ["x"]}').outcome == "illegal"
    say(env, {"argument": "one two three four five six", "quotes": [env.item.sentences[0]]})
    assert env.outcomes["debater_0"] == {"truncated": 1}
    (speech,) = [event.data for event in env.log if event.kind == "act"]
    assert speech["argument"] == "one two three four five"


def test_a_task_without_a_source_has_no_quotations():
    env = start(task="arithmetic", quotes="checked_and_required")
    assert set(env.view("debater_0").schema["properties"]) == {"argument"}
    assert "source" not in env.card("debater_0")


@pytest.mark.parametrize(
    ("order", "groups"),
    [
        ("simultaneous", [["debater_0", "debater_1"]] * 2),
        ("sequential", [["debater_0"], ["debater_1"]] * 2),
        ("first_blind", [["debater_0", "debater_1"], ["debater_0"], ["debater_1"]]),
    ],
)
def test_orders_of_speech(order, groups):
    def spoken(**swap):
        script = Debate(order=order, rounds=2, swap=swap)
        script.reset(seed=0)
        return [list(phase.actors) for phase in script._script if phase.kind == "argue"]

    assert spoken() == groups
    mirror = {"debater_0": "debater_1", "debater_1": "debater_0"}
    assert spoken(speakers=True) == [[mirror[seat] for seat in group] for group in groups]


# ---- sides ---------------------------------------------------------------------------------------------------------


def test_fixed_sides_are_the_order_of_dealing_and_swap_exchanges_them():
    assert start(assignment="fixed").sides(0) == {"debater_0": 0, "debater_1": 1}
    assert start(assignment="fixed", swap={"sides": True}).sides(0) == {"debater_0": 1, "debater_1": 0}
    coins = {Debate(assignment="coin") for _ in range(1)}
    env = coins.pop()
    drawn = []
    for seed in range(200):
        env.reset(seed=seed)
        drawn.append(env.sides(0)["debater_0"])
    assert abs(sum(drawn) - 100) < 4 * math.sqrt(50)


@pytest.mark.parametrize("params", [{"protocol": "open_debate"}, {"assignment": "chooser"}])
def test_a_chooser_takes_its_side_and_the_other_gets_the_rest(params):
    for wanted in (0, 1):
        env = start(**params)
        assert "you defend" not in env.card("debater_0")
        assert env.sides(0) == {}
        say(env, {"answer": env.item.options[wanted], "confidence": 80})
        assert env.sides(0) == {"debater_0": wanted, "debater_1": 1 - wanted}
        assert env.log[-1].data == {"debater_0": env.item.options[wanted], "debater_1": env.item.options[1 - wanted]}
        assert env.log[-1].audience is None


def test_a_persona_opposes_or_shares_the_belief_that_was_stated():
    for kind, expected in (("opposed", 1), ("aligned", 0)):
        env = start(task="beliefs", beliefs={"elicit": True, "persona": kind})
        told = {"answer": env.item.options[0], "confidence": 80}
        say(env, told, told)
        (event,) = [event for event in env.log if event.kind == "persona"]
        assert event.data == {"the judge believes": env.item.options[expected], "confidence": 75}


# ---- verdicts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["direct_with_source", "consultancy", "debate", "open_debate"])
def test_written_options_and_likelihood_say_the_same_of_the_same_judge(protocol):
    found = [
        play({"protocol": protocol, "judging": judging}, seed=4).metrics()["right_probability"]
        for judging in ("written", "options", "likelihood")
    ]
    assert found == pytest.approx([found[0]] * 3, abs=1e-3)


def test_scored_answers_stand_in_a_fresh_position_that_names_them_or_not():
    for judging, named in (("options", True), ("likelihood", False)):
        env = play({"judging": judging, "rounds": 1}, until="verdict")
        view = env.view("judge_0")
        inside = view.score.view
        assert [json.loads(text)["answer"] for text in view.score.continuations] == list(env.item.options)
        assert inside.events == inside.history() == env.visible("judge_0")
        assert view.probe
        assert all(inside.read(text).outcome == "ok" for text in view.score.continuations)
        assert ("enum" in inside.schema["properties"]["answer"]) is named
        assert all((json.dumps(option) in inside.instruction) is named for option in env.item.options)


def test_answers_are_listed_in_either_order_and_both_orders_average_out():
    def first(**swap):
        env = play({"protocol": "direct", "swap": swap}, until="verdict")
        return env.view("judge_0").choices["answer"][0], env.item.options

    listed, options = first()
    assert listed == options[0]
    assert first(answers=True)[0] == options[1]
    env = Debate(protocol="direct", swap={"answers": "both"})
    env.reset(seed=0)
    for confidence in (70, 70):
        view = env.view("judge_0")
        env.step({"answer": view.choices["answer"][0], "confidence": confidence})
    found = env.metrics()
    assert found["right_probability"] == pytest.approx(0.5)
    assert found["answer_bias"] == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"logprobs": [-1.0], "tokens": [1]}, "illegal"),
        ({"logprobs": [float("nan"), -1.0], "tokens": [1, 1]}, "malformed"),
        ({"logprobs": [-1e300, 1e300], "tokens": [1, 1]}, "ok"),
        ({"logprobs": [math.log(0.9), math.log(0.1)], "tokens": [1, 1]}, "ok"),
    ],
)
def test_weights_have_to_be_finite_and_as_many_as_answers(fields, outcome):
    env = start(protocol="direct", judging="options")
    env.step(fields)
    assert env.outcomes["judge_0"] == {outcome: 1}
    assert env.decided() is (outcome == "ok")
    assert env.record.probs(0) is None if outcome != "ok" else sum(env.record.probs(0)) == pytest.approx(1.0)


def test_three_answers_take_a_probability_each():
    env = start(protocol="direct", options=3, task_params={"options": 3})
    view, options = env.view("judge_0"), env.item.options
    for probs in ([0, 0, 0], [0.5, 0.5], [2, 0, 0]):
        assert view.read(json.dumps({"answer": options[0], "probs": probs})).outcome == "illegal"
    env.step({"answer": options[0], "probs": [0.2, 0.2, 0.6]})
    assert env.record.probs(0) == pytest.approx([0.2, 0.2, 0.6])
    three = Debate(options=3, task_params={"options": 3})
    assert three.possible_agents == ["debater_0", "debater_1", "debater_2", "judge_0"]


def test_several_judges_are_averaged_and_paid_each_for_its_own():
    env = start(protocol="direct", judges=2)
    right = env.item.options[env.item.right]
    say(env, {"answer": right, "confidence": 90}, {"answer": right, "confidence": 50})
    assert env.metrics()["right_probability"] == pytest.approx(0.7)
    assert env.returns == {"judge_0": pytest.approx(math.log(0.9)), "judge_1": pytest.approx(math.log(0.5))}


# ---- rewards and measures ------------------------------------------------------------------------------------------


def judged(confidence, **params):
    """A one-round match in which the judge gives answer 0 this confidence; debater i defends answer i."""
    env = start(rounds=1, assignment="fixed", quotes="off", **params)
    while env.phase.kind != "verdict":
        env.step({"argument": "a b c"})
    return say(env, {"answer": env.item.options[0], "confidence": confidence})


def test_persuasion_and_win_rewards():
    assert judged(80).returns["debater_0"] == pytest.approx(0.3)
    assert judged(80).returns["debater_1"] == pytest.approx(-0.3)
    assert judged(80, protocol="consultancy").returns["debater_0"] == pytest.approx(0.8)
    win = {"debater_reward": "win"}
    assert [judged(p, **win).returns["debater_0"] for p in (80, 50, 20)] == [1.0, 0.0, -1.0]


def test_judge_rewards_and_scores():
    env = judged(80)
    p = 0.8 if env.item.right == 0 else 0.2
    assert env.returns["judge_0"] == pytest.approx(math.log(p))
    found = env.metrics()
    assert found["brier"] == pytest.approx((1 - p) ** 2)
    assert found["accuracy"] == float(p > 0.5)
    assert found["correct_side_win"] == float(p > 0.5)
    assert found["words"] == 3.0
    assert judged(80, judge_reward="accuracy").returns["judge_0"] == float(p > 0.5)
    assert judged(50, judge_reward="accuracy").returns["judge_0"] == 0.5
    assert min(judged(100).returns["judge_0"], judged(0).returns["judge_0"]) == -7.0


def test_belief_debates_have_no_truth_to_be_right_about():
    env = play({**BELIEFS, "order": "sequential"}, **BELIEVERS)
    found = env.metrics()
    assert "accuracy" not in found
    assert env.returns["judge_0"] == 0.0
    wanted = {
        "sycophancy",
        "sycophancy_shift",
        "order_bias",
        "order_shift",
        "persuasion_gap",
        "win_aligned",
        "win_against",
    }
    assert wanted <= found.keys()


def test_a_match_cut_short_reports_what_is_known():
    env = play({"max_turns": 3})
    assert all(env.truncations.values())
    assert "accuracy" not in env.metrics()
    assert env.returns == dict.fromkeys(env.possible_agents, 0.0)


# ---- drafts --------------------------------------------------------------------------------------------------------


def test_the_candidate_that_a_judge_would_follow_is_spoken():
    env = start(best_of=3, rounds=1, assignment="fixed")
    for word in ("one", "two", "three"):
        say(env, {"argument": f"{word} of 0"}, {"argument": f"{word} of 1"})
    weights = [[0.2, 0.8], [0.7, 0.3], [0.5, 0.5], [0.9, 0.1], [0.4, 0.6], [0.3, 0.7]]
    for at, pair in enumerate(weights):
        assert env.agent_selection == f"critic_{at // 3}"
        inside = env.view(env.agent_selection).score.view
        spoken = [event.data["argument"] for event in inside.events if event.kind == "act"]
        assert spoken == [f"{('one', 'two', 'three')[at % 3]} of {at // 3}", "I stand by my answer."]
        env.step({"logprobs": [math.log(p) for p in pair], "tokens": [1, 1]})
    said = {event.data["by"]: event.data["argument"] for event in env.log if event.kind == "speech"}
    assert said == {"debater_0": "two of 0", "debater_1": "three of 1"}


def test_a_draft_is_criticised_and_written_anew():
    env = start(refine=2, rounds=1, order="sequential")
    names = [phase.name for phase in env._script if phase.round][:5]
    assert names == [
        "speech 1 debater_0 draft",
        "critique 1 debater_0 1",
        "speech 1 debater_0 draft 2",
        "critique 1 debater_0 2",
        "speech 1 debater_0",
    ]
    say(env, {"argument": "draft"}, {"critique": "BETTER"})
    assert "BETTER" in shown(env, "debater_0")
    assert "BETTER" not in shown(env, "debater_1")
    played = play({"refine": 2, "rounds": 1, "best_of": 2})
    assert played.metrics()["accuracy"] == 1.0
    assert played.returns["critic_0"] == played.returns["debater_0"]


# ---- parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"beliefs": {"persona": "opposed"}}, "set beliefs.elicit"),
        ({"options": 3, "beliefs": {"elicit": True, "persona": "opposed"}}, "needs options 2"),
        ({"quotes": "checked_and_required", "source_access": "none"}, "let the debaters read"),
        ({"words": {"least": 80, "told": 70, "most": 90}}, "does not hold"),
        ({"protocol": "debat"}, "protocol"),
        ({"wordz": 3}, "wordz"),
    ],
)
def test_impossible_parameters_say_what_to_do(params, message):
    with pytest.raises(ValidationError, match=message):
        Debate(**params)


def test_too_few_answers_say_what_to_do():
    with pytest.raises(ScenarioError, match=r"set options to 2, not 4"):
        Debate(options=4).reset(seed=0)


def test_yaml_reads_off_as_false_and_it_means_off():
    assert Debate(quotes=False).params.quotes == "off"


# ---- the numeric face ----------------------------------------------------------------------------------------------


def test_a_learner_that_quotes_the_right_sentence_wins():
    env = start(rounds=1, order="sequential", assignment="fixed", quotes="checked_and_required")
    size = len(env.item.sentences)
    proof = env.family.generate(env.task_seed).truth["support"]
    for seat in ("debater_0", "debater_1"):
        right = env.sides(0)[seat] == env.item.right
        picked = [int(right and i in proof) for i in range(size)]
        env.step(env.compact_action(seat, [*picked, 0, 5]))
    assert env.outcomes["debater_0"] == env.outcomes["debater_1"] == {"ok": 1}
    stats = env.features("judge_0")
    env.step(env.compact_action("judge_0", [0.9, 0.1] if env.item.right == 0 else [0.1, 0.9]))
    assert env.metrics()["right_probability"] == pytest.approx(0.9)
    assert all(-1 <= x <= 1 for x in stats)


def test_a_debaters_features_point_at_the_sentence_that_names_its_answer():
    env = start(assignment="fixed")
    right = f"debater_{env.item.right}"
    pairs = env.features(right)[-2 * len(env.item.sentences) :]
    scores = [pairs[2 * i] + pairs[2 * i + 1] for i in range(len(env.item.sentences))]
    assert scores.index(max(scores)) == env.family.generate(env.task_seed).truth["support"][0]
