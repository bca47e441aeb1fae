"""What live play costs beside one offline call of the same engine, and beside other ways to play. Ratios of one run.

Matches of uneven length on the nano base, judges included, all on record; then the engine gets the very prompts and
lengths of what was asked, all at once, as `LLM.generate` would. Wall time is compared, and CPU time of this process,
which is what counts on a machine that others use too. Then: the transformers backend, padded `generate` and one match
at a time on the same matches, the prefix cache in eight-turn debates beside what theory allows, new weights and for how
long the others wait for them, and what the Python side takes at 256 live matches. One line a measure, with its target.
The nano base says its piece in 14 tokens; sampled hot it runs on, to some 37 a reply and a fourth of all tokens that
are computed, which is nearer to what grown models say.
Usage: python analysis/benchmarks/bench_vllm.py [matches]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from simarena import envs, paths
from simarena.agents.base import Agent
from simarena.agents.language import LanguageAgent
from simarena.backends.base import Backend
from simarena.backends.engine_meter import Meter, Slice
from simarena.backends.vllm_backend import VLLMBackend
from simarena.identity import new_match
from simarena.records import Completion, Match, Message, Request, Sampling
from simarena.rollout import rollout
from simarena.store import common, start_run

NANO = paths.shipped("agents") / "nano"
BASE = str(NANO / "base")
ADAPTERS = [str(NANO / name) for name in "abcd"]
LENGTHS = (120, 70, 30, 100)
"""Most tokens of a reply, agent by agent."""
HOT = 2.0
"""Temperature."""
LIVE = 64


@dataclass
class Heard:
    """A backend that notes what passes through it."""

    backend: Any
    answers: list[tuple[Request, Completion]] = field(default_factory=list)

    async def generate(self, request: Request) -> Completion:
        """Ask, and note."""
        found: Completion = await self.backend.generate(request)
        self.answers.append((request, found))
        return found

    async def aclose(self) -> None:
        """Nothing: whoever opened it closes it."""

    @property
    def sampled(self) -> int:
        """Tokens."""
        return sum(len(found.ids or ()) for _, found in self.answers)


def agents(adapters: Sequence[str | None]) -> dict[str, Agent]:
    """One agent for each adapter."""
    return {
        f"agent{n}": LanguageAgent(
            name=f"agent{n}",
            backend="engine",
            model=BASE,
            adapter=adapter,
            schema_style="brief",
            structured=False,
            repairs=0,
            sampling=Sampling(temperature=HOT, max_tokens=LENGTHS[n % len(LENGTHS)]),
        )
        for n, adapter in enumerate(adapters)
    }


def schedule(count: int, names: Sequence[str], rounds: Callable[[int], int]) -> list[Match]:
    """Debates of two seats and a judge; neighbours share a task."""
    found = []
    for n in range(count):
        params: dict[str, Any] = {"order": "sequential", "rounds": rounds(n)}
        seats = envs.make("debate", **params).possible_agents
        who = {seat: names[(n + i) % len(names)] for i, seat in enumerate(seats)}
        found.append(new_match("debate", params, who, dict.fromkeys(names, "1"), task_seed=n // 2, seed=n))
    return found


def uneven(n: int) -> int:
    """One to four rounds: two to eight speeches."""
    return 1 + n % 4


def turns(match: Match) -> int:
    """Longest first: else the last matches play on alone, and what is measured is how long that takes."""
    return -int(match.params["rounds"])


@dataclass(frozen=True)
class Time:
    """What something took, in seconds."""

    tokens: int
    wall: float
    cpu: float

    @property
    def rate(self) -> float:
        """Tokens a second."""
        return self.tokens / self.wall

    def share_of(self, other: Time) -> str:
        """Our tokens a second in those of the other, by wall time and by CPU time."""
        by_cpu = (self.tokens / self.cpu) / (other.tokens / other.cpu)
        return f"{self.rate / other.rate:.2f} (by CPU time {by_cpu:.2f})"


def tell(what: str, target: str, found: str) -> None:
    """A line of the table."""
    print(f"| {what:44} | {target:10} | {found} |")


class Bench:
    """One loop for everything that is asked."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def go(self, work: Awaitable[Any]) -> Any:
        """What a coroutine comes to."""
        return self.runner.run(work)  # type: ignore[arg-type]

    def play(self, backend: Any, players: dict[str, Agent], matches: list[Match], live: int) -> tuple[Time, Heard]:
        """Play everything."""
        heard = Heard(backend)

        async def work() -> None:
            with tempfile.TemporaryDirectory() as folder, start_run(folder, {"scenario_hash": "benchmark"}) as run:
                backends: dict[str, Backend] = {"engine": heard}
                report = await rollout(run, matches, players, backends, concurrency=live)
                assert report.complete, report.summary()

        wall, cpu = time.perf_counter(), time.process_time()
        self.go(work())
        return Time(heard.sampled, time.perf_counter() - wall, time.process_time() - cpu), heard

    def offline(self, backend: VLLMBackend, heard: Heard) -> Time:
        """The same prompts and lengths in one call, on the same engine with an empty prefix cache."""
        asked = [
            (list(found.prompt_ids or ()), len(found.ids or ()), backend._known(request.adapter)[0])
            for request, found in heard.answers
            if found.ids
        ]

        def work(engine: Any) -> Time:
            engine.reset_prefix_cache()
            wall, cpu = time.perf_counter(), time.process_time()
            for n, (prompt, length, adapter) in enumerate(asked):
                given: dict[str, Any] = {"max_tokens": length, "ignore_eos": True, "seed": n, "detokenize": False}
                given |= {"temperature": HOT, "logprobs": 0, "logit_bias": backend.barred}
                params = backend.engines[0].maker.params(given)
                engine.add_request(f"offline {n}", {"prompt_token_ids": prompt}, params, lora_request=adapter)
            sampled = 0
            while engine.has_unfinished_requests():
                sampled += sum(len(each.outputs[0].token_ids) for each in engine.step() if each.finished)
            return Time(sampled, time.perf_counter() - wall, time.process_time() - cpu)

        return self.go(backend._call(backend.engines[0], work, alone=True))  # type: ignore[no-any-return]

    def empty(self, backend: VLLMBackend) -> None:
        """Forget all prefixes."""
        self.go(backend._call(backend.engines[0], lambda engine: engine.reset_prefix_cache(), alone=True))


