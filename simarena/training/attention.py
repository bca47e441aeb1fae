"""Attention along a trie: every token sees its ancestors and itself, whatever else lies in the row.

In: where each token's descendants end, and its depth. Out: what a transformers model takes as mask, by device:
dense for the fused kernel on a CPU, on a GPU a FlexAttention block mask that skips what nobody sees.
Knows the attention interface of transformers; no loss, no data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from simarena.errors import SimArenaError

NAME = "trie"
"""How the attention below is known to transformers; with an ordinary mask it does what "sdpa" does."""

KINDS = ("full_attention", "sliding_attention")


def attend_along_tries(model: Any) -> None:
    """Let a transformers model use the attention below; SimArenaError where it has layers of another kind."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    config = model.config.get_text_config()
    if config._attn_implementation == NAME:
        return
    odd = sorted(set(getattr(config, "layer_types", None) or ()).difference(KINDS))
    if odd:
        raise SimArenaError(f"{type(model).__name__} has layers of {', '.join(odd)}; only attention can be packed")
    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    model.set_attn_implementation(NAME)
    if config._attn_implementation != NAME:
        raise SimArenaError(f"{type(model).__name__} does not let its attention be chosen; use a model that does")


def masks(config: Any, end: Tensor, position: Tensor) -> Any:
    """What the model takes as `attention_mask`, for rows [B, T]; a dict where its layers are of two kinds."""
    window = getattr(config, "sliding_window", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is None or len(set(kinds)) == 1:
        slides = window is not None and (kinds is None or kinds[0] == "sliding_attention")
        only = mask(end, position, window if slides else None)
        return only if kinds is None else dict.fromkeys(KINDS, only) if window is not None else only
    return {"full_attention": mask(end, position, None), "sliding_attention": mask(end, position, window)}


def mask(end: Tensor, position: Tensor, window: int | None) -> Any:
    """Who sees whom: [B, 1, T, T] bool, or a block mask of that shape on a GPU.

    `window`: a token sees no further up than so many tokens, itself included.
    """
    if end.is_cuda:
        return block_mask(end, position, window)
    here = torch.arange(end.shape[1], device=end.device)
    seen = (here <= here[:, None]) & (here[:, None] < end[:, None, :])
    if window is not None:
        seen &= position[:, :, None] - position[:, None, :] < window
    return seen[:, None]


def block_mask(end: Tensor, position: Tensor, window: int | None) -> Any:
    """The same as a FlexAttention block mask."""
    from torch.nn.attention.flex_attention import create_block_mask

    def sees(row: Tensor, _: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (key <= query) & (query < end[row, key])
        if window is not None:
            seen = seen & (position[row, query] - position[row, key] < window)
        return seen

    rows, length = end.shape
    return create_block_mask(sees, rows, None, length, length, device=end.device)


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **settings: Any
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: [B, heads, T, width] -> [B, T, heads, width]."""
    from transformers.integrations.flex_attention import flex_attention_forward
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if attention_mask is not None and not isinstance(attention_mask, Tensor):
        return flex_attention_forward(module, query, key, value, attention_mask, **settings)[0], None
    done: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    return done
