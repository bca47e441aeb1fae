"""Tries against flat sequences, and memory of the logits. Targets: 3x on eight turns; growth bounded by the chunk.

First, eight-turn debates with one alternative per own turn, forward and backward on a Llama of the nano size: packed as
tries, and one by one as padded batches of the same number of pairs. Wall and CPU time, in turn: the machine may be
shared. Then one layer at growing lengths, each in a process of its own: how much more memory a step takes than the
model alone, with vocabularies of 150,000 and of 1,000. What the first takes more than the second is what logits cost;
beside it the same with whole logits. Needs Linux, which tells and resets the most memory that a process held.
Usage: python analysis/benchmarks/bench_training_scorer.py [debates]
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from simarena.training.scorer import score
from simarena.training.trie import Sequence, pack, saved

TURNS, SAID, HEARD, PROMPT = 8, 24, 24, 48
"""Own turns, tokens of each, tokens of others before each, tokens of the rules."""

VOCABULARY, SMALL = 150_000, 1_000
CHUNK = 256
LENGTHS = (512, 2048, 8192)
WHOLE = 2048
"""Whole logits are made up to this length: at 8,192 they would take 15 GB."""


def debate(draw: random.Random) -> list[Sequence]:
    """At each own turn the reply that was given and one alternative, each with all that came before."""

    def words(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(2048) for _ in range(count))

    made, before = [], words(PROMPT)
    for _ in range(TURNS):
        before += words(HEARD)
        given, other = words(SAID), words(SAID)
        mask = (False,) * len(before) + (True,) * SAID
        made += [Sequence(before + given, mask), Sequence(before + other, mask)]
        before += given
    return made


def nano() -> LlamaForCausalLM:
    """A random model of the nano size."""
    torch.manual_seed(0)
    shape = {"vocab_size": 2048, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5}
    heads = {"num_attention_heads": 6, "max_position_embeddings": 2048, "tie_word_embeddings": True}
    return LlamaForCausalLM(LlamaConfig(**shape, **heads))


def packed(model: LlamaForCausalLM, sequences: list[Sequence]) -> float:
    """One forward and backward of all as tries; the sum of log-probs."""
    total = torch.cat(score(model, pack(sequences, budget=1024))).sum()
    total.backward()
    return total.item()


def flat(model: LlamaForCausalLM, sequences: list[Sequence]) -> float:
    """The same by two sequences at a time, padded, with whole logits."""
    total = 0.0
    for start in range(0, len(sequences), 2):
        pair = sequences[start : start + 2]
        ids = torch.tensor([s.ids for s in pair])
        logs = model(input_ids=ids, use_cache=False).logits[:, :-1].log_softmax(-1)
        own = logs.gather(-1, ids[:, 1:, None])[..., 0] * torch.tensor([s.mask[1:] for s in pair])
        own.sum().backward()
        total += own.sum().item()
    return total


def timed(work: Callable[..., float], *about: object) -> tuple[float, float, float]:
    """(what it returns, wall seconds, CPU seconds)."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work(*about)
    return found, time.perf_counter() - wall, time.process_time() - cpu


def compare(debates: int) -> None:
    """Tries and flat, in turn."""
    draw, model = random.Random(0), nano()
    packed(model, debate(draw))
    for _ in range(debates):
        sequences = debate(draw)
        ours, theirs = timed(packed, model, sequences), timed(flat, model, sequences)
        computed, alone = saved(pack(sequences, budget=1024))
        print(
            f"eight-turn debate, 8 pairs: {computed:,} tokens against {alone:,}; {ours[1] / 8:.3f} s a pair against "
            f"{theirs[1] / 8:.3f}: {theirs[1] / ours[1]:.1f}x ({theirs[2] / ours[2]:.1f}x by CPU); log-probs apart by "
            f"{abs(ours[0] - theirs[0]) / sum(sum(s.mask) for s in sequences):.0e} a token; target 3x"
        )


def memory_mb(name: str) -> float:
    """Resident memory in MB (10^6 bytes): VmRSS as it is, VmHWM at its most."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{name}:")[1].split()[0]) * 1024 / 1e6


def step(length: int, vocabulary: int, whole: bool) -> None:
    """One step of one layer with a frozen head; prints how many MB it needed on top of the model."""
    shape = {"vocab_size": vocabulary, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 1, "max_position_embeddings": length, "tie_word_embeddings": False}
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads))
    model.lm_head.requires_grad_(False)
    model.model.embed_tokens.requires_grad_(False)
    draw = random.Random(0)
    ids = tuple(draw.randrange(vocabulary) for _ in range(length))
    packed_row = pack([Sequence(ids, (False,) + (True,) * (length - 1))], budget=length)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # from here on VmHWM counts anew
    before = memory_mb("VmRSS")
    if whole:
        logs = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, :-1].log_softmax(-1)
        logs.gather(-1, torch.tensor(ids)[1:, None]).sum().backward()
    else:
        score(model, packed_row, chunk=CHUNK)[0].sum().backward()
    print(f"{memory_mb('VmHWM') - before:.0f}")


def measured(length: int, vocabulary: int, way: str = "chunks") -> float:
    """MB that a step takes, in a process of its own."""
    command = [sys.executable, __file__, "--step", str(length), str(vocabulary), way]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def grow() -> None:
    """Memory at growing lengths."""
    chunk = CHUNK * VOCABULARY * 4 / 1e6
    print(
        f"one layer, memory on top of the model; a chunk of {CHUNK}: {chunk:.0f} MB of logits, their exponentials too"
    )
    first = 0.0
    for length in LENGTHS:
        large, small = measured(length, VOCABULARY), measured(length, SMALL)
        first = first or large - small
        whole = f"{measured(length, VOCABULARY, 'whole'):,.0f} MB" if length <= WHOLE else "not tried"
        print(
            f"{length:>5,} tokens: {large:.0f} MB with a vocabulary of {VOCABULARY:,}, {small:.0f} MB with {SMALL:,}: "
            f"logits {large - small:.0f} MB ({large - small - first:+.0f} since {LENGTHS[0]}, target: no growth); "
            f"whole logits: {whole}"
        )


def main() -> None:
    """Print both."""
    compare(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    grow()


if __name__ == "__main__":
    if "--step" in sys.argv:
        step(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "whole")
    else:
        main()
