"""Between the scorer and a loss: token log-probabilities become a `Scored` batch, and results become sums for metrics.

In: decisions, their tokens under the policy and under every frozen policy. Knows no model and no optimiser.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from simarena.training.arguments import Arguments
from simarena.training.batches import trie_tokens
from simarena.training.data import Decision
from simarena.training.distributed import Ranks
from simarena.training.losses import Loss, LossResult
from simarena.training.scored import Scored
from simarena.training.tokens import Own

Read = tuple[Sequence[Tensor], Sequence[Tensor | None]]
"""Per sequence: [T] log-probabilities of its own tokens, and where asked for their log-sum of squares [T]."""


def owned(decisions: Sequence[Decision], read: Read, frozen: Sequence[Tensor]) -> list[list[Own]]:
    """Per decision, per response: its own tokens under all policies. `frozen` [T, R] has one entry a sequence."""
    found, place = [], 0
    for decision in decisions:
        row = []
        for turns, spans in zip(decision.turns, decision.spans, strict=True):
            logp = read[0][place]
            row.append(
                Own(
                    logp=logp,
                    frozen=frozen[place].to(logp.device),
                    turns=torch.tensor(turns, device=logp.device),
                    spans=None if spans is None else torch.tensor(spans, device=logp.device),
                )
            )
            place += 1
        found.append(row)
    return found


def assemble(
    decisions: Sequence[Decision],
    read: Read,
    frozen: Sequence[Tensor],
    loss: Loss,
    params: Any,
    arguments: Arguments,
    trust: tuple[Sequence[str], Tensor],
    mismatched: Tensor | None,
) -> Scored:
    """The batch that `loss` reads. `trust` names annotators and says how often each is right."""
    rows = [loss.summing(each, params) for each in owned(decisions, read, frozen)]
    width = max(map(len, rows))
    logp = padded([[total for total, _ in row] for row in rows], width)
    others = torch.stack([torch.stack([*(o for _, o in row), *[row[0][1]] * (width - len(row))]) for row in rows])
    device, referred = logp.device, arguments.reference != "none"

    def table(values: Sequence[Sequence[float]]) -> Tensor:
        return padded([[torch.tensor(float(v), device=device) for v in row] for row in values], width)

    confidence = None
    if read[1] and read[1][0] is not None:
        means = iter([(p.detach() - s).mean() for p, s in zip(*read, strict=True) if s is not None])
        confidence = padded([[next(means) for _ in row] for row in rows], width)
    return Scored(
        logp=logp,
        tokens=table([[len(turns) for turns in each.turns] for each in decisions]).clamp(min=1),
        present=table([[1] * len(row) for row in rows]).bool(),
        weight=torch.tensor([weight_of(each, arguments) for each in decisions], device=device),
        margin=torch.tensor([arguments.margin_per_magnitude * each.magnitude for each in decisions], device=device),
        rating=table([each.ratings for each in decisions]),
        reference=others[..., 0] if referred else None,
        opponents=others[..., int(referred) :] if others.shape[-1] > int(referred) else None,
        label=table([labels_of(each) for each in decisions]),
        mismatched=None if mismatched is None else mismatched.to(device),
        confidence=confidence,
        votes=votes_of(decisions, trust[0]).to(device) if trust[0] else None,
        trust=trust[1].to(device) if trust[0] else None,
    )


def padded(rows: Sequence[Sequence[Tensor]], width: int) -> Tensor:
    """[B, K] of scalars; a row that is too short repeats its first."""
    return torch.stack([torch.stack([*row, *[row[0].detach()] * (width - len(row))]) for row in rows])


def weight_of(decision: Decision, arguments: Arguments) -> float:
    """The factor on a decision's loss."""
    full = arguments.full_weight_at
    return decision.weight * (min(1.0, decision.magnitude / full) if full else 1.0)


