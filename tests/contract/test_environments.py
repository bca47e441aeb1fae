"""Every registered environment, under its main parameterisations, keeps PettingZoo's and Gymnasium's contracts."""

import json
import subprocess
import sys
import warnings

import gymnasium
import numpy as np
import pettingzoo
import pytest
from gymnasium.utils.env_checker import check_env
from pettingzoo.test import api_test, parallel_api_test, seed_test

import simarena
from simarena import seeds
from simarena.agents.policies.base import Policy
from simarena.gym import SeatEnv
from simarena.registry import ENVIRONMENTS, lookup_policy
from tests.contract.settings import PARALLEL, SETTINGS, cast

ALL = [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in SETTINGS]
SIMULTANEOUS = [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in PARALLEL]


def quietly(test, *arguments, **options):
    """PettingZoo's tests warn about dictionaries and names; only errors count here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        test(*arguments, **options)


@pytest.mark.parametrize(("name", "params"), ALL)
@pytest.mark.parametrize("compact", [False, True], ids=["text", "compact"])
def test_pettingzoo_api_and_seeds(name, params, compact):
    quietly(api_test, simarena.make(name, compact=compact, **params), num_cycles=60)
    quietly(seed_test, lambda: simarena.make(name, compact=compact, **params), num_cycles=20)


@pytest.mark.parametrize(("name", "params"), SIMULTANEOUS)
def test_parallel_api(name, params):
    quietly(parallel_api_test, simarena.make_parallel(name, **params), num_cycles=40)


@pytest.mark.parametrize(("name", "params"), ALL)
def test_every_seat_is_a_gymnasium_environment(name, params):
    env = simarena.make(name, **params)
    for seat in {env.role(seat): seat for seat in env.possible_agents}.values():
        for compact in (True, False):
            one = SeatEnv(name, seat, cast(name, env), params=params, compact=compact)
            quietly(check_env, one, skip_render_check=True)
            one.close()


@pytest.mark.parametrize(("name", "params"), ALL)
def test_random_compact_play_is_legal_and_ends(name, params):
    env = simarena.make(name, compact=True, **params)
    for seed in range(3):
        env.reset(seed=seed)
        for seat in env.agent_iter():
            observation, _, ended, cut, _ = env.last()
            if ended or cut:
                env.step(None)
                continue
            space = env.action_space(seat)
            assert env.observation_space(seat).contains(observation)
            space.seed(seeds.derive(seed, env.unwrapped._steps))
            env.step(masked_sample(space, observation["mask"]))
            assert env.unwrapped.infos.get(seat, {}).get("outcome", "ok") in ("ok", "truncated")
        assert all(np.isfinite(value) for value in env.unwrapped.returns.values())


def masked_sample(space, mask):
    """A random value of `space` that the flat mask allows."""
    draw = space.np_random
    if isinstance(space, gymnasium.spaces.Discrete):
        return int(draw.choice(np.flatnonzero(mask))) + int(space.start)
    if isinstance(space, gymnasium.spaces.MultiDiscrete):
        parts = np.split(mask, np.cumsum(space.nvec.ravel())[:-1])
        picked = [int(draw.choice(np.flatnonzero(part))) for part in parts]
        return np.array(picked, dtype=space.dtype).reshape(space.shape)
    if isinstance(space, gymnasium.spaces.MultiBinary):
        pairs = mask.reshape(-1, 2)
        return np.array([int(draw.choice(np.flatnonzero(pair))) for pair in pairs], np.int8).reshape(space.shape)
    return space.sample()


@pytest.mark.parametrize(("name", "params"), ALL)
def test_reference_policies_play_every_seat(name, params):
    env = simarena.make(name, **params)
    names = cast(name, env)
    policies: dict[str, Policy] = {seat: lookup_policy(names[env.role(seat)])() for seat in env.possible_agents}
    for seed in range(3):
        env.reset(seed=seed)
        while not env.over:
            seat = env.agent_selection
            env.step(policies[seat].act(env.view(seat), seeds.rng(seed, seat, env._steps)))
        assert {"ok"} >= {outcome for counts in env.outcomes.values() for outcome in counts}, env.outcomes
        assert all(np.isfinite(value) for value in env.metrics().values())
        json.dumps(env.snapshot(), allow_nan=False)


def test_all_are_registered_with_pettingzoo():
    simarena.register_all()
    simarena.register_all()  # twice does no harm
    for name in ENVIRONMENTS:
        env = pettingzoo.make("aec", f"simarena/{name}-v0")
        env.reset(seed=1)
        assert env.agents
        assert f"simarena/{name}-v0" in pettingzoo.parallel_registry


def test_importing_simarena_loads_no_model_runtime():
    code = (
        "import sys, simarena; heavy = {'torch', 'transformers', 'vllm', 'ray', 'fastapi', 'pettingzoo'}"
        " & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_front_door_is_complete():
    assert sorted(simarena.__all__) == simarena.__all__
    for name in simarena.__all__:
        assert getattr(simarena, name)
    with pytest.raises(AttributeError):
        _ = simarena.nothing
