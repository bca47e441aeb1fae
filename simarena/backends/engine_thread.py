"""One thread owns an inference engine: it feeds it, steps it and hands its answers back to the loops that wait.

In: parts (token ids and sampling parameters) and calls, from anywhere. Out: the engine's own outputs, or errors. What
happens when the engine dies is decided here. Knows the engine by five methods, and imports none.
"""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from simarena.backends.engine_meter import Meter
from simarena.errors import BackendError, RequestFailed, RunFailed


class Refused(RequestFailed):
    """The engine does not take a request as it stands; it is unharmed."""


@dataclass(slots=True, eq=False)
class Awaited:
    """Something that somebody waits for."""

    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def settle(self, result: Any) -> None:
        """Hand the result to whoever waits for it, on its own loop; nobody may wait any more."""
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._set, result)

    def _set(self, result: Any) -> None:
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


@dataclass(slots=True, eq=False, kw_only=True)
class Part(Awaited):
    """Something for the engine to do: a reply, or one continuation to read."""

    prompt: list[int]
    params: dict[str, Any]
    """Arguments of the engine's sampling parameters."""
    adapter: Any
    """As the engine wants it, or None."""
    name: str = ""
    """What the engine is told to call it."""


@dataclass(slots=True, eq=False, kw_only=True)
class Call(Awaited):
    """Something to do with the engine itself, between two steps."""

    work: Callable[[Any], Any]
    alone: bool
    """Only once every request under way has ended; later ones wait for it."""


class Turns:
    """A lock that is given to whoever waited longest: engines in one process step in turn, as their globals ask."""

    def __init__(self) -> None:
        self._mutex, self._held = threading.Lock(), False
        self._waiting: deque[threading.Lock] = deque()

    def __enter__(self) -> None:
        gate = threading.Lock()
        with self._mutex:
            if not self._held:
                self._held = True
                return
            gate.acquire()
            self._waiting.append(gate)
        gate.acquire()

    def __exit__(self, *_: object) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False


TURNS = Turns()
OPEN: set[EngineThread] = set()
"""Threads with an engine; to be looked at by whoever has the turn."""


