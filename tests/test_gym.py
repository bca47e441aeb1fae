"""One seat as a Gymnasium environment: any agents around it, from anywhere, and a learner in it that learns."""

import asyncio
import json

import gymnasium
import numpy as np
import pytest

import simarena
from simarena.agents.language import LanguageAgent
from simarena.errors import SimArenaError, UnknownName
from simarena.gym import SeatEnv
from simarena.records import Completion
from tests.contract.settings import SETTINGS, cast
from tests.contract.test_environments import masked_sample


class Fake:
    """A backend that takes a moment, as a model does."""

    def __init__(self, text):
        self.text, self.requests = text, []

    async def generate(self, request):
        await asyncio.sleep(0)
        self.requests.append(request)
        return Completion(text=self.text(request))

    async def aclose(self):
        pass


def matrix(game="rock_paper_scissors", **rest):
    params = {"mode": "matrix_game", "task_params": {"game": game}}
    return SeatEnv("arena", "contestant_0", {"contestant": "any/random"}, params=params, **rest)


def play(env, seed=None):
    """A match of masked random actions: observations and rewards."""
    seen, info = env.reset(seed=seed)
    assert info == {}
    trace, over = [], False
    while not over:
        env.action_space.seed(len(trace))
        seen, reward, ended, cut, info = env.step(masked_sample(env.action_space, env.action_masks()))
        trace.append((seen["features"].tolist(), reward, info))
        over = ended or cut
    return trace


@pytest.mark.parametrize(
    ("name", "params"), [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in SETTINGS]
)
def test_a_learner_may_sit_in_every_role(name, params):
    roles = cast(name, simarena.make(name, **params))
    for role in roles:
        with SeatEnv(name, f"{role}_0", roles, params=params) as env:
            trace = play(env, seed=4)
            assert trace == play(env, seed=4)
            assert sum(reward for _, reward, _ in trace) == pytest.approx(env.match.returns[env.seat])
            assert {info.get("outcome") for _, _, info in trace} <= {"ok", "truncated", None}
            assert env.action_masks().shape == env.observation_space["mask"].shape


def test_language_agents_play_the_other_seats():
    fake = Fake(lambda request: json.dumps({"explanation": "so", "answer": "Ann: knight"}))
    agent = LanguageAgent(name="talker", backend="fake", model="m")
    others = {"solver_1": agent, "solver_2": "roundtable/solver"}
    with SeatEnv("roundtable", "solver_0", others, backends={"fake": fake}) as env:
        play(env, seed=1)
        first = len(fake.requests)
        assert first > 1
        assert {request.agent for request in fake.requests} == {"talker"}
        play(env, seed=2)
        assert len(fake.requests[first].messages) == 2  # a new match is a new conversation


def test_text_is_read_and_written_without_compact():
    with SeatEnv(
        "arena", "contestant_0", {"contestant": "any/random"}, params={"mode": "matrix_game"}, compact=False
    ) as env:
        seen, _ = env.reset(seed=1)
        assert "task" in seen["text"]
        _, _, ended, _, info = env.step("rubbish")
        assert (info, ended) == ({"outcome": "malformed"}, True)
        assert env.render() == env.match.render()


def test_a_caller_with_a_running_loop_is_served():
    async def outer():
        with matrix() as env:
            return play(env, seed=3)

    with matrix() as env:
        assert asyncio.run(outer()) == play(env, seed=3)


def test_series_of_matches_are_repeatable_and_share_nothing():
    """Vector environments seed their copies s, s + 1, ...; none may be dealt what another was."""
    dealt = []
    for seed in (0, 1, 2):
        with matrix() as env:
            env.reset(seed=seed)
            own = [env.match.seed]
            for _ in range(50):
                env.reset()
                own.append(env.match.seed)
            dealt.append(own)
    with matrix() as env:
        env.reset(seed=1)
        again = [env.match.seed, *(env.reset() and env.match.seed for _ in range(50))]
    assert dealt[1] == again
    assert len({seed for own in dealt for seed in own}) == 3 * 51


def test_vector_environments_carry_numbers():
    env = gymnasium.vector.SyncVectorEnv([matrix for _ in range(3)])
    seen, _ = env.reset(seed=5)
    again, _ = env.reset(seed=5)
    assert np.array_equal(seen["features"], again["features"])
    for n in range(4):
        env.action_space.seed(n)
        seen, rewards, *_ = env.step(env.action_space.sample())
        assert seen["features"].shape[0] == 3
        assert np.isfinite(rewards).all()
    env.close()


def test_wrong_casts_are_told_at_once():
    with pytest.raises(UnknownName, match="did you mean 'contestant_0'"):
        SeatEnv("arena", "contestant_00", {})
    with pytest.raises(UnknownName, match="seat or role 'contestat'"):
        SeatEnv("arena", "contestant_0", {"contestat": "any/random"}, params={"mode": "matrix_game"})
    with pytest.raises(SimArenaError, match="nobody sits in 'contestant_1'"):
        SeatEnv("arena", "contestant_0", {}, params={"mode": "matrix_game"})
    talker = LanguageAgent(name="talker", backend="fake", model="m")
    with pytest.raises(SimArenaError, match="pass backends="):
        SeatEnv("arena", "contestant_0", {"contestant": talker}, params={"mode": "matrix_game"})
    with pytest.raises(UnknownName, match="unknown policy"):
        SeatEnv("arena", "contestant_0", {"contestant": "any/randm"}, params={"mode": "matrix_game"})


def learn(env, steps, rate=0.5):
    """REINFORCE with a linear policy over features and a running baseline; the mean reward of each tenth."""
    rng, size = np.random.default_rng(0), env.observation_space["features"].shape[0]
    weights, baseline, rewards = np.zeros((env.action_space.n, size + 1)), 0.0, []
    seen, _ = env.reset(seed=0)
    for _ in range(steps):
        inputs = np.append(seen["features"], 1.0)
        logits = np.where(seen["mask"] == 1, weights @ inputs, -1e9)
        chances = np.exp(logits - logits.max())
        chances /= chances.sum()
        action = int(rng.choice(len(chances), p=chances))
        seen, reward, ended, cut, _ = env.step(action)
        gradient = -chances
        gradient[action] += 1
        weights += rate * (reward - baseline) * np.outer(gradient, inputs)
        baseline += 0.05 * (reward - baseline)
        rewards.append(reward)
        if ended or cut:
            seen, _ = env.reset()
    return [float(np.mean(part)) for part in np.array_split(rewards, 10)]


def test_a_plain_learner_finds_the_dominant_move():
    """Against a random opponent, defecting pays 3 on average and cooperating 1.5."""
    with matrix("prisoners_dilemma") as env:
        still, learned = (np.mean(learn(env, 400, rate)[5:]) for rate in (0.0, 0.02))
    assert still < 2.5 < 2.75 < learned


def test_a_plain_learner_uses_what_it_sees():
    """Every match has another table: only who reads the payoffs among the features wins more than it loses."""
    with matrix("random_zero_sum") as env:
        still, learned = (np.mean(learn(env, 700, rate)[5:]) for rate in (0.0, 0.05))
    assert still < 0.5 < 0.8 < learned
