"""Log-probabilities of own tokens, without logits: only masked targets meet the head, a chunk at a time.

In: a causal language model and packed rows. Out: one tensor of log-probs per sequence, with gradient. All losses are
functions of their sums; nothing here knows one. [B, T, V] never exists: memory grows with chunk x V.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from simarena.errors import SimArenaError
from simarena.training.attention import attend_along_tries, masks
from simarena.training.trie import Row

T = TypeVar("T")

CHUNK = 1024
"""Targets that meet the head at a time: 0.6 GB of fp32 logits with a vocabulary of 150,000."""

TILE = 16384
"""Rows of a half-precision head that are widened at a time, where the device cannot accumulate in fp32 itself."""

SCALED = ("final_logit_softcapping", "logit_scale", "logits_scaling", "lm_head_multiplier", "output_multiplier_scale")
"""Settings of models that change logits after the head; with them a log-prob read from the head alone is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenScores:
    """N targets, each in the light of its own distribution over the vocabulary; nats, fp32."""

    logp: Tensor
    """[N] log-probability of the target; carries gradient."""
    entropy: Tensor | None = None
    """[N] of the whole distribution; carries none."""
    lse2: Tensor | None = None
    """[N] log of the sum of squared probabilities, lse(2 z) - 2 lse(z); carries none."""


def token_scores(
    hidden: Tensor,
    head: Tensor,
    targets: Tensor,
    *,
    chunk: int = CHUNK,
    entropy: bool = False,
    lse2: bool = False,
    bias: Tensor | None = None,
) -> TokenScores:
    """Log-softmax of `hidden` [N, H] @ `head` [V, H].T + `bias` [V] at `targets` [N], `chunk` rows at a time.

    Accumulates in fp32 whatever the inputs' precision. A frozen head costs two matrix products, forward and backward
    together; one that learns, tied or not, costs four: its logits are computed again in backward.
    """
    apply: Callable[..., tuple[Tensor, Tensor, Tensor]] = Scores.apply
    logp, spread, squares = apply(hidden, head, targets, bias, chunk, entropy, lse2)
    return TokenScores(logp=logp, entropy=spread if entropy else None, lse2=squares if lse2 else None)


