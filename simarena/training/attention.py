"""Attention along a trie: every token sees its ancestors and itself, whatever else lies in the row.

In: where each token's descendants end, and its depth. Out: what a transformers model takes as mask, by device: on a
GPU a FlexAttention block mask that skips what nobody sees; on a CPU an outline, three numbers a token, of which the
attention below makes masks for a block of queries at a time, so that no [T, T] ever exists.
Knows the attention interface of transformers; no loss, no data.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from simarena.errors import SimArenaError

NAME = "trie"
"""How the attention below is known to transformers; with an ordinary mask it does what "sdpa" does."""

KINDS = ("full_attention", "sliding_attention")

BLOCK = 1024
"""Queries whose mask exists at a time on a CPU: 40 MB at 8,192 tokens. A whole mask would be 335 MB there in every
layer, as the kernel keeps it in the precision of the queries for its backward pass."""


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
    """Who sees whom, for rows [B, T]: an outline [B, 1, 3, T], or on a GPU a block mask that stands for [B, 1, T, T].

    `window`: a token sees no further up than so many tokens, itself included.
    """
    return block_mask(end, position, window) if end.is_cuda else outline(end, position, window)


def outline(end: Tensor, position: Tensor, window: int | None) -> Tensor:
    """[B, 1, 3, T] of `long`, for each token: one past its last descendant, its depth, the least depth that it sees.

    Four dimensions, because transformers hands such masks on to its layers untouched.
    """
    least = torch.zeros_like(position) if window is None else position - window + 1
    return torch.stack([end, position, least], dim=1)[:, None]


def seen(outlined: Tensor, queries: slice, keys: slice) -> Tensor:
    """[B, 1, Q, K] bool: whether a token of `queries` sees one of `keys`."""
    end, depth, least = outlined[..., 0, keys], outlined[..., 1, keys], outlined[..., 2, queries]
    query = torch.arange(queries.start, queries.stop, device=end.device)[:, None]
    key = torch.arange(keys.start, keys.stop, device=end.device)
    return (key <= query) & (query < end[..., None, :]) & (depth[..., None, :] >= least[..., None])


def blocks(outlined: Tensor) -> list[tuple[slice, slice]]:
    """(queries, keys that any of them may see): from the root of the first query's trie to the last query."""
    depth = outlined[:, 0, 1]
    here = torch.arange(depth.shape[1], device=depth.device)
    roots = torch.where(depth == 0, here, 0).cummax(dim=1).values.amin(0).tolist()
    return [
        (slice(start, stop), slice(roots[start], stop))
        for start in range(0, len(roots), BLOCK)
        for stop in [min(start + BLOCK, len(roots))]
    ]


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
    if attention_mask is None or attention_mask.dtype != torch.long:
        done: tuple[Tensor, None] = sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
        return done

    def attend(queries: slice, keys: slice) -> Tensor:
        sees = seen(attention_mask, queries, keys)
        part = query[:, :, queries], key[:, :, keys], value[:, :, keys]
        found: Tensor = sdpa_attention_forward(module, *part, sees, **settings)[0]
        return found

    parts = blocks(attention_mask)
    if len(parts) == 1:
        return attend(*parts[0]), None
    # Each block is computed again in the backward pass: kept, their masks would be as large as a whole one.
    made = [checkpoint(attend, *part, use_reentrant=False, preserve_rng_state=False) for part in parts]
    return torch.cat(made, dim=1), None
