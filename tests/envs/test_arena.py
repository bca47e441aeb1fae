import dataclasses
import json

import pytest
from pydantic import ValidationError

from simarena import seeds
from simarena.envs import make
from simarena.envs.arena.env import Arena
from simarena.envs.arena.matrix import MatrixArena
from simarena.registry import lookup_policy
from simarena.tasks.base import Task

CAST = {
    "contestant": "arena/table_skill",
    "opponent": "arena/table_skill",
    "member": "arena/table_skill",
    "judge": "arena/truthful",
}
MODES = [
    {"judging": "score"},
    {"judging": "score", "show": "alone", "reasons": False},
    {"judging": "verdict", "orders": "random", "ties": False},
    {"judging": "options"},
    {"judging": "likelihood", "weigh": "reply", "per_token": True},
    {"judging": "solve"},
    {"mode": "panel", "judging": "verdict"},
    {"mode": "panel", "judging": "likelihood"},
    {"mode": "panel", "judging": "solve"},
    {"mode": "panel", "judging": "options", "grader_reward": "consensus"},
    {"mode": "population", "m": 5, "samples": 3, "opponent_logprobs": True},
    {"mode": "population", "judging": "verdict", "samples": 2, "history": 1},
]


def seated(env, **others):
    """Seat -> policy."""
    named = CAST | others
    return {seat: lookup_policy(named.get(seat, named[env.role(seat)]))() for seat in env.possible_agents}


def play(env, policies, seed=0, **options):
    env.reset(seed=seed, options=options)
    while not env.over:
        act(env, policies)
    return env


def act(env, policies):
    seat = env.agent_selection
    env.step(policies[seat].act(env.view(seat), seeds.rng(env.seed, seat, env._steps)))


def answers(env, texts):
    """Every contestant gives its text; the judges are next."""
    env.reset(seed=0)
    for text in texts:
        env.step(json.dumps({"reason": f"because {text}", "answer": text}))
    return env


def right(env):
    return env.task.truth["answer"]


@pytest.mark.parametrize("params", MODES, ids=str)
def test_a_match_continues_from_its_snapshot_byte_for_byte(params):
    env = Arena(task="skills", **params)
    policies = seated(env)
    env.reset(seed=5)
    while not env.over:
        copy = Arena.restore(json.loads(json.dumps(env.snapshot())))
        act(env, policies)
        act(copy, policies)
        assert copy.snapshot() == env.snapshot()
    assert env.metrics() == Arena.restore(env.snapshot()).metrics()
    json.dumps(env.snapshot(), allow_nan=False)


@pytest.mark.parametrize("params", MODES, ids=str)
def test_names_stay_hidden_and_answers_unseen_until_all_have_answered(params):
    env = Arena(task="skills", **params)
    policies = seated(env)
    env.reset(seed=2)
    while not env.over:
        seat = env.agent_selection
        view = env.view(seat)
        seen = json.dumps([[event.author, event.data] for event in view.history() if event.author != seat])
        assert not any(other in seen for other in env.params.writers), seen
        assert json.dumps(env.task.truth["wrong"]) not in json.dumps([view.task, view.card])
        if view.kind == "answer":
            assert all(event.kind in ("task", "card") or event.author == seat for event in view.history())
        act(env, policies)


def test_a_judge_reads_one_sheet_at_a_time_in_both_orders():
    env = answers(Arena(task="skills", m=3), ["11", "12"])
    sheets = []
    while not env.over:
        view = env.view("judge_0")
        sheets.append([(e.data["label"], e.data["answer"]) for e in view.events if e.kind == "answer"])
        assert view.probe
        env.step({"reason": "", "scores": [3, 5]})
    assert sheets == [[("A", "11"), ("B", "12")], [("A", "12"), ("B", "11")]]
    assert env.metrics()["decisive"] == 0  # the favour for what is read second cancels


def test_answers_may_be_graded_alone_whatever_judging_a_sweep_sets():
    env = answers(Arena(task="skills", m=3, show="alone"), ["11", "12"])
    sheets = []
    for score in ([8], [3]):
        sheets.append([e.data["answer"] for e in env.view("judge_0").events if e.kind == "answer"])
        env.step({"reason": "", "scores": score})
    assert sheets == [["11"], ["12"]]
    assert env.metrics()["grade/contestant_0"] == 5
    both = answers(Arena(task="skills", m=3, show="alone", judging="likelihood"), ["11", "12"])
    assert len(both.view("judge_0").score.continuations) == 2


