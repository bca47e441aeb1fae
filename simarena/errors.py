"""Every error simarena raises on purpose. Each message names the place, the value and the next move."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SimArenaError(Exception):
    """Base of all; the command line prints the message alone and exits with `exit_code`."""

    exit_code = 1


class ScenarioError(SimArenaError):
    """A scenario or agent file is wrong; the message holds every error, one line each."""

    exit_code = 2


class UnknownName(SimArenaError):
    """A name that no registry knows."""

    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        super().__init__(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")


def install(extra: str) -> str:
    """The command, given in a clone of simarena, that installs an optional dependency."""
    return f"pip install -e '.[{extra}]'"


class MissingExtra(SimArenaError):
    """An optional dependency is not installed."""

    exit_code = 2

    def __init__(self, what: str, extra: str, more: str = "") -> None:
        super().__init__(f"{what} needs, in simarena's clone: {install(extra)}{more}")


class MissingModel(SimArenaError):
    """A model, adapter or key was not where an agent file said it would be."""

    exit_code = 2


class OutputError(SimArenaError):
    """A place that a command must not write to; nothing there was touched."""

    exit_code = 2


class Unwritten(SimArenaError):
    """A file that could not be written: the disk is full, the folder read-only, or someone else wrote there."""


class StoreError(SimArenaError):
    """A run folder that cannot be read, written or trusted."""


class BackendError(SimArenaError):
    """A backend could not answer."""


class RequestFailed(BackendError):
    """This request will not be answered; its match is marked failed, the others go on."""


class RunFailed(BackendError):
    """No request of this run can be answered any more (bad key, dead engine)."""


class BudgetSpent(SimArenaError):
    """The run reached a limit it was given; what was bought is kept."""
