"""What an engine did with its time: tokens, prefix cache, how full its batch was, and how long it waited for work.

In: marks from the thread that owns the engine, in order. Out: an EngineReport, and a timeline in the Chrome trace
format (load it at ui.perfetto.dev or chrome://tracing). Knows no engine.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from simarena.records import JSON

SLICE = 0.05
"""Seconds: steps nearer together than this share an entry of the timeline."""


@runtime_checkable
class Measured(Protocol):
    """A backend that says what its engines did."""

    def reports(self) -> list[EngineReport]:
        """One for each engine."""
        ...

    def timeline(self) -> list[JSON]:
        """Trace events of all engines."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """An engine's life between its first request and its last answer."""

    model: str
    prompt: int
    """Tokens of prompts read."""
    cached: int
    """Of `prompt`, those found in the prefix cache."""
    sampled: int
    """Tokens."""
    steps: int
    busy: float
    """Seconds in steps."""
    idle: float
    """Seconds without any request."""
    client: float
    """Seconds between two steps, handing requests in and answers out."""
    live: float
    """Requests in the engine, averaged over its busy time."""
    most: int
    """Requests that one batch takes."""
    note: str = ""
    """What whoever reads the run's results should know."""

    @property
    def seconds(self) -> float:
        """From the first request to the last answer."""
        return self.busy + self.idle + self.client

    @property
    def rate(self) -> float:
        """Tokens sampled a second."""
        return self.sampled / self.seconds if self.seconds else 0.0

    def line(self) -> str:
        """One line for a terminal."""
        cached = self.cached / self.prompt if self.prompt else 0.0
        idle = self.idle / self.seconds if self.seconds else 0.0
        return (
            f"{self.model}: {self.prompt} prompt tokens ({cached:.0%} cached), {self.sampled} sampled, "
            f"{self.rate:.0f}/s; {self.live:.1f} of {self.most} in the batch on average, idle {idle:.0%} of "
            f"{self.seconds:.1f} s" + (f"; {self.note}" if self.note else "")
        )


@dataclass(slots=True)
class Slice:
    """Some steps in a row."""

    begin: float
    end: float
    live: int
    sampled: int
    prompt: int


class Meter:
    """Marks of one thread."""

    def __init__(self, most: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self.most, self.clock = most, clock
        self.prompt = self.cached = self.sampled = self.steps = 0
        self.busy = self.idle = self.client = self._weighted = 0.0
        self.slices: list[Slice] = []
        self._last: float | None = None
        """When the last step or wait ended; None: no request has come yet."""
        self._pending = 0.0

    def woke(self) -> None:
        """The first request after none has come."""
        now = self.clock()
        if self._last is not None:
            self.idle += now - self._last
        self._last = now

    def stepped(self, begin: float, live: int) -> None:
        """A step from `begin` to now, of `live` requests."""
        end = self.clock()
        self.client += begin - (begin if self._last is None else self._last)
        self._last = end
        self.steps += 1
        self.busy += end - begin
        self._weighted += (end - begin) * min(live, self.most)
        if self.slices and end - self.slices[-1].begin < SLICE and begin - self.slices[-1].end < SLICE / 10:
            self.slices[-1].end, self.slices[-1].live = end, max(live, self.slices[-1].live)
        else:
            self.slices.append(Slice(begin, end, live, 0, 0))

    def answered(self, prompt: int, cached: int, sampled: int) -> None:
        """A request has ended."""
        self.prompt, self.cached, self.sampled = self.prompt + prompt, self.cached + cached, self.sampled + sampled
        if self.slices:
            self.slices[-1].sampled += sampled
            self.slices[-1].prompt += prompt

    def report(self, model: str, note: str = "") -> EngineReport:
        """All of it."""
        return EngineReport(
            model=model,
            prompt=self.prompt,
            cached=self.cached,
            sampled=self.sampled,
            steps=self.steps,
            busy=self.busy,
            idle=self.idle,
            client=self.client,
            live=self._weighted / self.busy if self.busy else 0.0,
            most=self.most,
            note=note,
        )

    def timeline(self, model: str, number: int = 0) -> list[JSON]:
        """Trace events, in microseconds: a bar for every slice, and counters of live requests and sampled tokens."""
        events: list[JSON] = [{"ph": "M", "name": "process_name", "pid": number, "args": {"name": model}}]
        for each in self.slices:
            at, lasts = each.begin * 1e6, (each.end - each.begin) * 1e6
            events.append({"ph": "X", "name": "steps", "pid": number, "tid": 0, "ts": at, "dur": lasts})
            values = {"live": each.live, "finished prompt tokens": each.prompt, "finished sampled tokens": each.sampled}
            for name, value in values.items():
                events.append({"ph": "C", "name": name, "pid": number, "ts": at, "args": {name: value}})
            events.append({"ph": "C", "name": "live", "pid": number, "ts": at + lasts, "args": {"live": 0}})
        return events
