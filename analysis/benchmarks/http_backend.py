"""Requests per second of the openai backend with 512 in flight, beside a bare aiohttp loop over the same server.

The server is the loopback double in a process of its own. Both sides alternate in one run, so that their ratio holds on
a busy machine too. Usage: python analysis/benchmarks/http_backend.py [--requests 10000] [--rounds 3] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median

import aiohttp

from simarena.backends.openai import OpenAIBackend
from simarena.backends.openai_wire import chat_body, first_dialect
from simarena.records import Message, Request, Sampling

IN_FLIGHT = 512
TARGET = 2000
"""Requests per second."""


def request(n: int) -> Request:
    """A turn's worth of prompt: some 1,600 characters in four messages."""
    said = f"In match {n}, the evidence speaks for the first reading. " * 8
    messages = tuple(Message(role, said[:400]) for role in ("system", "user", "assistant", "user"))
    return Request(
        key=f"{n}/pro_0/0", agent="a", model="m", messages=messages, sampling=Sampling(max_tokens=64), seed=n
    )


async def flood(ask: Callable[[Request], Awaitable[object]], total: int) -> float:
    """Requests per second of `ask` with IN_FLIGHT at once."""
    left = iter(range(total))

    async def work() -> None:
        for n in left:
            await ask(request(n))

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    return total / (time.perf_counter() - begun)


async def bare(url: str, total: int) -> float:
    """The same bodies over aiohttp alone: encode, post, read, decode."""
    backend = OpenAIBackend(base_url=url)
    dialect = first_dialect(backend.options)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(wanted: Request) -> object:
            body = json.dumps(chat_body(wanted, dialect, backend.options)).encode()
            headers = {"Content-Type": "application/json"}
            async with session.post(url + "/chat/completions", data=body, headers=headers) as answer:
                return json.loads(await answer.read())

        return await flood(ask, total)


async def ours(url: str, total: int) -> float:
    """Through the backend, with retries, limiter and breaker in place."""
    backend = OpenAIBackend(base_url=url, max_concurrency=IN_FLIGHT)
    try:
        return await flood(backend.generate, total)
    finally:
        await backend.aclose()


def measure(total: int, rounds: int) -> dict[str, float]:
    """Medians over `rounds` of both rates, and their ratio."""
    command = [sys.executable, "-m", "simarena.backends.faultserver"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None, "the server was started with a pipe"
        url = server.stdout.readline().strip()
        asyncio.run(bare(url, IN_FLIGHT))  # both sides warm
        pairs = [(asyncio.run(ours(url, total)), asyncio.run(bare(url, total))) for _ in range(rounds)]
        server.communicate()
    return {
        "backend_per_s": median(mine for mine, _ in pairs),
        "bare_aiohttp_per_s": median(other for _, other in pairs),
        "ratio": median(mine / other for mine, other in pairs),
        "target_per_s": TARGET,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.requests, given.rounds)
    if given.json:
        print(json.dumps(found))
        return
    verdict = "reached" if found["backend_per_s"] >= TARGET else "missed"
    print(
        f"http backend, {IN_FLIGHT} in flight: {found['backend_per_s']:,.0f} requests/s "
        f"(target {TARGET:,}: {verdict}); "
        f"bare aiohttp {found['bare_aiohttp_per_s']:,.0f}; ratio {found['ratio']:.2f}"
    )


if __name__ == "__main__":
    main()