class Maker(Protocol):
    """How an engine is made and spoken to."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def most(self) -> int:
        """Requests in one batch."""
        ...

    def build(self) -> Any:
        """An engine with `add_request`, `abort_request` and `step`. BackendError."""
        ...

    def close(self, engine: Any, *, last: bool) -> None:
        """Give an engine back; `last`: no other is open in this process."""
        ...

    def params(self, given: dict[str, Any]) -> Any:
        """Sampling parameters as the engine wants them; raises where they are out of range."""
        ...

    def fatal(self, error: Exception) -> bool:
        """Whether an error of `add_request` means that the engine is dead, and not that the request is at fault."""
        ...


class EngineThread:
    """The engine, and the loop that keeps it busy. `submit`, `abort`, `call` and `stop` may be used from anywhere."""

    def __init__(self, maker: Maker) -> None:
        """Start the engine and wait for it. BackendError where it does not start."""
        self.maker, self.meter = maker, Meter(maker.most)
        self.failure: Exception | None = None
        self.restarts = 0
        self.engine: Any = None
        self._queue: queue.SimpleQueue[Part | Call | tuple[Part] | None] = queue.SimpleQueue()
        self._live: dict[str, Part] = {}
        self._waiting: deque[Part | Call] = deque()
        self._count = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=maker.name, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self.engine is None:
            assert self.failure is not None, "a thread that ended without an engine says why"
            raise self.failure

    def submit(self, item: Part | Call) -> None:
        """Queue something to do; it fails at once where the engine is gone."""
        self._queue.put(item)
        if self.failure:  # looked at after it is in the queue, so that none falls between
            item.settle(self.failure)

    def abort(self, part: Part) -> None:
        """Nobody waits for `part` any more."""
        self._queue.put((part,))

    def stop(self) -> None:
        """End the loop after the present step, and wait for that."""
        self._queue.put(None)
        self._thread.join()

    @property
    def live(self) -> int:
        """Requests in the engine."""
        return len(self._live)

    # ---- all below belongs to the thread ----

    def _run(self) -> None:
        try:
            self._start()
        except Exception as error:
            self.failure = error if isinstance(error, BackendError) else BackendError(told(error))
            self._ready.set()
            return
        self._ready.set()
        while self.failure is None:
            try:
                self._serve()
                self.failure = RunFailed(f"the backend of {self.maker.name} was closed")
            except Exception as error:
                self._died(error)
        self._settle_all(self.failure)
        self._close()

    def _start(self) -> None:
        with TURNS:
            self.engine = self.maker.build()
            OPEN.add(self)

    def _died(self, error: Exception) -> None:
        """Tell those whose requests are lost, and start again, once."""
        why = f"the engine of {self.maker.name} failed: {told(error)}"
        self._close()
        if self.restarts:
            self.failure = RunFailed(f"{why}; it had been restarted before")
            return
        self.restarts += 1
        for part in self._live.values():
            part.settle(RequestFailed(f"{why}; it was restarted, the same command asks again"))
        self._live.clear()
        try:
            self._start()
        except Exception as again:
            self.failure = RunFailed(f"{why}; it did not start again: {told(again)}")

    def _close(self) -> None:
        """Give the engine back."""
        engine, self.engine = self.engine, None
        with TURNS:
            OPEN.discard(self)
            with suppress(Exception):
                self.maker.close(engine, last=not OPEN)
            del engine
            gc.collect()

    def _settle_all(self, failure: Exception) -> None:
        left = [item for item in self._drained(block=False) if isinstance(item, (Part, Call))]
        for item in [*self._live.values(), *self._waiting, *left]:
            item.settle(failure)

    def _drained(self, block: bool) -> list[Part | Call | tuple[Part] | None]:
        items = [self._queue.get()] if block else []
        while not self._queue.empty():
            items.append(self._queue.get())
        return items

    def _serve(self) -> None:
        """Take what comes and step, until told to stop."""
        while True:
            waits = not (self._live or self._waiting)
            items = self._drained(block=waits)
            if waits:
                self.meter.woke()
            for item in items:
                if item is None:
                    return
                self._take(item)
            self._admit()
            if self._live:
                self._step()

    def _take(self, item: Part | Call | tuple[Part]) -> None:
        if isinstance(item, (Part, Call)):
            self._waiting.append(item)
        elif item[0] in self._waiting:
            self._waiting.remove(item[0])
        elif self._live.pop(item[0].name, None):
            self.engine.abort_request([item[0].name])

    def _admit(self) -> None:
        """Do what waits, in order, as far as a call that needs the engine alone."""
        while self._waiting:
            item = self._waiting[0]
            if isinstance(item, Call) and item.alone and self._live:
                return
            self._waiting.popleft()
            if isinstance(item, Call):
                self._do(item)
            else:
                self._add(item)

    def _do(self, call: Call) -> None:
        try:
            with TURNS:
                found = call.work(self.engine)
        except Exception as error:
            call.settle(error)
        else:
            call.settle(found)

    def _add(self, part: Part) -> None:
        self._count += 1
        part.name = str(self._count)
        try:
            params = self.maker.params(part.params)
            prompt = {"prompt_token_ids": part.prompt}
            self.engine.add_request(part.name, prompt, params, lora_request=part.adapter)
        except Exception as error:
            if self.maker.fatal(error):
                self._live[part.name] = part  # lost with the others
                raise
            part.settle(Refused(f"{self.maker.name} refused the request: {told(error)}"))
        else:
            self._live[part.name] = part

    def _step(self) -> None:
        with TURNS:
            begin, live = self.meter.clock(), len(self._live)
            outputs = self.engine.step()
            self.meter.stepped(begin, live)
        for output in outputs:
            if output.finished:
                self._deliver(output)

    def _deliver(self, output: Any) -> None:
        part = self._live.pop(output.request_id, None)
        if part is None:  # aborted meanwhile
            return
        found = output.outputs[0]
        if found.finish_reason in ("error", "abort"):
            part.settle(RequestFailed(f"{self.maker.name} broke the request off ({found.finish_reason})"))
            return
        self.meter.answered(len(part.prompt), output.num_cached_tokens or 0, len(found.token_ids))
        part.settle(output)


def told(error: BaseException) -> str:
    """The last line of what an error says."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1][:500]
