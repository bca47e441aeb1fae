"""RE-PO: reliabilities of annotators are recovered, from votes alone and while a policy learns."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.errors import SimArenaError
from simarena.training.losses import find
from simarena.training.reliability import (
    Reliability,
    estimate,
    grade_weights,
    posterior,
    precision,
    weighted_likelihood,
)
from simarena.training.scored import scored

FLIPS = (0.1, 0.2, 0.3)


@given(st.floats(0.01, 0.99), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_the_e_step_of_one_vote_is_the_papers(p, eta):
    logit = torch.logit(torch.tensor([p, p], dtype=torch.float64))
    votes = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    agree, oppose = posterior(logit, votes, torch.tensor([eta], dtype=torch.float64)).tolist()
    assert agree == pytest.approx(p * eta / (p * eta + (1 - p) * (1 - eta)))
    assert oppose == pytest.approx(p * (1 - eta) / (p * (1 - eta) + (1 - p) * eta))


def test_silence_says_nothing_and_opposite_votes_cancel():
    votes = torch.tensor([[math.nan, math.nan], [1.0, 0.0]])
    assert posterior(torch.tensor([0.3, 0.3]), votes, torch.tensor([0.8, 0.8])).tolist() == pytest.approx(
        [1 / (1 + math.exp(-0.3))] * 2
    )


def test_the_m_step_has_its_gradient():
    logit = torch.randn(6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    right = torch.linspace(0, 1, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: weighted_likelihood(x, right), (logit,))


def test_the_gradient_of_re_po_holds_its_weights_still():
    loss, beta, eta = find("re_po"), 0.5, 0.8
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    one = scored(
        logp,
        torch.ones(1, 2),
        reference=torch.tensor([[-2.0, -2.5]], dtype=torch.float64),
        votes=torch.ones(1, 1, dtype=torch.float64),
        trust=torch.tensor([eta], dtype=torch.float64),
    )
    loss(one, loss.Params(beta=beta)).loss.sum().backward()
    p = 1 / (1 + math.exp(-beta * 0.5))
    w = p * eta / (p * eta + (1 - p) * (1 - eta))
    assert logp.grad[0].tolist() == pytest.approx([beta * (p - w), -beta * (p - w)])


def test_a_pair_without_votes_teaches_nothing():
    logp = torch.tensor([[-1.0, -2.0]], dtype=torch.float64, requires_grad=True)
    silent = {"votes": torch.full((1, 2), torch.nan), "trust": torch.tensor([0.9, 0.6])}
    loss = find("re_po")
    result = loss(scored(logp, torch.ones(1, 2), reference=torch.zeros(1, 2), **silent), loss.Params())
    result.loss.sum().backward()
    assert logp.grad.abs().max().item() == pytest.approx(0, abs=1e-9)
    assert result.extras["counted"].tolist() == [0, 0]


def test_ipo_defines_a_chance_by_both_its_orders():
    loss, one = find("re_po:ipo"), torch.tensor([[-1.0, -2.0]], dtype=torch.float64)
    votes = torch.ones(1, 1, dtype=torch.float64)
    given_ = scored(
        one, torch.ones(1, 2), reference=one - torch.tensor([[1.0, 0.5]]), votes=votes, trust=votes[0] * 0.8
    )
    gap = (0.5 + 1 / (2 * 2.0)) ** 2 - (0.5 - 1 / (2 * 2.0)) ** 2  # reverse less forward
    p = 1 / (1 + math.exp(-gap))
    w = p * 0.8 / (p * 0.8 + (1 - p) * 0.2)
    expected = -w * math.log(p) - (1 - w) * math.log(1 - p)
    assert loss(given_, loss.Params(tau=2.0)).loss.item() == pytest.approx(expected)


def planted(rows, flips, seed, silent=0.0):
    """Votes [B, A] of annotators that flip at their own rates."""
    g = torch.Generator().manual_seed(seed)
    votes = (torch.rand(rows, len(flips), generator=g) > torch.tensor(flips)).float()
    return votes.masked_fill(torch.rand(votes.shape, generator=g) < silent, torch.nan)


@pytest.mark.parametrize("seed", range(3))
def test_votes_alone_give_planted_flip_rates(seed):
    """Half of the rows are turned round: the columns' order says nothing."""
    votes = planted(6000, FLIPS, seed, silent=0.1)
    turned = torch.arange(6000) % 2 == 0
    votes[turned] = 1 - votes[turned]
    found = 1 - estimate(votes)
    assert found.tolist() == pytest.approx(FLIPS, abs=0.03)


