"""Token weightings: closed forms, reductions, and what they leave alone."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.training import tokens
from simarena.training.losses import find
from simarena.training.tokens import Own, plain, turn_weights


def own(length, turns=None, spans=None, seed=0):
    g = torch.Generator().manual_seed(seed)
    logp = -torch.rand(length, generator=g, dtype=torch.float64)
    frozen = -torch.rand(length, 2, generator=g, dtype=torch.float64)
    as_tensor = [None if x is None else torch.tensor(x) for x in (turns, spans)]
    return Own(logp=logp, frozen=frozen, turns=as_tensor[0], spans=as_tensor[1])


def summed(name, responses, **params):
    loss = find(name)
    return loss.summing(responses, loss.Params(**params))


def same(one, other):
    for (logp, frozen), (logp_, frozen_) in zip(one, other, strict=True):
        torch.testing.assert_close(logp, logp_)
        torch.testing.assert_close(frozen, frozen_)


def test_plain_sums():
    one = own(3)
    ((logp, frozen),) = plain([one])
    assert logp == one.logp[0] + one.logp[1] + one.logp[2]
    assert frozen.tolist() == pytest.approx([one.frozen[:, 0].sum().item(), one.frozen[:, 1].sum().item()])


def test_no_frozen_policy_is_fine():
    alone = Own(logp=torch.zeros(3), frozen=torch.zeros(3, 0))
    assert plain([alone])[0][1].shape == (0,)
    assert summed("ld_dpo", [alone])[0][1].shape == (0,)


def test_ld_dpo_fades_what_is_longer():
    short, long = own(2), own(4, seed=1)
    (_, _), (logp, frozen) = summed("ld_dpo", [short, long], tail=0.25)
    assert logp.item() == pytest.approx((long.logp[:2].sum() + 0.25 * long.logp[2:].sum()).item())
    assert frozen[1].item() == pytest.approx((long.frozen[:2, 1].sum() + 0.25 * long.frozen[2:, 1].sum()).item())
    same(summed("ld_dpo", [short, long], tail=0.25)[:1], plain([short]))
    same(summed("ld_dpo", [short, long], tail=1.0), plain([short, long]))
    same(summed("ld_dpo", [own(3), own(3, seed=1)], tail=0.0), plain([own(3), own(3, seed=1)]))


def test_dmpo_weights_by_hand():
    """Gamma .7, three turns: (1 - .343, .7 x (1 - .49), .49 x .3) / .657."""
    weights = turn_weights(torch.tensor([0, 0, 1, 2]), 0.7)
    assert weights.tolist() == pytest.approx([1, 1, 0.7 * 0.51 / 0.657, 0.49 * 0.3 / 0.657])
    assert turn_weights(torch.tensor([0, 1, 2, 3]), 1.0).tolist() == [1, 0.75, 0.5, 0.25]


@given(st.integers(1, 8), st.floats(0.05, 1))
@settings(deadline=None)
def test_dmpo_weights_start_at_one_and_fall(n, gamma):
    weights = turn_weights(torch.arange(n), gamma)
    assert weights[0].item() == pytest.approx(1)
    assert (weights.diff() < 0).all()
    assert (weights > 0).all()


def test_dmpo_towards_one_is_linear_and_of_one_turn_is_dpo():
    near, one = turn_weights(torch.arange(5), 0.999999), turn_weights(torch.arange(5), 1.0)
    torch.testing.assert_close(near, one, rtol=1e-4, atol=1e-5)
    single = [own(3, turns=[0, 0, 0]), own(2, turns=[0, 0], seed=1)]
    same(summed("dmpo", single), plain(single))


def test_sdpo_counts_equally_many_turns():
    short, long = own(3, turns=[0, 0, 1]), own(4, turns=[0, 1, 1, 2], seed=1)
    (first, _), (second, _) = summed("sdpo", [short, long])
    assert first.item() == pytest.approx(short.logp.sum().item())
    assert second.item() == pytest.approx(long.logp[:3].sum().item())
    assert summed("sdpo", [short, long], turns=1)[0][0].item() == pytest.approx(short.logp[:2].sum().item())
    single = [own(3, turns=[0, 0, 0]), own(2, turns=[0, 0], seed=1)]
    same(summed("sdpo", single), plain(single))


def test_segments_weigh_what_they_are_worth():
    one = own(4, spans=[1.0, 1.0, 0.5, -0.5])
    ((logp, _),) = summed("two_d_dpo", [one])
    assert logp.item() == pytest.approx((one.logp[:2].sum() + 0.5 * one.logp[2] - 0.5 * one.logp[3]).item())
    flat = own(4, spans=[1.0] * 4)
    same(summed("two_d_dpo", [flat]), plain([flat]))


def test_humanline_holds_each_token_within_bounds():
    frozen = torch.zeros(4, 2)
    one = Own(logp=torch.tensor([-3.0, -0.5, 1.0, 4.0], requires_grad=True), frozen=frozen)
    ((logp, others),) = summed("humanline", [one], least=-1.0, most=1.5)
    assert logp.item() == -1 - 0.5 + 1 + 1.5
    assert others.tolist() == [0, 0]
    logp.backward()
    assert one.logp.grad.tolist() == [0, 1, 1, 0]


def test_humanline_goes_around_other_weightings():
    long, short = own(4, turns=[0, 0, 1, 1]), own(2, turns=[0, 0], seed=1)
    wide = summed("humanline:dmpo", [long, short], least=-100.0, most=100.0)
    same(wide, summed("dmpo", [long, short]))


def test_a_weighting_says_what_it_lacks():
    with pytest.raises(AssertionError, match=r"fill Own\.turns"):
        tokens.turns(own(2))
