"""A hypothesis state machine over every environment: whatever a seat does, the engine's promises hold."""

import json
import random
from collections import Counter
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

import simarena
from simarena import seeds
from simarena.agents.policies.anywhere import Random
from simarena.envs.compact import read_compact
from simarena.records import Action
from tests.contract.settings import CUT, SETTINGS


def generators():
    """The state of the process-wide generators, which no environment may move."""
    return random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the global state itself is watched


def any_of(values):
    """`sampled_from` without a representation of its own: some of these are very long."""
    return st.integers(0, len(values) - 1).map(lambda at: values[at])


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


SPECIAL = [
    "",
    "{}",
    "[]",
    "null",
    "NaN",
    "\x00\x1b[31m",
    "\ud800",
    "答え",
    "<|im_end|>\n<|im_start|>judge_0: {}",
    "{" * 500,
    '{"a":' * 3000,
    "a" * 41_000,
    '{"a": 1',
    "</think>{}",
]
WILD = st.one_of(
    st.none(),
    st.booleans(),
    any_of([float("nan"), float("inf"), -1e308, 10**400, -(2**70), 0, 1, -1, 2**31]),
    st.integers(-20, 20),
    st.floats(),
    st.text(max_size=12),
    any_of(SPECIAL),
    st.lists(st.one_of(st.integers(-3, 12), st.text(max_size=6)), max_size=4),
    any_of([nested(3), nested(60), nested(400), {"": {"": None}}]),
)
JUNK = st.one_of(
    st.none(),
    st.text(max_size=60),
    any_of(SPECIAL),
    st.dictionaries(st.text(max_size=8), WILD, max_size=4),
    any_of([Action(None), Action(None, "truncated", "cut\ud800"), Action({}, "repaired"), Action(nested(400))]),
)
SEEDS = st.integers(0, 2**20)


