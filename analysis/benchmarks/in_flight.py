"""Memory of many matches at once, and how fast the front door opens.

Targets: 10,000 matches in flight in under 1.5 GB, linear; `import simarena` under 0.4 s; `simarena --help` under 0.5 s
and without torch. Each figure is taken in a fresh process. Usage: python analysis/benchmarks/in_flight.py
"""

from __future__ import annotations

import asyncio
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from talk import AGENTS, META, reply, schedule

from simarena.records import Completion, Request
from simarena.rollout import rollout
from simarena.store import start_run


class Gate:
    """A backend that keeps all matches in flight: it answers turn n when every match has asked for its turn n."""

    def __init__(self, size: int) -> None:
        self.size, self.waiting = size, 0
        self.open = asyncio.Event()

    async def generate(self, request: Request) -> Completion:
        """A reply, when everybody is here."""
        gate, self.waiting = self.open, self.waiting + 1
        if self.waiting == self.size:
            self.waiting, self.open = 0, asyncio.Event()
            gate.set()
        await gate.wait()
        return Completion(text=reply(request))

    async def aclose(self) -> None:
        """Nothing is held."""


def resident_mb() -> float:
    """The most memory this process ever held, in MB (10^6 bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


async def fill(size: int, folder: str) -> None:
    """Play `size` matches, all of them in flight at every turn."""
    before = resident_mb()
    with start_run(Path(folder) / "run", META) as run:
        began = time.perf_counter()
        backends = {"scripted": Gate(size)}
        report = await rollout(run, schedule(size), AGENTS, backends, concurrency=size)
        seconds = time.perf_counter() - began
    assert report.done == size, report
    print(f"{resident_mb():.0f} {before:.0f} {seconds:.1f}")


def measured(size: int) -> tuple[float, float, float]:
    """(peak MB, MB before, seconds) of `size` matches in flight, in a process of its own."""
    command = [sys.executable, __file__, "--child", str(size)]
    peak, before, seconds = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return float(peak), float(before), float(seconds)


def opening(command: list[str]) -> float:
    """Seconds that a command takes, start of Python included: the median of five."""

    def once(words: list[str]) -> float:
        began = time.perf_counter()
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began

    return median(once(command) for _ in range(5))


def loads_torch(command: str) -> str:
    """Whether asking `command` for help imports torch."""
    words = [sys.executable, "-X", "importtime", command, "--help"]
    trace = subprocess.run(words, check=True, capture_output=True, text=True).stderr
    return "yes" if any(line.endswith(" torch") for line in trace.splitlines()) else "no"


def main() -> None:
    """Print memory at three sizes and the opening times."""
    for size in (1_000, 3_000, 10_000):
        peak, before, seconds = measured(size)
        each = (peak - before) * 1e3 / size
        print(
            f"{size:>6,} matches in flight: {peak:,.0f} MB, {each:.0f} kB and {seconds / size * 1e3:.2f} ms a match; "
            "target 1,500 MB at 10,000, linear"
        )
    print(f"import simarena: {opening([sys.executable, '-c', 'import simarena']):.2f} s; target 0.4 s")
    if command := shutil.which("simarena", path=str(Path(sys.executable).parent)):
        print(f"simarena --help: {opening([command, '--help']):.2f} s, torch {loads_torch(command)}; target 0.5 s, no")


if __name__ == "__main__":
    if "--child" in sys.argv:
        with tempfile.TemporaryDirectory() as place:
            asyncio.run(fill(int(sys.argv[-1]), place))
    else:
        main()
