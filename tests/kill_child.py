"""A deterministic run in a process of its own, made to be killed. Arguments: folder, log, matches, concurrency."""

from __future__ import annotations

import asyncio
import os
import sys

from simarena import seeds
from simarena.ledger import RunReport
from simarena.records import Completion, Request, Usage
from simarena.registry import ENVIRONMENTS
from simarena.rollout import rollout
from simarena.store import start_run
from tests import toy

AGENTS = {name: toy.Talker(name) for name in ("ann", "bob")}


class Logged:
    """Answers by rule, with tokens; before it answers, the key stands in the log, on disk."""

    def __init__(self, log: str) -> None:
        self.log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    async def generate(self, request: Request) -> Completion:
        os.write(self.log, f"{request.key}\n".encode())
        os.fsync(self.log)
        rng = seeds.rng("wait", request.key)
        await asyncio.sleep(rng.random() * 0.004)
        prompt = tuple(token for m in request.messages for token in (m.ids or m.content.encode()))
        ids = tuple(toy.answer(request).encode())
        logprobs = tuple(-rng.random() for _ in ids)
        usage = Usage(prompt=len(prompt), completion=len(ids))
        return Completion(text=toy.answer(request), prompt_ids=prompt, ids=ids, logprobs=logprobs, usage=usage)

    async def aclose(self) -> None:
        os.close(self.log)


async def main(folder: str, log: str, matches: int, concurrency: int) -> RunReport:
    backend = Logged(log)
    with start_run(folder, toy.META) as run:
        schedule = toy.schedule(list(AGENTS.values()), matches)
        report = await rollout(run, schedule, AGENTS, {"scripted": backend}, concurrency=concurrency)
    await backend.aclose()
    return report


if __name__ == "__main__":
    ENVIRONMENTS["toy"] = "tests.toy:Toy"
    report = asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    assert report.complete, report
