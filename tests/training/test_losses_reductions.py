"""Losses that are others in disguise: the table of MNPO, and limits of parameters."""

from dataclasses import replace

import pytest
import torch

from simarena.training.losses import find
from tests.training.random_batches import batch


def value(name, one, **params):
    loss = find(name)
    return loss(one, loss.Params(**params)).loss


@pytest.fixture(params=range(3))
def one(request):
    return batch(request.param, columns=2)


def close(a, b, **tolerance):
    torch.testing.assert_close(a, b, **tolerance)


def test_plackett_luce_of_two_is_dpo(one):
    one = replace(one, margin=one.margin + 0.3)
    close(value("plackett_luce", one, beta=0.2), value("dpo", one, beta=0.2))
    close(value("plackett_luce", one, beta=0.2, first_only=True), value("dpo", one, beta=0.2))


def test_nobody_flips_labels(one):
    close(value("cdpo", one, flip=0.0), value("dpo", one))
    close(value("rdpo", one, flip=0.0), value("dpo", one))
    close(value("two_d_dpo", one), value("dpo", one))


def test_re_po_with_sure_annotators_is_its_loss(one):
    sure = replace(one, votes=torch.ones_like(one.votes), trust=torch.ones_like(one.trust))
    close(value("re_po", sure), value("dpo", sure), rtol=1e-6, atol=1e-6)


def test_re_po_at_the_reference_is_label_smoothing(one):
    """p = 1/2 and one annotator: w = eta."""
    start = replace(
        one, reference=one.logp.clone(), votes=torch.ones(5, 1).double(), trust=torch.tensor([0.8]).double()
    )
    logp = start.logp.clone().requires_grad_()
    value("re_po", replace(start, logp=logp)).sum().backward()
    smooth = start.logp.clone().requires_grad_()
    value("cdpo", replace(start, logp=smooth), flip=0.2).sum().backward()
    close(logp.grad, smooth.grad)


def test_f_dpo_alpha_towards_zero_is_dpo(one):
    close(value("f_dpo", one, divergence="alpha", alpha=1e-7), value("dpo", one), rtol=1e-5, atol=1e-6)


def test_alphapo_at_zero_is_simpo(one):
    close(value("alphapo", one, alpha=0.0), value("simpo", one))
    close(value("alphapo", one, alpha=1e-9), value("simpo", one), rtol=1e-6, atol=1e-6)


def test_rpo_r_dpo_and_slic_without_their_extra(one):
    close(value("rpo", one, alpha=0.0), value("dpo", one))
    close(value("r_dpo", one, alpha=0.0), value("dpo", one))
    flat = replace(one, tokens=torch.full_like(one.tokens, 4))
    close(value("r_dpo", flat, alpha=1.0), value("dpo", one))
    close(value("ln_dpo", flat, beta=0.4), value("dpo", one, beta=0.1))


def test_equal_stakes_are_ordinal(one):
    level = replace(one, rating=torch.tensor([[3.0, 1.0]] * 5).double())
    close(value("cardinal", level, scale=2.0), value("dpo", level))


class TestMNPO:
    """Table of arXiv:2509.23102: who the opponents are makes the method."""

    def test_against_the_reference_it_is_dpo(self, one):
        close(value("mnpo", one, eta=0.1, ratio=1.0, rest=0.0, distance="logistic"), value("dpo", one, beta=0.1))

    def test_against_the_reference_squared_it_is_ipo(self, one):
        close(value("mnpo", one, eta=0.1, ratio=1.0, rest=0.0), value("ipo", one, tau=0.1))
        long = {"ratio": 1.0, "rest": 0.0, "length_norm": True}
        close(value("mnpo", one, eta=0.1, **long), value("ipo", one, tau=0.1, length_norm=True))

    def test_against_its_last_self_it_is_spin(self, one):
        last = replace(one, reference=one.opponents[..., 0], opponents=one.opponents[..., :1])
        close(value("mnpo", last, eta=0.1, ratio=0.0, rest=1.0, distance="logistic"), value("dpo", last, beta=0.1))

    def test_against_both_it_is_inpo(self, one):
        close(value("mnpo", one, eta=0.01, ratio=0.3, rest=0.7), value("inpo", one, eta=0.01, tau=0.003))

    def test_against_nobody_it_is_simpo_and_cpo(self, one):
        nobody = {"ratio": 0.0, "rest": 0.0, "distance": "logistic"}
        alone = replace(one, reference=None, opponents=None)
        close(value("mnpo", alone, eta=2.0, length_norm=True, **nobody), value("simpo", one, beta=2.0, gamma=0.0))
        close(value("mnpo", alone, eta=0.1, **nobody), value("cpo", one, beta=0.1, alpha=0.0))

    def test_shares_need_not_sum_to_one_and_default_to_equal(self, one):
        close(value("mnpo", one, weights=[2.0, 2.0]), value("mnpo", one))
        first = replace(one, opponents=one.opponents[..., :1])
        close(value("mnpo", one, weights=[1.0, 0.0]), value("mnpo", first))


def test_onpo_is_ipo_with_half_its_eta_as_target(one):
    close(value("onpo", one, eta=4.0), value("ipo", one, tau=0.25))


def test_hard_sppo_is_soft_at_certain_wins(one):
    sure = replace(one, rating=torch.tensor([[1.0, 0.0]] * 5).double())
    close(value("sppo", sure, soft=True), value("sppo", one))


def test_humanline_leaves_sums_alone(one):
    """It clamps tokens; given sums it is its inner loss."""
    close(value("humanline", one), value("dpo", one))