def labels_of(decision: Decision) -> list[float]:
    """Each response wanted or not: by its truth, else by its place, or where it stands alone by its mark."""
    if len(decision.labels) == 1:
        return [decision.labels[0] if decision.labels[0] is not None else min(1.0, max(0.0, decision.ratings[0]))]
    return [truth if truth is not None else float(n == 0) for n, truth in enumerate(decision.labels)]


def votes_of(decisions: Sequence[Decision], annotators: Sequence[str]) -> Tensor:
    """[B, A]: 1 agrees with the order, 0 says the reverse, NaN said nothing or a tie."""
    said = [[each.votes.get(who, 0.5) for who in annotators] for each in decisions]
    votes = torch.tensor(said)
    return votes.masked_fill(votes == 0.5, float("nan"))


# ---- sums ------------------------------------------------------------------------------------------------------------

PLAIN = (
    "count",
    "loss",
    "agreeing",
    "margin",
    "chosen",
    "rejected",
    "drift",
    "own_tokens",
    "chosen_tokens",
    "rejected_tokens",
    "tokens",
)


@dataclass
class Sums:
    """Totals of one optimiser step; over all processes once they are joined."""

    annotators: int
    values: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PLAIN, 0.0))
    agreed: Tensor = field(default_factory=lambda: torch.zeros(0))
    counted: Tensor = field(default_factory=lambda: torch.zeros(0))
    extras: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.agreed, self.counted = torch.zeros(self.annotators), torch.zeros(self.annotators)

    def add(self, decisions: Sequence[Decision], read: Read, scored: Scored, result: LossResult) -> None:
        """Take in one micro-batch."""
        last = scored.present.sum(1) - 1
        base = scored.reference if scored.reference is not None else torch.zeros_like(scored.logp)
        ratio = (scored.logp - base).detach()
        ends = ratio.gather(1, last[:, None])[:, 0], scored.tokens.gather(1, last[:, None])[:, 0]
        made = {
            "count": float(len(decisions)),
            "loss": result.loss.detach().sum().item(),
            "agreeing": (result.margin > 0).sum().item(),
            "margin": result.margin.sum().item(),
            "chosen": ratio[:, 0].sum().item(),
            "rejected": ends[0].sum().item(),
            "chosen_tokens": scored.tokens[:, 0].sum().item(),
            "rejected_tokens": ends[1].sum().item(),
            "tokens": float(trie_tokens([s for each in decisions for s in each.sequences])),
            "own_tokens": float(sum(len(logp) for logp in read[0])),
        }
        for name, value in made.items():
            self.values[name] += value
        for name, extra in result.extras.items():
            if name in ("agreed", "counted"):
                setattr(self, name, getattr(self, name) + extra.detach().cpu())
            else:
                self.extras[name] = self.extras.get(name, 0.0) + extra.detach().float().mean().item() * len(decisions)

    def drift(self, read: Read, frozen: Sequence[Tensor]) -> None:
        """Take in how far own tokens have moved from the reference: sum of r - 1 - log r, r = reference / policy."""
        for logp, others in zip(read[0], frozen, strict=True):
            log_r = (others[:, 0].to(logp.device) - logp.detach()).clamp(max=20)
            self.values["drift"] += (log_r.exp() - 1 - log_r).sum().item()

    def joined(self, among: Ranks) -> None:
        """Make them those of all processes."""
        if among.world == 1:
            return
        names = sorted(set(among.names(self.extras)))
        flat = [*self.values.values(), *(self.extras.get(name, 0.0) for name in names)]
        mine = torch.cat([torch.tensor(flat, dtype=torch.float64), self.agreed.double(), self.counted.double()])
        told = among.total(mine)
        self.values = dict(zip(self.values, told.tolist(), strict=False))
        self.extras = dict(zip(names, told[len(self.values) :].tolist(), strict=False))
        if self.annotators:
            self.agreed, self.counted = told[len(flat) :].float().reshape(2, -1)

    def mean(self, name: str, over: str = "count") -> float:
        """A total over another."""
        return self.values[name] / max(1.0, self.values[over])


def peak_memory() -> float:
    """Most megabytes (10^6 bytes) that were held: on the accelerator where there is one, else resident."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6
