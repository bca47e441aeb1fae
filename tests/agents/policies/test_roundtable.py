"""Reference policies of the roundtable against what was computed for them; they see views alone."""

from itertools import product
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena import seeds
from simarena.agents.policies.anywhere import Random
from simarena.agents.policies.roundtable import expected
from simarena.agents.policies.roundtable import problem as problems
from simarena.agents.policies.roundtable.policies import POLICIES, REFERENCE
from simarena.envs.roundtable.env import Roundtable
from simarena.envs.roundtable.rules import TIT_FOR_TAT
from simarena.registry import TASKS, lookup
from simarena.tasks.kks import KnightKnaveSpy, check_reason

ONE = {"task": "arithmetic", "phases": ["initial"]}
TALK = {"task": "arithmetic", "phases": ["initial", "per_item"]}
MAD = {
    "task": "trap_math",
    "task_params": {"options": 4},
    "n": 2,
    "structure": TIT_FOR_TAT,
    "discuss": "answer",
    "phases": ["per_item"],
    "depth": 3,
    "decision": "moderator",
    "early_stop": True,
}
chances = st.floats(0, 1)


def seat(name, **params):
    return POLICIES[name](**params)


def play(env, seats, seed, clean=True):
    """A match; `seats` maps a seat or a role to a policy."""
    env.reset(seed=seed)
    while not env.over:
        name = env.agent_selection
        policy = seats.get(name) or seats[name.rsplit("_", 1)[0]]
        env.step(policy.act(env.view(name), seeds.rng(seed, name, env._steps)))
    assert not clean or all(set(counts) <= {"ok"} for counts in env.outcomes.values())
    return env.metrics()


def mean(env, seats, key, matches):
    return sum(play(env, seats, seed)[key] for seed in range(matches)) / matches


def near(observed, chance, matches):
    """Within four standard errors of a share of `matches`."""
    return abs(observed - chance) < 4 * sqrt(max(chance * (1 - chance), 1e-9) / matches) + 1e-9


# ---- expectations, computed ---------------------------------------------------------------------------------------


def test_the_majority_of_three_at_seven_tenths_is_the_binomial_tail():
    assert expected.binomial_tail(3, 0.7) == pytest.approx(0.784)
    for wrong in (1, 2, 6):
        assert expected.majority([0.7] * 3, wrong) == pytest.approx(0.784)


def enumerated(accuracies, wrong, tie):
    """Majority accuracy by going through every combination of votes; 0 is right."""
    total = 0.0
    for votes in product(range(wrong + 1), repeat=len(accuracies)):
        chance = 1.0
        for vote, p in zip(votes, accuracies, strict=True):
            chance *= p if vote == 0 else (1 - p) / wrong
        counts = [votes.count(value) for value in range(wrong + 1)]
        ties = counts.count(max(counts))
        if counts[0] == max(counts) and (ties == 1 or tie == "random"):
            total += chance / ties
    return total


@given(st.lists(chances, min_size=1, max_size=5), st.integers(1, 3), st.sampled_from(["undecided", "random"]))
def test_the_law_of_votes_agrees_with_enumeration(accuracies, wrong, tie):
    assert expected.majority(accuracies, wrong, tie) == pytest.approx(enumerated(accuracies, wrong, tie))
    assert sum(expected.vote_law(accuracies, wrong).values()) == pytest.approx(1)


@given(st.integers(1, 9), chances, st.integers(1, 6))
def test_mistakes_that_scatter_only_help_the_majority(n, p, wrong):
    assert expected.majority([p] * n, wrong) >= expected.binomial_tail(n, p) - 1e-9


@given(st.lists(chances, min_size=2, max_size=5), st.integers(1, 3), chances)
def test_no_vote_beats_a_team_that_takes_up_any_right_answer(accuracies, wrong, supervisor):
    best = expected.any_right(accuracies)
    assert expected.majority(accuracies, wrong, "random") <= best + 1e-9
    assert expected.absolute(accuracies, wrong, 0.0) <= expected.absolute(accuracies, wrong, supervisor) + 1e-9


@given(chances, st.floats(0.7, 1), st.floats(0.8, 1))
def test_disagreement_helps_where_second_thoughts_are_better(first, second, moderator):
    assert expected.mad(first, second, 0.0, moderator) == pytest.approx(first)
    one = first * (1 - second) + (1 - first) * second
    gain = expected.mad(first, second, 1.0, moderator) - first
    assert gain == pytest.approx(first * second + one * moderator - first)


