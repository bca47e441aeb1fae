"""How long 100,000 records take to become pairs, and what memory that takes. Target: under 30 s, whatever the size.

A record is a completion: two answers and two judgements make a duel, a duel makes a pair. The run is written straight
into a store, from one duel's worth of words with numbers of its own. Memory is what the process grows by from a
tenth of the run to all of it: what streams does not grow with it, but for a hash a pair and an id a match.
Usage: python analysis/benchmarks/bench_pairs.py [records]
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from pathlib import Path

from simarena.identity import new_match
from simarena.preferences.build import build
from simarena.preferences.record import write_jsonl
from simarena.records import Completion, Event, Match, Message, Request, Trajectory, Turn
from simarena.store import Writer, open_run, start_run

SEATS = {"contestant_0": "ann", "contestant_1": "bob", "judge_0": "cat", "judge_1": "dan"}
PARAMS = {"mode": "duel", "m": 4, "judging": "score", "orders": "given", "task": "arithmetic"}
SYSTEM = Message("system", "You are a contestant. You and others answer the same question. Judges compare the answers.")
WORDS = 60
"""Tokens of an answer."""
AT_ONCE = 500
"""Duels in one commit."""


async def fill(run: Writer, first: int, count: int) -> None:
    """Write `count` duels."""
    await asyncio.gather(*(duel(run, n) for n in range(first, first + count)))


async def duel(run: Writer, n: int) -> None:
    """Write a duel: who is right changes, so that the winner does."""
    match = new_match("arena", PARAMS, SEATS, dict.fromkeys(SEATS.values(), "1"), task_seed=n, seed=n)
    run.start(match)
    turns = []
    for place, (seat, agent) in enumerate(SEATS.items()):
        judge = seat.startswith("judge")
        fields = (
            {"reason": "so", "scores": [3 + n % 2, 4 - n % 2]} if judge else {"reason": "so", "answer": str(n + place)}
        )
        key = f"{match.id}/{seat}/0"
        await run.answer(asked(key, agent, n, judge), said(n, place), 0.01)
        phase = "judge 1" if judge else "answer"
        turns.append(
            Turn(
                n=place, seat=seat, agent=agent, phase=phase, calls=(key,), fields=fields, outcome="ok", state="0" * 16
            )
        )
    await run.finish(ended(match, turns), 0.01)


def asked(key: str, agent: str, n: int, judge: bool) -> Request:
    """What a seat was asked; both contestants the same."""
    user = Message("user", f"What is {n} + {n}?" + (" Grade the answers." if judge else ""))
    return Request(key=key, agent=agent, model="nano/base", messages=(SYSTEM, user), seed=n)


def said(n: int, place: int) -> Completion:
    """Some words with their tokens."""
    ids = tuple((n + place + i) % 1000 for i in range(WORDS))
    text = f"{n} and {n} make {n + place}. " * 4
    logprobs = tuple(-0.001 * i for i in range(WORDS))
    return Completion(text=text, prompt_ids=tuple(range(64)), ids=ids, logprobs=logprobs, version="1")


def ended(match: Match, turns: list[Turn]) -> Trajectory:
    """A duel as it ends."""
    task = Event(0, "deal", "", None, "task", {"question": "sum", "family": "arithmetic"})
    metrics = {"correct/contestant_0": 1.0, "correct/contestant_1": 0.0}
    return Trajectory(match=match, status="done", turns=tuple(turns), events=(task,), metrics=metrics)


def memory_mb() -> float:
    """Memory that this process has now, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 1e6


def main(records: int) -> None:
    """Write a run, and read it into pairs."""
    duels = records // len(SEATS)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with start_run(folder / "run", {"scenario_hash": "bench"}) as run:
            for first in range(0, duels, AT_ONCE):
                asyncio.run(fill(run, first, min(AT_ONCE, duels - first)))
            run.flush()
        made, held = 0, list[float]()
        began, cpu = time.perf_counter(), time.process_time()
        with open_run(folder / "run") as opened, (folder / "pairs.jsonl").open("w") as out:
            pairs, counts = build(opened, "duel")
            for pair in pairs:
                write_jsonl([pair], out)
                made += 1
                if made % (duels // 10) == 0:
                    held.append(memory_mb())
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        size = (folder / "pairs.jsonl").stat().st_size / 1e6
    assert made == duels, counts
    print(
        f"{records:,} records to {made:,} pairs ({size:.0f} MB written): {seconds:.1f} s ({cpu:.1f} s CPU, "
        f"{cpu / made * 1e6:.0f} us a pair); target 30 s. Memory from a tenth on: +{max(held) - held[0]:.0f} MB"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