@pytest.mark.parametrize(("margin", "standing"), [(0.0, 1.0), (2.0, 1.0), (3.0, 0.0)])
def test_a_win_needs_more_than_the_margin(margin, standing):
    env = answers(Arena(task="skills", m=3, margin=margin, orders="given"), ["11", "12"])
    env.step({"reason": "", "scores": [8, 5]})
    assert env.returns == {"contestant_0": standing, "contestant_1": -standing, "judge_0": 0.0}
    assert env.metrics()["grade/contestant_0"] == 3


@pytest.mark.parametrize(("weights", "winner"), [("reputation", "contestant_1"), ("equal", "contestant_0")])
def test_reputations_weight_judges(weights, winner):
    env = answers(Arena(task="skills", m=5, orders="given", weights=weights, reputation=[10, 10, 100]), ["11", "12"])
    for scores in ([9, 3], [9, 3], [4, 8]):
        env.step({"reason": "", "scores": scores})
    assert env.returns[winner] == 1.0
    assert env.params.reputation == {"judge_0": 10, "judge_1": 10, "judge_2": 100}


@pytest.mark.parametrize(
    ("judging", "margin", "label"), [("score", 0.0, 1.0), ("solve", 0.0, 1.0), ("solve", 1.0, None)]
)
def test_label_accuracy_is_there_only_where_a_label_is(judging, margin, label):
    env = Arena(task="skills", m=3, judging=judging, margin=margin)
    env.reset(seed=0)
    env.step({"reason": "", "answer": right(env)})
    env.step({"reason": "", "answer": "no idea"})
    judge = lookup_policy("arena/truthful")()
    while not env.over:
        env.step(judge.act(env.view("judge_0"), seeds.rng(env._steps)))
    found = env.metrics()
    assert found["exactly_one_right"] == 1
    assert found.get("label_accuracy") == label
    assert found.get("label_right/judge_0") == label
    assert found["labelled"] == (label is not None)


def test_likelihood_judges_weigh_answers_from_a_contestants_chair():
    env = Arena(task="skills", m=3, judging="likelihood")
    env.reset(seed=0)
    own = env.view("contestant_0")
    env.step({"reason": "so", "answer": f" {right(env)} . "})
    env.step({"reason": "thus", "answer": "quite unclear"})
    view = env.view("judge_0")
    score = view.score
    assert [json.loads(text) for text in score.continuations] == [{"answer": right(env)}, {"answer": "quite unclear"}]
    bare = Arena(task="skills", m=3, reasons=False)
    bare.reset(seed=0)
    asked = bare.view("contestant_0")
    for key in ("role", "brief", "instruction", "task", "events", "schema", "card", "seat", "kind"):
        assert getattr(score.view, key) == getattr(asked, key), key
    assert own.brief == score.view.brief
    env.step({"logprobs": [-3.0, -1.5], "tokens": [3, 1]})
    assert env.returns["contestant_1"] == 1
    assert env.metrics()["grade/contestant_1"] == 1.5


def test_likelihood_of_the_whole_reply_and_per_token():
    env = answers(Arena(task="skills", m=3, judging="likelihood", weigh="reply", per_token=True), ["11", "12"])
    score = env.view("judge_0").score
    assert [json.loads(text)["reason"] for text in score.continuations] == ["because 11", "because 12"]
    assert "reason" in score.view.schema["properties"]
    env.step({"logprobs": [-6.0, -4.0], "tokens": [6, 2]})
    assert env.metrics()["grade/contestant_0"] == 1.0


def test_options_judges_give_probabilities_at_their_own_position():
    env = answers(Arena(task="skills", m=3, judging="options", orders="given"), ["11", "12"])
    view = env.view("judge_0")
    assert [json.loads(text)["winner"] for text in view.score.continuations] == ["A", "B", "tie"]
    assert view.score.view.brief == view.brief
    assert [e.data["answer"] for e in view.score.view.events if e.kind == "answer"] == ["11", "12"]
    assert view.score.view.read('{"winner": "B"}').outcome == "ok"
    assert view.score.view.read('{"winner": "C"}').outcome == "illegal"
    env.step({"logprobs": [-1.0, -2.0, -30.0], "tokens": [1, 1, 1]})
    e = 2.718281828459045
    assert env.metrics()["grade/contestant_0"] == pytest.approx((e - 1) / (e + 1), abs=1e-6)


