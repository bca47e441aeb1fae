import json

import pytest

from simarena import seeds
from simarena.envs.arena.env import Arena
from simarena.registry import lookup_policy
from simarena.tasks.matrix import expected


def play(policies, seed=0, **params):
    env = Arena(mode="matrix_game", **params)
    env.reset(seed=seed)
    while not env.over:
        seat = env.agent_selection
        env.step(policies[env.possible_agents.index(seat)].act(env.view(seat), seeds.rng(seed, seat, env._steps)))
    return env


def policy(name, **params):
    return lookup_policy(f"arena/{name}")(**params)


def always(move):
    return policy("mixture", weights={move: 1})


def dilemma(one, two, rounds=6):
    return play([one, two], task_params={"game": "prisoners_dilemma"}, rounds=rounds)


def test_moves_are_hidden_until_both_are_made_and_paid_at_once():
    env = Arena(mode="matrix_game", rounds=2)
    env.reset(seed=0)
    env.step({"reason": "secret", "move": "paper"})
    assert [event.kind for event in env.view("contestant_1").events] == ["task", "card"]
    env.step({"reason": "", "move": "rock"})
    assert env.rewards == {"contestant_0": 1.0, "contestant_1": -1.0}
    assert "secret" not in json.dumps([event.data for event in env.visible("contestant_1")])
    assert not env.over


def test_each_reads_the_table_from_its_own_side():
    env = Arena(mode="matrix_game", task_params={"game": "battle"})
    env.reset(seed=0)
    assert env.card("contestant_0")["payoffs"]["opera"]["opera"] == [3, 2]
    assert env.card("contestant_1")["payoffs"]["opera"]["opera"] == [2, 3]


def test_repeated_dilemma_by_hand():
    both = dilemma(policy("tit_for_tat"), policy("tit_for_tat"))
    assert both.returns == {"contestant_0": 18, "contestant_1": 18}
    exploited = dilemma(policy("tit_for_tat"), always("defect"))
    assert exploited.returns == {"contestant_0": 0 + 5 * 1, "contestant_1": 5 + 5 * 1}
    found = exploited.metrics()
    assert found["share/contestant_0/defect"] == pytest.approx(5 / 6)
    assert found["welfare"] == pytest.approx(15 / 6)


def test_best_response_to_the_last_move():
    env = play([policy("best_response"), always("rock")], rounds=5)
    assert env.memo["moves"]["contestant_0"][1:] == ["paper"] * 4


def test_fixed_mixtures_earn_what_the_table_says():
    row, column = [0.5, 0.3, 0.2], [0.2, 0.2, 0.6]
    names = ("rock", "paper", "scissors")
    seated = [policy("mixture", weights=dict(zip(names, mix, strict=True))) for mix in (row, column)]
    env = play(seated, rounds=400)
    mean = expected(env.task.structure["payoffs"], row, column)[0]
    # one round pays -1, 0 or 1
    assert abs(env.metrics()["payoff/contestant_0"] - mean) < 4 / 400**0.5


def test_fictitious_play_comes_to_the_equilibrium_of_rock_paper_scissors():
    env = play([policy("fictitious_play"), policy("fictitious_play")], rounds=900)
    found = env.metrics()
    for move in ("rock", "paper", "scissors"):
        assert abs(found[f"share/contestant_0/{move}"] - 1 / 3) < 0.06
    assert found["duality_gap"] < 0.15  # Robinson 1951: it vanishes; Karlin's rate is 1/sqrt(rounds)


def test_equilibrium_play_leaves_nothing_to_gain():
    env = play([policy("equilibrium"), policy("best_response")], rounds=400)
    assert abs(env.metrics()["payoff/contestant_0"]) < 4 / 400**0.5


def test_illegal_moves_become_the_first_one():
    env = Arena(mode="matrix_game")
    env.reset(seed=0)
    env.step({"reason": "", "move": "well"})
    assert env.outcomes["contestant_0"] == {"illegal": 1}
    env.step({"reason": "", "move": "rock"})
    assert env.memo["moves"]["contestant_0"] == ["rock"]
