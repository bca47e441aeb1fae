"""How often each annotator is right: RE-PO's trust, learnt from who agrees with whom, and with the policy.

An annotator is a judge, or a judge in one family ("judge|family"). In: votes and the policy's own leaning. Out: the
chance that an order is right, and a trust per annotator that outlives a round as JSON. Knows no loss and no trainer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from simarena import outputs
from simarena.errors import SimArenaError

CERTAIN = 1e-4
"""Trust stays this far from 0 and 1: one vote never decides for good."""


def posterior(logit: Tensor, votes: Tensor, trust: Tensor) -> Tensor:
    """[B] chance that the order is right: E-step, constant.

    `logit` [B] is the policy's own log-odds, `votes` [B, A] 1, 0 or NaN, `trust` [A] or [B, A]. With one vote for the
    order this is RE-PO's p eta / (p eta + (1-p)(1-eta)); with many, that of Dawid and Skene.
    """
    held = trust.clamp(CERTAIN, 1 - CERTAIN)
    evidence = (2 * votes - 1).nan_to_num(0.0) * torch.logit(held)
    return torch.sigmoid(logit + evidence.sum(1)).detach()


def weighted_likelihood(logit: Tensor, right: Tensor) -> Tensor:
    """[B] -w log s(logit) - (1-w) log s(-logit): M-step of the policy."""
    return -right * logsigmoid(logit) - (1 - right) * logsigmoid(-logit)


@dataclass
class Reliability:
    """Trust per annotator, and how it is learnt."""

    start: float = 0.9
    """eta_0 of an annotator that has not been seen."""
    pace: float = 0.1
    """Share of a batch's evidence in the new trust."""
    trust: dict[str, float] = field(default_factory=dict)

    def of(self, annotators: Sequence[str]) -> Tensor:
        """[A] trust in each, for `Scored.trust`."""
        return torch.tensor([self.trust.get(name, self.start) for name in annotators])

    def update(self, annotators: Sequence[str], agreed: Tensor, counted: Tensor) -> None:
        """Eta <- (1 - pace) eta + pace agreed / counted; both [A], summed over ranks. Who said nothing stays."""
        for name, right, number in zip(annotators, agreed.tolist(), counted.tolist(), strict=True):
            if number > 0:
                before = self.trust.get(name, self.start)
                self.trust[name] = (1 - self.pace) * before + self.pace * right / number

    def save(self, path: Path) -> None:
        """As JSON."""
        data = {"start": self.start, "pace": self.pace, "trust": dict(sorted(self.trust.items()))}
        outputs.write(path, json.dumps(data, indent=2) + "\n", own=True)

    @classmethod
    def load(cls, path: Path) -> Reliability:
        """The inverse of `save`; SimArenaError where the file holds something else."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            trust = {str(name): float(value) for name, value in data["trust"].items()}
            return cls(start=float(data["start"]), pace=float(data["pace"]), trust=trust)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise SimArenaError(f"{path}: holds no annotators' trust ({error}); delete it to start anew") from error


def estimate(votes: Tensor, *, start: float = 0.9, prior: Tensor | None = None, rounds: int = 50) -> Tensor:
    """[A] trust from votes alone, by EM from `start`: who agrees with the weighted rest is trusted more.

    `votes` [B, A] as in `posterior`; `prior` [B] log-odds of each order, 0 where nothing else is known. An annotator
    without a vote keeps `start`.
    """
    said = ~votes.isnan()
    trust = votes.new_full((votes.shape[1],), start)
    logit = votes.new_zeros(votes.shape[0]) if prior is None else prior
    for _ in range(rounds):
        right = posterior(logit, votes, trust)[:, None]
        agreed = torch.where(votes > 0.5, right, 1 - right).where(said, right.new_zeros(())).sum(0)
        trust = torch.where(said.any(0), agreed / said.sum(0).clamp(min=1), trust)
    return trust


def precision(trust: float) -> float:
    """Weight of an annotator's grades when grades are averaged: its inverse variance, up to a common factor.

    Where true gaps and grading noise are normal, the signs agree with chance 1/2 + atan(g / sigma) / pi; solved for
    1 / sigma^2. Guessing and worse weighs 0.
    """
    held = min(max(trust, 0.5), 1 - CERTAIN)
    return math.tan(math.pi * (held - 0.5)) ** 2


def grade_weights(trust: Mapping[str, float], annotators: Iterable[str], start: float = 0.9) -> dict[str, float]:
    """Weights for a panel's mean grade, largest 1."""
    raw = {name: precision(trust.get(name, start)) for name in annotators}
    largest = max(raw.values(), default=0.0)
    return {name: value / largest if largest > 0 else 1.0 for name, value in raw.items()}