def test_who_never_votes_keeps_the_start():
    votes = torch.cat([planted(100, FLIPS, 0), torch.full((100, 1), torch.nan)], dim=1)
    assert estimate(votes, start=0.7)[3].item() == pytest.approx(0.7)


@pytest.mark.parametrize("name", ["re_po:dpo", "re_po:simpo", "re_po:ipo"])
def test_planted_flip_rates_come_out_of_training(name):
    """One vote per pair, by one of three annotators; a linear policy has to find out what is better meanwhile."""
    rows, width, g = 6000, 6, torch.Generator().manual_seed(3)
    features = torch.randn(rows, 2, width, generator=g)
    truth = torch.randn(width, generator=g)
    better = (features[:, 0] - features[:, 1]) @ truth > 0
    who = torch.arange(rows) % 3
    right = torch.rand(rows, generator=g) > torch.tensor(FLIPS)[who]
    shown = torch.where((better == right)[:, None, None], features, features.flip(1))  # voted best first
    votes = torch.full((rows, 3), torch.nan).scatter(1, who[:, None], 1.0)
    loss = find(name)
    params = loss.Params() if name == "re_po:ipo" else loss.Params(beta=1.0)
    trust, policy = Reliability(start=params.trust0, pace=params.pace), torch.zeros(width, requires_grad=True)
    optimizer = torch.optim.Adam([policy], lr=0.1)
    for step in range(180):
        batch = torch.arange(step * 200, (step + 1) * 200) % rows
        logp = shown[batch] @ policy
        given_ = scored(
            logp,
            torch.ones_like(logp),
            reference=torch.zeros_like(logp),
            votes=votes[batch],
            trust=trust.of(["a", "b", "c"]),
        )
        result = loss(given_, params)
        optimizer.zero_grad()
        result.loss.mean().backward()
        optimizer.step()
        trust.update(["a", "b", "c"], result.extras["agreed"], result.extras["counted"])
    assert [1 - trust.trust[name] for name in "abc"] == pytest.approx(FLIPS, abs=0.03)


def test_update_is_a_moving_mean_over_who_spoke():
    trust = Reliability(start=0.9, pace=0.1)
    trust.update(["a", "b"], torch.tensor([3.0, 0.0]), torch.tensor([4.0, 0.0]))
    assert trust.trust == pytest.approx({"a": 0.9 * 0.9 + 0.1 * 0.75})
    assert trust.of(["a", "b"]).tolist() == pytest.approx([0.885, 0.9])


def test_trust_outlives_a_round(tmp_path):
    trust = Reliability(start=0.8, pace=0.2, trust={"judge|kks": 0.71, "judge|story": 0.93})
    trust.save(tmp_path / "trust.json")
    assert Reliability.load(tmp_path / "trust.json") == trust


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"start": 1, "pace": 1, "trust": [1]}'])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "trust.json"
    path.write_text(text)
    with pytest.raises(SimArenaError, match="holds no annotators' trust"):
        Reliability.load(path)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0])
def test_precision_inverts_the_chance_that_signs_agree(sigma):
    """True gap N(0, 1), noise N(0, sigma^2)."""
    g = torch.Generator().manual_seed(0)
    gap = torch.randn(200_000, generator=g)
    agree = (gap * (gap + sigma * torch.randn(200_000, generator=g)) > 0).float().mean().item()
    assert precision(agree) == pytest.approx(1 / sigma**2, rel=0.05)


def test_weights_of_grades():
    weights = grade_weights({"good": 0.9, "guess": 0.5, "worse": 0.3}, ["good", "guess", "worse", "new"])
    assert weights == pytest.approx({"good": 1, "guess": 0, "worse": 0, "new": 1})
    assert grade_weights({"a": 0.5, "b": 0.4}, "ab") == {"a": 1.0, "b": 1.0}
