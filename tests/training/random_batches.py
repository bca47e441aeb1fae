"""Random batches that every loss can eat, and the same as numpy columns."""

import torch
from torch import Tensor

from simarena.training.scored import Scored, scored

B, K, J, A = 5, 3, 2, 4


def batch(seed: int = 0, *, rows: int = B, columns: int = K, dtype: torch.dtype = torch.float64) -> Scored:
    """All fields filled; ratings fall from left to right, tokens are 3 to 12."""
    g = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64).to(dtype)

    tokens = torch.randint(3, 13, (rows, columns), generator=g)
    logp = -(normal(rows, columns).abs() + 0.3) * tokens
    votes = (normal(rows, A) > -0.5).to(dtype)
    votes[0, 0] = torch.nan
    return scored(
        logp,
        tokens,
        reference=logp + normal(rows, columns),
        opponents=logp[..., None] + normal(rows, columns, J),
        rating=(normal(rows, columns).abs() + 0.1).flip(1).cumsum(1).flip(1),
        label=(normal(rows, columns) > 0).to(dtype),
        mismatched=normal(7) + 0.5,
        confidence=-normal(rows, columns).abs(),
        votes=votes,
        trust=torch.tensor([0.9, 0.8, 0.7, 0.6], dtype=dtype),
    )
