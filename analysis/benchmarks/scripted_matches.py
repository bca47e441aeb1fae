"""What a match costs with the scripted backend, store included. Target: 2 ms for six turns, in bulk.

First the smallest match there is (`talk`), so that the figure is the loop's and the store's; then a debate between
reference policies, whose own thinking is the larger part. CPU time is told beside wall time: the machine may be shared.
Usage: python analysis/benchmarks/scripted_matches.py [matches]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from talk import AGENTS, META, reply, schedule

from simarena.agents.base import Agent, ScriptedAgent
from simarena.backends.scripted import Reply, ScriptedBackend
from simarena.identity import new_match
from simarena.records import Match
from simarena.rollout import rollout
from simarena.store import start_run
from simarena.store_file import FILE


def measure(name: str, matches: list[Match], agents: Mapping[str, Agent], answer: Reply, concurrency: int) -> None:
    """Play `matches` into a fresh run and print milliseconds a match."""
    with tempfile.TemporaryDirectory() as folder:
        with start_run(folder, META) as run:
            began, cpu = time.perf_counter(), time.process_time()
            play = rollout(run, matches, agents, {"scripted": ScriptedBackend(answer)}, concurrency=concurrency)
            report = asyncio.run(play)
            seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        size_kb = (Path(folder) / FILE).stat().st_size / 1e3
    count = len(matches)
    assert report.done == count, report
    print(
        f"{name}, {report.turns / count:.0f} turns, {concurrency:>3} at once: {seconds / count * 1e3:.2f} ms each "
        f"({cpu / count * 1e3:.2f} ms CPU, {report.calls / seconds:,.0f} commits/s, {size_kb / count:.1f} kB)"
    )


def debates(count: int) -> tuple[list[Match], dict[str, ScriptedAgent]]:
    """Honest debaters before a judge who counts quotations."""
    policies = {"honest": "debate/honest", "judge": "debate/quote_counter"}
    agents = {name: ScriptedAgent(name, policy) for name, policy in policies.items()}
    seats, who = {"debater_0": "honest", "debater_1": "honest", "judge_0": "judge"}, dict.fromkeys(agents, "1")
    return [new_match("debate", {}, seats, who, task_seed=n, seed=n) for n in range(count)], agents


def main(size: int) -> None:
    """Print the costs; the target is for bulk, not for one at a time."""
    measure("warm-up", schedule(50), AGENTS, reply, 16)
    for concurrency in (1, 64, 512):
        measure("scripted match", schedule(size if concurrency > 1 else size // 10), AGENTS, reply, concurrency)
    print("target: 2 ms for six turns in bulk")
    matches, agents = debates(size // 5)
    measure("debate of reference policies", matches, agents, lambda asked: agents[asked.agent].answer(asked), 64)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
