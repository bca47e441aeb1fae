"""Make the nano language models that ship under agents/nano, from nothing, with a fixed seed.

    python -m analysis.train_nano base                 tokenizer and base model, in the stages of courses.STAGES
    python -m analysis.train_nano adapters             LoRA adapters of it: six with a mixture each, one that debates
    python -m analysis.train_nano exams                held-out scores into every meta.json
    python -m analysis.train_nano debates              the same for the debater, which is of another kind

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
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis.nano import courses
from analysis.nano.corpus import Teacher, collect, example
from analysis.nano.courses import Stage
from analysis.nano.training import WINDOW, Example, Schedule, new_model, train
from simarena.records import Message

SEED = 1
VOCABULARY = 2048

Conversation = tuple[str, list[Message]]


def say(text: str) -> None:
    """Progress, with the time."""
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def gathered(stage: Stage) -> list[Conversation]:
    """A stage's corpus, shuffled with the seed."""
    drills = courses.drills(stage.drills, stage.settings, stage.reasoned)
    for family, (count, chance) in stage.guessed.items():
        guesser = Teacher("arena/table_skill", {"skill": chance})
        drills += courses.drills({family: count}, stage.settings, stage.reasoned, guesser)
    debates = courses.debates(stage.debates)
    found = collect(drills + debates + courses.scenario_courses(stage.scenario_matches), stage.label)
    random.Random(SEED).shuffle(found)
    say(f"corpus: {len(found)} conversations")
    return found


def encoded(tokenizer: Any, corpus: list[Conversation], cap: int) -> list[Example]:
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


def make_base(out: Path, first: int = 0) -> None:
    """The base model, stage by stage; with `first`, from the one that an earlier stage left."""
    for number in range(first, len(courses.STAGES)):
        run_stage(out / "base", number)


def run_stage(folder: Path, number: int) -> None:
    """Train the base model through one stage and write it, with what it has been through in meta.json."""
    stage = courses.STAGES[number]
    corpus = gathered(stage)
    tokenizer, model = begun(corpus) if number == 0 else loaded(folder)
    data = encoded(tokenizer, corpus, stage.scenario_tokens)
    schedule = Schedule(tokens=sum(len(one.ids) for one in data), seed=SEED + 100 * number, **stage.schedule)
    say(f"base, stage {number}: {schedule.tokens / 1e6:.1f}M tokens")
    began = time.perf_counter()
    train(model, data, schedule, report)
    save_base(model, tokenizer, folder)
    path = folder / "meta.json"
    before = json.loads(path.read_text())["stages"][:number] if number else []
    done = {"data": described(stage, corpus), "args": schedule_json(schedule), **origin(began)}
    size = sum(p.numel() for p in model.parameters())
    write_meta(folder, {"name": "nano-base", "parent": None, "parameters": size, "stages": [*before, done]})


def begun(corpus: list[Conversation]) -> tuple[Any, Any]:
    """A tokenizer for what is said in the corpus, and a model that knows nothing yet."""
    from analysis.nano.tokenizer import train_tokenizer

    played = [messages for name, messages in corpus if "/" in name][:6_000]
    drilled = [messages for name, messages in corpus if "/" not in name][:12_000]
    words = (message.content for messages in played + drilled for message in messages)
    tokenizer = train_tokenizer(words, VOCABULARY, WINDOW)
    return tokenizer, new_model(len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id, seed=SEED)


def loaded(folder: Path) -> tuple[Any, Any]:
    """Tokenizer and model as an earlier stage left them."""
    import torch

    from simarena.backends.opening import open_model, open_tokenizer

    model = open_model(folder, torch.float32)
    return open_tokenizer(folder), model


def report(metrics: dict[str, float]) -> None:
    """A line of figures."""
    say("  ".join(f"{name} {value:.4g}" for name, value in metrics.items()))


def described(stage: Stage, corpus: list[Conversation]) -> dict[str, Any]:
    """What a stage was taught from, as JSON."""
    return {
        "sha256": corpus_hash(corpus),
        "drills": dict(stage.drills),
        **({"guessed": dict(stage.guessed)} if stage.guessed else {}),
        **({"debates": stage.debates} if stage.debates else {}),
        "reasoned": stage.reasoned,
        "scenario_matches": stage.scenario_matches,
    }


def origin(began: float) -> dict[str, Any]:
    """How long it took, and by which commit."""
    return {"seconds": round(time.perf_counter() - began), "commit": commit()}


def save_base(model: Any, tokenizer: Any, folder: Path) -> None:
    """The weights in bfloat16, half the size, and the tokenizer."""
    import copy

    import torch

    copy.deepcopy(model).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def make_adapters(out: Path, only: str = "") -> None:
    """Six LoRA adapters of the base, each on drills in a mixture of its own with a little of every scenario; and one
    that debates."""
    for number, name in enumerate((*courses.KNOWS, courses.DEBATER)):
        if not only or name in only.split(","):
            make_adapter(out, name, SEED + 1 + number)


