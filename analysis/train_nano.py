"""Make the nano language models that ship under agents/nano, from nothing, with a fixed seed.

    python -m analysis.train_nano base                 corpus, tokenizer, base model
    python -m analysis.train_nano more                 a second course for the base model
    python -m analysis.train_nano adapters             six LoRA adapters of it, each with a mixture of its own
    python -m analysis.train_nano exams                held-out scores into every meta.json

Each step reads what the one before wrote into --out. Two CPU cores are enough; README of agents/nano has the times.
"""

from __future__ import annotations

import argparse
import asyncio
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
MORE_DRILLS = {"kks": 40_000, "arithmetic": 24_000, "trap_math": 12_000, "logic_chain": 16_000, "story": 5_000}
ADAPTER_DRILLS = 7_000
ADAPTER_SCENARIO_MATCHES = 12

Conversation = tuple[str, list[Message]]


def say(text: str) -> None:
    """Progress, with the time."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def gathered(
    drills: dict[str, int],
    scenario_matches: int,
    label: str = "",
    settings: Any = courses.DRILLS,
    reasoned: float = 0.5,
) -> list[Conversation]:
    """The corpus, shuffled with the seed; corpora of different labels share no task."""
    found = collect(courses.drills(drills, settings, reasoned) + courses.scenario_courses(scenario_matches), label)
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
    from analysis.nano.tokenizer import train_tokenizer

    corpus = gathered(DRILLS, SCENARIO_MATCHES)
    small = [pair for pair in corpus if "/" in pair[0]][:6000] + [pair for pair in corpus if "/" not in pair[0]][
        :12_000
    ]
    tokenizer = train_tokenizer((m.content for _, messages in small for m in messages), VOCABULARY, WINDOW)
    data = encoded(tokenizer, corpus)
    model = new_model(len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id, seed=SEED)
    schedule = Schedule(tokens=sum(len(one.ids) for one in data), seed=SEED)
    size = sum(p.numel() for p in model.parameters())
    say(f"base: {size / 1e6:.2f}M parameters, {schedule.tokens / 1e6:.1f}M tokens")
    began = time.perf_counter()
    train(model, data, schedule, lambda m: say("  ".join(f"{k} {v:.4g}" for k, v in m.items())))
    folder = out / "base"
    save_base(model, tokenizer, folder)
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


def make_more(out: Path) -> None:
    """A second course for the base: the examined settings, many times over."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = out / "base"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32", use_safetensors=True)
    corpus = gathered(MORE_DRILLS, SCENARIO_MATCHES // 2, label="more/", settings=courses.EXAMINED)
    data = encoded(tokenizer, corpus, cap=SCENARIO_TOKENS // 2)
    schedule = Schedule(
        tokens=sum(len(one.ids) for one in data), batch_tokens=8_000, learning_rate=1e-3, muon=0.01, seed=SEED + 100
    )
    say(f"base, second course: {schedule.tokens / 1e6:.1f}M tokens")
    began = time.perf_counter()

    def report(metrics: dict[str, float]) -> None:
        say("  ".join(f"{k} {v:.4g}" for k, v in metrics.items()))
        if metrics["step"] % 200 == 0:
            save_base(model, tokenizer, out / "running")

    train(model, data, schedule, report)
    save_base(model, tokenizer, folder)
    meta = json.loads((folder / "meta.json").read_text())
    second = {
        "data": {"sha256": corpus_hash(corpus), "drills": MORE_DRILLS, "scenario_matches": SCENARIO_MATCHES // 2},
        "args": schedule_json(schedule),
        "seconds": round(time.perf_counter() - began),
        "commit": commit(),
    }
    write_meta(folder, {**meta, "second_course": second})


def save_base(model: Any, tokenizer: Any, folder: Path) -> None:
    """The weights in bfloat16, half the size, and the tokenizer."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_adapters(out: Path, only: str = "") -> None:
    """Six LoRA adapters of the base, each on drills in a mixture of its own with a little of every scenario."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out / "base")
    for number, (name, mixture) in enumerate(courses.MIXTURES.items()):
        if only and name not in only.split(","):
            continue
        drills = {family: round(share * ADAPTER_DRILLS) for family, share in mixture.items() if share}
        corpus = gathered(drills, ADAPTER_SCENARIO_MATCHES, label=f"{name}/", settings=courses.EXAMINED, reasoned=0.7)
        data = encoded(tokenizer, corpus)
        base = AutoModelForCausalLM.from_pretrained(out / "base", dtype="float32", use_safetensors=True)
        config = LoraConfig(
            r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=True
        )
        model = get_peft_model(base, config)
        schedule = Schedule(
            tokens=sum(len(one.ids) for one in data),
            batch_tokens=3_000,
            learning_rate=3e-3,
            weight_decay=0.0,
            seed=SEED + 1 + number,
        )
        say(f"{name}: {schedule.tokens / 1e6:.1f}M tokens, {drills}")
        began = time.perf_counter()
        train(model, data, schedule, lambda m: say("  ".join(f"{k} {v:.4g}" for k, v in m.items())))
        folder = out / name.removeprefix("nano-")
        model.peft_config["default"].base_model_name_or_path = "../base"
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)  # peft's form, with nothing filled in
        meta = {
            "name": name,
            "parent": "nano-base",
            "data": {"sha256": corpus_hash(corpus), "drills": drills, "scenario_matches": ADAPTER_SCENARIO_MATCHES},
            "args": {**schedule_json(schedule), "rank": config.r, "alpha": config.lora_alpha},
            "seconds": round(time.perf_counter() - began),
            "commit": commit(),
        }
        write_meta(folder, meta)


def examine(out: Path, size: int) -> None:
    """Held-out scores of all agents into their meta.json, and into exams.json beside them."""
    asyncio.run(examined(out, size))


async def examined(out: Path, size: int) -> None:
    """See `examine`."""
    from analysis.nano import exam
    from simarena.agents.language import LanguageAgent
    from simarena.backends.transformers import TransformersBackend
    from simarena.records import Sampling

    names = [name for name in ("nano-base", *courses.MIXTURES) if (folder_of(out, name) / "meta.json").exists()]
    folders = {name: str(folder_of(out, name)) for name in names if name != "nano-base"}
    backend = TransformersBackend(str(out / "base"), adapters=list(folders.values()))
    agents = [
        LanguageAgent(
            name=name,
            backend="nano",
            model=str(out / "base"),
            adapter=folders.get(name),
            schema_style="brief",
            structured=False,
            sampling=Sampling(temperature=courses.TEMPERATURE, max_tokens=courses.MAX_TOKENS),
        )
        for name in names
    ]
    report: dict[str, Any] = {"accuracy": {}, "readable": {}, "labels": {}}
    for agent in agents:
        marks = {family: await exam.accuracy(agent, backend, family, size) for family in courses.FAMILIES}
        report["accuracy"][agent.name] = marks
        say(f"{agent.name}: " + "  ".join(f"{family} {share:.3f}" for family, share in marks.items()))
    matches = await exam.played(exam.scenario_casts(agents, 2), backend)
    report["readable"] = exam.readable(matches)
    say(f"readable: {report['readable']}")
    for line in list(exam.unreadable(matches))[:40]:
        say("  " + line)
    for family in courses.FAMILIES if len(agents) > 3 else ():
        for judging in ("likelihood", "solve"):
            duels = await exam.played(exam.duel_casts(agents[1:], family, size, judging), backend)
            found = exam.labels(duels)
            report["labels"][f"{family}/{judging}"] = found
            say(f"{family} {judging}: " + "  ".join(f"{who} {share:.3f} of {n}" for who, (share, n) in found.items()))
    await backend.aclose()
    (out / "exams.json").write_text(json.dumps({"questions": size, **report}, indent=2) + "\n")
    for name in names:
        path = folder_of(out, name) / "meta.json"
        scores = {"questions": size, **report["accuracy"][name]}
        path.write_text(json.dumps({**json.loads(path.read_text()), "held_out": scores}, indent=2) + "\n")


def folder_of(out: Path, name: str) -> Path:
    """Where an agent's weights are."""
    return out / name.removeprefix("nano-")


def schedule_json(schedule: Schedule) -> dict[str, Any]:
    """A schedule as JSON."""
    return {name: getattr(schedule, name) for name in Schedule.__dataclass_fields__}


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """What made this artifact, beside it."""
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n")


def main() -> None:
    """Run one step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["base", "more", "adapters", "exams"])
    parser.add_argument("--out", type=Path, default=Path("agents/nano"))
    parser.add_argument("--only", default="", help="adapters: just these, with commas between")
    parser.add_argument("--size", type=int, default=200, help="exams: questions a family")
    arguments = parser.parse_args()
    if arguments.step == "base":
        make_base(arguments.out)
    elif arguments.step == "more":
        make_more(arguments.out)
    elif arguments.step == "adapters":
        make_adapters(arguments.out, arguments.only)
    else:
        examine(arguments.out, arguments.size)


if __name__ == "__main__":
    main()
