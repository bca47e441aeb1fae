"""Make the nano language models that ship under agents/nano, from nothing, with a fixed seed.

    python -m analysis.train_nano base                 corpus, tokenizer, base model
    python -m analysis.train_nano adapters             six LoRA adapters of it, each with a mixture of its own
    python -m analysis.train_nano exams                held-out scores into every meta.json

Each step reads what the one before wrote into --out. Two CPU cores are enough; README of agents/nano has the times.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from analysis.nano import courses
from analysis.nano.corpus import collect, example
from analysis.nano.training import WINDOW, Example, Schedule, new_model, train
from simarena.records import Message

SEED = 1
VOCABULARY = 2048
DRILLS = {"kks": 24_000, "arithmetic": 10_000, "trap_math": 10_000, "logic_chain": 10_000, "story": 6_000}
"""Questions of each family in the base model's corpus."""
SCENARIO_MATCHES = 600
SCENARIO_TOKENS = 350_000
"""Of each scenario at most so many tokens are learnt from."""

Conversation = tuple[str, list[Message]]


def say(text: str) -> None:
    """Progress, with the time."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def gathered(drills: dict[str, int], scenario_matches: int) -> list[Conversation]:
    """The corpus, shuffled with the seed."""
    found = collect(courses.drills(drills) + courses.scenario_courses(scenario_matches))
    random.Random(SEED).shuffle(found)
    say(f"corpus: {len(found)} conversations")
    return found


def encoded(tokenizer: Any, corpus: list[Conversation], cap: int = SCENARIO_TOKENS) -> list[Example]:
    """The corpus in tokens, each scenario cut at `cap` tokens; drills are kept whole."""
    from simarena.backends.template import ChatTemplate

    template, spent, kept = ChatTemplate(tokenizer, "nano"), dict[str, int](), list[Example]()
    for name, messages in corpus:
        if "/" in name and spent.get(name, 0) >= cap:
            continue
        one = example(template, messages, name, tokenizer.eos_token_id)
        if len(one.ids) <= WINDOW:
            spent[name] = spent.get(name, 0) + len(one.ids)
            kept.append(one)
    for name, tokens in sorted(spent.items()):
        say(f"  {name}: {tokens} tokens")
    return kept


def corpus_hash(corpus: list[Conversation]) -> str:
    """What was learnt from, in sixteen digits."""
    text = "\x1e".join(message.content for _, messages in corpus for message in messages)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def commit() -> str:
    """The repository's commit, or "unknown"."""
    try:
        done = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def make_base(out: Path) -> None:
    """Corpus, tokenizer and base model."""
    import torch

    from analysis.nano.tokenizer import train_tokenizer

    corpus = gathered(DRILLS, SCENARIO_MATCHES)
    small = [pair for pair in corpus if "/" in pair[0]][:6000] + [pair for pair in corpus if "/" not in pair[0]][:12_000]
    tokenizer = train_tokenizer((m.content for _, messages in small for m in messages), VOCABULARY, WINDOW)
    data = encoded(tokenizer, corpus)
    model = new_model(len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id, seed=SEED)
    schedule = Schedule(tokens=sum(len(one.ids) for one in data), seed=SEED)
    size = sum(p.numel() for p in model.parameters())
    say(f"base: {size / 1e6:.2f}M parameters, {schedule.tokens / 1e6:.1f}M tokens")
    began = time.perf_counter()
    train(model, data, schedule, lambda m: say("  ".join(f"{k} {v:.4g}" for k, v in m.items())))
    folder = out / "base"
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    meta = {
        "name": "nano-base",
        "parent": None,
        "parameters": size,
        "data": {"sha256": corpus_hash(corpus), "drills": DRILLS, "scenario_matches": SCENARIO_MATCHES},
        "args": schedule_json(schedule),
        "seconds": round(time.perf_counter() - began),
        "commit": commit(),
    }
    write_meta(folder, meta)


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """A schedule as JSON."""
    return {name: getattr(schedule, name) for name in Schedule.__dataclass_fields__}


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """What made this artifact, beside it."""
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["base", "adapters", "exams"])
    parser.add_argument("--out", type=Path, default=Path("agents/nano"))
    arguments = parser.parse_args()
    steps = {"base": make_base}
    steps[arguments.step](arguments.out)


if __name__ == "__main__":
    main()
