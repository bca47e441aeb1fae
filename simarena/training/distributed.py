"""Many processes as one trainer: torchrun starts them, FSDP2 shares out the weights; a single process is the same code.

Knows models, process groups and sums; no pair, no loss.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from simarena.training.scorer import describe
from simarena.training.trie import Sequence as Tokens
from simarena.training.trie import pack


@dataclass(frozen=True, slots=True)
class Ranks:
    """Which of how many processes this is. Every method with a sum or a maximum is to be called by all of them."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """The one that writes and speaks."""
        return self.rank == 0

    def total(self, values: Tensor) -> Tensor:
        """Elementwise sum over all processes."""
        if self.world > 1:
            dist.all_reduce(values)
        return values

    def most(self, value: int) -> int:
        """The largest of all processes' values."""
        if self.world == 1:
            return value
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, value)
        return int(max(found))

    def joined(self, values: Sequence[float]) -> list[float]:
        """All processes' numbers, in the order of ranks."""
        if self.world == 1:
            return list(values)
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, list(values))
        return [value for part in found for value in part]

    def names(self, mine: Iterable[str]) -> list[str]:
        """All processes' names, repetitions included."""
        if self.world == 1:
            return list(mine)
        found: list[Any] = [None] * self.world
        dist.all_gather_object(found, list(mine))
        return [name for part in found for name in part]

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def ranks() -> Iterator[Ranks]:
    """The processes that torchrun started; this one alone where it did not."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks()
        return
    joining = not dist.is_initialized()
    if joining:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        if joining:
            dist.destroy_process_group()


class Reader(nn.Module):
    """A model as that which reads sequences and weighs their own tokens.

    The root of all sharding: the head's weights are used outside the model's own forward, but always inside this one.
    """

    def __init__(self, model: Any, budget: int, chunk: int) -> None:
        super().__init__()
        self.model = model
        self.budget = budget
        self.chunk = chunk

    def forward(self, sequences: Sequence[Tokens], lse2: bool = False) -> tuple[list[Tensor], list[Tensor | None]]:
        """[T] log-probabilities of each sequence's own tokens, and where asked for their log-sums of squares [T]."""
        found = describe(self.model, pack(sequences, budget=self.budget), chunk=self.chunk, lse2=lse2)
        # Copies: FSDP2 hangs its work on what a forward returns, and would lose it with a view that is written to.
        return [each.logp.clone() for each in found], [each.lse2 for each in found]


def sharded(reader: Reader, among: Ranks) -> Reader:
    """The reader with its weights shared out; as it is for one process. To be called before an optimiser is made."""
    if among.world == 1:
        return reader
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh("cuda" if torch.cuda.is_available() else "cpu", (among.world,))
    for block in blocks(reader.model):
        fully_shard(block, mesh=mesh)
    # Resharded after each forward: a pass under the reference must not leave its weights gathered for the policy's.
    fully_shard(reader, mesh=mesh, reshard_after_forward=True)
    return reader


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers that repeat: what is gathered at once."""
    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module) > 1]
    return list(lists[0]) if lists else []


def whole(tensor: Tensor) -> Tensor:
    """All of a parameter on the CPU, gathered where it is shared out; to be called by all processes."""
    found: Tensor = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return found.detach().to("cpu")
