"""A hypothesis state machine over every environment: whatever a seat does, the engine's promises hold."""

import json
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

import simarena
from simarena import seeds
from simarena.agents.policies.anywhere import Random
from tests.contract.settings import SETTINGS

JUNK = st.one_of(
    st.text(max_size=60),
    st.sampled_from(
        ["", "{}", "[]", "null", "\x00\x1b[31m", "{" * 500, "a" * 50_000, '{"a": 1', "\ud800", "答え", "<|end|>"]
    ),
    st.dictionaries(st.text(max_size=8), st.one_of(st.none(), st.integers(), st.text(max_size=9)), max_size=4),
    st.none(),
)


class Match(RuleBasedStateMachine):
    """One match, its restored twin, and a stranger that is stepped in between."""

    name = ""
    params: ClassVar[dict] = {}

    @initialize(seed=st.integers(0, 2**31))
    def deal(self, seed):
        self.env = simarena.make(self.name, **self.params)
        self.stranger = simarena.make(self.name, **self.params)
        self.twin = simarena.make(self.name, **self.params)
        for env in (self.env, self.twin):
            env.reset(seed=seed)
        self.stranger.reset(seed=seed + 1)
        self.paid = dict.fromkeys(self.env.possible_agents, 0.0)

    def act(self, action):
        if self.env.over:
            return
        self.stranger.step(None) if not self.stranger.over else self.stranger.reset(seed=5)
        self.env.step(action)
        self.twin.step(action)
        for seat, reward in self.env.rewards.items():
            self.paid[seat] += reward if self.env._paid else 0.0

    @rule(junk=JUNK)
    def say_junk(self, junk):
        self.act(junk)

    @rule(seed=st.integers(0, 2**20))
    def say_something_well_formed(self, seed):
        if not self.env.over:
            view = self.env.view(self.env.agent_selection)
            self.act(json.dumps(Random().act(view, seeds.rng(seed))))

    @rule(seed=st.integers(0, 2**20))
    def act_by_numbers(self, seed):
        if not self.env.over:
            seat = self.env.agent_selection
            space = self.env._space("compact", seat)
            space.seed(seed)
            self.act(self.env.compact_action(seat, space.sample()))

    @precondition(lambda self: hasattr(self, "env"))
    @rule()
    def restore(self):
        text = json.dumps(self.env.snapshot(), allow_nan=False)
        again = type(self.env).restore(json.loads(text))
        assert json.dumps(again.snapshot(), sort_keys=True) == json.dumps(json.loads(text), sort_keys=True)
        assert again.state_hash() == self.env.state_hash()
        self.env = again

    @precondition(lambda self: hasattr(self, "env"))
    @rule()
    def fork_is_independent(self):
        before = self.env.state_hash()
        fork = self.env.fork()
        if not fork.over:
            fork.step("junk")
            assert fork.state_hash() != before
        assert self.env.state_hash() == before

    @invariant()
    def same_bytes_as_the_twin(self):
        if hasattr(self, "env"):
            assert self.env.state_hash() == self.twin.state_hash()
            assert self.env.log == self.twin.log

    @invariant()
    def views_hold_nothing_that_is_not_theirs(self):
        if not hasattr(self, "env"):
            return
        for seat in self.env.to_move:
            for event in self.env.view(seat).history():
                assert event.audience is None or seat in event.audience
                assert event.kind != "private" or event.author == seat
                assert event.kind != "probe"

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


@pytest.mark.parametrize(
    ("name", "params"), [pytest.param(name, params, id=f"{name}-{label}") for name, label, params in SETTINGS]
)
def test_state_machine(name, params):
    machine = type(f"Match_{name}", (Match,), {"name": name, "params": params})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
