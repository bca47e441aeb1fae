"""Chat templates rendered in a process of their own, within bounds: a template is a program that comes with a model.

In: a template, messages, the names of special tokens. Out: the text that transformers' sandbox renders, or RenderError.
The process is started once, takes one template after the other, and is ended by the system where one goes on for too
long. It can write to nothing but its answer.
"""

from __future__ import annotations

import atexit
import json
import os
import resource
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from typing import Any

SECONDS = 2
"""Processor time that one rendering may take; a long template takes some milliseconds."""
CHARACTERS = 1_000_000
"""Length of what one rendering may write: contents are a few characters here, so all of it is the template's own."""
MEMORY = 1 << 29
"""Bytes that renderings may add to what the process needs itself."""
PATIENCE = 300
"""Seconds to wait for an answer, the process's own start included, on a machine that is busy."""


class RenderError(Exception):
    """A template could not be rendered; the message says why."""


class BoundError(RenderError):
    """A template goes on for too long, or writes or needs too much."""


@cache
def renderer() -> Renderer:
    """The one of this process, started now: what asks for it early does not wait for it later."""
    return Renderer()


def render(template: str, messages: Sequence[Mapping[str, str]], tokens: Mapping[str, str]) -> str:
    """The text of `messages` up to where the assistant goes on. RenderError, or BoundError, where there is none."""
    return renderer().render({"template": template, "messages": list(messages), "tokens": dict(tokens)})


class Renderer:
    """The process, and the pipe to it. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start()
        atexit.register(self.close)

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", __name__]  # -P: no file of the current folder is a module
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter, and words that no shell reads
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the run, which goes on asking until it has ended
        )

    def render(self, asked: Mapping[str, Any]) -> str:
        """Ask, and wait for the answer."""
        with self._lock:
            if self._process.poll() is not None:
                self.close()
                self._start()
            answer = self._answer(json.dumps(asked).encode() + b"\n")
        found: dict[str, str] = json.loads(answer)
        if "text" in found:
            return found["text"]
        raise (BoundError if "bound" in found else RenderError)(found.get("bound") or found["error"])

    def _answer(self, line: bytes) -> bytes:
        """The line that comes back. BoundError where the process ends over it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answer = b""
        with suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
            part = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
            if not part:
                raise BoundError(self._end())
            answer += part
        return answer

    def _end(self) -> str:
        """How the process ended, which it may be about to do by itself; it is ended where it does not."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(1)
        self.close()
        late = self._process.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
        return f"goes on for more than {SECONDS} s" if late else f"ended its process with {self._process.returncode}"

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(BrokenPipeError):  # over what was not read of the question
                pipe.close()


# ---- in the process --------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer what comes in, line by line, until nothing does."""
    from transformers.utils import chat_template_utils

    confine()
    for line in sys.stdin.buffer:
        allow(SECONDS)
        answer = rendered(chat_template_utils, json.loads(line))
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def confine() -> None:
    """Let this process write to no file and take little more memory than it has."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with open("/proc/self/statm", encoding="ascii") as file:
            size = int(file.read().split()[0]) * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def allow(seconds: int) -> None:
    """Let the system end this process after so much more processor time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + 1 + seconds
    resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def rendered(library: Any, asked: Mapping[str, Any]) -> dict[str, str]:
    """The text, or the error, or the bound that was met."""
    try:
        [text], _ = library.render_jinja_template(
            [asked["messages"]], chat_template=asked["template"], add_generation_prompt=True, **asked["tokens"]
        )
    except MemoryError:
        return {"bound": f"needs more than {MEMORY >> 20} MB"}
    except Exception as error:  # a template may raise whatever Python raises
        return {"error": str(error) or type(error).__name__}
    if len(text) > CHARACTERS:
        return {"bound": f"writes more than {CHARACTERS:,} characters"}
    return {"text": text}


if __name__ == "__main__":
    main()
