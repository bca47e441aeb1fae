"""A bigram model learns a planted preference with every loss: more even tokens are better."""

from dataclasses import replace

import pytest
import torch
from torch.nn.functional import log_softmax

from simarena.training.losses import LOSSES, find
from simarena.training.reliability import Reliability
from simarena.training.scored import Scored, scored
from simarena.training.tokens import Own, plain

VOCABULARY, LENGTH, STEPS = 8, 4, 80
JUDGES = ("a", "b", "c")


def decisions(seed, rows=16):
    """Contexts [B], responses [B, 3, LENGTH] best first, and how many even tokens each has [B, 3]."""
    g = torch.Generator().manual_seed(seed)
    even = torch.tensor([4, 2, 0])
    responses = 2 * torch.randint(0, VOCABULARY // 2, (rows, 3, LENGTH), generator=g)
    odd = torch.rand(rows, 3, LENGTH, generator=g).argsort(2) >= even[None, :, None]
    return torch.randint(0, VOCABULARY, (rows,), generator=g), responses + odd, even.expand(rows, 3)


def token_logp(table, context, responses):
    """[B, 3, LENGTH] under a table of bigram logits."""
    before = torch.cat([context[:, None, None].expand(-1, 3, 1), responses[..., :-1]], dim=2)
    return log_softmax(table, dim=1)[before, responses]


def confidence(table, context, responses):
    before = torch.cat([context[:, None, None].expand(-1, 3, 1), responses[..., :-1]], dim=2)
    collision = log_softmax(table, dim=1).exp().square().sum(1).log()
    return (token_logp(table, context, responses) - collision[before]).mean(2)


def summed(loss, params, logp, frozen):
    """[B, 3] and [B, 3, R], by the loss's own way of summing."""
    if loss.summing is plain:
        return logp.sum(2), frozen.sum(2)
    turns, spans = torch.arange(LENGTH), torch.linspace(0.5, 1, LENGTH)
    rows = [
        loss.summing([Own(logp=logp[b, k], frozen=frozen[b, k], turns=turns, spans=spans) for k in range(3)], params)
        for b in range(len(logp))
    ]
    both = [[torch.stack([one[part] for one in row]) for row in rows] for part in (0, 1)]
    return torch.stack(both[0]), torch.stack(both[1])


VOTES = (torch.rand(16, len(JUDGES), generator=torch.Generator().manual_seed(5)) > 0.1).float()


def fill(loss, params, table, start, data, trust) -> Scored:
    context, responses, even = data
    reference = token_logp(start, context, responses)
    frozen = torch.stack([reference, reference + 0.01, reference - 0.01], dim=3)
    logp, others = summed(loss, params, token_logp(table, context, responses), frozen)
    with torch.no_grad():
        elsewhere = context.roll(1)
        rotated = (token_logp(table, elsewhere, responses) - token_logp(start, elsewhere, responses)).sum(2).flatten()
        sure = confidence(table, context, responses)
    filled = scored(logp, torch.full_like(even, LENGTH), reference=others[..., 0], rating=even / 4)
    return replace(
        filled,
        opponents=others[..., 1:],
        label=(even > 2).float(),
        mismatched=rotated,
        confidence=sure,
        votes=VOTES,
        trust=trust.of(JUDGES),
    )


def accuracy(table, start, data):
    context, responses, _ = data
    gained = (token_logp(table, context, responses) - token_logp(start, context, responses)).sum(2)
    return (gained[:, 0] > gained[:, 2]).float().mean().item()


@pytest.mark.parametrize("name", [*sorted(LOSSES), "re_po:ipo", "humanline:kto"])
def test_a_planted_preference_is_learnt(name):
    loss = find(name)
    params = loss.Params()
    start = torch.randn(VOCABULARY, VOCABULARY, generator=torch.Generator().manual_seed(1)) * 0.3
    table, trust = start.clone().requires_grad_(), Reliability()
    optimizer = torch.optim.Adam([table], lr=0.02)
    data, before = decisions(2), None
    for _ in range(STEPS):
        result = loss(fill(loss, params, table, start, data, trust), params)
        if "agreed" in result.extras:
            trust.update(JUDGES, result.extras["agreed"], result.extras["counted"])
        value = result.loss.mean()
        before = value.item() if before is None else before
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert accuracy(table.detach(), start, decisions(3, rows=200)) > 0.9
    if "trust" not in loss.needs:  # RE-PO's loss is another one after each change of trust
        assert result.loss.mean().item() < before
