"""The thread around an engine, with an engine that does as it is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from simarena.backends.engine_thread import Call, EngineThread, Part, Refused, Turns
from simarena.errors import BackendError, RequestFailed, RunFailed


class Fake:
    """Answers a request of n tokens after n steps; dies, or waits for `go`, where told to."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.left = plan, dict[str, int]()
        self.aborted: list[str] = []

    def add_request(self, name: str, prompt: dict[str, list[int]], params: Any, lora_request: Any) -> None:
        if lora_request == "odd":
            raise LookupError("first line\nit is odd")
        if lora_request == "last straw":
            raise ConnectionError("gone")
        self.left[name] = len(prompt["prompt_token_ids"])

    def abort_request(self, names: list[str]) -> None:
        for name in names:
            self.left.pop(name)
            self.aborted.append(name)

    def step(self) -> list[Any]:
        self.plan.go.wait()
        if self.plan.deaths and self.plan.deaths.pop(0):
            raise RuntimeError("the card fell out")
        self.plan.batches.append(len(self.left))
        self.left = {name: n - 1 for name, n in self.left.items()}
        ended = [name for name, n in self.left.items() if n <= 0]
        for name in ended:
            del self.left[name]
        found = SimpleNamespace(token_ids=[1, 2], finish_reason="stop")
        return [SimpleNamespace(request_id=name, finished=True, num_cached_tokens=1, outputs=[found]) for name in ended]


@dataclass
class Plan:
    """How the fakes are made."""

    name: str = "fake"
    most: int = 8
    deaths: list[bool] = field(default_factory=list)
    births: list[bool] = field(default_factory=list)
    """False: this start fails."""
    batches: list[int] = field(default_factory=list)
    shut: list[Any] = field(default_factory=list)
    made: list[Fake] = field(default_factory=list)
    go: threading.Event = field(default_factory=threading.Event)

    def build(self) -> Fake:
        if self.births and not self.births.pop(0):
            raise BackendError("no room")
        self.made.append(Fake(self))
        return self.made[-1]

    def params(self, given: dict[str, Any]) -> Any:
        return given

    def close(self, engine: Any, *, last: bool) -> None:
        assert last
        self.shut.append(engine)

    def fatal(self, error: Exception) -> bool:
        return isinstance(error, ConnectionError)


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "fake"]


def go(plan: Plan, work: Callable[[EngineThread], Awaitable[Any]], *, held: bool = False) -> Any:
    async def main() -> Any:
        if not held:
            plan.go.set()
        thread = EngineThread(plan)
        try:
            return await work(thread)
        finally:
            plan.go.set()
            thread.stop()

    return asyncio.run(main())


def part(size: int, adapter: Any = None) -> Part:
    loop = asyncio.get_running_loop()
    return Part(loop.create_future(), loop, prompt=[0] * size, params={}, adapter=adapter)


def call(work: Callable[[Any], Any], *, alone: bool = False) -> Call:
    loop = asyncio.get_running_loop()
    return Call(loop.create_future(), loop, work=work, alone=alone)


async def asked(thread: EngineThread, *items: Part | Call) -> list[Any]:
    for item in items:
        thread.submit(item)
    return await asyncio.gather(*(item.answer for item in items), return_exceptions=True)


def test_requests_share_the_batch_and_each_is_answered_when_it_ends() -> None:
    plan = Plan()

    async def work(thread: EngineThread) -> None:
        parts = [part(5), part(1), part(3)]
        for each in parts:
            thread.submit(each)
        plan.go.set()
        await parts[1].answer
        assert not parts[0].answer.done() or plan.batches[-1] == 1
        await asyncio.gather(*(each.answer for each in parts))
        report = thread.meter.report("fake")
        assert (report.prompt, report.cached, report.sampled) == (9, 3, 6)

    go(plan, work, held=True)
    assert max(plan.batches) == 3
    assert sum(plan.batches) == 9


def test_a_request_that_is_given_up_is_aborted_in_the_engine() -> None:
    plan = Plan()

    async def work(thread: EngineThread) -> Any:
        long, other = part(1000), part(2)
        thread.submit(long)
        thread.abort(long)
        plan.go.set()
        return await asked(thread, other)

    (found,) = go(plan, work, held=True)
    assert found.finished
    assert sum(plan.batches) < 10
    assert len(plan.made) == 1


