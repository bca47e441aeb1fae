"""One batch of scored decisions: all that a loss may know.

Rows are decisions, columns the responses that were compared there, best first. A scorer fills it, a loss reads it; it
knows no model, no token and no file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """B decisions with at most K responses each; sums run over a response's own sampled tokens only.

    Log-probabilities are in nats, fp32 (or fp64). Where `present` is False a column holds any finite number.
    """

    logp: Tensor
    """[B, K] log-probability under the policy; carries the gradient."""
    tokens: Tensor
    """[B, K] how many own tokens; at least 1 where present."""
    present: Tensor
    """[B, K] bool: there is such a response. Present ones come first in a row."""
    weight: Tensor
    """[B] factor on the decision's loss."""
    margin: Tensor
    """[B] how far ahead the best must come, in the unit of the loss's own margin; 0 asks for nothing more."""
    rating: Tensor | None = None
    """[B, K] aggregated mark, higher is better; any unit."""
    reference: Tensor | None = None
    """[B, K] log-probability under the reference; carries no gradient."""
    opponents: Tensor | None = None
    """[B, K, J] the same under J other policies; carries no gradient."""
    label: Tensor | None = None
    """[B, K] of responses marked one by one: 1 wanted, 0 unwanted, between them a degree."""
    mismatched: Tensor | None = None
    """[M] log-ratios of responses put to other prompts, gathered over all ranks; for KTO's baseline."""
    confidence: Tensor | None = None
    """[B, K] mean over tokens of log p_t - log sum_v p(v)^2 under the policy; for WPO."""
    votes: Tensor | None = None
    """[B, A] per annotator: 1 agrees with this order, 0 says the reverse, NaN said nothing."""
    trust: Tensor | None = None
    """[A] or [B, A] how often each annotator is right; for RE-PO."""

    def choose(self, columns: Tensor) -> Scored:
        """The same decisions, responses in the order of `columns` [B, K'] (indices into K); votes stay."""
        taken = {
            name: torch.gather(value, 1, columns)
            for name in ("logp", "tokens", "present", "rating", "reference", "label", "confidence")
            if (value := getattr(self, name)) is not None
        }
        if self.opponents is not None:
            spread = columns.unsqueeze(-1).expand(-1, -1, self.opponents.shape[-1])
            taken["opponents"] = torch.gather(self.opponents, 1, spread)
        return replace(self, **taken)

    def to(self, device: torch.device | str) -> Scored:
        """All tensors on `device`."""
        held = ((f.name, getattr(self, f.name)) for f in fields(self))
        return replace(self, **{name: value.to(device) for name, value in held if value is not None})


def scored(logp: Tensor, tokens: Tensor, present: Tensor | None = None, **more: Tensor | None) -> Scored:
    """A batch whose responses are all present, of weight 1 and margin 0 unless told otherwise."""
    rows = logp.detach().new_zeros(logp.shape[0])
    plain = {"weight": rows + 1, "margin": rows, "present": torch.ones_like(logp, dtype=torch.bool)}
    given = {name: value for name, value in {**more, "present": present}.items() if value is not None}
    made: dict[str, Any] = {**plain, **given}
    return Scored(logp=logp, tokens=tokens, **made)
