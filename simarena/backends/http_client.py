"""Calls to one server's replicas: a slot, an attempt, and what its outcome means for call, replica and run.

In: what to send and how to read the answer (an Exchange). Out: what was read, RequestFailed or RunFailed. Knows bodies
only as JSON objects. Clock, sleep and randomness come from outside; nothing here waits for more than one of them.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NoReturn, TypeVar

from yarl import URL

from simarena.backends.concurrency import Breaker, Limiter
from simarena.backends.http_errors import classified
from simarena.backends.http_retry import AttemptFailed, Call, persist, retry_after
from simarena.backends.http_transport import Transport
from simarena.backends.openai_options import OpenAIOptions, Secrets
from simarena.backends.openai_wire import (
    Dialect,
    Exchange,
    Unreadable,
    first_dialect,
    has_schema,
    lower,
    server_error,
)
from simarena.errors import RequestFailed, RunFailed
from simarena.records import JSON
from simarena.seeds import derive

T = TypeVar("T")
log = logging.getLogger(__name__)

VERSION = re.compile(r"/v\d+$")
REFUSED = frozenset({400, 403, 422})
"""Statuses by which servers refuse a field of the body."""


class Endpoint:
    """One replica: its address, what it bears and what it accepts."""

    def __init__(self, url: str, options: OpenAIOptions) -> None:
        self.url = url
        self.limiter = Limiter(options.max_concurrency, options.start_concurrency)
        self.breaker = Breaker(options.breaker_failures, options.breaker_pause, options.backoff_max)
        self.not_before = 0.0
        """Clock time before which the server asked not to be called."""
        self.dialect = first_dialect(options)
        self.proven = False
        """Whether it has accepted the dialect."""
        self.holds = False
        """Whether it has held an answer to a schema, in the way of the dialect."""
        self._addresses: dict[str, URL] = {}

    def address(self, path: str) -> URL:
        """The full address of `path`."""
        if path not in self._addresses:
            base = VERSION.sub("", self.url) if path.startswith("//") else self.url
            self._addresses[path] = URL(base + "/" + path.lstrip("/"))
        return self._addresses[path]

    def free(self, now: float) -> bool:
        """Whether a request may go there now, as far as breaker and rate limit are concerned."""
        return self.breaker.ready(now) and now >= self.not_before

    def accepted(self, dialect: Dialect, body: Mapping[str, JSON], refusals: list[str]) -> None:
        """It answered `body`, put in `dialect`; `refusals`: what it said to richer ones before."""
        lowered = self.dialect.meet(dialect)
        if self.holds:  # it has held an answer to another schema: what it refused was this one
            lowered = replace(lowered, held=self.dialect.held)
        if lowered != self.dialect:
            log.warning("%s refused what is left off from now on; it said: %s", self.url, "; ".join(refusals))
        self.dialect, self.proven = lowered, True
        self.holds = self.holds or (has_schema(body) and dialect.held == lowered.held)


class Client:
    """The replicas of one server, and the way to an answer from one of them."""

    def __init__(
        self,
        options: OpenAIOptions,
        secrets: Secrets,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.options = options
        self.endpoints = tuple(Endpoint(url, options) for url in options.urls)
        self._clock, self._sleep, self._wall = clock, sleep, wall
        self._secrets = secrets
        self._transport = Transport(
            options.headers | secrets.headers(),
            timeout=options.timeout,
            connect_timeout=options.connect_timeout,
            proxy=options.proxy_from_env,
        )
        self._dead = ""
        """Why no request can be answered any more."""

    async def ask(self, key: str, exchange: Exchange[T]) -> T:
        """Answer `exchange` for the request `key`. Raises RequestFailed or RunFailed."""
        options = self.options
        call = Call(
            deadline=options.deadline,
            attempts=options.attempts,
            key=key,
            backoff=options.backoff,
            backoff_max=options.backoff_max,
        )
        order = self.order(key)
        return await persist(
            partial(self._attempt, call, order, exchange),
            call,
            clock=self._clock,
            sleep=self._sleep,
            give_up=partial(self._give_up, call),
        )

    def order(self, key: str) -> tuple[Endpoint, ...]:
        """The replicas in this seat's order: highest hash first, so that one more or less moves few seats."""
        if len(self.endpoints) == 1:
            return self.endpoints
        seat = key.rpartition("/")[0] or key
        return tuple(sorted(self.endpoints, key=lambda endpoint: derive(seat, endpoint.url), reverse=True))

    async def aclose(self) -> None:
        """Close the connections; later calls are refused."""
        self._dead = "the openai backend was closed; make a new one"
        await self._transport.aclose()

    async def _attempt(self, call: Call, order: tuple[Endpoint, ...], exchange: Exchange[T]) -> T:
        endpoint, ticket, probe = await self._enter(call, order)
        try:
            call.sent += 1
            call.started = self._clock() if call.started is None else call.started
            answer = await self._exchange(endpoint, exchange)
        except AttemptFailed as failure:
            self._failed(call, endpoint, ticket, failure, probe=probe)
            raise
        except RunFailed as failure:
            self._dead = str(failure)
            raise
        else:
            endpoint.breaker.succeeded()
            endpoint.limiter.succeeded(ticket)
            return answer
        finally:
            if probe:
                endpoint.breaker.settle()
            endpoint.limiter.release()

    async def _enter(self, call: Call, order: tuple[Endpoint, ...]) -> tuple[Endpoint, int, bool]:
        """Wait for a slot at a replica that takes requests: (replica, ticket, whether this is a breaker's probe)."""
        while not self._dead:
            endpoint = self._choose(call, order)
            if not endpoint.free(self._clock()):
                await self._wait_for(endpoint, call)
                continue
            ticket = await endpoint.limiter.acquire(urgent=call.sent > 0)
            if endpoint.free(self._clock()) and not self._dead:  # much may have happened while it waited
                return endpoint, ticket, endpoint.breaker.enter()
            endpoint.limiter.release()
        raise RunFailed(self._dead)

    def _choose(self, call: Call, order: tuple[Endpoint, ...]) -> Endpoint:
        """The seat's own replica; the next one where that has failed this call or its breaker is open."""
        if len(order) == 1:
            return order[0]
        now = self._clock()
        ready = [endpoint for endpoint in order if endpoint.breaker.ready(now)]
        untried = [endpoint for endpoint in ready if endpoint.url not in call.failed_at]
        return (untried or ready or [min(order, key=lambda endpoint: endpoint.breaker.wait(now))])[0]

    async def _wait_for(self, endpoint: Endpoint, call: Call) -> None:
        """Wait until it is worth looking at `endpoint` again. Raises RequestFailed where that is past all deadlines."""
        now, breaker = self._clock(), endpoint.breaker
        wait = max(breaker.wait(now), endpoint.not_before - now)
        down = now - breaker.failing_since if breaker.open and breaker.failing_since is not None else 0.0
        if max(down, wait) > self.options.deadline or call.out_of_time(now, wait):
            why = f"has failed every request for {down:.0f} s" if breaker.open else f"asks to wait {wait:.0f} s more"
            raise RequestFailed(f"{endpoint.url} {why}; once it answers, the same command goes on from here")
        if wait > 0:
            await self._sleep(wait)
        elif breaker.probe is not None:
            await breaker.probe.wait()

    async def _exchange(self, endpoint: Endpoint, exchange: Exchange[T]) -> T:
        """One attempt; asked anew, without what is refused, for as long as there is something to leave off."""
        dialect, refusals = endpoint.dialect, list[str]()
        while True:
            body = exchange.body(dialect)
            answer = await self._transport.post(endpoint.address(exchange.path), json.dumps(body).encode())
            if answer.status == 200:
                found = self._read(exchange, answer.body, dialect)
                endpoint.accepted(dialect, body, refusals)
                return found
            error = server_error(answer.status, answer.body)
            error = error._replace(message=self._secrets.redact(error.message))
            typed = exchange.instead(error)
            if typed is not None:
                return typed
            proven = endpoint.proven and dialect == endpoint.dialect
            lowered = lower(dialect, body, error, proven=proven) if error.status in REFUSED else None
            if lowered is None:
                raise classified(error, endpoint.url, retry_after(answer.headers, self._wall()))
            dialect = lowered
            refusals.append(error.message)

    def _read(self, exchange: Exchange[T], body: bytes, dialect: Dialect) -> T:
        try:
            return exchange.read(body, dialect)
        except Unreadable as error:
            what = str(error)
        raise AttemptFailed("garbage", self._secrets.redact(what))

    def _failed(self, call: Call, endpoint: Endpoint, ticket: int, failure: AttemptFailed, *, probe: bool) -> None:
        """What a failed attempt means for its call and its replica."""
        now = self._clock()
        if failure.kind == "rate":
            if endpoint.limiter.limited(ticket):
                log.info("%s limits the rate; at most %d requests at once now", endpoint.url, endpoint.limiter.limit)
            endpoint.not_before = max(endpoint.not_before, now + (failure.retry_after or 0.0))
            if probe:
                endpoint.breaker.succeeded()  # a server that counts requests is alive
            return
        call.failures += 1
        call.failed_at.add(endpoint.url)
        opened = endpoint.breaker.opened
        endpoint.breaker.failed(now, probe=probe)
        if endpoint.breaker.opened > opened:
            log.warning("%s fails (%s); tried again in %.0f s", endpoint.url, failure.what, endpoint.breaker.wait(now))

    def _give_up(self, call: Call, failure: AttemptFailed) -> NoReturn:
        where = ", ".join(endpoint.url for endpoint in self.endpoints)
        spent = self._clock() - (call.started or 0.0)
        asked = f" and asked to wait {failure.retry_after:.0f} s" if failure.retry_after else ""
        raise RequestFailed(
            f"{where} gave no answer in {call.sent} attempts and {spent:.0f} s (attempts: {call.attempts}, deadline: "
            f"{call.deadline:.0f} s); the last said: {failure.what}{asked}. The same command asks again; the limits "
            f"stand in the agent file"
        )
