"""What a six-turn match costs with the scripted backend, store included. Target: 2 ms each in bulk.

Usage: python analysis/benchmarks/scripted_matches.py [matches]
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

from talk import AGENTS, META, reply, schedule

from simarena.backends.scripted import ScriptedBackend
from simarena.rollout import rollout
from simarena.store import start_run


def main(size: int) -> None:
    """Play `size` matches at several concurrencies and print milliseconds a match."""
    for concurrency in (1, 64, 512):
        count = size if concurrency > 1 else max(1, size // 10)
        with tempfile.TemporaryDirectory() as folder, start_run(Path(folder) / "run", META) as run:
            matches, backends = schedule(count), {"scripted": ScriptedBackend(reply)}
            began = time.perf_counter()
            report = asyncio.run(rollout(run, matches, AGENTS, backends, concurrency=concurrency))
            seconds = time.perf_counter() - began
            size_kb = (Path(folder) / "run" / "run.sqlite").stat().st_size / 1e3
        assert (report.done, report.turns) == (count, 6 * count), report
        print(
            f"scripted match, 6 turns, {concurrency:>3} at once: {seconds / count * 1e3:.2f} ms each "
            f"({report.calls / seconds:,.0f} commits/s, {size_kb / count:.1f} kB each on disk); target 2 ms in bulk"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3000)
