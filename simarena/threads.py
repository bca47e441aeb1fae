"""How many threads torch computes with in a process, chosen by measurement; and that they sleep while they wait.

In: the size of the work. Out: a count with the reason for it, kept for the record. Loads torch only to measure.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any, Literal

from simarena.errors import SimArenaError
from simarena.records import JSON

ASLEEP = {"OMP_WAIT_POLICY": "passive", "KMP_BLOCKTIME": "0"}
"""GNU's OpenMP reads the first, LLVM's and Intel's the second. Else threads spin while they wait for one another, and
beside another busy process each wait lasts until the scheduler has given every one of them a core."""
COUNT = "OMP_NUM_THREADS"

By = Literal["options", "OMP_NUM_THREADS", "training.json", "measured"]
Slot = Callable[[int], float]
"""Works for a moment with so many threads; seconds that one piece of work took."""
SLOTS = 5
SLOT = 0.02
"""Seconds: several time slices of the scheduler, which lets a thread that has slept go first for one or two."""
WIDEST = 2048
LARGEST = 2**26
"""Most rows * width^2 that is measured: some 25 ms of one core."""
SHIPPED = (64, 192)
"""Rows and width of the shipped models' full batch."""


class Miscounted(SimArenaError):
    """A number of threads that is none."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A number of threads, and why that many."""

    count: int
    by: By
    """An agent's options, the environment, an earlier execution of the same training, or what was fastest."""
    cores: int
    """That this process may use."""
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    """Threads -> time of one piece of work, where it was measured."""

    def apply(self) -> None:
        """Compute with so many threads from now on: in the calling thread, and in those that are new to torch."""
        import torch

        torch.set_num_threads(self.count)

    def line(self) -> str:
        """In a few words."""
        times = ", ".join(f"{value:g} ms with {count}" for count, value in self.milliseconds.items())
        return f"{self.count} of {self.cores} cores, {self.by}" + (f" ({times})" if times else "")


CHOICES: dict[str, Choice] = {}
"""What computes -> the last choice that was made for it in this process."""


def sleep_while_waiting() -> None:
    """Let torch's threads sleep while they wait; what the user has set stays. To be called before torch is loaded."""
    for name, value in ASLEEP.items():
        os.environ.setdefault(name, value)


def choose(what: str, rows: int, width: int, *, options: int = 0, earlier: int = 0) -> Choice:
    """Threads for `what`, whose layers multiply `rows` x `width` values; apply it in the thread that computes.

    `options` are an agent's own; `earlier` is what the same work used before it was stopped; 0: nothing is said.
    Miscounted where OMP_NUM_THREADS is no number.
    """
    CHOICES[what] = said(options, earlier) or measured(rows, width)
    return CHOICES[what]


def said(options: int = 0, earlier: int = 0) -> Choice | None:
    """The first number that somebody asks for; None: it is to be measured."""
    asked: dict[By, int] = {"options": options, "OMP_NUM_THREADS": from_environment(), "training.json": earlier}
    return next((Choice(count=count, by=by, cores=cores()) for by, count in asked.items() if count), None)


def record() -> dict[str, JSON]:
    """How threads wait, and the choices of this process so far."""
    return {"wait": os.environ.get("OMP_WAIT_POLICY"), **{what: asdict(each) for what, each in CHOICES.items()}}


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def from_environment() -> int:
    """OMP_NUM_THREADS, of a list of levels the outermost; 0 where it is not set."""
    said = os.environ.get(COUNT, "")
    first = said.partition(",")[0].strip()
    if said and not (first.isdecimal() and int(first)):
        raise Miscounted(f"{COUNT} is {said!r}; set it to a number of threads, e.g. 1, or unset it to have it measured")
    return int(first or 0)


def width(model: Any) -> int:
    """Values that the layers of a model hand on for each token."""
    return int(model.get_input_embeddings().embedding_dim)


@cache
def measured(rows: int, width: int) -> Choice:
    """The count that measurement gives, once in a process; in a thread of its own, with which OpenMP's threads end."""
    with ThreadPoolExecutor(1) as alone:
        count, seconds = alone.submit(lambda: fastest(cores(), stopwatch(rows, width))).result()
    times = {str(n): round(1000 * each, 3) for n, each in seconds.items()}
    return Choice(count=count, by="measured", cores=cores(), milliseconds=times)


def fastest(most: int, slot: Slot) -> tuple[int, dict[int, float]]:
    """(count, median seconds by count): more threads as long as they bring half of what they could.

    Beside a busy core they do not. Slots of two counts take turns, so that both meet the same neighbours, and all pairs
    of slots but one have to agree: too few threads cost less than too many.
    """
    count, seconds = 1, dict[int, float]()
    for fewer, more in pairwise(counts(most)):
        pairs = [(slot(fewer), slot(more)) for _ in range(SLOTS)]
        seconds[fewer], seconds[more] = (statistics.median(column) for column in zip(*pairs, strict=True))
        if sorted(one / other for one, other in pairs)[1] < (1 + more / fewer) / 2:
            break
        count = more
    return count, seconds


def counts(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    return [*(2**n for n in range((most - 1).bit_length())), most]


def stopwatch(rows: int, width: int) -> Slot:
    """Slots of a feed-forward layer's work, of that size or as large as is quickly measured."""
    import torch

    width = min(width, WIDEST)
    values = torch.rand(max(1, min(rows, LARGEST // width**2)), width)
    up, down = torch.rand(width, 4 * width), torch.rand(4 * width, width)

    def once() -> None:
        torch.nn.functional.silu(values @ up) @ down

    def slot(count: int) -> float:
        torch.set_num_threads(count)
        once()  # starts the threads
        begun, done = time.perf_counter(), 0
        while (spent := time.perf_counter() - begun) < SLOT or not done:
            once()
            done += 1
        return spent / done

    return slot


def elsewhere(rows: int, width: int) -> Choice:
    """What another process would choose now; where that takes a measurement, torch is loaded there and not here."""
    if (found := said()) is not None:
        return found
    command = [sys.executable, "-P", "-m", __name__, str(rows), str(width)]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603 - our own interpreter and two numbers
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise Miscounted(f"the number of threads cannot be measured ({last}); set {COUNT}, e.g. to 1")
    return Choice(**json.loads(done.stdout))


def main(rows: str, width: str) -> None:
    """Write what is measured, for `elsewhere` to read."""
    sleep_while_waiting()
    sys.stdout.write(json.dumps(asdict(measured(int(rows), int(width)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
