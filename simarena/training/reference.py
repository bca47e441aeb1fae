"""What a policy is compared with: its base, where it started, a frozen copy, another adapter, or nothing.

Log-probabilities under a reference are computed once and kept on disk, by tokens, mask, version and precision. A file
belongs to one reference and refuses to be read as another's.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from simarena import outputs
from simarena.errors import SimArenaError
from simarena.training.distributed import Ranks
from simarena.training.trie import Sequence as Tokens

Read = Callable[[Sequence[Tokens]], list[Tensor]]
"""Sequences -> log-probabilities of each one's own tokens, [T] each, without gradient."""


class UnfitReference(SimArenaError):
    """A reference, or a cache of one, that cannot be used."""

    exit_code = 2


# ---- wearing another's weights ---------------------------------------------------------------------------------------


def local(tensor: Tensor) -> Tensor:
    """This rank's share of a parameter; the parameter itself where it is whole."""
    found: Tensor = tensor.to_local() if hasattr(tensor, "to_local") else tensor
    return found


@contextmanager
def adapter_off(model: nn.Module) -> Iterator[None]:
    """The base alone, to the last bit. Leaves `requires_grad` as it is, which sharded parameters rely on."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer._disable_adapters = True
    try:
        yield
    finally:
        for layer in layers:
            layer._disable_adapters = False


@contextmanager
def wearing(trained: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """The model with `tensors` for its trained parameters; afterwards these are what they were, to the last bit."""
    own = {name: parameter.detach().clone() for name, parameter in trained.items()}
    try:
        put(trained, tensors)
        yield
    finally:
        put(trained, own)


@torch.no_grad()
def put(trained: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Give the trained parameters other values, in place."""
    for name, parameter in trained.items():
        local(parameter).copy_(local(tensors[name]))


# ---- the cache -------------------------------------------------------------------------------------------------------


def key_of(sequence: Tokens) -> bytes:
    """Sixteen bytes that stand for a sequence's tokens and its mask."""
    ids = hashlib.sha256(array("q", sequence.ids).tobytes()).digest()[:16]
    mask = hashlib.sha256(bytes(sequence.mask)).digest()[:16]
    return hashlib.sha256(ids + mask).digest()[:16]


TABLE = """
CREATE TABLE IF NOT EXISTS logps (key BLOB, version TEXT, logps BLOB NOT NULL, PRIMARY KEY (key, version)) WITHOUT ROWID
"""


