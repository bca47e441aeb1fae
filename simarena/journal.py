"""The one thread that writes: everything handed in while a commit is under way goes into the next commit.

In: groups of SQL statements. Out: a future per group, resolved when the group is on disk. Nothing waits on purpose: a
lone statement is committed at once, and a thousand that arrive together share one disk flush. Knows no record.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

from simarena.errors import StoreError

Statement = tuple[str, tuple[Any, ...]]


class Entry(NamedTuple):
    """Statements that are committed together, and who waits for them."""

    statements: Sequence[Statement]
    loop: asyncio.AbstractEventLoop | None = None
    future: asyncio.Future[None] | None = None
    event: threading.Event | None = None


class Journal:
    """Owns the writing connection. After the first failure every later write fails with the same error."""

    def __init__(self, connection: sqlite3.Connection, explain: Callable[[Exception], StoreError]) -> None:
        self.connection = connection
        self.explain = explain
        self.error: StoreError | None = None
        self._told = False
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="simarena-store", daemon=True)
        self._thread.start()

    def put(self, statements: Sequence[Statement]) -> None:
        """Write without waiting; what is put later is never on disk earlier."""
        self._refuse()
        self._queue.put(Entry(statements))

    async def commit(self, statements: Sequence[Statement]) -> None:
        """Write, and return when it is on disk."""
        self._refuse()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._queue.put(Entry(statements, loop, future))
        await future

    def flush(self) -> None:
        """Return when everything put so far is on disk."""
        event = threading.Event()
        self._queue.put(Entry((), event=event))
        event.wait()
        self._refuse()

    def close(self) -> None:
        """Write what is left and give the connection back; raises what went wrong where nobody was told before."""
        self._queue.put(None)
        self._thread.join()
        with contextlib.suppress(sqlite3.Error):  # a full disk fails the closing checkpoint; the log keeps its content
            self.connection.close()
        if not self._told:
            self._refuse()

    def _refuse(self) -> None:
        if self.error is not None:
            self._told = True
            raise StoreError(*self.error.args)

    def _write(self) -> None:
        open_ = True
        while open_:
            batch = [self._queue.get()]
            with contextlib.suppress(Empty):
                while True:
                    batch.append(self._queue.get_nowait())
            open_ = None not in batch
            entries = [entry for entry in batch if entry is not None]
            if self.error is None:
                self._transact(entries)
            self._answer(entries)

    def _transact(self, entries: Sequence[Entry]) -> None:
        execute = self.connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            for entry in entries:
                for sql, values in entry.statements:
                    execute(sql, values)
            execute("COMMIT")
        except (
            sqlite3.Error,
            ValueError,
            TypeError,
            OverflowError,
        ) as error:  # the last three: a value SQL cannot hold
            self.error = self.explain(error)
            with contextlib.suppress(sqlite3.Error):
                execute("ROLLBACK")

    def _answer(self, entries: Sequence[Entry]) -> None:
        waiting: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        for entry in entries:
            if entry.event is not None:
                entry.event.set()
            if entry.loop is not None and entry.future is not None:
                waiting.setdefault(entry.loop, []).append(entry.future)
        self._told = self._told or bool(waiting and self.error)
        for loop, futures in waiting.items():
            with contextlib.suppress(RuntimeError):  # the loop was closed: whoever waited was cancelled with it
                loop.call_soon_threadsafe(_resolve, futures, self.error)


def _resolve(futures: Sequence[asyncio.Future[None]], error: StoreError | None) -> None:
    for future in futures:
        if future.done():  # cancelled while it waited
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(StoreError(*error.args))
