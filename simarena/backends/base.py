"""The seam to the outside: one request at a time from the caller's view; batching is the backend's business."""

from __future__ import annotations

from typing import Protocol

from simarena.records import Completion, Request

DIGITS = 6
"""Log-probabilities are recorded rounded to so many digits after the point, whoever gives them, so that records of one
play are the same: below that, results of float32 depend on the shapes of the products."""


class Backend(Protocol):
    """Answers requests. Raises RequestFailed where one cannot be answered, RunFailed where none can any more."""

    async def generate(self, request: Request) -> Completion:
        """Answer one request, or score its continuations where `request.score` is set."""
        ...

    async def aclose(self) -> None:
        """Give back what the backend holds: engine, connections, threads."""
        ...
