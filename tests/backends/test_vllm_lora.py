"""Adapters by group: what each token would get alone."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.backends.vllm_lora import add_lora_linear

WIDTH, RANK, HEIGHTS = 6, 3, (4, 5)


@settings(deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=1, max_size=12), st.integers(0, 1000))
def test_each_token_gets_what_its_own_adapter_adds(who: list[int], seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    a = [torch.randn(4, 1, RANK, WIDTH, generator=draw) for _ in HEIGHTS]
    b = [torch.randn(4, 1, height, RANK, generator=draw) for height in HEIGHTS]
    x, y = torch.randn(len(who), WIDTH, generator=draw), torch.randn(len(who), sum(HEIGHTS), generator=draw)
    expected = y.clone()
    for token, adapter in enumerate(who):
        if adapter >= 0:
            parts = [b[n][adapter, 0] @ (a[n][adapter, 0] @ x[token]) for n in range(len(HEIGHTS))]
            expected[token] += 0.5 * torch.cat(parts)
    add_lora_linear(SimpleNamespace(token_lora_indices=torch.tensor(who)), y, x, a, b, 0.5, HEIGHTS)
    torch.testing.assert_close(y, expected)