@dataclass(frozen=True)
class Allowed:
    """Shares of prompt tokens that a prefix cache could have known, whatever its size and the order of play."""

    extension: float
    """By strict extension alone: what a seat's earlier turns had read and said."""
    shared: float
    """By the beginnings that all prompts under one adapter share."""
    blocks: float
    """The same in whole blocks of 32 tokens, which is what vLLM's cache holds on a processor."""


def allowed(heard: Heard) -> Allowed:
    """The theoretical figures, from what was asked in the order in which it was answered."""
    seats: dict[str, tuple[int, ...]] = {}
    known: dict[str | None, dict[int, Any]] = {}
    own = every = blocks = total = 0
    for request, found in heard.answers:
        seat, prompt = request.key.rpartition("/")[0], found.prompt_ids or ()
        said, tree = (*prompt, *(found.ids or ())), known.setdefault(request.adapter, {})
        same = min(walked(tree, prompt), len(prompt) - 1)
        own += common(seats.get(seat, ()), prompt)
        every, blocks, total = every + same, blocks + same // 32 * 32, total + len(prompt)
        seats[seat] = said
        for token in said:
            tree = tree.setdefault(token, {})
    return Allowed(own / total, every / total, blocks / total)


def walked(tree: dict[int, Any], ids: Sequence[int]) -> int:
    """How many of `ids` a tree of beginnings knows."""
    for n, token in enumerate(ids):
        if token not in tree:
            return n
        tree = tree[token]
    return len(ids)


def cached(heard: Heard) -> float:
    """Share of prompt tokens that the engine found in its prefix cache."""
    usages = [found.usage for _, found in heard.answers]
    return sum(usage.cached for usage in usages) / sum(usage.prompt for usage in usages)


def engine(adapters: Sequence[str] = (), live: int = LIVE, **options: Any) -> VLLMBackend:
    """A nano engine."""
    return VLLMBackend(BASE, adapters, dtype="float32", max_batch=live, cache_mb=1024, **options)