@pytest.mark.parametrize(
    "weights",
    [
        {"logprobs": [float("nan"), -1.0], "tokens": [1, 1]},
        {"logprobs": [-1.0], "tokens": [1]},
        {"logprobs": [5.0, -1.0], "tokens": [1, 1]},
        {"logprobs": [-1.0, -1.0], "tokens": [0, 1]},
        "rubbish",
    ],
    ids=str,
)
def test_weights_that_are_none_count_as_equal(weights):
    env = answers(Arena(task="skills", m=3, judging="likelihood"), ["11", "12"])
    env.step(weights)
    assert env.returns["contestant_0"] == 0
    assert "ok" not in env.outcomes["judge_0"]


def test_solve_judges_answer_before_they_see_anything_and_the_engine_grades():
    env = Arena(task="skills", m=3, judging="solve")
    env.reset(seed=0)
    asked = env.view("contestant_0")
    env.step({"reason": "", "answer": "no idea"})
    env.step({"reason": "", "answer": right(env)})
    view = env.view("judge_0")
    assert (view.brief, view.instruction, view.events, view.schema) == (
        asked.brief,
        asked.instruction,
        asked.events,
        asked.schema,
    )
    env.step({"reason": "", "answer": f"= {right(env)}"})
    assert env.returns["contestant_1"] == 1
    assert env.metrics()["solved/judge_0"] == 1


@pytest.mark.parametrize("judging", ["solve", "likelihood"])
def test_equal_answers_need_no_judge_that_reads_only_answers(judging):
    env = answers(Arena(task="skills", m=4, judging=judging), ["11", " 11"])
    assert env.over
    assert env.returns["contestant_0"] == 0
    assert env.metrics()["settled"] == 1


def test_equal_answers_with_different_reasons_are_judged():
    assert not answers(Arena(task="skills", m=3), ["11", "11"]).over
    assert answers(Arena(task="skills", m=3, reasons=False), ["11", "11"]).over


def test_panel_members_do_not_grade_themselves():
    env = Arena(task="skills", mode="panel", m=3)
    env.reset(seed=0)
    for text in ("11", "12", "13"):
        env.step({"reason": "", "answer": text})
    read = [e.data["answer"] for e in env.view("member_1").events if e.kind == "answer"]
    assert read == ["11", "13"]
    play(env, seated(env), seed=3)
    assert sum(env.returns.values()) == pytest.approx(0)


def test_panel_that_solves_grades_by_its_own_answers():
    env = Arena(task="skills", mode="panel", m=4, judging="solve")
    env.reset(seed=0)
    for text in (right(env), right(env), right(env), "odd"):
        env.step({"reason": "", "answer": text})
    assert env.over
    assert env.returns["member_3"] < 0 < env.returns["member_0"]
    assert env.metrics()["label_accuracy"] == 1


def test_samples_are_drawn_at_one_position_and_opponents_weigh_them():
    env = Arena(task="skills", mode="population", m=5, samples=3, opponent_logprobs=True)
    policies = seated(env)
    env.reset(seed=1)
    asked = []
    while not env.over:
        view = env.view(env.agent_selection)
        if view.seat == "contestant_0":
            asked.append((view.events, view.instruction, view.history(), view.probe))
        if view.phase == "recall":
            assert len(view.score.continuations) == 3
            assert "reason" in json.loads(view.score.continuations[0])
        act(env, policies)
    assert len(asked) == 3
    assert all(each == asked[0] for each in asked)
    found = env.metrics()
    assert {"win_rate", "win_rate/history", "best_right", "worst_right", "logprob/opponent_1"} <= set(found)
    assert "win_rate/tribe" not in found
    assert env.returns["contestant_0"] == pytest.approx(2 * found["win_rate"] - 1)


def test_history_and_tribe_are_told_apart():
    env = Arena(task="skills", mode="population", m=5, opponents=3, history=1)
    found = play(env, seated(env)).metrics()
    assert found["win_rate/tribe"] == (found["win_over/opponent_0"] + found["win_over/opponent_1"]) / 2
    assert found["win_rate/history"] == found["win_over/opponent_2"]


