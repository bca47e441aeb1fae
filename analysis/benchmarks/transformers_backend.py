"""What the running batch is worth: live matches against one ideal padded `generate`, side by side. Target: 70 %.

A random Llama of the nano size plays matches of uneven length in three environments, judges, opponents and adapters in
the same batch, store included. Then transformers' own `generate` gets the same prompts, sorted by length, all of them
at hand, every reply equally long, without adapters: nothing that plays can have it as good. Both are timed in turn,
several times, in wall and CPU time: on a shared machine only the second compares. What is weighed costs us time and
counts as no token; the first and the last matches of a schedule do not fill the batch, which counts against us too.
Usage: python analysis/benchmarks/transformers_backend.py [matches] [rounds]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from simarena import envs
from simarena.agents.base import Agent, ScriptedAgent
from simarena.agents.language import LanguageAgent
from simarena.backends.base import Backend
from simarena.backends.scripted import ScriptedBackend
from simarena.backends.transformers import TransformersBackend
from simarena.identity import new_match
from simarena.records import Completion, Match, Request, Sampling
from simarena.rollout import play, rollout
from simarena.store import open_run, start_run

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.nano.tokenizer import save_tokenizer, train_tokenizer
from analysis.nano.training import WINDOW, new_model

LIVE = 64
GAMES: list[tuple[str, dict[str, Any]]] = [
    ("roundtable", {"task": "arithmetic", "phases": ["initial", "final"]}),
    ("arena", {"task": "kks", "m": 4, "judging": "likelihood"}),
    ("debate", {}),
]
LENGTHS = {"base": 60, "red": 35, "blue": 15}
"""Most tokens of a reply, by agent: random weights never end one themselves."""
SCRIPT = ScriptedAgent("script", "arena/table_skill")


def cast(folder: Path) -> dict[str, Agent]:
    """A base and two adapters, without repairs: each turn is one reply. And answers that judges can weigh."""
    models: dict[str, Agent] = {
        name: LanguageAgent(
            name=name,
            backend="transformers",
            model=str(folder / "base"),
            adapter=None if name == "base" else str(folder / name),
            schema_style="brief",
            repairs=0,
            sampling=Sampling(max_tokens=length),
        )
        for name, length in LENGTHS.items()
    }
    return {"script": SCRIPT} | models


def schedule(count: int) -> list[Match]:
    """Matches of all games in turn, seats filled in turn."""
    return [match(n, *GAMES[n % len(GAMES)]) for n in range(count)]


def match(n: int, env: str, params: dict[str, Any]) -> Match:
    """One match."""
    names = list(LENGTHS)
    seats = {seat: names[(n + i) % 3] for i, seat in enumerate(envs.make(env, **params).possible_agents)}
    seats |= {seat: "script" for seat in seats if seat.startswith("contestant")}
    return new_match(env, params, seats, dict.fromkeys(("script", *names), "1"), task_seed=n, seed=n)


def write_models(folder: Path) -> None:
    """Base and adapters, random; the tokenizer learns from what the games say."""
    tokenizer = train_tokenizer(prompts(cast(folder)), 1800, WINDOW)
    base = new_model(len(tokenizer), tokenizer.pad_token_id, tokenizer.eos_token_id)
    save_tokenizer(tokenizer, folder / "base")
    base.save_pretrained(folder / "base")
    for name in ("red", "blue"):
        settings = LoraConfig(r=8, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
        adapted = get_peft_model(base, settings)
        adapted.save_pretrained(folder / name)
        base = adapted.unload()


def prompts(agents: dict[str, Agent]) -> Iterator[str]:
    """What the games show to language models that say nothing."""
    heard: list[str] = []

    async def ask(request: Request) -> Completion:
        if request.agent == "script":
            return Completion(text=SCRIPT.answer(request))
        heard.extend(message.content for message in request.messages)
        return Completion(text="", scores=((-1.0, 1),) * len(request.score))

    for each in schedule(30):
        asyncio.run(play(each, envs.make(each.env, **each.params), agents, ask))
    yield from heard


def played(folder: Path, run: Path, matches: list[Match]) -> int:
    """Play everything; the tokens sampled."""

    async def go() -> int:
        adapters = [str(folder / name) for name in ("red", "blue")]
        backend = TransformersBackend(str(folder / "base"), adapters, device="cpu")
        try:
            with start_run(run, {"scenario_hash": "benchmark"}) as writer:
                backends: dict[str, Backend] = {"transformers": backend, "scripted": ScriptedBackend(SCRIPT.answer)}
                report = await rollout(writer, matches, cast(folder), backends, concurrency=LIVE)
                assert report.complete, report.summary()
                return report.completion_tokens
        finally:
            await backend.aclose()

    return asyncio.run(go())


def asked(run: Path) -> tuple[list[tuple[int, ...]], int]:
    """The prompts of all replies on record, by length, and how many replies were weighed."""
    with open_run(run) as found:
        answers = [answer.completion for name in found.statuses() for answer in found.answers(name).values()]
    return sorted((c.prompt_ids or () for c in answers if c.ids), key=len), sum(len(c.scores) for c in answers)


def generated(model: Any, prompts: list[tuple[int, ...]], length: int) -> int:
    """Padded `generate` over the same prompts, `LIVE` at a time; the tokens sampled."""
    for start in range(0, len(prompts), LIVE):
        group = prompts[start : start + LIVE]
        width = max(map(len, group))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in group])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in group])
        with torch.inference_mode():
            model.generate(
                input_ids=ids, attention_mask=mask, min_new_tokens=length, max_new_tokens=length, do_sample=False
            )
    return length * len(prompts)


def timed(work: Callable[..., int], *about: Any) -> tuple[float, float]:
    """Tokens a second, of wall time and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = work(*about)
    return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - cpu)


def main(count: int = 96, rounds: int = 2) -> None:
    """Both, in turn."""
    from simarena.backends.opening import open_model

    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder)
        model = open_model(folder / "base", "auto").eval()
        ratios: list[tuple[float, float]] = []
        for n in range(rounds):
            run = folder / f"run{n}"
            ours = timed(played, folder, run, schedule(count))
            texts, weighed = asked(run)
            length = round(sum(LENGTHS.values()) / len(LENGTHS))
            theirs = timed(generated, model, texts, length)
            ratios.append((ours[0] / theirs[0], ours[1] / theirs[1]))
            print(
                f"{count} matches, {LIVE} live: {len(texts)} replies, {weighed} weighed, prompts of {len(texts[0])}-"
                f"{len(texts[-1])} tokens (median {len(texts[len(texts) // 2])}): {ours[0]:,.0f} tokens/s "
                f"({ours[1]:,.0f} a CPU second); "
                f"ideal generate {theirs[0]:,.0f} ({theirs[1]:,.0f}): {ratios[-1][0]:.0%} ({ratios[-1][1]:.0%})"
            )
        wall, cpu = (sorted(each)[len(ratios) // 2] for each in zip(*ratios, strict=True))
        print(
            f"transformers backend at {LIVE} live matches: {wall:.0%} of one ideal padded generate ({cpu:.0%} by CPU)"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
