"""The Parallel view plays the same match as AEC, round by round."""

import pytest

import simarena
from simarena import seeds
from simarena.agents.policies.anywhere import Random
from simarena.errors import SimArenaError
from tests.contract.settings import PARALLEL
from tests.contract.test_environments import masked_sample

CASES = [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in PARALLEL]


@pytest.mark.parametrize(("name", "params"), CASES)
def test_rounds_and_turns_are_one_match(name, params):
    rounds, turns = simarena.make_parallel(name, **params), simarena.make(name, **params)
    _, infos = rounds.reset(seed=3)
    turns.reset(seed=3)
    assert infos == {seat: {} for seat in rounds.agents}
    total = dict.fromkeys(rounds.agents, 0.0)
    while rounds.agents:
        asked = turns.to_move
        actions = {seat: Random().act(turns.view(seat), seeds.rng(3, seat, turns._steps)) for seat in asked}
        _, rewards, ended, cut, infos = rounds.step({**actions, "nobody_9": "ignored"})
        for seat in asked:
            if not turns.over:
                turns.step(actions[seat])
        assert rounds.match.state_hash() == turns.state_hash()
        assert {seat for seat, info in infos.items() if info} <= set(asked)
        for seat, reward in rewards.items():
            total[seat] += reward
        assert (ended, cut) == (turns.terminations, turns.truncations)
    assert total == pytest.approx(turns.returns)
    assert rounds.render() == turns.render()


@pytest.mark.parametrize(("name", "params"), CASES)
def test_learners_may_play_rounds_by_numbers(name, params):
    env = simarena.make_parallel(name, compact=True, **params)
    seen, _ = env.reset(seed=2)
    while env.agents:
        for seat in env.agents:
            assert env.observation_space(seat).contains(seen[seat])
        asked = env.match.to_move
        seen, *_ = env.step({seat: masked_sample(env.action_space(seat), seen[seat]["mask"]) for seat in asked})
    assert {outcome for counts in env.match.outcomes.values() for outcome in counts} <= {"ok", "truncated"}


def test_a_seat_without_an_action_takes_its_default():
    env = simarena.make_parallel("arena", mode="matrix_game")
    env.reset(seed=1)
    env.step({})
    assert env.match.outcomes == {seat: {"malformed": 1} for seat in env.possible_agents}


def test_ordered_phases_have_no_parallel_view():
    with pytest.raises(SimArenaError, match="use simarena"):
        simarena.make_parallel("bargain").reset(seed=1)
