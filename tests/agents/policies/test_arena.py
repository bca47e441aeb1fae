import json
from itertools import product
from random import Random

import numpy as np
import pytest
from scipy.optimize import linprog

from simarena import seeds
from simarena.agents.policies.arena import expected
from simarena.agents.policies.arena.policies import OPENINGS, POLICIES, REFERENCE, same
from simarena.agents.policies.arena.solver import SOLVERS, knowledge
from simarena.envs.arena.env import Arena
from simarena.registry import TASKS, lookup, lookup_policy
from simarena.tasks.skills import STYLES, Grader

SMALL = {"task": "skills", "task_params": {"topics": ["sum", "greater"], "high": 20}}


def policy(name, **params):
    return lookup_policy(f"arena/{name}")(**params)


def play(env, policies, seed):
    env.reset(seed=seed)
    while not env.over:
        seat = env.agent_selection
        env.step(policies[seat].act(env.view(seat), seeds.rng(seed, seat, env._steps)))
    return env


def mean(env, policies, matches, read):
    """Mean and its standard error, at least that of one odd match."""
    found = np.array([read(play(env, policies, seed)) for seed in range(matches)], float)
    return found.mean(), max(found.std() / matches**0.5, 1 / matches)


# ---- what contestants know -------------------------------------------------------------------------------------------

FAMILIES = [
    ("kks", {}),
    ("kks", {"n": 5, "templates": "all"}),
    ("arithmetic", {}),
    ("arithmetic", {"options": 4}),
    ("logic_chain", {}),
    ("skills", {}),
    ("story", {}),
    ("story", {"hops": 2}),
    ("trap_math", {}),
    ("trap_math", {"size": 8, "options": 3}),
]


@pytest.mark.parametrize(("name", "params"), FAMILIES, ids=str)
def test_the_solver_is_right_and_its_mistakes_are_wrong(name, params):
    family = lookup(TASKS, "task family", name)(**params)
    for seed in range(60):
        task = family.generate(seed)
        card = {"story": task.private["debater"]["story"]} if task.private else {}
        found = knowledge({**task.known, "family": task.family}, card, Random(seed))
        marks = [family.verify(task, each.answer) for each in found.candidates]
        assert found.solved
        assert marks[0] == 1.0
        assert len(marks) > 1
        assert max(marks[1:]) < 1.0
        assert all(each.reason for each in found.candidates)


def test_every_kind_of_riddle_is_known():
    family = lookup(TASKS, "task family", "trap_math")
    kinds = {task.truth["kind"] for task in map(family().generate, range(300))}
    assert len(kinds) == 12
    assert set(SOLVERS) == {"arithmetic", "kks", "logic_chain", "skills", "story", "trap_math"}


def test_who_has_not_read_the_story_guesses():
    task = lookup(TASKS, "task family", "story")().generate(0)
    found = knowledge({**task.known, "family": "story"}, {}, Random(0))
    assert not found.solved
    assert sorted(each.answer for each in found.candidates) == sorted(task.public["options"])


def test_spelling_does_not_matter_to_a_judge():
    task = lookup(TASKS, "task family", "kks")().generate(0)
    known, answer = {**task.known, "family": "kks"}, task.truth["answer"]
    turned = ", ".join(reversed(answer.split(", "))).replace(" kn", ": kn")
    assert same(known, answer, turned)
    assert not same(known, answer, "nobody knows")
    assert same({"family": "questions"}, "Yes.", "yes")


# ---- duels, panels, populations --------------------------------------------------------------------------------------


@pytest.mark.parametrize("judging", ["score", "verdict", "options", "likelihood", "solve"])
def test_duels_of_planted_skills_end_as_computed(judging):
    p, q = 0.9, 0.5
    env = Arena(m=3, judging=judging, orders="given", **SMALL)
    seated = {
        "contestant_0": policy("table_skill", skill=p),
        "contestant_1": policy("table_skill", skill=q),
        "judge_0": policy("truthful"),
    }
    odds = expected.duel(p, q)
    assert odds.win == pytest.approx(p * (1 - q))
    found = np.array([play(env, seated, seed).returns["contestant_0"] for seed in range(400)])
    for end, chance in ((1, odds.win), (0, odds.draw), (-1, odds.loss)):
        assert abs((found == end).mean() - chance) < 4 * (chance * (1 - chance) / 400) ** 0.5


