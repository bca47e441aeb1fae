"""What is installed, what would work, and what to do about the rest. Loads nothing heavy, opens no connection.

Threads are measured in a process of its own, which ends with an answer.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from simarena import __version__, paths, threads
from simarena.agents.members import member
from simarena.backends.vllm_options import WITHOUT_GPU, environment
from simarena.casting import EXTRAS, MODULES, Cast
from simarena.errors import SimArenaError, install
from simarena.provenance import provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    what: str
    fine: bool
    said: str
    remedy: str = ""
    """The command that mends it."""


def examine() -> list[Finding]:
    """Everything, in reading order."""
    return [*machine(), *backends(), *folders(), *shipped_agents()]


def machine() -> Iterator[Finding]:
    """Python, processor, memory, accelerators, threads."""
    about = provenance()
    hardware = about["hardware"]
    yield Finding(what="simarena", fine=True, said=f"{__version__} in {paths.PACKAGE}")
    yield Finding(what="python", fine=sys.version_info >= (3, 11), said=platform.python_version())
    cores, memory = hardware["cores"], hardware["memory_gb"]
    yield Finding(what="machine", fine=True, said=f"{hardware['processor']}, {cores} cores, {memory} GB")
    driver = shutil.which("nvidia-smi")
    said = "an NVIDIA driver is installed" if driver else "none found; models play on the processor"
    yield Finding(what="accelerator", fine=True, said=said)
    if importlib.util.find_spec("torch"):
        yield computing()


def computing() -> Finding:
    """How many threads the shipped models would play with, started now."""
    what = "threads"
    try:
        return Finding(what=what, fine=True, said=threads.elsewhere(*threads.SHIPPED).line())
    except SimArenaError as error:
        return Finding(what=what, fine=False, said=str(error))


def backends() -> Iterator[Finding]:
    """Which backends could open."""
    yield Finding(what="backend scripted", fine=True, said="always there")
    for backend, extra in EXTRAS.items():
        missing = [name for name in MODULES[extra] if importlib.util.find_spec(name) is None]
        versions = ", ".join(f"{name} {version(name)}" for name in MODULES[extra] if name not in missing)
        more = WITHOUT_GPU if backend == "vllm" else ""
        if backend == "vllm" and not missing:
            versions += f"; it will set {' '.join(f'{name}={value}' for name, value in environment().items())}"
        yield Finding(
            what=f"backend {backend}",
            fine=not missing,
            said=f"missing {', '.join(missing)}" if missing else versions,
            remedy=f"in simarena's clone: {install(extra)}{more}" if missing else "",
        )


def version(package: str) -> str:
    """An installed package's version; vLLM for processors is a package of another name."""
    for name in (package, f"{package}-cpu"):
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(name)
    return "?"


def folders() -> Iterator[Finding]:
    """Whether runs can be written here, and what ships."""
    here = Path("runs") if Path("runs").is_dir() else Path()
    try:
        with tempfile.TemporaryFile(dir=here):
            pass
        free = shutil.disk_usage(here).free / 1e9
        yield Finding(what="run folders", fine=True, said=f"{here.absolute()} is writable, {free:.0f} GB free")
    except OSError as error:
        said = f"{here.absolute()} cannot be written in ({os.strerror(error.errno or 0)})"
        yield Finding(what="run folders", fine=False, said=said, remedy="go to another folder, or give --out")
    count = len(paths.scenario_names())
    yield Finding(what="scenarios", fine=count > 0, said=f"{count} ship in {paths.shipped('scenarios')}")


def shipped_agents() -> Iterator[Finding]:
    """Whether each agent file could be seated."""
    for name in paths.agent_names():
        if name.startswith("example-"):  # to be copied
            continue
        try:
            cast = Cast()
            cast.enter(member(name))
            cast.check()
            yield Finding(what=f"agent {name}", fine=True, said=cast.roles[name].member.spec.backend)
        except SimArenaError as error:
            yield Finding(what=f"agent {name}", fine=False, said=str(error).replace("\n", "; "))
