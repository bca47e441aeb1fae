"""Losses against their formulas, written out once more in plain numpy as TRL and HALOs have them, and by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from simarena.training.losses import find
from simarena.training.scored import scored
from tests.training.random_batches import batch


def s(x):
    return 1 / (1 + np.exp(-np.asarray(x)))


def ls(x):
    return -np.logaddexp(0, -np.asarray(x))


class Columns:
    """A batch of pairs as numpy columns: w and l."""

    def __init__(self, seed):
        self.scored = batch(seed, columns=2)
        for name in ("logp", "reference", "tokens", "rating", "confidence", "label"):
            both = getattr(self.scored, name).double().numpy()
            setattr(self, f"{name}_w", both[:, 0])
            setattr(self, f"{name}_l", both[:, 1])
        self.w, self.l = self.logp_w - self.reference_w, self.logp_l - self.reference_l
        self.delta = self.w - self.l
        self.mean_w, self.mean_l = self.logp_w / self.tokens_w, self.logp_l / self.tokens_l
        self.opponents = self.scored.opponents.numpy()


def odds(mean):
    return mean - np.log(1 - np.exp(mean))


FORMULAS = {
    # TRL's DPO trainer
    "dpo": ({"beta": 0.3}, lambda c: -ls(0.3 * c.delta)),
    "cdpo": ({"beta": 0.3, "flip": 0.2}, lambda c: -0.8 * ls(0.3 * c.delta) - 0.2 * ls(-0.3 * c.delta)),
    "rdpo": ({"beta": 0.3, "flip": 0.2}, lambda c: (-0.8 * ls(0.3 * c.delta) + 0.2 * ls(-0.3 * c.delta)) / 0.6),
    "ipo": ({"tau": 0.2}, lambda c: (c.delta - 2.5) ** 2),
    "hinge": ({"beta": 0.3}, lambda c: np.maximum(1 - 0.3 * c.delta, 0)),
    "ln_dpo": ({"beta": 5.0}, lambda c: -ls(5 * (c.w / c.tokens_w - c.l / c.tokens_l))),
    "rpo": ({"beta": 0.3, "alpha": 0.5}, lambda c: -ls(0.3 * c.delta) - 0.5 * c.mean_w),
    "wpo": (
        {"beta": 0.3},
        lambda c: np.exp(c.confidence_w + c.confidence_l) * -ls(0.3 * c.delta),
    ),
    "exo": (
        {"beta": 0.3, "flip": 0.1},
        lambda c: (
            s(0.3 * c.delta) * (ls(0.3 * c.delta) - math.log(0.9))
            + s(-0.3 * c.delta) * (ls(-0.3 * c.delta) - math.log(0.1))
        ),
    ),
    "nca": ({"beta": 0.3}, lambda c: -ls(0.3 * c.w) - 0.5 * ls(-0.3 * c.w) - 0.5 * ls(-0.3 * c.l)),
    "apo_zero": ({"beta": 0.3}, lambda c: (1 - s(0.3 * c.w)) + s(0.3 * c.l)),
    "apo_down": ({"beta": 0.3}, lambda c: s(0.3 * c.w) + (1 - s(0.3 * c.delta))),
    "sppo": ({"beta": 0.3}, lambda c: (c.w - 0.5 / 0.3) ** 2 + (c.l + 0.5 / 0.3) ** 2),
    # TRL's CPO and ORPO trainers
    "simpo": ({"beta": 2.0, "gamma": 0.5}, lambda c: -ls(2 * (c.mean_w - c.mean_l - 0.25))),
    "cpo": ({"beta": 0.3, "alpha": 1.0}, lambda c: -ls(0.3 * (c.logp_w - c.logp_l)) - c.mean_w),
    "alphapo": (
        {"beta": 2.0, "gamma": 0.5, "alpha": 0.3},
        lambda c: -ls(2 * ((1 - np.exp(-0.3 * c.mean_w)) / 0.3 - (1 - np.exp(-0.3 * c.mean_l)) / 0.3) - 0.5),
    ),
    "orpo": ({"odds": 0.2}, lambda c: -c.mean_w - 0.2 * ls(odds(c.mean_w) - odds(c.mean_l))),
    # papers
    "slic": ({"alpha": 0.2}, lambda c: np.maximum(0, 1 - c.logp_w + c.logp_l) - 0.2 * c.mean_w),
    "r_dpo": ({"beta": 0.3, "alpha": 0.05}, lambda c: -ls(0.3 * c.delta + 0.05 * (c.tokens_w - c.tokens_l))),
    "f_dpo": ({"beta": 0.3, "divergence": "js"}, lambda c: -ls(0.3 * (ls(c.w) - ls(c.l)))),
    "sft": ({}, lambda c: -c.mean_w),
    "cardinal": (
        {"beta": 0.3, "scale": 2.0},
        lambda c: (c.rating_w - c.rating_l) / 2 * -ls(0.3 * c.delta),
    ),
    "onpo": ({"eta": 3.0}, lambda c: (c.delta - 1.5) ** 2),
    "inpo": (
        {"eta": 0.1, "tau": 0.04},
        lambda c: (
            (
                0.4 * c.delta
                + 0.6 * ((c.logp_w - c.opponents[:, 0].mean(1)) - (c.logp_l - c.opponents[:, 1].mean(1)))
                - 5
            )
            ** 2
        ),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("seed", range(5))
def test_parity(name, seed):
    params, formula = FORMULAS[name]
    loss, columns = find(name), Columns(seed)
    ours = loss(columns.scored, loss.Params(**params)).loss.numpy()
    np.testing.assert_allclose(ours, formula(columns), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("params", "slope"),
    [
        ({"divergence": "forward_kl"}, lambda rho: -np.exp(-rho)),
        ({"divergence": "alpha", "alpha": 0.3}, lambda rho: np.exp(-0.3 * rho) / -0.3),
    ],
)
def test_parity_of_f_dpo(params, slope):
    loss, c = find("f_dpo"), Columns(1)
    ours = loss(c.scored, loss.Params(beta=0.3, **params)).loss.numpy()
    np.testing.assert_allclose(ours, -ls(0.3 * (slope(c.w) - slope(c.l))), atol=1e-6)


def test_parity_of_ipo_per_token():
    loss, c = find("ipo"), Columns(2)
    ours = loss(c.scored, loss.Params(tau=0.2, length_norm=True)).loss.numpy()
    np.testing.assert_allclose(ours, (c.w / c.tokens_w - c.l / c.tokens_l - 2.5) ** 2, atol=1e-6)


def test_parity_of_bco_and_aot_which_see_the_batch():
    c, beta = Columns(3), 0.3
    mean = np.concatenate([beta * c.w, beta * c.l]).mean()
    bco = find("bco")(c.scored, find("bco").Params(beta=beta)).loss.numpy()
    np.testing.assert_allclose(bco, -ls(beta * c.w - mean) - ls(-(beta * c.l - mean)), atol=1e-6)
    aot = find("aot")(c.scored, find("aot").Params(beta=beta)).loss.numpy()
    np.testing.assert_allclose(np.sort(aot), np.sort(-ls(beta * (np.sort(c.w) - np.sort(c.l)))), atol=1e-6)


def test_the_gradient_of_bco_holds_its_baseline_still():
    c = Columns(4)
    logp = c.scored.logp.clone().requires_grad_()
    loss = find("bco")
    loss(replace(c.scored, logp=logp), loss.Params(beta=0.3)).loss.sum().backward()
    mean = np.concatenate([0.3 * c.w, 0.3 * c.l]).mean()
    expected = np.stack([-0.3 * s(mean - 0.3 * c.w), 0.3 * s(0.3 * c.l - mean)], axis=1)
    np.testing.assert_allclose(logp.grad.numpy(), expected, atol=1e-9)


@pytest.mark.parametrize("shift", [0.7, -5.0])
def test_parity_of_kto_with_halos(shift):
    """Desirable: lamD (1 - s(beta (rho - z0))); undesirable: lamU (1 - s(beta (z0 - rho))); z0 at least 0."""
    c = Columns(5)
    mismatched = torch.tensor([shift, shift + 0.2], dtype=torch.float64)
    z0 = max(0.0, shift + 0.1)
    loss = find("kto")
    ours = loss(replace(c.scored, mismatched=mismatched), loss.Params(beta=0.3, wanted=1.2, unwanted=0.9)).loss.numpy()

    def one(rho, label):
        return np.where(label == 1, 1.2 * (1 - s(0.3 * (rho - z0))), 0.9 * (1 - s(0.3 * (z0 - rho))))

    np.testing.assert_allclose(ours, (one(c.w, c.label_w) + one(c.l, c.label_l)) / 2, atol=1e-6)


def test_ulma_by_hand():
    one = scored(
        torch.tensor([[-2.0, -3.0]]),
        torch.tensor([[4, 4]]),
        reference=torch.tensor([[-3.0, -1.0]]),
        label=torch.tensor([[1.0, 0.0]]),
    )
    loss = find("ulma")
    penalty = math.log(1 + math.exp(-1))  # u = .5 x (-3 + 1) = -1, unwanted
    assert loss(one, loss.Params(beta=0.5)).loss.item() == pytest.approx((2 + penalty) / 2, abs=1e-6)
    pointwise = loss(one, loss.Params(beta=0.5, demonstrations=False)).loss.item()
    assert pointwise == pytest.approx((math.log(1 + math.exp(-0.5)) + penalty) / 2, abs=1e-6)
    squared = loss(one, loss.Params(beta=0.5, demonstrations=False, squared=True)).loss.item()
    assert squared == pytest.approx((0.5**2 + 1) / 2, abs=1e-6)


THREE = scored(
    torch.tensor([[-2.0, -6.0, -4.0]], dtype=torch.float64),
    torch.tensor([[2, 3, 4]]),
    reference=torch.tensor([[-3.0, -6.0, -2.0]], dtype=torch.float64),
    rating=torch.tensor([[7.0, 4.0, 2.0]], dtype=torch.float64),
)
"""Means per token -1, -2, -1; rho 1, 0, -2."""


def value(name, **params):
    return find(name)(THREE, find(name).Params(**params)).loss.item()


def test_plackett_luce_by_hand():
    first = -math.log(math.exp(0.5) / (math.exp(0.5) + 1 + math.exp(-1)))
    second = -math.log(1 / (1 + math.exp(-1)))
    assert value("plackett_luce", beta=0.5) == pytest.approx(first + second, abs=1e-9)
    assert value("plackett_luce", beta=0.5, first_only=True) == pytest.approx(first, abs=1e-9)


def test_pro_by_hand():
    """Gaps 3 and 5 at the first place (its own temperature: 1/5), 2 at the second."""
    first = -math.log(math.exp(-5) / (math.exp(-5) + math.exp(-6) + math.exp(-5)))
    second = -math.log(math.exp(-4) / (math.exp(-4) + math.exp(-2)))
    assert value("pro", sft=0.05) == pytest.approx(first + second + 0.05 * 4 * 1, abs=1e-9)


def test_stable_alignment_reads_the_rating_of_each_response_itself():
    """l = 1, 2, 1; asked 10 x 3/7 and 10 x 5/7."""
    contrasts = (1 - 2 + 30 / 7, 1 - 1 + 50 / 7)
    assert value("stable_alignment") == pytest.approx(1 + 0.2 * sum(contrasts) / 2, abs=1e-9)
    assert value("stable_alignment", worst_only=True) == pytest.approx(1 + 0.2 * max(contrasts), abs=1e-9)
    swapped = replace(THREE, rating=torch.tensor([[7.0, 2.0, 4.0]], dtype=torch.float64))
    moved = find("stable_alignment")(swapped, find("stable_alignment").Params(worst_only=True)).loss.item()
    assert moved == pytest.approx(1 + 0.2 * max(1 - 2 + 50 / 7, 30 / 7), abs=1e-9)


def test_clha_by_hand():
    """Step 3: pairs one apart are 1 ahead and 1 behind, two apart level; SFT .05 x 4 x 2 nats."""
    assert value("clha") == pytest.approx((2 + 4) / 2 + 6 + 0.4, abs=1e-9)
    assert value("clha", noise=2.5) == pytest.approx(2 + 6 + 0.4, abs=1e-9)  # 4 against 2 is noise
    assert value("clha", worthy=7.0) == pytest.approx((2 + 4) / 2 + 6, abs=1e-9)


def test_soft_sppo_by_hand():
    rated = replace(THREE, rating=torch.tensor([[0.9, 0.5, 0.2]], dtype=torch.float64))
    result = find("sppo")(rated, find("sppo").Params(beta=0.5, soft=True)).loss.item()
    assert result == pytest.approx((1 - 0.8) ** 2 + (-2 + 0.6) ** 2, abs=1e-9)


def test_a_margin_asks_for_more():
    for name in ("dpo", "ipo", "hinge", "simpo", "cpo", "plackett_luce", "mnpo", "sppo", "apo_zero", "nca"):
        loss, one = find(name), batch(11, columns=2)
        one = replace(one, logp=one.reference * 1.0)
        plain = loss(one, loss.Params()).loss
        assert (loss(replace(one, margin=one.margin + 0.5), loss.Params()).loss > plain).all(), name
    offset = find("dpo")(replace(THREE, margin=torch.tensor([0.5])), find("dpo").Params(beta=0.5))
    assert offset.loss.item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-6)  # .5 x 3 - .5
    assert offset.margin.item() == pytest.approx(1.5)


def test_r_dpo_falls_as_the_winner_grows():
    one, loss = batch(12, columns=2), find("r_dpo")
    tokens = one.tokens.double().requires_grad_()
    loss(replace(one, tokens=tokens), loss.Params()).loss.sum().backward()
    assert (tokens.grad[:, 0] < 0).all()
    assert (tokens.grad[:, 1] > 0).all()


def test_rdpo_is_unbiased_under_flips():
    one, loss, dpo = batch(13, columns=2), find("rdpo"), find("dpo")
    flipped = one.choose(torch.tensor([[1, 0]] * 5))
    mean = 0.8 * loss(one, loss.Params(flip=0.2)).loss + 0.2 * loss(flipped, loss.Params(flip=0.2)).loss
    torch.testing.assert_close(mean, dpo(one, dpo.Params()).loss)
