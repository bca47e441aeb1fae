"""DPO against TRL's DPOTrainer, in its own environment: same data, model and precision; seconds per pair.

Eight-turn debates with one alternative per own turn, and flat single-turn pairs. Both sides see the same token ids,
train all weights of the same random Llama of the nano size in fp32, reference log-probs made beforehand, in batches of
eight pairs. The first loss of both is compared, and the tokens that all steps but the first compute. Wall and CPU time:
the machine may be shared. Targets: 3x and 1.2x by wall clock, losses apart by 1e-4 at most.
Usage: make bench-trl, or
TRL_PYTHON=/path/to/python python analysis/benchmarks/bench_against_trl.py [batches]
where that Python has what requirements/trl.txt says.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

PAIRS, BETA, SHARPER = 8, 0.1, 0.5
"""Pairs a batch; DPO's beta; the reference is the policy with its weights times this, so that the loss is not ln 2."""

Pair = dict[str, list[int]]


def debates(draw: random.Random, count: int) -> list[Pair]:
    """Eight own turns each, 24 tokens said and 24 heard."""
    made: list[Pair] = []
    for _ in range(count):
        before = words(draw, 48)
        for _ in range(8):
            before = before + words(draw, 24)
            pair = {"prompt_ids": before, "chosen_ids": words(draw, 24), "rejected_ids": words(draw, 24)}
            made.append(pair)
            before = before + pair["chosen_ids"]
    return made


def duels(draw: random.Random, count: int) -> list[Pair]:
    """Single turns, as a duel of the nano models has them: 115 tokens of question, 25 of answer."""
    lengths = ((draw.randrange(90, 140), draw.randrange(15, 35), draw.randrange(15, 35)) for _ in range(count * PAIRS))
    return [
        dict(zip(("prompt_ids", "chosen_ids", "rejected_ids"), (words(draw, n) for n in each), strict=True))
        for each in lengths
    ]


def words(draw: random.Random, count: int) -> list[int]:
    """Random tokens."""
    return [draw.randrange(3, 2048) for _ in range(count)]


def ours(folder: Path, pairs: list[Pair]) -> dict[str, Any]:
    """Steps by tries: the seconds after the first step, the first loss, the tokens computed."""
    from simarena.backends.opening import open_model
    from simarena.training.scorer import score
    from simarena.training.trie import Sequence, pack, saved

    model = open_model(folder / "policy", "auto")
    frozen = open_model(folder / "reference", "auto")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
    batches = []
    for start in range(0, len(pairs), PAIRS):
        group = pairs[start : start + PAIRS]
        sides = [(pair["prompt_ids"], pair[side]) for pair in group for side in ("chosen_ids", "rejected_ids")]
        rows = pack([Sequence((*p, *r), (False,) * len(p) + (True,) * len(r)) for p, r in sides], budget=1024)
        with torch.no_grad():
            batches.append((rows, torch.stack([each.sum() for each in score(frozen, rows)])))
    losses, began = [], (0.0, 0.0)
    for n, (rows, reference) in enumerate(batches):
        if n == 1:
            began = time.perf_counter(), time.process_time()
        ratio = (torch.stack([each.sum() for each in score(model, rows)]) - reference).view(-1, 2)
        loss = -torch.nn.functional.logsigmoid(BETA * (ratio[:, 0] - ratio[:, 1])).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return {
        "seconds": time.perf_counter() - began[0],
        "cpu": time.process_time() - began[1],
        "loss": losses[0],
        "tokens": sum(saved(rows)[0] for rows, _ in batches[1:]),
    }