def make_adapter(out: Path, name: str, seed: int) -> None:
    """Train one adapter and write it."""
    from peft import LoraConfig, get_peft_model

    stage = courses.adapter_stage(name)
    corpus = gathered(stage)
    tokenizer, base = loaded(out / "base")
    data = encoded(tokenizer, corpus, stage.scenario_tokens)
    config = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=True)
    model = get_peft_model(base, config)
    schedule = Schedule(tokens=sum(len(one.ids) for one in data), seed=seed, **stage.schedule)
    say(f"{name}: {schedule.tokens / 1e6:.1f}M tokens, {stage.drills}, guessed {stage.guessed}")
    began = time.perf_counter()
    train(model, data, schedule, report)
    folder = folder_of(out, name)
    model.peft_config["default"].base_model_name_or_path = "../base"
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)  # peft's form, with nothing filled in
    args = {**schedule_json(schedule), "rank": config.r, "alpha": config.lora_alpha}
    made = {"name": name, "parent": "nano-base", "data": described(stage, corpus), "args": args}
    write_meta(folder, {**made, **origin(began)})


def examine(out: Path, size: int) -> None:
    """Held-out scores of all agents into their meta.json, and into exams.json beside them."""
    asyncio.run(examined(out, size))


async def examined(out: Path, size: int) -> None:
    """See `examine`."""
    from analysis.nano import exam
    from simarena.backends.transformers import TransformersBackend

    names = [name for name in ("nano-base", *courses.KNOWS) if (folder_of(out, name) / "meta.json").exists()]
    folders = {name: str(folder_of(out, name)) for name in names if name != "nano-base"}
    backend = TransformersBackend(str(out / "base"), adapters=list(folders.values()))
    agents = [seated(out, name, folders.get(name)) for name in names]
    report: dict[str, Any] = {"accuracy": {}, "readable": {}, "labels": {}}
    for agent in agents:
        marks = {family: await exam.accuracy(agent, backend, family, size) for family in courses.FAMILIES}
        report["accuracy"][agent.name] = marks
        say(f"{agent.name}: " + "  ".join(f"{family} {share:.3f}" for family, share in marks.items()))
    matches = await exam.played(exam.scenario_casts(agents, 8), backend)
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
    (out / "exams.json").write_text(json.dumps({"questions": size, "skipped": exam.SKIPPED, **report}, indent=2) + "\n")
    for name in names:
        scored(folder_of(out, name), {"questions": size, **report["accuracy"][name]})


def seated(out: Path, name: str, adapter: str | None) -> Any:
    """An agent of the base, as nano agents are prompted."""
    from simarena.agents.language import LanguageAgent
    from simarena.records import Sampling

    return LanguageAgent(
        name=name,
        backend="nano",
        model=str(out / "base"),
        adapter=adapter,
        schema_style="brief",
        structured=False,
        sampling=Sampling(temperature=courses.TEMPERATURE, max_tokens=courses.MAX_TOKENS),
    )


def scored(folder: Path, scores: Mapping[str, Any]) -> None:
    """Held-out scores into an agent's meta.json."""
    path = folder / "meta.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "held_out": dict(scores)}, indent=2) + "\n")


async def debated(out: Path, size: int) -> None:
    """The debater's held-out scores into its meta.json: how often it quotes truly, and whom the judge believes."""
    from analysis.nano import exam
    from simarena.backends.transformers import TransformersBackend

    folder = folder_of(out, courses.DEBATER)
    backend = TransformersBackend(str(out / "base"), adapters=[str(folder)])
    agent = seated(out, courses.DEBATER, str(folder))
    scores = {
        name: exam.quoting(await exam.debated(agent, backend, story, size)) for name, story in exam.DEBATED.items()
    }
    await backend.aclose()
    say(f"{agent.name}: {scores}")
    scored(folder, {"questions": size, **scores})


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
    parser.add_argument("step", choices=["base", "adapters", "exams", "debates"])
    parser.add_argument("--out", type=Path, default=Path("agents/nano"))
    parser.add_argument("--stage", type=int, default=0, help="base: begin with this one, from what the last one left")
    parser.add_argument("--only", default="", help="adapters: just these, with commas between")
    parser.add_argument("--size", type=int, default=270, help="exams: questions a family; puzzles have 277")
    arguments = parser.parse_args()
    if arguments.step == "base":
        make_base(arguments.out, arguments.stage)
    elif arguments.step == "adapters":
        make_adapters(arguments.out, arguments.only)
    elif arguments.step == "exams":
        examine(arguments.out, arguments.size)
    else:
        asyncio.run(debated(arguments.out, arguments.size))


if __name__ == "__main__":
    main()
