"""The one way to write: a file is whole or not there, and nothing that is somebody else's is replaced or removed.

A command writes single files (`writing`), or into a folder of its own (`claim`), whose parts it names with `inside`.
Refused are inputs, links, devices and folders in the place of a file, always, and files of others unless `own` says
that this one may go. Errors name the path: OutputError before anything is written, Unwritten where writing failed.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from simarena import names
from simarena.errors import OutputError, Unwritten

PART = ".writing-"
"""How names of unfinished files begin; a process that was killed may leave one behind."""
LONGEST = 255
"""Bytes that file systems give a part of a path."""


class Standing(NamedTuple):
    """Enough of what stands at a path to see that it is still the same."""

    mode: int
    device: int
    inode: int
    links: int
    size: int
    changed: int


def standing(path: Path) -> Standing | None:
    """What stands at a path, a link being itself; None: nothing. OutputError where it can be no path."""
    try:
        found = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise OutputError(f"{str(path)!r} is no place to write to: {said(error)}") from error
    return Standing(found.st_mode, found.st_dev, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns)


# ---- single files ----------------------------------------------------------------------------------------------------


def refuse(path: Path, *, own: bool = False, inputs: Iterable[Path] = ()) -> Standing | None:
    """OutputError where `path` must not be written to; returns what stands there now.

    `own`: a file that is there may go. `inputs`: files, and folders with all that is in them, that the command reads.
    """
    found = standing(path)
    if found is None:
        return None
    if stat.S_ISLNK(found.mode):
        raise OutputError(f"{path} is a link, and nothing is written through one; name the file that it leads to")
    if stat.S_ISDIR(found.mode):
        raise OutputError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(found.mode):
        raise OutputError(f'{path} is no ordinary file; name one, or "-" for standard output')
    if any(holds(each, path) for each in inputs):
        raise OutputError(f"{path} belongs to what this command reads; write to another file")
    if not own:
        raise OutputError(f"{path} is there already; name another file, or give --force to replace it")
    return found


def holds(place: Path, path: Path) -> bool:
    """Whether an existing file is `place`, or in the folder `place`, under whatever name."""
    if place.is_dir():
        return path.resolve().is_relative_to(place.resolve())
    return place.exists() and path.samefile(place)


@contextmanager
def writing(
    path: Path, mode: Literal["w", "wb"] = "w", *, own: bool = False, inputs: Iterable[Path] = ()
) -> Iterator[IO[Any]]:
    """A new file that takes its place at `path`, on disk, when the block ends; an error leaves `path` as it was.

    Folders on the way are made. Text is UTF-8. `own` and `inputs` as `refuse` has them.
    """
    before = refuse(path, own=own, inputs=inputs)
    begun = path.with_name(f"{PART}{secrets.token_hex(8)}")
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            with opened(handle, mode) as file:
                yield file
                file.flush()
                os.fsync(handle)
            if standing(path) != before:
                raise Unwritten(f"{path} was changed by someone else meanwhile and was left alone; try again")
            begun.replace(path)
        except BaseException:
            begun.unlink(missing_ok=True)
            raise


def opened(handle: int, mode: Literal["w", "wb"]) -> IO[Any]:
    """A handle as a file of text or of bytes; lone surrogates of what models wrote pass."""
    return (
        os.fdopen(handle, mode) if mode == "wb" else os.fdopen(handle, mode, encoding="utf-8", errors="surrogatepass")
    )


def write(path: Path, text: str, *, own: bool = False, inputs: Iterable[Path] = ()) -> None:
    """Write a text in one move; `own` and `inputs` as `refuse` has them."""
    with writing(path, own=own, inputs=inputs) as file:
        file.write(text)


def begins(path: Path, mark: str) -> bool:
    """Whether an ordinary file begins with `mark`: how a command knows files that it wrote."""
    if not ordinary(path):
        return False
    with path.open("rb") as file:
        return file.read(len(mark.encode())) == mark.encode()


def ordinary(path: Path) -> bool:
    """Whether a file stands there that can be read without following a link or waking a device."""
    found = standing(path)
    return found is not None and stat.S_ISREG(found.mode)


# ---- files that grow -------------------------------------------------------------------------------------------------


def refuse_in_place(path: Path) -> None:
    """OutputError where writing into the file at `path` would write elsewhere: a link, a device, a second name."""
    found = standing(path)
    if found is None:
        return
    if not stat.S_ISREG(found.mode):
        raise OutputError(f"{path} is {kind(found.mode)}, and nothing is written through it; remove it")
    if found.links > 1:
        raise OutputError(
            f"{path} has another name elsewhere (a hard link), and both would change; put a copy in its place"
        )


def kind(mode: int) -> str:
    """What stands there, in a word."""
    words = ((stat.S_ISLNK, "a link"), (stat.S_ISDIR, "a folder"))
    return next((word for test, word in words if test(mode)), "no ordinary file")


def open_in_place(path: Path) -> int:
    """A handle to read and write a file that is made where it is not there; refuses as `refuse_in_place` does."""
    refuse_in_place(path)  # before opening: a pipe would wait, a device may act
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)


# ---- folders ---------------------------------------------------------------------------------------------------------


def claim(folder: Path, marker: str, *beside: str) -> None:
    """OutputError where `folder` is not this command's: it is to be new, empty, or to hold the file `marker`.

    `beside`: files that may be there before the marker is, as one that was killed early leaves them. Hidden files, such
    as `.gitkeep`, count for nothing: no command of ours writes one there but unfinished files.
    """
    if standing(folder) is None:
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file; give a folder with --out")
    with explained(folder):
        found = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    if marker not in found and (others := [name for name in found if name not in beside]):
        raise OutputError(
            f"{folder} holds other files ({', '.join(others[:3])}); give a new or empty folder with --out"
        )


def refuse_taken(target: Path) -> None:
    """OutputError where anything is at the place of a folder that is about to be made."""
    if standing(target) is not None:
        raise OutputError(f"{target} is there, and this command did not make it; move it away, or give another --out")


@contextmanager
def writing_folder(target: Path) -> Iterator[Path]:
    """A scratch folder beside `target` that takes its place at the end, or vanishes with an error.

    A scratch folder that one who was killed has left is made anew. `refuse_taken` says what is refused.
    """
    refuse_taken(target)
    scratch = target.with_name(f"{PART}{target.name}")
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    try:
        yield scratch
        scratch.replace(target)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def inside(root: Path, *parts: str) -> Path:
    """The path of `parts` below `root`. OutputError for a part that is no file's name, or is a link on disk.

    `root` itself may be a link, or lie behind one: that is for whoever named it to choose.
    """
    here = root
    for part in parts:
        if found := names.fault(part, LONGEST):
            raise OutputError(f"{here}: {part!r} {found}")
        here = here / part
        if (there := standing(here)) is not None and stat.S_ISLNK(there.mode):
            raise OutputError(f"{here} is a link, and nothing is written through one; remove it")
    return here


# ---- errors ----------------------------------------------------------------------------------------------------------


@contextmanager
def explained(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Unwritten, which names `path`, for a system's error or one of `errors`."""
    kinds: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        yield
    except kinds as error:
        denied = isinstance(error, (PermissionError, NotADirectoryError, FileExistsError, IsADirectoryError))
        remedy = "write to another place" if denied else "make room, then run the same command again"
        raise Unwritten(f"cannot write {path}: {said(error)}; {remedy}") from error


def said(error: Exception) -> str:
    """What the system said."""
    return str(getattr(error, "strerror", None) or error)