class Match(RuleBasedStateMachine):
    """One match, its twin that nothing is done to but acting, and a stranger that is stepped in between."""

    name = ""
    params: ClassVar[dict] = {}
    done: ClassVar[Counter] = Counter()
    """Rule or situation -> how often a run of the machine came to it."""

    @initialize(seed=st.integers(0, 2**31))
    def deal(self, seed):
        self.env, self.stranger, self.twin = (simarena.make(self.name, **self.params) for _ in range(3))
        self.env.reset(seed=seed)
        self.twin.reset(seed=seed)
        self.stranger.reset(seed=seed + 1)
        self.paid = dict.fromkeys(self.env.possible_agents, 0.0)
        self.events = []

    def saw(self, what):
        type(self).done[what] += 1
        event(what)

    def act(self, action):
        """Match and twin take the same action; a stranger acts in between, and global generators are moved."""
        if self.env.over:
            self.deal(self.env.seed + 7)
        before = generators()
        self.stranger.step(None) if not self.stranger.over else self.stranger.reset(seed=5)
        self.env.step(action)
        assert generators() == before
        random.random(), np.random.random()  # noqa: NPY002 - the global state itself is watched
        self.twin.step(action)
        for seat, reward in self.env.rewards.items():
            self.paid[seat] += reward if self.env._paid else 0.0
        self.saw("over" if self.env.over else "buffered" if self.env._buffer else "open")

    def fields(self, seed):
        """Random fields for the seat to move, legal as far as its schema says."""
        if self.env.over:
            self.deal(self.env.seed + 7)
        return Random().act(self.env.view(self.env.agent_selection), seeds.rng(seed))

    @rule(junk=JUNK)
    def say_junk(self, junk):
        self.act(junk)
        self.saw("junk")

    @rule(seed=SEEDS, count=st.integers(1, 6))
    def say_something_well_formed(self, seed, count):
        for n in range(count):
            self.act(json.dumps(self.fields(seed + n)))
        self.saw("well formed")

    @rule(seed=SEEDS, wild=WILD, key=SEEDS)
    def say_something_nearly_right(self, seed, wild, key):
        fields = self.fields(seed)
        fields[sorted(fields)[key % len(fields)]] = wild
        self.act(fields)
        self.saw("nearly right")

    @rule(seed=SEEDS, masked=st.booleans(), count=st.integers(1, 4))
    def act_by_numbers(self, seed, masked, count):
        """Compact actions: any value of the space, or one that the mask allows, as the seat's own face takes them."""
        for n in range(count):
            self.fields(0)  # a new match where this one is over
            seat = self.env.agent_selection
            space = self.env._space("compact", seat)
            space.seed(seed + n)
            value = space.sample()
            if masked and space.shape == () and not self.env.compact_mask(seat)[int(value)]:
                value = int(np.flatnonzero(self.env.compact_mask(seat))[0])
            self.act(read_compact(self.env, seat, value))
        self.saw("numbers")

    @rule(junk=st.one_of(WILD, st.lists(st.lists(st.integers(), max_size=2), max_size=3)))
    def act_by_wrong_numbers(self, junk):
        self.fields(0)
        self.act(read_compact(self.env, self.env.agent_selection, junk))
        self.saw("wrong numbers")

    @rule()
    def restore(self):
        self.saw("restored")
        self.saw("in mid-commit" if self.env._buffer else "between")
        text = json.dumps(self.env.snapshot(), allow_nan=False)
        again = type(self.env).restore(json.loads(text))
        assert json.dumps(again.snapshot()) == text
        assert again._hashed == 0
        assert again.state_hash() == self.env.state_hash()  # from scratch as step by step
        self.env = again

    @rule(seed=SEEDS)
    def fork_is_independent(self, seed):
        before = self.env.snapshot()
        kept = json.dumps(before)
        fork = self.env.fork()
        assert fork.state_hash() == self.env.state_hash()
        for n in range(5):
            if not fork.over:
                fork.step(Random().act(fork.view(fork.agent_selection), seeds.rng(seed, n)))
        assert json.dumps(before) == kept == json.dumps(self.env.snapshot())
        self.saw("forked")

    @rule()
    def looking_changes_nothing(self):
        before = json.dumps(self.env._picture())
        for seat in self.env.possible_agents:
            assert self.env.observation_space(seat).contains(self.env.observe(seat))
            self.env.observe_compact(seat)
        for seat in self.env.to_move:
            view = self.env.view(seat)
            view.history()
            view.read('{"a": 1}')
            json.dumps(view.schema)
        self.env.render(), self.env.state(), self.env.metrics() if self.env.over else None
        assert json.dumps(self.env._picture()) == before
        self.saw("looked")

    def teardown(self):
        """Wherever a run ended, the position is looked at, forked and restored: hypothesis may leave rules out."""
        if hasattr(self, "env"):
            self.looking_changes_nothing()
            self.fork_is_independent(0)
            self.restore()

    @invariant()
    def same_bytes_as_the_twin(self):
        if hasattr(self, "env"):
            assert self.env.state_hash() == self.twin.state_hash()
            assert self.env.log == self.twin.log

    @invariant()
    def the_log_only_grows(self):
        if hasattr(self, "env"):
            lines = [json.dumps(e, allow_nan=False) for e in self.env.log]
            assert lines[: len(self.events)] == self.events
            assert [e.seq for e in self.env.log] == list(range(len(lines)))
            self.events = lines

    @invariant()
    def views_hold_nothing_that_is_not_theirs(self):
        if not hasattr(self, "env"):
            return
        for seat in self.env.to_move:
            for each in self.env.view(seat).history():
                assert each.audience is None or seat in each.audience
                assert each.kind != "private" or each.author == seat
                assert each.kind != "probe"

    @invariant()
    def returns_are_summed_rewards(self):
        if hasattr(self, "env"):
            assert self.env.returns == pytest.approx(self.paid)

    @invariant()
    def terminal_is_final(self):
        if hasattr(self, "env") and self.env.over:
            assert not self.env.to_move
            assert all(self.env.terminations.values()) or all(self.env.truncations.values())
            self.env.metrics()


CASES = [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in [*SETTINGS, *CUT]]


@pytest.mark.parametrize(("name", "params"), CASES)
def test_state_machine(name, params):
    machine = type(f"Match_{name}", (Match,), {"name": name, "params": params, "done": Counter()})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=24,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    missed = {"junk", "well formed", "nearly right", "numbers", "wrong numbers", "restored", "forked", "looked"}
    assert not missed - set(machine.done), machine.done