class Cache:
    """Log-probabilities of one reference on disk: SQLite, fp32, no code in it.

    A file belongs to the reference it was begun with. Where that moves, rows are told apart by version, and those of
    versions left behind go at the next `commit`: until then a training may have to go back to them.
    """

    def __init__(self, path: Path, version: str, dtype: str) -> None:
        self.path, self.version, self.dtype = path, version, dtype
        if path.is_dir():
            raise UnfitReference(f"{path} is a folder; name a file with reference_cache")
        for each in (path, path.with_name(f"{path.name}-journal")):
            outputs.refuse_in_place(each)
        try:
            with self._writing():
                path.parent.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(path, isolation_level="DEFERRED")
                self._open(version)
        except sqlite3.DatabaseError as error:
            raise UnfitReference(
                f"{path} is no cache of reference log-probabilities: {error}; name another file with reference_cache"
            ) from error
        self.hits = 0
        self.misses = 0

    def _writing(self) -> AbstractContextManager[None]:
        return outputs.explained(self.path, sqlite3.OperationalError)  # full, locked, read-only: what the system says

    def _open(self, version: str) -> None:
        tables = self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if foreign := {name for (name,) in tables} - {"about", "logps"}:
            self._db.close()
            raise UnfitReference(
                f"{self.path} is no cache of reference log-probabilities (it has a table {min(foreign)!r}); name "
                "another file with reference_cache"
            )
        self._db.execute("CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        self._db.execute(TABLE)
        known = {name: json.loads(value) for name, value in self._db.execute("SELECT name, value FROM about")}
        wanted = {"version": version, "dtype": self.dtype}
        if known and known != wanted:
            self._db.close()
            raise UnfitReference(
                f"{self.path} was computed under {known.get('version')} in {known.get('dtype')}, this reference is "
                f"{version} in {self.dtype}; delete the file or name another with reference_cache"
            )
        self._db.executemany(
            "INSERT OR REPLACE INTO about VALUES (?, ?)", [(k, json.dumps(v)) for k, v in wanted.items()]
        )
        self._db.commit()

    def find(self, sequence: Tokens) -> Tensor | None:
        """Log-probabilities [T] of a sequence's own tokens, or None."""
        asked = (key_of(sequence), self.version)
        row = self._db.execute("SELECT logps FROM logps WHERE key = ? AND version = ?", asked).fetchone()
        if row is None:
            self.misses += 1
            return None
        self.hits += 1
        return torch.frombuffer(bytearray(row[0]), dtype=torch.float32)

    def keep(self, sequence: Tokens, logps: Tensor) -> None:
        """Note log-probabilities [T]; they are on disk after the next `commit`."""
        blob = logps.detach().to("cpu", torch.float32).contiguous().numpy().tobytes()
        with self._writing():
            self._db.execute("INSERT OR REPLACE INTO logps VALUES (?, ?, ?)", (key_of(sequence), self.version, blob))

    def commit(self) -> None:
        """Bring everything to disk, and forget versions that were left behind."""
        with self._writing():
            self._db.execute("DELETE FROM logps WHERE version != ?", (self.version,))
            self._db.commit()

    def close(self) -> None:
        """Give the file back, with all that there was room for."""
        with suppress(sqlite3.OperationalError):
            self._db.commit()
        self._db.close()


# ---- the reference ---------------------------------------------------------------------------------------------------


class Reference:
    """Log-probabilities under the weights that a policy is compared with."""

    def __init__(self, worn: Callable[[], Any], version: str, cache: Cache | None, among: Ranks | None = None) -> None:
        self.worn = worn
        """Opens a context in which the model computes as the reference."""
        self.version = version
        self.cache = cache
        self.among = among or Ranks()

    def logps(self, sequences: Sequence[Tokens], read: Read) -> list[Tensor]:
        """[T] fp32 for each sequence, from the cache where it has them; what is missing is computed in one go."""
        found = [self.cache.find(each) if self.cache else None for each in sequences]
        missing = [each for each, known in zip(sequences, found, strict=True) if known is None]
        # sharded weights are gathered by all processes together: if one has to compute, all do
        fresh = iter(self._computed(missing or sequences[:1], read) if self.among.most(len(missing)) else [])
        return [next(fresh) if known is None else known for known in found]

    def _computed(self, sequences: Sequence[Tokens], read: Read) -> list[Tensor]:
        with torch.no_grad(), self.worn():
            made = [each.detach().to("cpu", torch.float32) for each in read(sequences)]
        if self.cache:
            for sequence, logps in zip(sequences, made, strict=True):
                self.cache.keep(sequence, logps)
        return made

    def moved(self, version: str) -> None:
        """The reference is another from now on: what was computed under the last one counts no more."""
        self.version = version
        if self.cache:
            self.cache.version = version


@dataclass
class Frozen:
    """Everything that does not learn: the reference, if there is one, and then the opponents."""

    reference: Reference | None
    opponents: list[Reference]
    """All that is ever asked of them is in their caches."""
    read: Read

    def logps(self, sequences: Sequence[Tokens]) -> list[Tensor]:
        """[T, R] for each sequence, reference first."""
        each = [one.logps(sequences, self.read) for one in (self.reference, *self.opponents) if one is not None]
        if not each:
            return [torch.zeros(sum(sequence.mask), 0) for sequence in sequences]
        return [torch.stack(columns, dim=1) for columns in zip(*each, strict=True)]

    @property
    def version(self) -> str:
        """Of the reference."""
        return self.reference.version if self.reference else ""

    def moved(self, version: str) -> None:
        """The reference is another from now on."""
        if self.reference:
            self.reference.moved(version)

    def commit(self) -> None:
        """Bring what was computed to disk."""
        for each in (self.reference, *self.opponents):
            if each is not None and each.cache is not None:
                each.cache.commit()

    def close(self) -> None:
        """Give all files back."""
        for each in (self.reference, *self.opponents):
            if each is not None and each.cache is not None:
                each.cache.close()