class Scores(torch.autograd.Function):
    """The chunks' forward and backward."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        head: Tensor,
        targets: Tensor,
        bias: Tensor | None,
        chunk: int,
        entropy: bool,
        lse2: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See `token_scores`. Where the head is frozen, keeps d logp / d hidden instead of computing logits twice."""
        wants_hidden, learns = ctx.needs_input_grad[0], ctx.needs_input_grad[1] or ctx.needs_input_grad[3]
        slopes = torch.empty_like(hidden) if wants_hidden and not learns else None
        found = torch.empty(4, len(hidden), dtype=torch.float32, device=hidden.device)
        with torch.autocast(hidden.device.type, enabled=False):
            for part in chunks(len(hidden), chunk):
                logits = project(hidden[part], head, bias)
                found[:, part] = described(logits, targets[part], entropy, lse2)
                if slopes is not None:
                    slopes[part] = back(residual(logits, found[1, part], targets[part]), head)
        ctx.chunk, ctx.learns = chunk, learns
        ctx.save_for_backward(slopes if slopes is not None else hidden, head, targets, bias, found[1])
        ctx.mark_non_differentiable(spread := found[2].clone(), squares := found[3].clone())
        return found[0].clone(), spread, squares

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of hidden, head and bias."""
        hidden, head, targets, bias, lse = ctx.saved_tensors
        grad = grads[0]
        if not ctx.learns:
            return hidden * grad.to(hidden)[:, None], *[None] * 6
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        to_head = torch.zeros_like(head, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        to_bias = torch.zeros_like(bias, dtype=torch.float32) if ctx.needs_input_grad[3] else None
        with torch.autocast(hidden.device.type, enabled=False):
            for part in chunks(len(hidden), ctx.chunk):
                slope = residual(project(hidden[part], head, bias), lse[part], targets[part]).mul_(grad[part, None])
                if to_hidden is not None:
                    to_hidden[part] = back(slope, head)
                if to_head is not None:
                    to_head.addmm_(slope.T, hidden[part].float())
                if to_bias is not None:
                    to_bias += slope.sum(0)
        return (
            to_hidden,
            None if to_head is None else to_head.to(head.dtype),
            None,
            None if to_bias is None else to_bias.to(bias.dtype),
            *[None] * 3,
        )


def chunks(length: int, size: int) -> list[slice]:
    """`length` rows in parts of at most `size`."""
    return [slice(start, start + size) for start in range(0, length, size)]


def project(hidden: Tensor, head: Tensor, bias: Tensor | None) -> Tensor:
    """fp32 logits [C, V] of one chunk."""
    if hidden.dtype == head.dtype == torch.float32:
        logits = hidden @ head.T
    elif hidden.is_cuda and hidden.dtype == head.dtype:
        logits = torch.mm(hidden, head.T, out_dtype=torch.float32)
    else:
        logits = hidden.new_empty(len(hidden), len(head), dtype=torch.float32)
        for part in chunks(len(head), TILE):
            logits[:, part] = hidden.float() @ head[part].float().T
    return logits if bias is None else logits.add_(bias)


def back(slope: Tensor, head: Tensor) -> Tensor:
    """Product slope [C, V] @ head [V, H], the gradient of hidden states."""
    if head.dtype == torch.float32:
        return slope @ head
    if slope.is_cuda:
        return torch.mm(slope.to(head.dtype), head, out_dtype=torch.float32)
    total = slope.new_zeros(len(slope), head.shape[1])
    for part in chunks(len(head), TILE):
        total.addmm_(slope[:, part], head[part].float())
    return total


def described(logits: Tensor, targets: Tensor, entropy: bool, lse2: bool) -> Tensor:
    """[4, C]: log-prob of the target, log-sum-exp, and (0 unless wanted) entropy and log of the sum of squares."""
    lse = logits.logsumexp(-1)
    found = torch.zeros(4, len(logits), device=logits.device)
    found[0] = logits.gather(-1, targets[:, None])[:, 0] - lse
    found[1] = lse
    if entropy:
        found[2] = lse - (logits.softmax(-1) * logits).sum(-1)
    if lse2:
        found[3] = (logits * 2).logsumexp(-1) - 2 * lse
    return found


def residual(logits: Tensor, lse: Tensor, targets: Tensor) -> Tensor:
    """Slope d logp / d logits [C, V], in the place of the logits: 1 at the target, minus the probabilities."""
    slope = logits.sub_(lse[:, None]).exp_().neg_()
    return slope.scatter_add_(-1, targets[:, None], slope.new_ones(len(slope), 1))


def score(model: nn.Module, rows: Many[Row], *, chunk: int = CHUNK) -> list[Tensor]:
    """Per packed sequence, in the order in which they were packed: [n] log-probs of its own tokens, with gradient."""
    return [each.logp for each in describe(model, rows, chunk=chunk)]


def describe(
    model: nn.Module, rows: Many[Row], *, chunk: int = CHUNK, entropy: bool = False, lse2: bool = False
) -> list[TokenScores]:
    """As `score`, with entropy and `lse2` from the same pass.

    One forward of all rows together. `model` is a causal language model of transformers, plain or with peft's LoRA; its
    own mode, adapters and gradient settings are respected, and its attention is set to follow tries.
    """
    base: Any = cast(Any, model).get_base_model() if hasattr(model, "get_base_model") else model
    attend_along_tries(base)
    head = read_head(base)
    ids, position, end, source = (each.to(base.device) for each in batched(rows))
    targets = torch.cat([row.target for row in rows]).to(base.device)

    def work() -> tuple[Tensor, Tensor | None, Tensor | None]:
        hidden = getattr(base, base.base_model_prefix)(
            input_ids=ids,
            position_ids=position,
            attention_mask=masks(base.config.get_text_config(), end, position),
            use_cache=False,
        )[0]
        own = hidden.flatten(0, 1)[source]
        found = token_scores(own, head.weight, targets, chunk=chunk, entropy=entropy, lse2=lse2, bias=head.bias)
        return found.logp, found.entropy, found.lse2

    return spread_out(rows, *inside(model, work))


def read_head(base: Any) -> nn.Linear:
    """The output layer; SimArenaError where logits are more than its product with hidden states."""
    head = base.get_output_embeddings()
    if type(head) is not nn.Linear:
        raise SimArenaError(
            f"the head of {type(base).__name__} is a {type(head).__name__}, not a plain linear layer; leave lm_head "
            "out of target_modules and modules_to_save"
        )
    config = base.config.get_text_config()
    if scaled := [name for name in SCALED if getattr(config, name, None) not in (None, 1, 1.0)]:
        raise SimArenaError(f"{type(base).__name__} changes its logits ({', '.join(scaled)}); no losses for it yet")
    return head


def batched(rows: Many[Row]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(ids, position, end), each [B, T] padded at the end, and sources as indices into all B x T tokens.

    A token of padding sees itself alone, so that no row of the attention is empty, and nobody sees it.
    """
    length = max(row.tokens for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    position = torch.zeros_like(ids)
    end = (torch.arange(length) + 1).repeat(len(rows), 1)
    for n, row in enumerate(rows):
        ids[n, : row.tokens], position[n, : row.tokens], end[n, : row.tokens] = row.ids, row.position, row.end
    return ids, position, end, torch.cat([row.source + n * length for n, row in enumerate(rows)])


def spread_out(rows: Many[Row], logp: Tensor, *more: Tensor | None) -> list[TokenScores]:
    """Scores of all rows' targets, to each sequence its own."""
    before = [0, *accumulate(len(row.target) for row in rows)]
    taken = torch.cat([slot + start for row, start in zip(rows, before, strict=False) for slot in row.slots])
    lengths = [len(slot) for row in rows for slot in row.slots]
    where = taken.to(logp.device)
    own = torch.split(logp[where], lengths)
    entropy, lse2 = ([None] * len(own) if each is None else torch.split(each[where], lengths) for each in more)
    members = [member for row in rows for member in row.members]
    order = sorted(range(len(members)), key=members.__getitem__)
    return [TokenScores(logp=own[n], entropy=entropy[n], lse2=lse2[n]) for n in order]


def inside(model: nn.Module, work: Callable[[], T]) -> T:
    """`work` in the place of the model's own forward, so that hooks on the model (FSDP's gathering) see it happen."""
    own = model.__dict__.get("forward")
    model.forward = work
    try:
        done: T = model()
        return done
    finally:
        if own is None:
            del model.forward
        else:
            model.forward = own
