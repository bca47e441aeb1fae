"""What a run looks like while it goes on: a live line on a terminal, plain lines elsewhere. Writes to stderr only."""

from __future__ import annotations

import asyncio
import sys
from typing import TextIO

from simarena.ledger import Ledger

LIVE, PLAIN = 0.25, 5.0
"""Seconds between two looks."""


class Progress:
    """Shows a ledger as it fills."""

    def __init__(self, stream: TextIO | None = None, every: float | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self.every = every or (LIVE if self.live else PLAIN)

    async def follow(self, ledger: Ledger) -> None:
        """Show until cancelled; the last look is taken on the way out."""
        await (self._follow_live(ledger) if self.live else self._follow_plain(ledger))

    async def _follow_plain(self, ledger: Ledger) -> None:
        try:
            while True:
                await asyncio.sleep(self.every)
                self._line(ledger)
        finally:
            self._line(ledger)

    def _line(self, ledger: Ledger) -> None:
        self.stream.write(text(ledger) + "\n")
        self.stream.flush()

    async def _follow_live(self, ledger: Ledger) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        def look() -> Text:
            return Text(text(ledger), no_wrap=True, overflow="ellipsis")

        with Live(look(), console=Console(file=self.stream), auto_refresh=False) as live:
            try:
                while True:
                    await asyncio.sleep(self.every)
                    live.update(look(), refresh=True)
            finally:
                live.update(look(), refresh=True)


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