@pytest.mark.parametrize(("kind", "expected"), [("truth", [1, -1, 1]), ("consensus", [0.0, -1, 0.0])])
def test_judges_may_be_paid_for_truth_or_consensus(kind, expected):
    env = Arena(task="skills", m=5, orders="given", grader_reward=kind)
    env.reset(seed=0)
    env.step({"reason": "", "answer": right(env)})
    env.step({"reason": "", "answer": "odd"})
    # judge_0 sees -3 + 3 = 0 in the others, judge_1 sees 3 + 3, judge_2 again 3 - 3
    for scores in ([6, 3], [3, 6], [6, 3]):
        env.step({"reason": "", "scores": scores})
    assert [env.returns[f"judge_{i}"] for i in range(3)] == expected


@pytest.mark.parametrize("source", ["all", "contestants", "none"])
def test_the_source_is_read_by_those_who_may(source):
    env = Arena(task="story", m=3, source=source)
    env.reset(seed=0)
    story = env.task.private["debater"]["story"]
    assert (env.card("contestant_0") == {"story": story}) == (source != "none")
    assert (env.card("judge_0") == {"story": story}) == (source == "all")
    assert "support" not in json.dumps([event.data for event in env.log])


def test_the_family_of_a_mixed_question_is_public():
    env = Arena(task="mixed", task_params={"weights": {"arithmetic": 1, "logic_chain": 1}})
    families = set()
    for seed in range(8):
        env.reset(seed=seed)
        families.add(env.task.public["family"])
        assert env.log[0].data["family"] == env.task.family
    assert families == {"arithmetic", "logic_chain"}


def test_a_cut_match_has_no_outcome_and_no_error():
    env = Arena(task="skills", max_turns=1)
    env.reset(seed=0)
    env.step({"reason": "", "answer": "1"})
    assert not env.over  # the other contestant's move is due in the same breath
    env.step({"reason": "", "answer": "1"})
    assert env.over
    assert set(env.truncations.values()) == {True}
    assert not env.decided()
    assert "decisive" not in env.metrics()
    cut = play(Arena(task="skills", max_turns=3), seated(Arena(task="skills", max_turns=3)))
    assert not cut.decided()
    assert "decisive" not in cut.metrics()


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        ({"reason": "x" * 5000, "answer": "1"}, "illegal"),
        ({"reason": "", "answer": "1" * 500}, "illegal"),
        ({"reason": "word " * 100, "answer": "1"}, "truncated"),
        ("no json", "malformed"),
    ],
    ids=["reason", "answer", "words", "text"],
)
def test_bad_answers_are_counted_and_the_match_goes_on(action, outcome):
    env = Arena(task="skills")
    env.reset(seed=0)
    env.step(action)
    assert env.outcomes["contestant_0"] == {outcome: 1}
    assert env.agent_selection == "contestant_1"


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"mode": "sandbox"}, "sandbox"),
        ({"m": 2}, "leaves no judge"),
        ({"mode": "panel", "m": 2}, "m >= 3"),
        ({"mode": "population", "m": 3}, "leaves no judge"),
        ({"mode": "population", "opponents": 1}, "history"),
        ({"samples": 2}, "population"),
        ({"judging": "verdict", "show": "alone"}, "alone"),
        ({"judging": "likelihood", "weigh": "reply", "reasons": False}, "reasons"),
        ({"reputation": {"judge_7": 2}}, "judge_7"),
        ({"reputation": {"judge_0": 0}}, "reputation"),
        ({"m": 3, "grader_reward": "consensus"}, "second judge"),
        ({"task": "matrix"}, "question family"),
        ({"mode": "matrix_game", "task": "kks"}, "task: matrix"),
        ({"mode": "matrix_game", "m": 3}, "for two"),
        ({"judges": 3}, "judges"),
    ],
    ids=str,
)
def test_impossible_parameters_are_refused(params, words):
    with pytest.raises(ValidationError, match=words):
        Arena(**params)


def test_matrix_mode_is_a_class_inside_and_restores_as_one():
    env = make("arena", mode="matrix_game")
    assert isinstance(env, MatrixArena)
    env.reset(seed=0)
    assert isinstance(Arena.restore(env.snapshot()), MatrixArena)
    assert not isinstance(make("arena"), MatrixArena)


def test_tasks_are_not_touched_by_play():
    env = Arena(task="skills")
    env.reset(seed=0)
    before = json.dumps(dataclasses.asdict(env.task))
    play(env, seated(env))
    assert isinstance(env.task, Task)
    assert json.dumps(dataclasses.asdict(env.task)) == before