def throughput(bench: Bench, count: int) -> None:
    """Live beside offline, transformers, and one at a time."""
    from simarena.backends.transformers import TransformersBackend

    for title, adapters in (("base", []), ("four adapters", ADAPTERS)):
        backend = engine(adapters)
        players = agents(adapters or [None] * 3)
        matches = sorted(schedule(count, list(players), uneven), key=turns)
        bench.play(backend, players, matches[:8], 8)  # whatever is slow the first time
        bench.empty(backend)
        backend.engines[0].meter = Meter(LIVE)
        ours, heard = bench.play(backend, players, matches, LIVE)
        report = backend.reports()[0]
        offline = bench.offline(backend, heard)
        tell(f"{title}: live, tokens/s in those of offline", ">= 0.90", ours.share_of(offline))
        print(
            f"  {count} matches, {LIVE} live: {ours.rate:,.0f} tokens/s, offline {offline.rate:,.0f}; "
            f"{report.steps} steps where {report.sampled / LIVE:.0f} full ones would do; "
            f"batch {report.live:.1f} of {report.most}, idle {report.idle / report.seconds:.0%}, "
            f"between steps {report.client / report.seconds:.0%}"
        )
        some = matches[:: max(1, count // LIVE)]
        bench.empty(backend)
        ours, heard = bench.play(backend, players, some, LIVE)
        theirs, _ = bench.play(hf := TransformersBackend(BASE, adapters, device="cpu", threads=1), players, some, LIVE)
        bench.go(hf.aclose())
        tell(f"{title}: live beside transformers", ">= 3", ours.share_of(theirs))
        if not adapters:
            tell(f"{title}: live beside padded generate", "", ours.share_of(padded(heard)))
            bench.empty(backend)
            one, _ = bench.play(backend, players, matches[:: count // 4], 1)
            tell(f"{title}: live beside one match at a time", ">= 15", ours.share_of(one))
        bench.go(backend.aclose())


def padded(heard: Heard) -> Time:
    """Transformers' own `generate`, groups of `LIVE` in the order of asking, each as long as its longest reply."""
    import torch

    from simarena.backends.opening import open_model

    torch.set_num_threads(1)
    model = open_model(NANO / "base", torch.float32).eval()
    asked = [(found.prompt_ids or (), len(found.ids)) for _, found in heard.answers if found.ids]
    wall, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(asked), LIVE):
        group = asked[start : start + LIVE]
        width, length = max(len(ids) for ids, _ in group), max(length for _, length in group)
        ids = torch.tensor([[0] * (width - len(ids)) + list(ids) for ids, _ in group])
        mask = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids, _ in group])
        limits = {"min_new_tokens": length, "max_new_tokens": length}
        model.generate(ids, attention_mask=mask, do_sample=True, temperature=HOT, pad_token_id=0, **limits)
    return Time(heard.sampled, time.perf_counter() - wall, time.process_time() - cpu)


def economy(bench: Bench, count: int) -> None:
    """Eight-turn debates; then 256 at once."""
    backend = engine(live=256)
    players = agents([None] * 3)
    _, heard = bench.play(backend, players, schedule(32, list(players), lambda _: 4), 32)
    theory, found = allowed(heard), cached(heard)
    tell("eight-turn debates: cached share in theory's", ">= 0.80", f"{found / theory.extension:.2f}")
    print(
        f"  {found:.1%} of prompt tokens cached; strict extension allows {theory.extension:.1%}, all shared beginnings "
        f"{theory.shared:.1%}, in whole blocks {theory.blocks:.1%}"
    )
    bench.empty(backend)
    thread = backend.engines[0]
    thread.meter = Meter(256)
    engine_cpu = bench.go(backend._call(thread, lambda _: time.thread_time(), alone=True))
    wide, _ = bench.play(backend, players, schedule(count, list(players), uneven), 256)
    engine_cpu = bench.go(backend._call(thread, lambda _: time.thread_time(), alone=True)) - engine_cpu
    client, wall = wide.cpu - engine_cpu, thread.meter.report("").seconds
    tell("256 live: client's CPU in the engine's wall time", "< 15 %", f"{client / wall:.1%}")
    print(f"  {wide.rate:,.0f} tokens/s; {client / engine_cpu:.1%} of the engine's CPU time")
    bench.go(backend.aclose())


def longest_pause(slices: Sequence[Slice]) -> float:
    """Seconds between two steps, at most."""
    return max((after.begin - before.end for before, after in pairwise(slices)), default=0.0)


def weights(bench: Bench) -> None:
    """How long new weights take, and how long others wait for them."""
    backend = engine(ADAPTERS[:1], max_adapters=4)
    hold = Sampling(max_tokens=400)
    messages = (Message("user", "Write."),)
    meter = backend.engines[0].meter

    def asked(n: int) -> Request:
        return Request(key=f"m{n}/a/0", agent="a", model=BASE, messages=messages, sampling=hold, seed=n)

    async def adapter() -> float:
        others = [asyncio.create_task(backend.generate(asked(n))) for n in range(8)]
        await asyncio.sleep(0.1)
        meter.slices.clear()
        began = time.perf_counter()
        await backend.add_adapter(ADAPTERS[1])
        await backend.generate(replace(asked(9), adapter=ADAPTERS[1], sampling=Sampling(max_tokens=1)))
        answered = time.perf_counter() - began
        await asyncio.gather(*others)
        return answered

    async def full() -> float:
        began = time.perf_counter()
        await backend.reload(BASE)
        await backend.generate(replace(asked(0), sampling=Sampling(max_tokens=1)))
        return time.perf_counter() - began

    bench.go(backend.generate(asked(0)))
    tell("new adapter: its first answer beside 8 others", "< 0.5 s", f"{bench.go(adapter()):.2f} s")
    tell("  the others waited, at most", "< 0.5 s", f"{longest_pause(meter.slices):.2f} s")
    tell("new full weights: their first answer", "< 1 s", f"{bench.go(full()):.2f} s")
    bench.go(backend.aclose())


def main(count: int = 256) -> None:
    """All of it."""
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    bench = Bench()
    began = time.perf_counter()
    tell("measure", "target", "found")
    weights(bench)
    throughput(bench, count)
    economy(bench, count)
    spent = f"{time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of CPU time"
    print(f"all of it took {spent}; one engine thread")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