def test_skills_may_differ_by_family():
    table = policy("table_skill", skill=0.2, topics={"arithmetic": 1.0, "sum": 0.7})
    assert [table.chance(task) for task in ({"family": "arithmetic"}, {"family": "kks"}, {"topic": "sum"})] == [
        1,
        0.2,
        0.7,
    ]


def test_win_rates_order_as_planted_skills_do():
    skills = [0.3, 0.5, 0.7, 0.9]
    rates = [sum(expected.duel(p, q).value for q in skills) for p in skills]
    assert rates == sorted(rates)
    assert expected.panel(skills) == sorted(expected.panel(skills))
    assert sum(expected.panel(skills)) == pytest.approx(0)


def test_panel_ranks_are_as_computed():
    skills = [0.9, 0.7, 0.4, 0.2]
    env = Arena(mode="panel", **SMALL)
    seated = {f"member_{i}": policy("table_skill", skill=skill) for i, skill in enumerate(skills)}
    found = np.array([[*play(env, seated, seed).returns.values()] for seed in range(300)])
    error = found.std(axis=0) / 300**0.5
    assert np.all(np.abs(found.mean(axis=0) - expected.panel(skills)) < 4 * error)


def test_population_returns_are_as_computed():
    env = Arena(mode="population", m=5, samples=3, **SMALL)
    seated = {
        "contestant_0": policy("table_skill", skill=0.8),
        "opponent_0": policy("table_skill", skill=0.6),
        "opponent_1": policy("table_skill", skill=0.3),
        "judge_0": policy("truthful"),
        "judge_1": policy("truthful"),
    }
    value, error = mean(env, seated, 250, lambda env: env.returns["contestant_0"])
    assert abs(value - expected.population(0.8, [0.6, 0.3])) < 4 * error


# ---- judges ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("judging", "orders"), [("score", "given"), ("score", "both"), ("verdict", "given"), ("verdict", "both")]
)
def test_biased_judges_label_as_computed(judging, orders):
    grader = Grader(first=4, noise=2.5, sight=0.9)
    env = Arena(m=3, judging=judging, orders=orders, **SMALL)
    seated = {
        "contestant_0": policy("table_skill", skill=0),
        "contestant_1": policy("table_skill", skill=1),
        "judge_0": policy("biased", first=4, noise=2.5, sight=0.9),
    }
    if orders == "both":
        margins = expected.both_orders(grader, True, False, verdicts=judging == "verdict")
    else:
        margins = expected.margin_odds(grader, True, False, right_first=False)
    odds = expected.label([margins], [1])
    found = np.array([play(env, seated, seed).returns["contestant_1"] for seed in range(500)])
    for end, chance in ((1, odds.win), (0, odds.draw), (-1, odds.loss)):
        assert abs((found == end).mean() - chance) < 4 * (chance * (1 - chance) / 500) ** 0.5 + 1e-3


def test_both_orders_mend_what_a_favourite_place_spoils():
    grader = Grader(first=4, noise=1.5)
    one = expected.label([expected.margin_odds(grader, True, False, right_first=False)], [1])
    both = expected.label([expected.both_orders(grader, True, False)], [1])
    assert both.win > 0.99 > one.win


