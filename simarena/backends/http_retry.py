"""When to ask again: Retry-After, full-jitter back-off, and the loop that obeys them.

In: failures of single attempts. Out: an answer, or the last failure. Knows no HTTP library; sleeps only by what it is
given. Source of the back-off: Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from random import Random
from typing import Any, Literal, NoReturn, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from simarena.seeds import rng

T = TypeVar("T")

Kind = Literal["rate", "server", "timeout", "dropped", "garbage"]
"""Why an attempt failed: rate limit, 5xx (408 and 409 too), no answer in time, connection lost, unreadable answer."""


class AttemptFailed(Exception):
    """One attempt failed in a way that another may not."""

    def __init__(self, kind: Kind, what: str, retry_after: float | None = None) -> None:
        super().__init__(what)
        self.kind = kind
        self.what = what
        """What happened, in words, secrets struck out."""
        self.retry_after = retry_after
        """Seconds that the server asked to wait, if it did."""


@dataclass(slots=True)
class Call:
    """One call across its attempts."""

    deadline: float
    """Seconds from its first sending."""
    attempts: int
    key: str
    """Of the request; fixes its jitter."""
    backoff: float
    backoff_max: float
    started: float | None = None
    """When it was first sent."""
    sent: int = 0
    """Times it was sent."""
    failures: int = 0
    """Of those, how often it failed other than by a rate limit."""
    failed_at: set[str] = field(default_factory=set)
    """Replicas that failed it."""

    def out_of_time(self, now: float, wait: float) -> bool:
        """Whether waiting so long would take it past its deadline."""
        return self.started is not None and now + wait - self.started > self.deadline

    def wait(self, failure: AttemptFailed) -> float:
        """Seconds until the next attempt: what the server asked for, and jitter so that not all come back at once."""
        draws = rng("back-off", self.key, self.sent)
        jitter = full_jitter(self.sent, draws, self.backoff, self.backoff_max)
        if failure.retry_after is None:
            return jitter
        return max(jitter, failure.retry_after + full_jitter(1, draws, self.backoff, self.backoff_max))


def full_jitter(attempt: int, draws: Random, base: float, cap: float) -> float:
    """Uniform between 0 and min(cap, base * 2^(attempt - 1)) seconds; attempts count from 1."""
    return draws.uniform(0.0, min(cap, base * 2.0 ** min(attempt - 1, 60)))


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that `headers` ask to wait, from seconds or an HTTP date (RFC 9110, 10.2.3); None: they do not say.

    `now` is Unix time. A date is measured against the server's own Date header where there is one: clocks differ.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000.0
    value = headers.get("Retry-After")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    then, sent = _unix(value), _unix(headers.get("Date"))
    return None if then is None else max(0.0, then - (now if sent is None else sent))


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value else None
    except ValueError:
        return None
    return None if number is None or not number < float("inf") else max(0.0, number)


def _unix(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value).timestamp() if value else None
    except (ValueError, OverflowError):
        return None


async def persist(
    attempt: Callable[[], Awaitable[T]],
    call: Call,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], Awaitable[None]],
    give_up: Callable[[AttemptFailed], NoReturn],
) -> T:
    """Run `attempt` until it answers, `call` is spent (then `give_up` raises), or it raises what no retry can mend."""
    try:
        return await attempt()  # most calls end here, and are spared the retry loop's 20 microseconds
    except AttemptFailed as failure:
        begun: list[AttemptFailed] = [failure]

    async def again() -> T:
        if begun:
            raise begun.pop()
        return await attempt()

    def stop(state: RetryCallState) -> bool:
        return call.failures >= call.attempts or call.out_of_time(clock(), state.upcoming_sleep)

    def spent(state: RetryCallState) -> NoReturn:
        give_up(_failure(state))

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(AttemptFailed),
        wait=lambda state: call.wait(_failure(state)),
        stop=stop,
        sleep=sleep,
        retry_error_callback=spent,
    )
    return await retrying(again)


def _failure(state: RetryCallState) -> AttemptFailed:
    error: Any = state.outcome.exception() if state.outcome else None
    assert isinstance(error, AttemptFailed), f"asked to wait after {error!r}"
    return error
