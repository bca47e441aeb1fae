"""The backend as its callers see it: one request at a time, whoever else asks meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch

from simarena.backends.transformers import TransformersBackend, explained, packed
from simarena.errors import BackendError, RequestFailed, RunFailed
from simarena.records import Completion, Message, Request, Sampling
from tests.tiny import END, Tiny

GREEDY = Sampling(max_tokens=12)


def request(text: str = "why?", key: str = "m/a/0", **rest: Any) -> Request:
    rest = {"sampling": GREEDY} | rest
    return Request(key=key, agent="a", model="tiny", messages=(Message("system", "s"), Message("user", text)), **rest)


def go(tiny: Tiny, work: Callable[[TransformersBackend], Awaitable[Any]], **options: Any) -> Any:
    """Run `work` with a fresh backend."""

    async def main() -> Any:
        backend = TransformersBackend(tiny.base, [tiny.red, tiny.blue], device="cpu", **options)
        try:
            return await work(backend)
        finally:
            await backend.aclose()

    return asyncio.run(main())


def ask(tiny: Tiny, *requests: Request, **options: Any) -> list[Completion]:
    return list(go(tiny, lambda backend: asyncio.gather(*map(backend.generate, requests)), **options))


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "transformers"]


def test_a_reply_carries_all_that_training_needs(tiny: Tiny) -> None:
    (found,) = ask(tiny, request())
    model = tiny.model()
    ids = torch.tensor([[*(found.prompt_ids or ()), *(found.ids or ())]])
    size = len(found.prompt_ids or ())
    logprobs = model(ids).logits[0].log_softmax(-1)[size - 1 : -1].gather(1, ids[0, size:, None])[:, 0]
    assert found.logprobs == pytest.approx(logprobs.tolist(), abs=1e-4)
    assert (found.usage.prompt, found.usage.completion) == (size, len(found.ids or ()))
    assert found.finish == "length"
    assert found.version.startswith("base@")


@pytest.mark.parametrize("options", [{"dtype": "float64"}, {"dtype": "float64", "max_batch": 3, "prefix_mb": 0}])
def test_the_batch_changes_nothing(tiny: Tiny, options: dict[str, Any]) -> None:
    sampled = Sampling(temperature=0.8, top_p=0.9, max_tokens=9)
    requests = [
        request(
            "word " * (n % 5),
            key=f"{n}/a/0",
            adapter=[None, tiny.red, tiny.blue][n % 3],
            sampling=sampled if n % 2 else GREEDY,
            seed=n,
            score=("yes", "no way") if n % 4 == 3 else (),
        )
        for n in range(12)
    ]

    async def one_by_one(backend: TransformersBackend) -> list[Completion]:
        return [await backend.generate(each) for each in requests]

    together = ask(tiny, *requests, **options)
    assert together == go(tiny, one_by_one, dtype="float64")
    assert together[1].version != together[0].version


def test_late_askers_join_and_nobody_waits_for_the_longest(tiny: Tiny) -> None:
    async def work(backend: TransformersBackend) -> list[str]:
        ended: list[str] = []

        async def asking(name: str, tokens: int) -> None:
            await backend.generate(request(name, key=f"{name}/a/0", sampling=Sampling(max_tokens=tokens)))
            ended.append(name)

        long = asyncio.create_task(asking("long", 300))
        await asyncio.sleep(0.05)
        await asyncio.gather(asking("late", 3), asking("later", 2))
        await long
        return ended

    assert go(tiny, work)[-1] == "long"


def test_a_stop_text_ends_a_reply_and_is_left_out(tiny: Tiny) -> None:
    (free,) = ask(tiny, request())
    stop = free.text[3:6]
    (found,) = ask(tiny, request(sampling=Sampling(max_tokens=12, stop=("never said", stop))))
    assert found.text == free.text.partition(stop)[0]
    assert found.finish == "stop"
    assert len(found.ids or ()) <= len(free.ids or ())


def test_an_end_token_ends_a_reply_and_is_no_text(tiny: Tiny) -> None:
    def end_at_third(backend: TransformersBackend, end: int) -> Any:
        backend.engine.ends = backend.engine.batch.ends = frozenset({end})
        return backend.generate(request())

    (free,) = ask(tiny, request())
    ids = free.ids or ()
    found = go(tiny, lambda backend: end_at_third(backend, ids[2]))
    assert found.ids == ids[: ids.index(ids[2]) + 1]
    assert (found.finish, found.logprobs) == ("stop", free.logprobs[: len(found.ids)] if free.logprobs else ())
    assert free.text.startswith(found.text)


def test_what_does_not_fit_is_too_long_and_costs_nothing(tiny: Tiny) -> None:
    huge, fits, scored = ask(
        tiny,
        request("x" * 40_000, key="1/a/0"),
        request("x y z " * 84, key="2/a/0", sampling=Sampling(max_tokens=10_000)),
        request("why?", key="3/a/0", score=("ok", "z" * 40_000)),
    )
    assert (huge.finish, huge.text, huge.ids, huge.usage.completion) == ("too_long", "", None, 0)
    assert fits.finish == "length"
    assert fits.usage.prompt + fits.usage.completion == 512
    assert (scored.finish, scored.scores) == ("too_long", ())


def test_scores_are_sums_over_the_continuations_own_tokens(tiny: Tiny) -> None:
    texts = ("yes", "no way", "", "yes", END)
    (found,) = ask(tiny, request(adapter=tiny.red, score=texts))
    model, prompt = tiny.adapted(tiny.red), list(found.prompt_ids or ())
    words = go(tiny, lambda backend: asyncio.sleep(0, backend.engine.template))
    for text, (total, size) in zip(texts, found.scores, strict=True):
        rest = words.continuation(text)
        logprobs = model(torch.tensor([[*prompt, *rest]])).logits[0].log_softmax(-1)
        expected = sum(logprobs[len(prompt) + i - 1, token].item() for i, token in enumerate(rest))
        assert total == pytest.approx(expected, abs=1e-4)
        assert size == len(rest)
    assert found.text == ""
    assert found.ids is None


def test_a_conversation_goes_on_from_what_was_computed(tiny: Tiny) -> None:
    async def talk(backend: TransformersBackend) -> list[Completion]:
        messages, found = [Message("system", "s" * 50), Message("user", "begin")], []
        for n in range(4):
            asked = Request(key=f"m/a/{n}", agent="a", model="t", messages=tuple(messages), sampling=GREEDY)
            found.append(await backend.generate(asked))
            messages += [Message("assistant", found[-1].text, found[-1].ids), Message("user", f"go on {n}")]
        return found

    kept, anew = (go(tiny, talk, dtype="float64", prefix_mb=mb) for mb in (64, 0))
    assert kept == anew
    for one, other in pairwise(kept):
        assert other.prompt_ids[: len(one.prompt_ids) + len(one.ids)] == one.prompt_ids + one.ids


def test_the_engine_says_what_it_did(tiny: Tiny) -> None:
    async def work(backend: TransformersBackend) -> None:
        first, scored, _ = await asyncio.gather(
            *map(backend.generate, (request(), request(key="n/a/0", score=("yes", "no")), request("x " * 999)))
        )
        more = (*request().messages, Message("assistant", first.text, first.ids), Message("user", "sure?"))
        again = await backend.generate(replace(request(key="m/a/1"), messages=more))
        (report,) = backend.reports()
        usages = [first.usage, scored.usage, again.usage]
        assert report.prompt == sum(usage.prompt for usage in usages), "what is too long is not read"
        assert report.sampled == sum(usage.completion for usage in usages)
        assert report.cached == len(first.prompt_ids) + len(first.ids) - 1, "all but the last token, which was not read"
        assert 0 < report.live <= report.most
        assert report.model == first.version
        assert {event["ph"] for event in backend.timeline()} == {"M", "X", "C"}

    go(tiny, work)


def test_role_markers_are_never_sampled(tiny: Tiny) -> None:
    hot = Sampling(temperature=50.0, max_tokens=200)
    for found in ask(tiny, *(request(key=f"{n}/a/0", seed=n, sampling=hot) for n in range(4))):
        assert not {2, 3, 4} & set(found.ids or ())


def test_a_request_nobody_waits_for_is_dropped(tiny: Tiny) -> None:
    async def work(backend: TransformersBackend) -> int:
        endless = asyncio.create_task(backend.generate(request("a", sampling=Sampling(max_tokens=400))))
        await backend.generate(request("b", key="m/b/0"))
        endless.cancel()
        await backend.generate(request("c", key="m/c/0"))
        return len(backend.engine.batch.rows) + len(backend.engine._jobs)

    assert go(tiny, work) == 0


def test_an_unknown_adapter_fails_its_own_request_only(tiny: Tiny) -> None:
    async def work(backend: TransformersBackend) -> list[Any]:
        asked = [request(adapter="nowhere"), request("fine", key="m/b/0")]
        return await asyncio.gather(*map(backend.generate, asked), return_exceptions=True)

    bad, good = go(tiny, work)
    assert isinstance(bad, RequestFailed)
    assert "nowhere is not loaded" in str(bad)
    assert good.finish == "length"


def test_messages_that_the_template_cannot_write_fail_their_own_request_only(tiny: Tiny) -> None:
    async def work(backend: TransformersBackend) -> list[Any]:
        backend.engine.template.text = "{{ raise_exception('never') }}"
        asked = replace(request(), messages=(Message("user", "a"), Message("user", "b")))
        bad = await asyncio.gather(backend.generate(asked), return_exceptions=True)
        return [*bad, backend.engine.failure]

    bad, failure = go(tiny, work)
    assert isinstance(bad, RequestFailed)
    assert failure is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate"), "lower max_batch, prefill_tokens or prefix_mb"),
        (MemoryError(), "out of memory; lower max_batch"),
        (ValueError(""), "ValueError"),
    ],
)
def test_a_broken_engine_tells_everybody(
    tiny: Tiny, error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(backend: TransformersBackend) -> list[Any]:
        def broken(*_: Any) -> Any:
            raise error

        monkeypatch.setattr(backend.engine.reader, "forward", broken)
        asked = [request(key=f"{n}/a/0", score=("x",) if n % 2 else ()) for n in range(5)]
        first = await asyncio.gather(*map(backend.generate, asked), return_exceptions=True)
        return [*first, *(await asyncio.gather(backend.generate(request()), return_exceptions=True))]

    failures = go(tiny, work)
    assert all(isinstance(failure, RunFailed) and said in str(failure) for failure in failures)
    assert len(failures) == 6
    assert said in explained(error)


def test_closing_fails_what_is_under_way_and_whatever_comes_later(tiny: Tiny) -> None:
    async def work() -> tuple[BaseException | Completion, ...]:
        backend = TransformersBackend(tiny.base, device="cpu")
        running = asyncio.create_task(backend.generate(request(sampling=Sampling(max_tokens=480))))
        await asyncio.sleep(0.02)
        await backend.aclose()
        await backend.aclose()
        return tuple(await asyncio.gather(running, backend.generate(request()), return_exceptions=True))

    for failure in asyncio.run(work()):
        assert isinstance(failure, BackendError)
        assert "was closed" in str(failure)


def test_a_backend_that_was_never_asked_closes(tiny: Tiny) -> None:
    async def work() -> None:
        backend = TransformersBackend(tiny.base, device="cpu")
        await backend.aclose()
        with pytest.raises(RunFailed, match="closed"):
            await backend.generate(request())

    asyncio.run(work())


def test_groups_hold_like_sizes_within_the_limit() -> None:
    assert list(packed("abcde", [1, 9, 2, 8, 20], 18)) == [["e"], ["b", "d"], ["c", "a"]]
    assert list(packed([], [], 5)) == []
