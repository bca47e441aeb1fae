"""How many requests an endpoint gets at once, and when it gets none; and several things asked at once.

Two small machines without clock, network or random numbers: a limiter that finds an endpoint's capacity, and a breaker
that leaves a failing endpoint alone. Times are passed in, in seconds of the caller's clock. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

CUT = 0.5
"""Share of the limit that is left after a rate-limit episode (as in TCP Reno, RFC 5681)."""


class Limiter:
    """Adaptive concurrency: slow start, growth only when the limit was used, one cut per rate-limit episode.

    A slot's ticket is the number of cuts before it was taken. A rate limit met by a request that was sent before the
    last cut belongs to the episode of that cut and changes nothing.
    """

    def __init__(self, ceiling: int, start: int) -> None:
        self.ceiling = ceiling
        self.limit = float(min(start, ceiling))
        self.in_flight = 0
        self.peak = 0
        self.cuts = 0
        self._steady_from = float("inf")
        """Below this limit growth is exponential (slow start), from it on linear."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self, *, urgent: bool = False) -> int:
        """Wait for a slot and take it; `urgent` goes before all who wait. Returns the ticket."""
        if self.in_flight < int(self.limit) and (urgent or not self._waiting):
            self._take()
            return self.cuts
        turn = asyncio.get_running_loop().create_future()
        self._waiting.appendleft(turn) if urgent else self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the slot was handed over in the very moment of the cancellation
                self.release()
            raise
        return self.cuts

    def release(self) -> None:
        """Give a slot back."""
        self.in_flight -= 1
        self._wake()

    def succeeded(self, ticket: int) -> None:
        """An answer came for `ticket`, whose slot is still held."""
        if ticket != self.cuts or self.in_flight < int(self.limit):
            return
        step = 1.0 if self.limit < self._steady_from else 1.0 / self.limit
        self.limit = min(self.limit + step, float(self.ceiling))
        self._wake()

    def limited(self, ticket: int) -> bool:
        """The server limited the rate of `ticket`. True where this opened an episode and cut the limit."""
        if ticket != self.cuts:
            return False
        self.cuts += 1
        self.limit = self._steady_from = max(1.0, self.limit * CUT)
        return True

    def _take(self) -> None:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)

    def _wake(self) -> None:
        while self._waiting and self.in_flight < int(self.limit):
            turn = self._waiting.popleft()
            if not turn.done():  # cancelled while waiting
                self._take()
                turn.set_result(None)


class Breaker:
    """Circuit breaker: closed; open after failures in a row; half-open for one probe; closed when that succeeds."""

    def __init__(self, failures: int, pause: float, pause_max: float) -> None:
        self.allowed = failures
        self.first_pause = self.pause = pause
        self.pause_max = pause_max
        self.failures = 0
        self.failing_since: float | None = None
        """When the present row of failures began."""
        self.opened = 0
        """How often it opened."""
        self._try_at: float | None = None
        """While open: when a probe may go."""
        self.probe: asyncio.Event | None = None
        """While one request is out to try an open endpoint: set when its outcome is known."""

    @property
    def open(self) -> bool:
        """Whether requests are held back (half-open included)."""
        return self._try_at is not None

    def wait(self, now: float) -> float:
        """Seconds until a request may go; 0: now."""
        return 0.0 if self._try_at is None else max(0.0, self._try_at - now)

    def ready(self, now: float) -> bool:
        """Whether a request may go now: always while closed, one at a time after the pause."""
        return self._try_at is None or (self.probe is None and now >= self._try_at)

    def enter(self) -> bool:
        """A request goes out. True where it is the probe, which must be settled whatever becomes of it."""
        if self._try_at is None:
            return False
        assert self.probe is None, "a second probe was let through"
        self.probe = asyncio.Event()
        return True

    def settle(self) -> None:
        """The probe is back or was called off: let those who wait for it look again."""
        if self.probe is not None:
            self.probe.set()
        self.probe = None

    def succeeded(self) -> None:
        """The endpoint answered."""
        self.failures, self.failing_since, self._try_at, self.pause = 0, None, None, self.first_pause

    def failed(self, now: float, *, probe: bool) -> None:
        """The endpoint failed a request; `probe`: the one sent to try it."""
        self.failures += 1
        self.failing_since = now if self.failing_since is None else self.failing_since
        if probe:
            self.pause = min(self.pause * 2, self.pause_max)
        elif self.open or self.failures < self.allowed:
            return  # late news from requests sent before it opened changes nothing
        self.opened += 1
        self._try_at = now + self.pause


async def gathered(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """The results of all; where one fails, the others are given up."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
