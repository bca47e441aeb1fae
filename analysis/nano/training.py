"""Supervised training of the nano models: masked sequences in, weights out. Deterministic for a seed on one machine."""

from __future__ import annotations

import math
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

WINDOW = 2048


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation in tokens."""

    ids: list[int]
    learn: list[bool]
    """Tokens that carry loss: the learner's own words and the end token after them."""
    course: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    tokens: int
    """Tokens in all, prompts included."""
    batch_tokens: int = 6_000
    learning_rate: float = 2e-3
    warmup: float = 0.05
    """Share of the steps."""
    muon: float = 0.0
    """Learning rate of Muon for the hidden matrices; 0: AdamW for all."""
    weight_decay: float = 0.05
    alike: int = 1
    """Lengths up to the same multiple of this go into one batch; 1 wastes least, 128 mixes all families of drills."""
    clip: float = 1.0
    workers: int = 1
    """Processes of one thread each that share every step; two are twice as fast as two threads of one process."""
    seed: int = 0


def new_model(vocabulary: int, pad: int, end: int, *, hidden: int = 192, layers: int = 5, seed: int = 0) -> Any:
    """A Llama with heads of 32, which vLLM serves on a CPU too."""
    torch.manual_seed(seed)
    heads = hidden // 32
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=hidden * 8 // 3 // 32 * 32,
        max_position_embeddings=WINDOW,
        tie_word_embeddings=True,
        pad_token_id=pad,
        eos_token_id=end,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def batches(data: Sequence[Example], schedule: Schedule) -> Iterator[list[Example]]:
    """Batches of alike lengths, padded, in seeded order, until `tokens` are spent; one a worker makes a step."""
    rng, spent = random.Random(schedule.seed), 0
    while True:
        order = list(range(len(data)))
        rng.shuffle(order)
        for start in range(0, len(order), 4096):
            pool = sorted(order[start : start + 4096], key=lambda i: rounded(len(data[i].ids), schedule.alike))
            groups = list(cut(pool, data, schedule.batch_tokens // schedule.workers))
            rng.shuffle(groups)
            for group in groups:
                spent += sum(len(data[i].ids) for i in group)
                yield [data[i] for i in group]
                if spent >= schedule.tokens:
                    return


def cut(pool: Sequence[int], data: Sequence[Example], budget: int) -> Iterator[list[int]]:
    """Consecutive places of `pool`, sorted by length, as many to a group as fit the budget when padded."""
    group: list[int] = []
    longest = 0
    for place in pool:
        longest = max(longest, rounded(len(data[place].ids)))
        if group and longest * (len(group) + 1) > budget:
            yield group
            group, longest = [], rounded(len(data[place].ids))
        group.append(place)
    if group:
        yield group


def rounded(size: int, step: int = 32) -> int:
    """The next multiple of `step`: few different shapes, for which the CPU's kernels are made only once."""
    return -(-size // step) * step


def tensors(batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Ids [rows, longest], and which of them are learnt. Padding is on the right, where causal attention ignores it."""
    width = rounded(max(len(example.ids) for example in batch))
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    learn = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        learn[row, : len(example.ids)] = torch.tensor(example.learn)
    return ids, learn


def loss_of(model: Any, ids: Tensor, learn: Tensor) -> Tensor:
    """Mean negative log-probability of the learnt tokens, in nats; logits are made for these alone."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    # On a CPU the fused kernel's backward costs more than all matrix products of short rows; plain attention is 1.4x
    # as fast at 128 tokens and 4x as slow at 960.
    inner.config._attn_implementation = "eager" if ids.shape[1] <= 256 else "sdpa"
    hidden = inner.model(input_ids=ids, use_cache=False).last_hidden_state
    places = learn[:, 1:].reshape(-1).nonzero()[:, 0]
    targets = ids[:, 1:].reshape(-1)[places]
    surplus = rounded(len(places), 256) - len(places)
    places = torch.nn.functional.pad(places, (0, surplus))
    targets = torch.nn.functional.pad(targets, (0, surplus), value=-100)
    logits = inner.lm_head(hidden[:, :-1].reshape(-1, hidden.shape[-1])[places])
    return torch.nn.functional.cross_entropy(logits.float(), targets)


Report = Callable[[dict[str, float]], None]


def train(model: Any, data: Sequence[Example], schedule: Schedule, report: Report) -> None:
    """AdamW with warm-up and cosine decay, bfloat16 matrix products, float32 weights."""
    with tempfile.TemporaryDirectory() as folder:
        spawn = multiprocessing.get_context("spawn")
        others = [
            spawn.Process(target=work, args=(model, data, schedule, _silent, f"{folder}/store", rank), daemon=True)
            for rank in range(1, schedule.workers)
        ]
        for other in others:
            other.start()
        work(model, data, schedule, report, f"{folder}/store", 0)
        for other in others:
            other.join()
    model.eval()
    getattr(model, "get_base_model", lambda: model)().config._attn_implementation = "sdpa"


def _silent(metrics: dict[str, float]) -> None:
    """The first worker speaks for all."""


def work(model: Any, data: Sequence[Example], schedule: Schedule, report: Report, store: str, rank: int) -> None:
    """One worker's share of the training: every step it takes its own batch, and all follow the mean gradient."""
    if schedule.workers > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=schedule.workers)
    torch.manual_seed(schedule.seed)
    torch.set_flush_denormal(True)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizers = optimizers_for(model, schedule)
    model.train()
    spent, begun, mean = 0, time.perf_counter(), 0.0
    for step, shares in enumerate(zip(*[batches(data, schedule)] * schedule.workers, strict=False)):
        done = spent / schedule.tokens
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(done, schedule.warmup) * group["peak"]
        with torch.autocast("cpu", torch.bfloat16):
            loss = loss_of(model, *tensors(shares[rank]))
        loss.backward()
        average(parameters, schedule.workers)
        torch.nn.utils.clip_grad_norm_(parameters, schedule.clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        spent += sum(len(example.ids) for share in shares for example in share)
        mean = loss.item() if step == 0 else 0.98 * mean + 0.02 * loss.item()
        if step % 50 == 49:
            report({"step": step + 1, "done": done, "loss": mean, "tokens/s": spent / (time.perf_counter() - begun)})
    if schedule.workers > 1:
        dist.destroy_process_group()


def average(parameters: Sequence[Tensor], workers: int) -> None:
    """Every worker's gradients become the mean of all."""
    if workers == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    whole = torch.cat([gradient.flatten() for gradient in gradients]) / workers
    dist.all_reduce(whole)
    for gradient, part in zip(gradients, whole.split([g.numel() for g in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


def optimizers_for(model: Any, schedule: Schedule) -> list[Any]:
    """AdamW; where `muon` is set, Muon (orthogonalised momentum) for the hidden matrices and AdamW for the rest."""
    found = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    hidden = [p for name, p in found if schedule.muon and p.ndim == 2 and "embed" not in name and "lm_head" not in name]
    ours = {id(p) for p in hidden}
    rest = [p for _, p in found if id(p) not in ours]
    made: list[Any] = [
        torch.optim.AdamW(rest, lr=schedule.learning_rate, betas=(0.9, 0.98), weight_decay=schedule.weight_decay)
    ]
    if hidden:
        made.append(torch.optim.Muon(hidden, lr=schedule.muon, weight_decay=schedule.weight_decay))
    for optimizer in made:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return made


def rate_at(done: float, warmup: float) -> float:
    """Learning rate as a share of its peak: linear warm-up, then cosine to a twentieth."""
    if done < warmup:
        return (done + 0.01 * warmup) / warmup
    return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, (done - warmup) / (1 - warmup))))
