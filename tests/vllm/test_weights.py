"""New weights without a restart: what the engine answers afterwards are the answers of the trained model."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from simarena.agents.spec import LanguageSpec
from simarena.backends.vllm import Plan
from simarena.backends.vllm_backend import VLLMBackend
from simarena.casting import Cast, engines_kept
from simarena.errors import BackendError, MissingModel, RequestFailed
from simarena.records import Sampling
from tests.tiny import Tiny, adapt
from tests.tiny import build as build_tiny
from tests.vllm.asking import request
from tests.vllm.conftest import Floor, opened

HOLD = Sampling(max_tokens=300)
ENGINE: dict[str, Any] = {"backend": "vllm", "options": {"dtype": "float32", "cache_mb": 64, "max_adapters": 0}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    return build_tiny(tmp_path_factory.mktemp("weights"), max_position_embeddings=2048)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The same shapes, other numbers: as a base looks after training."""
    return build_tiny(tmp_path_factory.mktemp("trained"), seed=1, max_position_embeddings=2048)


@pytest.fixture(scope="module")
def floor(weights: Tiny) -> Iterator[Floor]:
    floor = opened(weights.base, [weights.red], max_adapters=3)
    yield floor
    floor.close()


def by_transformers(weights: Tiny, adapter: str | None, prompt: Any, rest: Any) -> list[float]:
    ids = torch.tensor([[*prompt, *rest]])
    with torch.inference_mode():
        found = weights.adapted(adapter)(ids).logits[0].log_softmax(-1)[len(prompt) - 1 : -1]
    return [float(value) for value in found.gather(1, ids[0, len(prompt) :, None])[:, 0]]


def rescored(floor: Floor, weights: Tiny, adapter: str | None = None) -> float:
    """The largest difference between the engine's log-probabilities and those of the weights on disk."""
    prompt, rest = tuple(range(5, 105)), tuple(range(40, 60))
    ours = floor.go(floor.backend.logprobs(prompt, rest, adapter))
    theirs = by_transformers(weights, adapter, prompt, rest)
    return max(abs(a - b) for a, b in zip(ours, theirs, strict=True))


def test_a_new_adapter_is_live_at_once_under_a_name_of_its_own(floor: Floor, weights: Tiny, tmp_path: Path) -> None:
    before = floor.ask(request(adapter=weights.red))[0]
    fresh = shutil.copytree(weights.blue, tmp_path / "blue")
    began = time.perf_counter()
    version = floor.go(floor.backend.add_adapter(str(fresh)))
    print(f"adapter live in {time.perf_counter() - began:.3f} s")
    assert version.startswith("blue@")
    assert rescored(floor, weights, str(fresh)) < 1e-4
    found = floor.ask(request(adapter=str(fresh)), request(adapter=weights.red), request())
    assert found[0].version.endswith(f"+{version}")
    assert found[1].ids == before.ids
    assert len({each.ids for each in found}) == 3


def test_the_same_folder_with_new_weights_is_another_adapter(floor: Floor, weights: Tiny, tmp_path: Path) -> None:
    from transformers import LlamaForCausalLM

    where = str(shutil.copytree(weights.blue, tmp_path / "moving"))
    first = floor.go(floor.backend.add_adapter(where))
    old = floor.ask(request(adapter=where))[0]
    assert floor.go(floor.backend.add_adapter(where)) == first, "nothing has changed"
    torch.manual_seed(9)
    adapt(LlamaForCausalLM.from_pretrained(weights.base), Path(where), rank=5)
    second = floor.go(floor.backend.add_adapter(where))
    new = floor.ask(request(adapter=where))[0]
    assert first != second
    assert old.version != new.version
    assert rescored(floor, weights, where) < 1e-4
    assert old.ids != new.ids


def test_an_adapter_that_does_not_fit_is_refused_and_harms_nobody(floor: Floor, tmp_path: Path) -> None:
    other = build_tiny(tmp_path / "other", hidden_size=96, num_attention_heads=3)
    with pytest.raises(MissingModel, match="does not fit"):
        floor.go(floor.backend.add_adapter(other.red))
    assert floor.ask(request())[0].ids


def test_reload_changes_the_answers_to_those_of_the_trained_model(floor: Floor, weights: Tiny, trained: Tiny) -> None:
    async def across() -> tuple[Any, Any, float]:
        under_way = asyncio.create_task(floor.backend.generate(request(1, sampling=HOLD)))
        while not floor.backend.engines[0].live:  # noqa: ASYNC110 - the engine's thread has no event to wait for
            await asyncio.sleep(0.001)
        began = time.perf_counter()
        version = await floor.backend.reload(trained.base)
        print(f"weights live in {time.perf_counter() - began:.3f} s")
        assert under_way.done(), "it was answered by the old weights, to its end"
        return await under_way, await floor.backend.generate(request(1, sampling=HOLD)), version

    assert rescored(floor, weights) < 1e-4
    old = floor.ask(request(1, sampling=HOLD))[0]
    try:
        crossing, new, version = floor.go(across())
        assert crossing.ids == old.ids
        assert new.ids != old.ids
        assert new.usage.cached == 0, "nothing that the old weights read is left"
        assert new.version == version != old.version
        assert rescored(floor, trained) < 1e-4
    finally:
        floor.go(floor.backend.reload(weights.base))
    assert rescored(floor, weights) < 1e-4
    assert floor.ask(request(1, sampling=HOLD))[0].ids == old.ids