def test_reputation_weights_beat_equal_ones_where_judges_differ():
    good, poor = Grader(sight=0.95, noise=1), Grader(sight=0.55, noise=1)
    margins = [expected.margin_odds(grader, True, False) for grader in (good, poor, poor)]
    equal, weighted = expected.label(margins, [1, 1, 1]), expected.label(margins, [10, 1, 1])
    assert weighted.win > equal.win + 0.05
    env = Arena(m=5, orders="given", reputation=[100, 10, 10], **SMALL)
    seated = {
        "contestant_0": policy("table_skill", skill=1),
        "contestant_1": policy("table_skill", skill=0),
        "judge_0": policy("biased", first=0, noise=1, sight=0.95),
        "judge_1": policy("biased", first=0, noise=1, sight=0.55),
        "judge_2": policy("biased", first=0, noise=1, sight=0.55),
    }
    value, error = mean(env, seated, 300, lambda env: env.returns["contestant_0"])
    assert abs(value - weighted.value) < 4 * error


def test_odds_sum_to_one_and_grades_follow_the_planted_law():
    grader = Grader(bias=1, first=2, noise=1.5, sight=0.8)
    odds = expected.grade_odds(grader, right=True, place=0)
    assert sum(odds.values()) == pytest.approx(1)
    random = Random(0)
    drawn = np.array([grader.grade(True, 0, random) for _ in range(4000)])
    for grade, chance in odds.items():
        assert abs((drawn == grade).mean() - chance) < 4 * (chance / 4000) ** 0.5 + 1e-3


def test_style_judges_go_round_in_a_circle_and_only_the_even_mixture_is_safe():
    env = Arena(m=3, judging="verdict", **SMALL)
    table = np.zeros((3, 3))
    for (i, one), (j, two) in product(enumerate(STYLES), repeat=2):
        seated = {
            "contestant_0": policy("style", style=one, skill=1),
            "contestant_1": policy("style", style=two, skill=1),
            "judge_0": policy("style"),
        }
        table[i, j] = play(env, seated, 0).returns["contestant_0"]
    assert table.tolist() == expected.style_payoffs()
    # The row's maximin mixture by linear programming: max v, table' x >= v, x a mixture.
    bound = np.hstack([-table.T, np.ones((3, 1))])
    solved = linprog(
        [0, 0, 0, -1], A_ub=bound, b_ub=[0, 0, 0], A_eq=[[1, 1, 1, 0]], b_eq=[1], bounds=[(0, 1)] * 3 + [(None, None)]
    )
    assert solved.x == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-9)


def test_always_first_votes_cancel_in_both_orders():
    seated = {
        "contestant_0": policy("truthful"),
        "contestant_1": policy("table_skill", skill=0),
        "judge_0": policy("always_first"),
    }
    assert play(Arena(m=3, judging="verdict", **SMALL), seated, 1).returns["contestant_0"] == 0
    assert play(Arena(m=3, judging="verdict", orders="given", **SMALL), seated, 1).returns["contestant_0"] == 1


@pytest.mark.parametrize(
    "name", sorted(set(POLICIES) - {"best_response", "equilibrium", "fictitious_play", "mixture", "tit_for_tat"})
)
@pytest.mark.parametrize(
    "params",
    [
        {"judging": "score"},
        {"judging": "verdict", "ties": False, "reasons": False},
        {"judging": "options"},
        {"judging": "likelihood", "weigh": "reply"},
        {"judging": "solve"},
        {"mode": "panel", "judging": "verdict"},
        {"mode": "population", "opponent_logprobs": True, "samples": 2},
        {"mode": "matrix_game"},
    ],
    ids=str,
)
def test_members_sit_in_any_seat_and_every_action_is_legal(name, params):
    task = {} if params.get("mode") == "matrix_game" else {"task": "mixed"}
    env = Arena(**task, **params)
    seated = {seat: policy(name) for seat in env.possible_agents}
    for seed in range(3):
        play(env, seated, seed)
        assert all(set(counts) <= {"ok"} for counts in env.outcomes.values()), json.dumps(env.outcomes)


def test_reference_policies_exist_for_every_role_and_openings_for_every_style():
    assert all(lookup_policy(name) for name in REFERENCE.values())
    assert set(OPENINGS) == set(STYLES)