# ---- what a problem is to a solver --------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["kks", "arithmetic", "logic_chain", "trap_math"])
@pytest.mark.parametrize("options", [0, 4])
def test_questions_are_solved_from_what_everybody_may_read(family, options):
    params = {"options": options} if options and family != "logic_chain" else {}
    source = lookup(TASKS, "task family", family)(**params)
    for seed in range(60):
        task = source.generate(seed)
        problem = problems.read(task.known)
        assert source.verify(task, problem.write(problem.right)) == 1.0
        assert source.share(task, problem.write(problem.trap)) < 1.0
        for right, wrong in zip(problem.right, problem.wrong, strict=True):
            assert len(set(wrong)) == len(wrong) > 0
            assert right not in wrong


def test_a_question_from_a_file_is_a_guess():
    problem = problems.read({"question": "Why?", "options": ["a", "b", "c"], "format": "one of the options"})
    assert problem.right == []
    assert problem.draw(1.0, seeds.rng(0))[0] in ("a", "b", "c")


@pytest.mark.parametrize("n", [3, 5])
def test_words_for_puzzles_are_valid_deductions_just_where_they_are_right(n):
    family = KnightKnaveSpy(n=n, templates="all")
    for seed in range(10):
        task = family.generate(seed)
        problem = problems.read(task.known)
        assert check_reason(task, problem.explain(problem.right)) == 1.0
        for item in range(n):
            assert check_reason(task, problem.explain(problem.right, item)) == 1.0
            wrong = [*problem.right[:item], problem.wrong[item][0], *problem.right[item + 1 :]]
            assert check_reason(task, problem.explain(wrong, item)) == 0.0
            assert check_reason(task, problem.explain(wrong)) < 1.0


# ---- teams --------------------------------------------------------------------------------------------------------


def test_independent_solvers_reach_the_binomial_tail():
    team = {"solver": seat("solver", accuracy=0.7)}
    assert near(mean(Roundtable(**ONE), team, "accuracy", 600), 0.784, 600)


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        ({"task": "arithmetic"}, 6),
        ({"task": "arithmetic", "task_params": {"options": 4}}, 3),
        ({"task": "logic_chain"}, 2),
    ],
)
def test_how_often_mistakes_coincide_matters_to_five(params, wrong):
    env = Roundtable(**{**ONE, **params}, n=5, tie="random")
    found = mean(env, {"solver": seat("solver", accuracy=0.5)}, "accuracy", 500)
    assert near(found, expected.majority([0.5] * 5, wrong, "random"), 500)


def test_items_of_puzzles_are_voted_on_one_by_one():
    found = mean(Roundtable(phases=["initial"], n=5), {"solver": seat("solver", accuracy=0.6)}, "accuracy", 200)
    assert near(found, expected.majority([0.6] * 5, 2), 600)


@pytest.mark.parametrize("params", [TALK, {}, {"depth": 2, "n": 4}, {**TALK, "task": "logic_chain", "depth": 2}])
def test_followers_score_the_initial_majority_to_the_letter(params):
    env = Roundtable(**params)
    for seed in range(40):
        found = play(env, {"solver": seat("follower", accuracy=0.6)}, seed)
        assert found["accuracy"] == found["initial_majority_accuracy"]


@pytest.mark.parametrize("params", [TALK, {}])
def test_one_deducer_among_followers_scores_the_initial_majority(params):
    env = Roundtable(**params)
    team = {"solver": seat("follower", accuracy=0.5), "solver_1": seat("deducer")}
    total, matches = 0.0, 300
    for seed in range(matches):
        found = play(env, team, seed)
        assert found["accuracy"] == found["initial_majority_accuracy"]
        total += found["accuracy"]
    assert near(total / matches, expected.majority([0.5, 1.0, 0.5], 6), matches)


def test_verifiers_find_the_answer_that_anybody_found():
    env = Roundtable(**TALK)
    for seed in range(100):
        found = play(env, {"solver": seat("verifier", accuracy=0.4)}, seed)
        assert found["accuracy"] == float(found["initial_accuracy"] > 0)
    assert near(
        mean(env, {"solver": seat("verifier", accuracy=0.4)}, "accuracy", 400), expected.any_right([0.4] * 3), 400
    )


def test_on_a_ring_the_right_answer_needs_as_many_rounds_as_there_are_steps():
    for depth in (1, 2, 3):
        env = Roundtable(**{**TALK, "structure": "ring", "n": 4, "depth": depth})
        found = play(env, {"solver": seat("verifier", accuracy=0.0), "solver_0": seat("deducer")}, 0)
        assert found["end_accuracy"] == (1 + depth) / 4


