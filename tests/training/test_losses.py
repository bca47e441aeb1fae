"""What every registered loss must do: gradients, weights, starts, padding, refusals."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.autograd import gradcheck

from simarena.errors import UnknownName
from simarena.training.losses import LOSSES, LossError, find
from simarena.training.losses.common import log1mexp
from simarena.training.losses.wrappers import WRAPPERS
from simarena.training.scored import scored
from tests.training.random_batches import batch

NAMES = sorted(LOSSES)
WRAPPED = ["re_po:ipo", "re_po:simpo", "re_po:cpo", "re_po:hinge", "humanline:kto", "humanline:re_po:dpo"]
STOPPED = {"bco", "re_po"}  # a stop-gradient hides part of the dependence from autograd; each has its own test
PAIRED = [n for n in NAMES if "pair" in LOSSES[n].needs]


@pytest.mark.parametrize("name", [n for n in NAMES if n not in STOPPED])
@pytest.mark.parametrize("seed", range(2))
def test_gradient_is_that_of_finite_differences(name, seed):
    loss, one = find(name), batch(seed)
    start = one.logp.clone().requires_grad_()
    assert gradcheck(lambda logp: loss(replace(one, logp=logp), loss.Params()).loss, (start,))


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("ipo", {"length_norm": True}),
        ("f_dpo", {"divergence": "forward_kl"}),
        ("f_dpo", {"divergence": "alpha"}),
        ("alphapo", {"alpha": 0.0}),
        ("alphapo", {"alpha": -1.5}),
        ("plackett_luce", {"first_only": True}),
        ("stable_alignment", {"worst_only": True}),
        ("clha", {"noise": 0.5}),
        ("sppo", {"soft": True}),
        ("mnpo", {"distance": "logistic", "length_norm": True, "weights": [1.0, 3.0]}),
        ("ulma", {"demonstrations": False}),
        ("ulma", {"squared": True}),
    ],
)
def test_gradient_of_the_other_forms(name, params):
    loss, one = find(name), batch(7)
    start = one.logp.clone().requires_grad_()
    assert gradcheck(lambda logp: loss(replace(one, logp=logp), loss.Params(**params)).loss, (start,))


@pytest.mark.parametrize("name", [*NAMES, *WRAPPED])
def test_the_weight_scales_the_loss_and_nothing_else(name):
    loss, one = find(name), batch(1)
    plain, heavy = loss(one, loss.Params()), loss(replace(one, weight=one.weight * 3), loss.Params())
    torch.testing.assert_close(heavy.loss, 3 * plain.loss)
    torch.testing.assert_close(heavy.margin, plain.margin)
    assert plain.loss.shape == plain.margin.shape == one.weight.shape
    assert not plain.margin.requires_grad


@pytest.mark.parametrize("name", [*NAMES, *WRAPPED])
@pytest.mark.parametrize("scale", [0.0, 1.0, 1000.0])
def test_single_precision_stays_finite_far_out(name, scale):
    loss, one = find(name), batch(2, dtype=torch.float32)
    logp = (one.logp * scale).clone().requires_grad_()
    one = replace(one, logp=logp, reference=-one.reference)
    result = loss(one, loss.Params())
    result.loss.sum().backward()
    assert result.loss.isfinite().all()
    assert logp.grad is not None
    assert logp.grad.isfinite().all()


@pytest.mark.parametrize("name", [*NAMES, *WRAPPED])
def test_what_stands_in_absent_columns_does_not_matter(name):
    loss, one = find(name), batch(3)
    present = one.present.clone()
    present[1, 2] = present[3, 2] = False
    values = []
    for filler in (0.0, -77.0):
        logp = one.logp.masked_fill(~present, filler).requires_grad_()
        there = replace(one, present=present, logp=logp, tokens=one.tokens.masked_fill(~present, 0))
        there = replace(there, rating=one.rating.masked_fill(~present, filler))
        result = loss(there, loss.Params())
        result.loss.sum().backward()
        assert (logp.grad[~present] == 0).all()
        values.append(torch.cat([result.loss.detach(), result.margin]))
    torch.testing.assert_close(*values)


@pytest.mark.parametrize("name", [*NAMES, *WRAPPED])
def test_policy_at_the_reference_starts_where_it_says(name):
    loss, one = find(name), batch(4, columns=2)
    one = replace(one, reference=one.logp.clone(), margin=one.margin * 0)
    if loss.start is not None:
        torch.testing.assert_close(loss(one, loss.Params()).loss, torch.full_like(one.weight, loss.start))


def test_the_logistic_losses_start_at_ln_2():
    starting = {name for name in NAMES if LOSSES[name].start == pytest.approx(math.log(2))}
    named = {"dpo", "cdpo", "rdpo", "ln_dpo", "ld_dpo", "f_dpo", "aot", "dmpo", "sdpo", "two_d_dpo"}
    assert starting == {*named, "humanline", "re_po"}


@pytest.mark.parametrize("name", PAIRED)
def test_a_step_moves_the_margin_up(name):
    loss, one = find(name), batch(5, columns=2)
    logp = one.logp.clone().requires_grad_()
    if name == "re_po":
        one = replace(one, votes=torch.ones_like(one.votes))
    one = replace(one, reference=one.logp.clone(), logp=logp)
    loss(one, loss.Params()).loss.sum().backward()
    lead = logp.grad[:, 1] - logp.grad[:, 0]
    assert (lead >= 0).all()
    assert (lead > 0).any()


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_field_is_refused_by_name(name):
    loss, one = find(name), batch(6)
    for need in sorted(loss.required(loss.Params()) - {"pair", "turns", "spans"}):
        with pytest.raises(LossError, match=rf"loss '{name}' needs {need}"):
            loss(replace(one, **{need: None}), loss.Params())


def test_a_single_response_is_no_pair():
    present = torch.tensor([[True, True, True]] * 4 + [[True, False, False]])
    with pytest.raises(LossError, match=r"2 or more responses a decision; rows \[4\]"):
        find("dpo")(replace(batch(), present=present), find("dpo").Params())
    assert find("sft")(replace(batch(), present=present), find("sft").Params()).margin[4] == 0


def test_names():
    assert find("re_po:ipo").name == "re_po:ipo"
    assert find("humanline:re_po:simpo").Params(least=-2.0, trust0=0.8, gamma=0.1).least == -2.0
    with pytest.raises(UnknownName, match=r"did you mean 'cdpo'"):
        find("cdppo")
    with pytest.raises(UnknownName, match="wrapper of losses 'repo'"):
        find("repo:dpo")
    with pytest.raises(LossError, match="'kto' is none"):
        find("re_po:kto")
    with pytest.raises(LossError, match="'re_po:dpo' is none"):
        find("re_po:re_po:dpo")


@pytest.mark.parametrize("name", [*NAMES, *WRAPPED])
def test_parameters_are_strict_and_the_line_says_something(name):
    loss = find(name)
    with pytest.raises(ValidationError):
        loss.Params(betta=0.1)
    for key, field in loss.Params.model_fields.items():
        if field.annotation is float:
            with pytest.raises(ValidationError):
                loss.Params(**{key: "0.1"})
    assert loss.name == name
    assert all((loss.line, loss.formula, loss.source))
    assert set(WRAPPERS) == {"humanline", "re_po"}


def test_inpo_refuses_a_pull_beyond_its_step():
    with pytest.raises(ValidationError, match="must not be greater than eta"):
        find("inpo").Params(eta=0.001, tau=0.01)


def test_mnpo_refuses_shares_of_other_opponents():
    with pytest.raises(LossError, match="for 2 opponents"):
        find("mnpo")(batch(), find("mnpo").Params(weights=[1.0, 1.0, 1.0]))


@given(st.floats(-60, -1e-5))
@settings(deadline=None)
def test_log1mexp_keeps_its_digits(x):
    value = log1mexp(torch.tensor(x, dtype=torch.float64)).item()
    exact = math.log(-math.expm1(x)) if x > -0.7 else math.log1p(-math.exp(x))
    assert value == pytest.approx(exact, rel=1e-12)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=25)
def test_a_pair_among_more_is_its_best_and_worst(seed):
    one = batch(seed)
    two = one.choose(torch.tensor([[0, 2]] * 5))
    for name in ("dpo", "simpo", "mnpo", "sppo"):
        loss = find(name)
        torch.testing.assert_close(loss(one, loss.Params()).loss, loss(two, loss.Params()).loss)


@pytest.mark.parametrize("name", PAIRED)
def test_the_other_order_turns_the_margin_round(name):
    loss, one = find(name), batch(8, columns=2)
    other = one.choose(torch.tensor([[1, 0]] * 5))
    torch.testing.assert_close(loss(other, loss.Params()).margin, -loss(one, loss.Params()).margin)


def test_scored_moves_and_fills():
    one = scored(torch.zeros(2, 2), torch.ones(2, 2))
    assert one.to("cpu").present.all()
    assert one.weight.tolist() == [1, 1]
    assert one.margin.tolist() == [0, 0]