THEIRS = """
import json, sys, time, torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from tokenizers import Tokenizer, models
from trl import DPOConfig, DPOTrainer
folder, beta, size = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
pairs = json.load(open(folder + "/pairs.json"))
vocabulary = {"w%d" % n: n for n in range(2048)}
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel(vocabulary, "w2")),
    pad_token="w0", eos_token="w1", unk_token="w2")
class Ready(DPOTrainer):
    def _prepare_dataset(self, dataset, *rest, **more): return dataset   # ids are there already
    def _get_train_sampler(self, *rest): return torch.utils.data.SequentialSampler(self.train_dataset)
class Clock(TrainerCallback):
    began, losses = (0.0, 0.0), []
    def on_step_end(self, args, state, control, **more):
        if state.global_step == 1: self.began = time.perf_counter(), time.process_time()
    def on_log(self, args, state, control, logs=None, **more):
        if "loss" in logs: self.losses.append(logs["loss"])
    def on_train_end(self, *rest, **more): self.ended = time.perf_counter(), time.process_time()
load = lambda name: AutoModelForCausalLM.from_pretrained(folder + "/" + name, dtype=torch.float32)
settings = DPOConfig(output_dir=folder + "/out", beta=beta, per_device_train_batch_size=size, num_train_epochs=1,
    bf16=False, use_cpu=True, gradient_checkpointing=False, learning_rate=1e-6,
    lr_scheduler_type="constant", logging_steps=1, save_strategy="no",
    report_to=[], max_length=None, precompute_ref_log_probs=True, disable_tqdm=True, seed=0)
clock = Clock()
trainer = Ready(load("policy"), ref_model=load("reference"), args=settings, train_dataset=Dataset.from_list(pairs),
    processing_class=tokenizer, callbacks=[clock])
trainer.train()
tokens = sum(2 * len(b) * max(len(p["prompt_ids"]) + max(len(p["chosen_ids"]), len(p["rejected_ids"])) for p in b)
    for b in (pairs[i:i + size] for i in range(size, len(pairs), size)))
spent = [end - start for end, start in zip(clock.ended, clock.began)]
print(json.dumps({"seconds": spent[0], "cpu": spent[1], "loss": float(clock.losses[0]), "tokens": tokens}))
"""


def theirs(python: str, folder: Path, pairs: list[Pair]) -> dict[str, Any]:
    """The same by TRL."""
    (folder / "pairs.json").write_text(json.dumps(pairs))
    command = [python, "-c", THEIRS, str(folder), str(BETA), str(PAIRS)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    if done.returncode:
        raise SystemExit(f"TRL did not train:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.strip().splitlines()[-1]))


def write_models(folder: Path) -> None:
    """Policy and reference."""
    torch.manual_seed(0)
    shape = {"vocab_size": 2048, "hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 5}
    heads = {"num_attention_heads": 6, "max_position_embeddings": 2048, "tie_word_embeddings": True}
    model = LlamaForCausalLM(LlamaConfig(**shape, **heads))
    model.save_pretrained(folder / "policy")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(SHARPER)
    model.save_pretrained(folder / "reference")


def main() -> None:
    """Both kinds of data, both trainers."""
    python = os.environ.get("TRL_PYTHON")
    if not python:
        raise SystemExit("TRL_PYTHON names no Python with TRL; make bench-trl makes one and runs this with it")
    logging.disable_progress_bar()
    count, draw = int(sys.argv[1]) if len(sys.argv) > 1 else 4, random.Random(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_models(folder)
        for name, pairs, target in (
            ("eight-turn debates", debates(draw, count), 3),
            ("flat pairs", duels(draw, count), 1.2),
        ):
            us, them = ours(folder, pairs), theirs(python, folder, pairs)
            timed = len(pairs) - PAIRS
            apart = abs(us["loss"] - them["loss"])
            print(
                f"{name}: {us['seconds'] / timed:.3f} s a pair, TRL {them['seconds'] / timed:.3f}: "
                f"{them['seconds'] / us['seconds']:.1f}x ({them['cpu'] / us['cpu']:.1f}x by CPU), target {target}x; "
                f"tokens {us['tokens']:,} against {them['tokens']:,}; "
                f"first loss {us['loss']:.5f}, TRL {them['loss']:.5f}, apart {apart:.0e}"
            )
            assert math.isfinite(us["loss"])


if __name__ == "__main__":
    main()