def test_verified_changes_are_justified_and_copied_ones_are_not():
    found = play(Roundtable(), {"solver": seat("verifier", accuracy=0.0), "solver_0": seat("deducer")}, 1)
    assert found["justified_share"] == 1.0
    assert found["overturned"] == found["wrong_consensus"]
    copied = play(Roundtable(), {"solver": seat("deducer"), "solver_0": seat("follower", accuracy=0.0)}, 1)
    assert copied["changes"] > 0
    assert copied["justified_changes"] == 0


def test_stubborn_solvers_never_change_and_contrarians_never_conform():
    found = play(Roundtable(depth=2), {"solver": seat("stubborn", accuracy=0.5)}, 2)
    assert found["changes"] == 0
    env = Roundtable(task="arithmetic", phases=["initial", "per_item"])
    found = play(env, {"solver": seat("deducer"), "solver_2": seat("contrarian", accuracy=1.0)}, 2)
    assert found["initial_agreement"] == 1
    assert found["end_agreement"] == pytest.approx(1 / 3)


@pytest.mark.parametrize("statements", [1, 2, 3])
def test_a_deducer_knows_what_follows_from_so_many_statements_at_a_time(statements):
    env = Roundtable(n=1, phases=["initial"], task_params={"templates": "all"})
    observed = computed = 0.0
    for seed in range(150):
        observed += play(env, {"solver": seat("deducer", statements=statements)}, seed)["accuracy"]
        computed += expected.deducer(env.task.known, statements)
    assert abs(observed - computed) < 4 * sqrt(150 * 0.25)
    if statements == 3:
        assert observed == computed == 150


def test_a_supervisor_settles_what_has_no_majority_as_computed():
    env = Roundtable(**ONE, decision="supervisor")
    team = {"solver": seat("solver", accuracy=0.4), "supervisor": seat("supervisor", accuracy=0.9)}
    assert near(mean(env, team, "accuracy", 400), expected.absolute([0.4] * 3, 6, 0.9), 400)


@pytest.mark.parametrize("stubborn", [0.0, 0.5, 1.0])
def test_two_sides_and_a_moderator_come_to_what_is_computed(stubborn):
    env = Roundtable(**MAD, stubborn=stubborn)
    team = {
        "solver": seat("debater", first=0.3, second=0.8),
        "moderator": seat("moderator", accuracy=0.9, patience=2),
    }
    matches, right, rounds = 300, 0.0, 0.0
    for seed in range(matches):
        found = play(env, team, seed)
        right, rounds = right + found["accuracy"], rounds + found["rounds"]
    assert near(right / matches, expected.mad(0.3, 0.8, stubborn, 0.9), matches)
    assert near(2 - rounds / matches, expected.mad_agreed(0.3, 0.8, stubborn, 3), matches)


def test_a_judge_lists_what_was_said_and_picks():
    env = Roundtable(**{**MAD, "decision": "judge_extract", "depth": 1}, stubborn=1.0)
    team = {
        "solver_0": seat("hasty"),
        "solver_1": seat("deducer"),
        "moderator": seat("moderator", patience=9),
        "supervisor": seat("supervisor", accuracy=1.0),
    }
    assert play(env, team, 4)["accuracy"] == 1
    (verdict,) = [e.data for e in env.log if e.author == "supervisor_0"]
    assert verdict["candidates"] == [env.task.truth["trap"], env.task.truth["answer"]]


@pytest.mark.parametrize("name", sorted(POLICIES))
@pytest.mark.parametrize(
    "params",
    [
        {"confidence_visible": True, "order": "agent_chosen", "decision": "supervisor", "probes": ["samples"]},
        {"structure": "star", "phases": ["per_item", "self_adjust"], "task_params": {"n": 4}},
        {**MAD, "decision": "judge_extract", "task": "mixed", "task_params": {}},
    ],
    ids=["item", "star", "mad"],
)
def test_every_policy_can_play_every_protocol(name, params):
    """A policy takes its own role's seats; the reference policies take the others."""
    role = name if name in ("moderator", "supervisor") else "solver"
    seats = {who: POLICIES[policy.partition("/")[2]]() for who, policy in REFERENCE.items()} | {role: seat(name)}
    for seed in range(4):
        play(Roundtable(**params), seats, seed)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - {"moderator", "supervisor"}))
def test_policies_bear_neighbours_that_talk_rubbish(name):
    params = {"n": 4, "depth": 2, "order": "agent_chosen", "decision": "supervisor", "confidence_visible": True}
    seats = {"solver": Random(), "solver_1": seat(name), "solver_2": seat(name), "supervisor": seat("supervisor")}
    for seed in range(3):
        env = Roundtable(**params)
        play(env, seats, seed, clean=False)
        assert set(env.outcomes["solver_1"]) | set(env.outcomes["supervisor_0"]) <= {"ok"}