def test_an_engine_that_dies_after_a_reload_starts_again_with_the_new_weights(weights: Tiny, trained: Tiny) -> None:
    moved = opened(weights.base)

    def dies(_: Any) -> None:
        thread.engine.step = broken

    def broken() -> None:
        raise RuntimeError("planted")

    try:
        thread = moved.backend.engines[0]
        moved.go(moved.backend.reload(trained.base))
        moved.go(moved.backend._call(thread, dies, alone=True))
        with pytest.raises(RequestFailed, match="it was restarted"):
            moved.ask(request())
        assert rescored(moved, trained) < 1e-4
        assert thread.restarts == 1
    finally:
        moved.close()


def test_a_cast_takes_over_the_engine_of_a_model_that_nobody_plays_any_more(
    weights: Tiny, trained: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, build = list[str](), Plan.build
    monkeypatch.setattr(Plan, "build", lambda self: started.append(self.model) or build(self))
    deeper = build_tiny(tmp_path / "deeper", num_hidden_layers=3, max_position_embeddings=2048)

    def spoken(*models: str) -> list[Any]:
        cast = Cast([LanguageSpec(name=f"m{n}", model=each, **ENGINE) for n, each in enumerate(models)])

        async def work() -> list[Any]:
            agents = cast.agents()
            async with cast.backends(agents) as backends:
                asked = [backends[agents[name].backend].generate(request()) for name in agents]
                return [found.ids for found in await asyncio.gather(*asked)]

        return asyncio.run(work())

    async def beside() -> list[Any]:
        """Two casts that are open, and one that opens within them."""
        casts = [
            Cast([LanguageSpec(name="m", model=each, **ENGINE)]) for each in (weights.base, trained.base, third.base)
        ]
        found = []
        async with contextlib.AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(cast.backends(cast.agents())) for cast in casts]
            for backends in opened:
                (backend,) = backends.values()
                found.append((await backend.generate(request())).ids)
        return found

    third = build_tiny(tmp_path / "third", seed=2, max_position_embeddings=2048)
    with engines_kept():
        other = spoken(third.base)
        started.clear()
        old = spoken(weights.base)
        new = spoken(trained.base)
        assert not started, "the third model's engine does for both, one after the other"
        assert spoken(weights.base, trained.base) == [*old, *new]
        assert len(started) == 1, "both sit in one cast"
        spoken(deeper.base)
        assert len(started) == 2, "other layers need an engine of their own"
        assert asyncio.run(beside()) == [*old, *new, *other], "an engine that is played with keeps its weights"
    assert old != new


def test_weights_of_another_shape_are_refused(floor: Floor, tmp_path: Path) -> None:
    deeper = build_tiny(tmp_path / "deeper", num_hidden_layers=3)
    with pytest.raises(BackendError, match="has other layers or words"):
        floor.go(floor.backend.reload(deeper.base))


def test_an_engine_without_room_for_adapters_says_which_option_makes_it(weights: Tiny) -> None:
    plain = opened(weights.base)
    try:
        with pytest.raises(BackendError, match="set max_adapters in the options"):
            plain.go(plain.backend.add_adapter(weights.red))
        assert plain.backend.zero is None
        assert rescored(plain, weights) < 1e-4
    finally:
        plain.close()


def test_two_bases_have_an_engine_each_in_one_process(floor: Floor, trained: Tiny) -> None:
    second = VLLMBackend(trained.base, dtype="float32", cache_mb=64)

    async def both() -> list[Any]:
        asked = [floor.backend.generate(request(n)) for n in range(8)] + [second.generate(request(n)) for n in range(8)]
        return list(await asyncio.gather(*asked))

    alone = floor.ask(*(request(n) for n in range(8)))
    try:
        mixed = floor.go(both())
    finally:
        floor.go(second.aclose())
    assert [each.ids for each in mixed[:8]] == [each.ids for each in alone]
    assert all(a.ids != b.ids for a, b in zip(mixed[:8], mixed[8:], strict=True))
    assert rescored(floor, trained) > 0.1


def test_no_memory_for_the_cache_is_told_with_the_numbers_and_the_option(weights: Tiny) -> None:
    with pytest.raises(BackendError, match=r"GiB.*raise cache_mb, or lower max_model_len") as told:
        opened(weights.base, cache_mb=1, max_model_len=2048)
    assert "\n" not in str(told.value)
