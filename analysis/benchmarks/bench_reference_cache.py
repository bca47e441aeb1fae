"""What the cache of reference log-probabilities saves of a second epoch. Target: at least 25 %.

The nano tribe plays a tournament; DPO trains an adapter on the duels for two epochs, in turn with the cache and
with one that forgets everything. The second epochs are compared, by wall and CPU time: the machine may be shared. With
LoRA a third could be saved at most: forward and backward cost 4 N a token, the reference 2 N more.
Usage: python analysis/benchmarks/bench_reference_cache.py [times]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from torch import Tensor

from simarena.training import frozen
from simarena.training.arguments import Arguments
from simarena.training.data import Prepared, prepare, read_records
from simarena.training.policy import find_learner, load_policy, read_template
from simarena.training.reference import Cache
from simarena.training.trainer import train
from simarena.training.trie import Sequence as Tokens

AGENT = "nano-a"
TRIBE = [f"nano-{letter}" for letter in "abcdef"]
TIMES = 3


class Forgetful(Cache):
    """A cache that never has anything."""

    def find(self, sequence: Tokens) -> Tensor | None:
        """Nothing."""
        return None


def duels(folder: Path) -> Prepared:
    """The preferences of a tournament, as the agent reads them."""
    made = folder / "duels.jsonl"
    simarena("tournament", "arena/sparta_combat", "--scale", "reference", "--agents", *TRIBE, "--out", f"{folder}/run")
    simarena("pairs", f"{folder}/run", "--builder", "duel", "--out", str(made))
    template, window = read_template(find_learner(AGENT))
    return prepare(read_records(made), template, window=window)


def simarena(*words: str) -> None:
    """A command, unheard."""
    subprocess.run([sys.executable, "-m", "simarena.cli", *words], check=True, capture_output=True)


def second_epoch(prepared: Prepared, cache: type[Cache]) -> tuple[float, float]:
    """(wall seconds, CPU seconds) of a second epoch."""
    setattr(frozen, "Cache", cache)  # noqa: B010 - where the trainer opens it; mypy allows no plain assignment
    policy = load_policy(find_learner(AGENT))
    wall = cpu = 0.0
    with tempfile.TemporaryDirectory() as folder:
        before = time.perf_counter(), time.process_time()
        for step in train(policy, prepared, Arguments(epochs=2, checkpoint_every=1000), Path(folder)):
            now = time.perf_counter(), time.process_time()
            if step.epoch == 2:
                wall, cpu = wall + now[0] - before[0], cpu + now[1] - before[1]
            before = now
    return wall, cpu


def told(kind: str, with_cache: Sequence[float], without: Sequence[float]) -> str:
    """One line of the comparison."""
    ours, theirs = median(with_cache), median(without)
    return f"{kind} {ours:.2f} s with the cache, {theirs:.2f} s without: {1 - ours / theirs:.0%} saved"


def main(times: int) -> None:
    """Both ways in turn."""
    with tempfile.TemporaryDirectory() as folder:
        prepared = duels(Path(folder))
    found = [(second_epoch(prepared, Cache), second_epoch(prepared, Forgetful)) for _ in range(times)]
    sides = [told(kind, [a[n] for a, _ in found], [b[n] for _, b in found]) for n, kind in enumerate(("wall", "CPU"))]
    print(f"second epoch of DPO, {AGENT}, {len(prepared.decisions)} duels: {'; '.join(sides)}; target 25 %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else TIMES)
