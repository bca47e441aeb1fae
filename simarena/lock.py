"""One writer a run: a lock on a file in the run folder, which names its holder. It goes when its process goes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from pathlib import Path

from simarena import outputs
from simarena.errors import OutputError, StoreError

HOLDER = "process "
"""How a lock's file begins while somebody holds it; it is empty otherwise."""


class Lock:
    """Held from construction to `release`. StoreError where somebody else holds it, OutputError where it is no lock."""

    def __init__(self, path: Path) -> None:
        self._file = outputs.open_in_place(path)
        if os.pread(self._file, len(HOLDER), 0) not in (b"", HOLDER.encode()):
            os.close(self._file)
            raise OutputError(f"{path} is there, and is no lock of a run; give another run folder")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._file, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._file)
            raise StoreError(
                f"{path.parent} is being written by {holder}: wait until it ends or stop it, or give another run folder"
            ) from None
        except OSError:
            os.close(self._file)
            raise
        with contextlib.suppress(OSError):  # on a full disk the lock holds, though it cannot name its holder
            os.ftruncate(self._file, 0)
            stamp = time.strftime("%Y-%m-%d %H:%M:%S")
            os.pwrite(self._file, f"{HOLDER}{os.getpid()} on {platform.node()}, since {stamp}".encode(), 0)

    def release(self) -> None:
        """Let the next writer in."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)
