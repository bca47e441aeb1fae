"""One writer a run: a lock on a file in the run folder, which names its holder. It goes when its process goes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import time
from pathlib import Path

from simarena.errors import StoreError


class Lock:
    """Held from construction to `release`; StoreError where somebody else holds it."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
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
            os.pwrite(self._file, f"process {os.getpid()} on {platform.node()}, since {stamp}".encode(), 0)

    def release(self) -> None:
        """Let the next writer in."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, 0)
        os.close(self._file)
