"""What work looks like while it goes on: a live line on a terminal, plain lines elsewhere. Writes to stderr only.

A thread of its own shows it, so that nothing that takes long is silent, whatever it is busy with.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from simarena.ledger import Ledger

LIVE, PLAIN = 0.25, 5.0
"""Seconds between two looks."""

Look = Callable[[], str]
"""How things stand, in one line."""


class Progress:
    """Shows how things stand."""

    def __init__(self, stream: TextIO | None = None, every: float | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.every = every or (LIVE if self.live else PLAIN)

    @contextmanager
    def show(self, look: Look) -> Iterator[None]:
        """Show it again and again while the block runs; the last look is taken on the way out."""
        with self._live(look) if self.live else self._plain(look):
            yield

    @contextmanager
    def _plain(self, look: Look) -> Iterator[None]:
        over = threading.Event()

        def repeat() -> None:
            while not over.wait(self.every):
                self._line(look)

        thread = threading.Thread(target=repeat, name="progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self._line(look)

    def _line(self, look: Look) -> None:
        self.stream.write(look() + "\n")
        self.stream.flush()

    @contextmanager
    def _live(self, look: Look) -> Iterator[None]:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def drawn() -> Text:
            return Text(look(), no_wrap=True, overflow="ellipsis")

        with Live(get_renderable=drawn, console=Console(file=self.stream), refresh_per_second=1 / self.every):
            yield


class Stage:
    """Work that is no match, and how far it has come."""

    def __init__(self, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.what, self.clock = what, clock
        self.so_far = ""
        self.began = clock()

    def say(self, so_far: str) -> None:
        """How far the work is."""
        self.so_far = so_far

    def text(self) -> str:
        """One line: what, how far, for how long."""
        parts = (self.what, self.so_far, clock(self.clock() - self.began))
        return " · ".join(part for part in parts if part)


@contextmanager
def stage(what: str, progress: Progress | None) -> Iterator[Stage]:
    """Show a stage while the block works at it; None: to nobody."""
    found = Stage(what)
    if progress is None:
        yield found
        return
    with progress.show(found.text):
        yield found


def text(ledger: Ledger) -> str:
    """One line: matches, rates, tokens, time to go."""
    seconds = max(ledger.seconds, 1e-9)
    ended = ledger.done + ledger.skipped + len(ledger.failures)
    parts = [
        f"{ended}/{'?' if ledger.total is None else ledger.total} matches",
        f"{ledger.running} running",
        f"{ledger.turns / seconds:.1f} turns/s",
    ]
    if tokens := ledger.prompt_tokens + ledger.completion_tokens:
        parts.append(f"{short(tokens)} tokens, {short(tokens / seconds)}/s")
    if ledger.failures:
        parts.append(f"{len(ledger.failures)} failed")
    parts.append(f"ETA {clock(remaining(ledger))}")
    return " · ".join([*parts, ledger.notice] if ledger.notice else parts)


def remaining(ledger: Ledger) -> float | None:
    """Seconds to go at the rate so far; None where that cannot be told."""
    played = ledger.done + len(ledger.failures)
    if ledger.total is None or not played:
        return None
    return ledger.seconds / played * (ledger.total - played - ledger.skipped)


def clock(seconds: float | None) -> str:
    """Seconds as h:mm:ss, "-" for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def short(number: float) -> str:
    """A number in at most five characters."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return f"{number:.0f}"
