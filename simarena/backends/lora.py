"""LoRA adapters side by side: one pair of stacked matrices a layer, and each row of a batch sees its own adapter only.

In: folders in peft's format, names, and who uses which in the next forward. A row without an adapter gets the base's
answer to the last bit; a row with one gets what the adapter gives alone. Two matrix products a layer serve any mixture.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simarena.backends.admission import lora_settings
from simarena.backends.opening import read_tensors
from simarena.errors import MissingModel

TENSOR = re.compile(r"base_model\.model\.(.+)\.lora_([AB])\.weight")


class Adapters:
    """The adapters of one model. `use` says who sits in which row; the model's own forward does the rest."""

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.names: list[str] = []
        self._pairs: dict[str, list[tuple[Tensor, Tensor]]] = {}  # module -> per adapter (A, scaled B transposed)
        self._stacks: dict[str, tuple[Tensor, Tensor]] = {}
        self._used: Tensor | None = None
        self._gate: Tensor | None = None

    def add(self, name: str, folder: Path) -> None:
        """Load one more adapter; MissingModel where it is of another kind or another base."""
        settings, found = lora_settings(folder), read_pairs(folder)
        for module, (a, b) in found.items():
            base = getattr(self.modules.get(module), "weight", None)
            if base is None or sorted((b.shape[0], a.shape[1])) != sorted(base.shape):
                shape = "no such layer" if base is None else f"{list(base.shape)}"
                raise MissingModel(
                    f"adapter {folder} does not fit its base: {module} wants {b.shape[0]} x {a.shape[1]}, the base has "
                    f"{shape}; give the base that it was trained on"
                )
            self._hook(module)
            b = b.double() * scaling(settings, module, a.shape[0])
            self._pairs[module] += [empty(a, b)] * (len(self.names) - len(self._pairs[module]))
            self._pairs[module].append((a.to(base), b.to(base).T))
        self.names.append(name)

    def stack(self) -> None:
        """Put the adapters' matrices side by side; to be called once all are added."""
        rank = max((a.shape[0] for pairs in self._pairs.values() for a, _ in pairs), default=0)
        self._rank = rank
        for module, pairs in self._pairs.items():
            pairs = pairs + [empty(*pairs[0])] * (len(self.names) - len(pairs))
            sides = [torch.stack([padded(pair[side], rank) for pair in pairs]) for side in (0, 1)]
            self._stacks[module] = (sides[0], sides[1])
        self._pairs.clear()

    def use(self, names: Sequence[str | None]) -> None:
        """Who sits in the rows of the next forward; None: the base."""
        used = sorted({self.names.index(name) for name in names if name is not None})
        if not used:
            self._used = None
            return
        device = next(iter(self._stacks.values()))[0].device if self._stacks else None
        places = [used.index(self.names.index(name)) if name is not None else -1 for name in names]
        owner = torch.arange(len(used), device=device).repeat_interleave(self._rank)
        self._used = torch.tensor(used, device=device)
        self._gate = torch.tensor(places, device=device)[:, None, None] == owner

    def _hook(self, module: str) -> None:
        if module in self._pairs:
            return
        self._pairs[module] = []

        def add_delta(_: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
            if self._used is None:
                return None
            down, up = self._stacks[module]
            inner = args[0] @ down[self._used].flatten(0, 1).T
            delta: Tensor = (inner * self._gate) @ up[self._used].flatten(0, 1)
            return output + delta

        self.modules[module].register_forward_hook(add_delta)


def empty(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The pair of an adapter that leaves a layer alone."""
    return a[:0], b[:0]


def padded(matrix: Tensor, rank: int) -> Tensor:
    """`matrix` with rows of zeros up to `rank`."""
    return torch.cat([matrix, matrix.new_zeros(rank - matrix.shape[0], matrix.shape[1])])


def read_pairs(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Module path -> (A [rank, in], B [out, rank])."""
    where = folder / "adapter_model.safetensors"
    halves: dict[str, dict[str, Tensor]] = {}
    for key, tensor in read_tensors(where).items():
        named = TENSOR.fullmatch(key)
        if named is None:
            raise MissingModel(f"{where} holds {key}, which is no part of a plain LoRA adapter")
        halves.setdefault(named[1], {})[named[2]] = tensor
    if lone := [module for module, half in halves.items() if len(half) < 2]:
        raise MissingModel(f"{where} holds half of the pair of {lone[0]}; save the adapter again")
    return {module: (half["A"], half["B"]) for module, half in halves.items()}


def scaling(settings: dict[str, Any], module: str, rank: int) -> float:
    """What B A is multiplied with: alpha / rank (arXiv:2106.09685), or alpha / sqrt(rank) (arXiv:2312.03732)."""
    alpha = settings.get("lora_alpha", 8)
    for pattern, value in (settings.get("alpha_pattern") or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            alpha = value
            break
    return float(alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank))
