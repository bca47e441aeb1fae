"""Adapters on a processor: one product a group of tokens, where vLLM 0.32 gathers a matrix for every token.

vLLM's own way (`lora/ops/torch_ops`) copies rank x width numbers for each token of a batch, which makes prompts several
times slower to read; sorted by adapter they need two matrix products a group. The same sums in another order.
`vllm.adapters_by_group` puts it in place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def add_lora_linear(
    wrapper: Any,
    y: Any,
    x: Any,
    lora_a_stacked: Sequence[Any],
    lora_b_stacked: Sequence[Any],
    scale: float,
    output_slices: Sequence[int],
    **_: Any,
) -> None:
    """What vLLM calls for each linear layer; `wrapper` knows which adapter each token has."""
    matrices = list(zip(lora_a_stacked, lora_b_stacked, strict=True))
    add_adapters(y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1]), wrapper.token_lora_indices, matrices, scale)


def add_adapters(y: Any, x: Any, who: Any, matrices: Sequence[tuple[Any, Any]], scale: float) -> None:
    """y[t] += scale * B[who[t]] A[who[t]] x[t], in place; nothing where who[t] is negative.

    y [tokens, sum of heights], x [tokens, width], who [tokens]; for each slice of the layer's output A [adapters, 1,
    rank, width] and B [adapters, 1, height, rank].
    """
    order = who.argsort(stable=True)
    groups, counts = who[order].unique_consecutive(return_counts=True)
    rows, added, begin = x.index_select(0, order), y.new_zeros(y.shape), 0
    for adapter, count in zip(groups.tolist(), counts.tolist(), strict=True):
        group, begin, left = slice(begin, begin + count), begin + count, 0
        for a, b in matrices if adapter >= 0 else ():
            right = left + b.shape[2]
            added[group, left:right] = rows[group] @ a[adapter, 0].T @ b[adapter, 0].T
            left = right
    y.add_(added.index_select(0, order.argsort()), alpha=scale)
