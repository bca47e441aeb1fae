"""The limiter and the breaker, without any network."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena.backends.concurrency import Breaker, Limiter


def test_limit_grows_only_when_it_was_used():
    async def main():
        limiter = Limiter(ceiling=64, start=4)
        for _ in range(20):
            ticket = await limiter.acquire()
            limiter.succeeded(ticket)  # one at a time: 1 of 4 slots
            limiter.release()
        assert limiter.limit == 4
        tickets = [await limiter.acquire() for _ in range(4)]
        limiter.succeeded(tickets[0])
        assert limiter.limit == 5

    asyncio.run(main())


def test_slow_start_doubles_in_a_round_and_is_linear_after_a_cut():
    async def main():
        limiter = Limiter(ceiling=1000, start=8)
        await full_round(limiter)
        assert 15 <= limiter.limit <= 16
        tickets = [await limiter.acquire() for _ in range(int(limiter.limit))]
        assert limiter.limited(tickets[0])
        before = limiter.limit
        for _ in tickets:
            limiter.release()
        await full_round(limiter)
        assert before < limiter.limit <= before + 1

    asyncio.run(main())


async def full_round(limiter: Limiter) -> None:
    """As many as the limit allows, all answered while as many more wait."""
    size = int(limiter.limit)
    tickets = [await limiter.acquire() for _ in range(size)]
    waiting = [asyncio.create_task(limiter.acquire()) for _ in range(2 * size)]
    await asyncio.sleep(0)
    for ticket in tickets:
        limiter.succeeded(ticket)
        limiter.release()
        await asyncio.sleep(0)
    for task in waiting:
        if not task.done():
            task.cancel()
    for ended in await asyncio.gather(*waiting, return_exceptions=True):
        if isinstance(ended, int):
            limiter.release()
    assert limiter.in_flight == 0


def test_one_cut_per_episode():
    async def main():
        limiter = Limiter(ceiling=64, start=32)
        tickets = [await limiter.acquire() for _ in range(32)]
        assert [limiter.limited(ticket) for ticket in tickets].count(True) == 1
        assert (limiter.limit, limiter.cuts) == (16, 1)
        for _ in tickets:
            limiter.release()
        assert limiter.limited(await limiter.acquire())  # sent after the cut: an episode of its own
        assert limiter.limit == 8

    asyncio.run(main())


def test_urgent_goes_first():
    async def main():
        limiter = Limiter(ceiling=1, start=1)
        await limiter.acquire()
        order = []

        async def want(name, urgent):
            await limiter.acquire(urgent=urgent)
            order.append(name)
            limiter.release()

        tasks = [asyncio.create_task(want("new", False)), asyncio.create_task(want("again", True))]
        await asyncio.sleep(0)
        limiter.release()
        await asyncio.gather(*tasks)
        assert order == ["again", "new"]

    asyncio.run(main())


@given(st.lists(st.sampled_from(["take", "give", "cancel", "good", "limited", "run"]), max_size=60), st.integers(1, 4))
def test_slots_are_never_lost_nor_exceeded(steps, start):
    async def main():
        limiter, tasks = Limiter(ceiling=6, start=start), []
        for step in steps:
            if step == "take":
                tasks.append(asyncio.create_task(limiter.acquire()))
            elif step == "run":
                await asyncio.sleep(0)
            else:
                tasks = disturb(limiter, tasks, step)
            assert limiter.peak <= 6
            assert limiter.limit <= 6
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for one in ended:
            if isinstance(one, int):
                limiter.release()
        assert limiter.in_flight == 0

    asyncio.run(main())


def disturb(limiter: Limiter, tasks: list, step: str) -> list:
    """Cancel the first task, granted or not, or end the first that holds a slot. Returns the tasks still in play."""
    if step == "cancel":
        waiting = [task for task in tasks if not task.done()]
        for task in waiting[:1]:
            task.cancel()
        return tasks
    holding = [task for task in tasks if task.done() and not task.cancelled()]
    for task in holding[:1]:
        if step == "good":
            limiter.succeeded(task.result())
        elif step == "limited":
            limiter.limited(task.result())
        limiter.release()
    return [task for task in tasks if task not in holding[:1]]


def test_breaker_opens_probes_and_closes():
    async def main():
        breaker = Breaker(failures=3, pause=2, pause_max=10)
        for now in (0, 1):
            breaker.failed(now, probe=False)
        assert breaker.ready(1)
        assert not breaker.open
        breaker.failed(2, probe=False)
        assert breaker.open
        assert not breaker.ready(3.9)
        assert breaker.wait(3) == 1
        assert breaker.ready(4)
        assert breaker.enter()
        assert not breaker.ready(4)  # one probe at a time
        breaker.failed(4, probe=True)
        breaker.settle()
        assert breaker.wait(4) == 4  # the pause doubled
        assert breaker.enter()
        breaker.succeeded()
        breaker.settle()
        assert breaker.ready(4)
        assert not breaker.enter()
        assert (breaker.failures, breaker.failing_since, breaker.pause) == (0, None, 2)

    asyncio.run(main())


def test_breaker_ignores_late_news_and_caps_its_pause():
    async def main():
        breaker = Breaker(failures=1, pause=4, pause_max=10)
        breaker.failed(0, probe=False)
        breaker.failed(3, probe=False)  # sent before it opened
        assert breaker.wait(3) == 1
        for now in (4, 20, 40):
            assert breaker.enter()
            breaker.failed(now, probe=True)
            breaker.settle()
        assert breaker.wait(40) == 10

    asyncio.run(main())


def test_a_second_probe_is_a_bug():
    async def main():
        breaker = Breaker(failures=1, pause=1, pause_max=1)
        breaker.failed(0, probe=False)
        breaker.enter()
        with pytest.raises(AssertionError, match="second probe"):
            breaker.enter()

    asyncio.run(main())