def test_a_request_that_the_engine_refuses_fails_alone() -> None:
    fine, odd = go(Plan(), lambda thread: asked(thread, part(1), part(1, "odd")))
    assert fine.finished
    assert isinstance(odd, Refused)
    assert str(odd) == "fake refused the request: it is odd"


def test_an_engine_that_dies_fails_its_requests_restarts_once_and_goes_on() -> None:
    plan = Plan(deaths=[False, True])

    async def work(thread: EngineThread) -> list[Any]:
        lost = await asked(thread, part(4), part(7))
        return [*lost, *await asked(thread, part(2))]

    first, second, later = go(plan, work)
    assert isinstance(first, RequestFailed)
    assert isinstance(second, RequestFailed)
    assert "the engine of fake failed: the card fell out; it was restarted, the same command asks again" in str(first)
    assert later.finished
    assert (len(plan.made), len(plan.shut)) == (2, 2)


def test_an_engine_that_is_found_dead_when_a_request_comes_is_restarted_too() -> None:
    async def work(thread: EngineThread) -> list[Any]:
        return [*await asked(thread, part(1, "last straw")), *await asked(thread, part(2))]

    plan = Plan()
    lost, later = go(plan, work)
    assert isinstance(lost, RequestFailed)
    assert "gone; it was restarted" in str(lost)
    assert later.finished
    assert len(plan.made) == 2


@pytest.mark.parametrize(
    ("plan", "told"),
    [
        (Plan(deaths=[True, True]), "it had been restarted before"),
        (Plan(deaths=[True], births=[True, False]), "it did not start again: no room"),
    ],
)
def test_an_engine_that_dies_again_ends_the_run(plan: Plan, told: str) -> None:
    async def work(thread: EngineThread) -> list[Any]:
        return [(await asked(thread, part(3)))[0] for _ in range(3)]

    found = go(plan, work)
    assert isinstance(found[0], RequestFailed)
    assert isinstance(found[-1], RunFailed)
    assert told in str(found[-1])


def test_an_engine_that_does_not_start_says_why() -> None:
    with pytest.raises(BackendError, match="no room"):
        EngineThread(Plan(births=[False]))


def test_a_call_that_needs_the_engine_alone_comes_between_old_requests_and_new_ones() -> None:
    plan = Plan()

    async def work(thread: EngineThread) -> None:
        old, new = part(6), part(2)
        change = call(lambda engine: (len(plan.batches), dict(engine.left)), alone=True)
        at_once = call(lambda engine: len(engine.left))
        for item in (at_once, old, change, new):
            thread.submit(item)
        plan.go.set()
        assert await change.answer == (6, {})
        await asyncio.gather(old.answer, new.answer)
        assert await at_once.answer == 0

    go(plan, work, held=True)
    assert plan.batches == [1] * 8, "the new request did not run beside the old one"


def test_a_call_that_fails_tells_its_caller_and_nobody_else() -> None:
    def wrong(_: Any) -> None:
        raise BackendError("another shape")

    failed, fine = go(Plan(), lambda thread: asked(thread, call(wrong), part(1)))
    assert isinstance(failed, BackendError)
    assert fine.finished


def test_closing_fails_what_is_under_way_and_what_comes_later() -> None:
    plan = Plan()

    async def main() -> list[Any]:
        thread = EngineThread(plan)
        early, late = part(10_000_000), part(1)
        thread.submit(early)
        plan.go.set()
        await asyncio.to_thread(thread.stop)
        thread.submit(late)
        return await asyncio.gather(early.answer, late.answer, return_exceptions=True)

    found = asyncio.run(main())
    assert all(isinstance(each, RunFailed) and "was closed" in str(each) for each in found)


def test_engines_take_turns() -> None:
    turns, order, ready = Turns(), list[int](), threading.Barrier(3)

    def work(n: int) -> None:
        ready.wait()
        for _ in range(50):
            with turns:
                order.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(order) == [0] * 50 + [1] * 50 + [2] * 50


def test_a_lock_is_given_to_whoever_waited_longest() -> None:
    turns, order = Turns(), list[int]()

    def wait(n: int) -> None:
        with turns:
            order.append(n)

    threads = [threading.Thread(target=wait, args=(n,)) for n in range(5)]
    with turns:
        for n, each in enumerate(threads):
            each.start()
            while len(turns._waiting) <= n:
                threading.Event().wait(0.001)
    for each in threads:
        each.join()
    assert order == list(range(5))
