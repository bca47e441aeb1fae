"""The trainer on a tiny model: it learns what is planted, starts where it must, and stops when something is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.backends.checkpoint import load
from simarena.training import batches, trainer
from simarena.training.arguments import Arguments
from simarena.training.data import Prepared
from simarena.training.policy import load_policy, write
from simarena.training.reference import adapter_off
from simarena.training.trainer import TrainingError, train
from simarena.training.trie import Sequence
from tests.tiny import Tiny
from tests.training.conftest import SMALL, same, weights


def test_it_begins_at_ln_2_and_learns_what_is_planted(training: Callable[..., Any]) -> None:
    _, metrics = training(epochs=5)
    assert metrics[0].loss == pytest.approx(math.log(2), abs=1e-4)
    assert (metrics[0].chosen, metrics[0].rejected, metrics[0].kl) == (0, 0, 0)
    assert metrics[-1].accuracy == 1
    assert metrics[-1].chosen > 0 > metrics[-1].rejected
    assert metrics[-1].kl > 0
    assert [m.step for m in metrics] == list(range(1, 21))
    assert [m.epoch for m in metrics[::4]] == [1, 2, 3, 4, 5]


def test_an_agent_with_an_adapter_goes_on_with_it(training: Callable[..., Any], tiny: Tiny) -> None:
    policy, metrics = training(adapter=tiny.red, epochs=1)
    assert metrics[0].loss == pytest.approx(math.log(2), abs=1e-4), "its reference is the adapter, not the base"
    assert policy.model.peft_config["default"].r == 4


def test_compared_with_its_base_an_adapter_has_gone_some_way(training: Callable[..., Any], tiny: Tiny) -> None:
    _, metrics = training(adapter=tiny.red, reference="base", steps=1)
    assert abs(metrics[0].chosen) > 0.1


@pytest.mark.parametrize(
    "settings_",
    [
        {"loss": "simpo", "reference": "none"},
        {"loss": "kto"},
        {"loss": "wpo"},
        {"loss": "re_po:dpo"},
        {"loss": "humanline:dpo", "update": {"kind": "lagged"}},
        {"loss": "dmpo"},
        {"loss": "plackett_luce"},
        {"tune": "full", "learning_rate": 1e-3},
        {"dtype": "bf16"},
        {"update": {"kind": "soft", "every": 2}},
        {"update": {"kind": "bema", "every": 2}},
        {"stages": 2},
        {"margin_per_magnitude": 0.1, "full_weight_at": 2.0},
        {"recompute": True},
    ],
    ids=str,
)
def test_ways_to_train_all_raise_the_better_answer(training: Callable[..., Any], settings_: dict[str, Any]) -> None:
    _, metrics = training(**{"epochs": 3, **settings_})
    first, last = metrics[0], metrics[-1]
    ahead = last.chosen - last.rejected - (first.chosen - first.rejected)
    moving = "update" in settings_ or "stages" in settings_
    assert ahead > 0.05 or (moving and last.margin > 0)
    assert all(math.isfinite(m.loss) for m in metrics)


def test_re_po_finds_out_who_contradicts(training: Callable[..., Any]) -> None:
    _, metrics = training(loss="re_po:dpo", epochs=4)
    assert metrics[-1].trust["ann|toy"] > 0.6 > metrics[-1].trust["bob|toy"]


def test_opponents_are_other_agents_of_the_base(
    training: Callable[..., Any], tiny: Tiny, learner: Callable[..., Any]
) -> None:
    red = learner(tiny.red).member.source
    _, metrics = training(loss="mnpo", opponents=(red,), epochs=2, params={"distance": "logistic", "eta": 0.1})
    assert metrics[-1].loss < metrics[0].loss
    _, second = training("again", reference=red, epochs=1)
    assert second[0].reference.startswith("base@")


def test_token_budget_does_not_change_what_is_learnt(training: Callable[..., Any]) -> None:
    wide, metrics = training("wide", tokens=4096)
    narrow, others = training("narrow", tokens=30, chunk=3)
    for name, value in weights(wide).items():
        torch.testing.assert_close(weights(narrow)[name], value, atol=2e-4, rtol=2e-3)
    assert [m.loss for m in metrics] == pytest.approx([m.loss for m in others], abs=1e-4)
    assert metrics[0].tokens < others[0].tokens, "two forwards both read a beginning that one reads once"


def test_the_same_seed_gives_the_same_bits(training: Callable[..., Any]) -> None:
    assert same(weights(training("one")[0]), weights(training("two")[0]))
    assert not same(weights(training("one")[0]), weights(training("three", seed=1)[0]))


def test_a_trained_adapter_is_the_same_in_the_backend(
    training: Callable[..., Any], tmp_path: Path, pairs: Prepared
) -> None:
    policy, _ = training(epochs=1)
    tensors = {name: value.detach() for name, value in policy.trained.items()}
    agent = write(policy, tensors, tmp_path / "agents" / "ann@1", {"name": "ann@1"})
    served = load(str(policy.learner.base), [str(agent.with_suffix(""))], device="cpu")
    ids = torch.tensor([pairs.decisions[0].sequences[0].ids])
    served.adapters.use([str(agent.with_suffix(""))])
    with torch.no_grad():
        torch.testing.assert_close(served.model(ids).logits, policy.model(ids).logits, atol=1e-4, rtol=1e-4)
        with adapter_off(policy.model):
            served.adapters.use([None])
            assert torch.equal(served.model(ids).logits, policy.model(ids).logits)


def test_a_loss_that_is_no_number_stops_it(training: Callable[..., Any], pairs: Prepared, learner: Any) -> None:
    policy = load_policy(learner())
    next(iter(policy.trained.values())).data.fill_(float("nan"))
    with pytest.raises(TrainingError, match=r"loss is nan|loss is inf"):
        next(train(policy, pairs, Arguments(**SMALL, reference="none", loss="simpo"), Path("unused")))


def test_out_of_memory_names_the_knobs(training: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def too_much(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trainer.Reader, "forward", too_much)
    with pytest.raises(TrainingError, match=r"tokens \(now 123\) or chunk \(now 45\)"):
        training(tokens=123, chunk=45, reference="none", loss="simpo")


def test_out_of_memory_before_the_first_step_names_them_too(
    training: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_much(*_: Any, **__: Any) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(trainer.Reader, "forward", too_much)
    with pytest.raises(TrainingError, match="out of memory; lower tokens"):
        training(stages=2)


@pytest.mark.parametrize(
    ("settings_", "said"),
    [
        ({"loss": "dpo", "params": {"bta": 1}}, "parameters: bta: unknown key; did you mean 'beta'"),
        ({"reference": "strat"}, "reference: unknown agent or policy 'strat'.*; did you mean 'start'"),
        ({"reference": "none"}, "compares with a reference"),
        ({"loss": "inpo"}, "name them with opponents"),
        ({"reference": "base", "update": {"kind": "hard"}}, "set reference to start"),
        ({"loss": "two_d_dpo"}, "row 1: .*not every own turn has a mark"),
    ],
)
def test_what_could_only_fail_later_fails_at_once(
    training: Callable[..., Any], settings_: dict[str, Any], said: str
) -> None:
    with pytest.raises(TrainingError, match=said):
        training(**settings_)


def test_a_single_response_is_no_pair(learner: Callable[..., Any], pairs: Prepared, tmp_path: Path) -> None:
    one = replace(pairs.decisions[3], sequences=pairs.decisions[3].sequences[:1])
    with pytest.raises(TrainingError, match="row 4: loss 'dpo' compares, and it has one response"):
        next(train(load_policy(learner()), replace(pairs, decisions=(one,)), Arguments(), tmp_path))


# ---- batches ---------------------------------------------------------------------------------------------------------

IDS = st.lists(st.integers(0, 2), min_size=1, max_size=8).map(tuple)


@given(st.lists(IDS, min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_a_trie_counts_every_prefix_once(many: list[tuple[int, ...]]) -> None:
    sequences = [Sequence(ids, (True,) * len(ids)) for ids in many]
    assert batches.trie_tokens(sequences) == len({ids[:n] for ids in many for n in range(1, len(ids) + 1)})


@given(st.integers(1, 9), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_an_epoch_holds_every_decision_once_and_sides_together(batch: int, seed: int) -> None:
    from tests.training.planted import chat, record

    chatting = chat()
    from simarena.training.data import prepare

    decisions = prepare([record(n, template=chatting) for n in range(6)], chatting, window=99).decisions
    plan = batches.epoch(decisions, range(6), batch, seed, 1)
    flat = [index for step in plan for index in step]
    assert sorted(flat) == list(range(6))
    assert all({flat[n], flat[n + 1]} in ({0, 1}, {2, 3}, {4, 5}) for n in (0, 2, 4))
