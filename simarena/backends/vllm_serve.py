"""A vLLM server of one's own: the command that starts it, the wait until it answers, and its end with ours.

In: a base, adapters, options and a port. Out: running servers on the loopback, one for each replica. Knows no agent.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simarena import outputs
from simarena.backends.vllm import Plan
from simarena.backends.vllm_check import Base
from simarena.backends.vllm_options import IN_PROCESS, VLLMOptions, environment, on_processor
from simarena.errors import BackendError

HOST = "127.0.0.1"
MARK = "# Log of a server that simarena serve started.\n"
"""How logs begin, so that the next call knows them for its own."""
PATIENCE = 1800.0
"""Seconds that a server may take to start: a large model is read for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What servers serve."""

    base: Base
    adapters: dict[str, Path]
    """Name under which requests choose it -> folder."""
    options: VLLMOptions
    rank: int
    port: int
    """Of the first replica; the others follow."""
    threads: int = 0
    """Of each server on a processor; 0: it does not matter."""

    def command(self, port: int) -> list[str]:
        """What starts one server; the shorter `vllm serve` fails where vLLM is the one for processors."""
        plan = Plan(
            model=str(self.base.folder.absolute()),
            files=self.base.files,
            options=self.options,
            adapters=len(self.adapters),
            rank=self.rank,
            layers=tuple(sorted(self.base.layers)),
            window=self.options.max_model_len or self.base.window,
        )
        arguments = plan.arguments() | {
            "host": HOST,
            "port": port,
            "served_model_name": self.base.version,
            "enable_prompt_tokens_details": True,
        }
        if takes_tokens():  # scoring then finds its prompts in the prefix cache
            arguments["enable_scale_out"] = True
        modules = [f"{name}={folder.absolute()}" for name, folder in self.adapters.items()]
        flags = [word for name, value in arguments.items() for word in flag(name, value)]
        more = ["--lora-modules", *modules] if modules else []
        module = ["-P", "-m", "vllm.entrypoints.openai.api_server"]  # -P: no file of the current folder is a module
        return [sys.executable, *module, *flags, *more]

    def ports(self) -> list[int]:
        """One for each replica."""
        return [self.port + n for n in range(self.options.replicas)]


def takes_tokens() -> bool:
    """Whether the vLLM that is installed can offer `/inference/v1/generate`, by the text of its command line."""
    spec = importlib.util.find_spec("vllm")
    file = Path(spec.origin).parent / "entrypoints/launchers/cli_args.py" if spec and spec.origin else Path()
    return file.is_file() and "enable_scale_out" in file.read_text(encoding="utf-8")


def flag(name: str, value: Any) -> list[str]:
    """An argument of EngineArgs as words of a command."""
    word = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [word if value else word.replace("--", "--no-", 1)]
    if isinstance(value, list):
        return [word, *map(str, value)]
    return [word, json.dumps(value) if isinstance(value, dict) else str(value)]


@dataclass(slots=True)
class Servers:
    """Running servers; leaving the block stops them."""

    served: Served
    folder: Path
    """Where their logs go."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Servers:
        for n, port in enumerate(self.served.ports()):
            check_free(port)
            self.processes.append(self._start(n, port))
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _start(self, n: int, port: int) -> subprocess.Popen[bytes]:
        size, options = self.served.options.tensor_parallel_size, self.served.options
        settings = {name: value for name, value in environment(options).items() if name not in IN_PROCESS}
        settings["VLLM_LOGGING_LEVEL"] = "INFO"  # into its own log
        if self.served.threads:
            settings["OMP_NUM_THREADS"] = str(self.served.threads)
        if options.replicas > 1 and not on_processor():
            settings["CUDA_VISIBLE_DEVICES"] = ",".join(str(n * size + i) for i in range(size))
        outputs.write(self.log(port), MARK, own=outputs.begins(self.log(port), MARK))
        with self.log(port).open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own interpreter, and words that no shell reads
                self.served.command(port),
                env={**settings, **os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def log(self, port: int) -> Path:
        """Where a server writes."""
        return self.folder / f"vllm-{port}.log"

    def wait_healthy(self, patience: float = PATIENCE) -> None:
        """Wait until all answer. BackendError where one ends instead, with the last that it said."""
        until = time.monotonic() + patience
        for process, port in zip(self.processes, self.served.ports(), strict=True):
            while not healthy(port):
                if process.poll() is not None:
                    raise BackendError(f"the vLLM server on port {port} ended: {self.last_words(port)}")
                if time.monotonic() > until:
                    raise BackendError(f"the vLLM server on port {port} did not answer within {patience:g} s")
                time.sleep(0.2)

    def wait(self) -> None:
        """Wait for the first server that ends by itself. BackendError with its last words."""
        while True:
            for process, port in zip(self.processes, self.served.ports(), strict=True):
                if process.poll() is not None:
                    raise BackendError(f"the vLLM server on port {port} ended: {self.last_words(port)}")
            time.sleep(0.5)

    def last_words(self, port: int) -> str:
        """The last error in a server's log, and where the rest stands."""
        lines = self.log(port).read_text(errors="replace").removeprefix(MARK).splitlines()
        said = [line for line in lines if "Error" in line] or lines[-1:] or ["it said nothing"]
        return f"{said[-1].strip()[:300]} (all of it: {self.log(port)})"


def healthy(port: int) -> bool:
    """Whether a server answers there."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def check_free(port: int) -> None:
    """BackendError where somebody listens on `port` already."""
    with socket.socket() as taken:
        if taken.connect_ex((HOST, port)) == 0:
            raise BackendError(f"port {port} is taken; choose another with --port")


def die_with_parent() -> None:
    """In a child: ask Linux to end it with its parent (prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)
