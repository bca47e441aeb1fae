"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from simarena import __version__
from simarena.cli import catalogue, league, output, pairs, play, records, serve, train
from simarena.errors import SimArenaError

app = typer.Typer(
    name="simarena",
    help="Scenario files become rated, resumable tournaments of language models, policies and learners.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "list": catalogue.list_,
    "validate": catalogue.validate,
    "schema": catalogue.schema,
    "run": play.run,
    "tournament": play.tournament,
    "verify": play.verify,
    "rate": records.rate,
    "show": records.show,
    "replay": records.replay,
    "branch": records.branch,
    "export": records.export,
    "pairs": pairs.pairs,
    "train": train.train,
    "trace": train.trace,
    "league": league.league,
    "serve": serve.serve,
    "doctor": catalogue.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def say_version(asked: bool) -> None:
    """Print the version and end, where it is asked for."""
    if asked:
        output.say(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; stands anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=say_version, is_eager=True)
    ] = False,
) -> None:
    """Options of every command."""


INTERRUPTED = 130
"""Exit code of a process that Ctrl-C ended, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: runs a command and exits with its code."""
    raise SystemExit(call(sys.argv[1:] if arguments is None else list(arguments)))


def call(arguments: list[str]) -> int:
    """Run a command; returns its exit code. No error but one under --debug shows a traceback."""
    debug = "--debug" in arguments
    try:
        result = typer.main.get_command(app).main(
            spread(arguments) or ["--help"], prog_name="simarena", standalone_mode=False
        )
    except Exception as error:
        if debug:
            raise
        return failed(error)
    except KeyboardInterrupt:
        result = INTERRUPTED
    if result == INTERRUPTED:
        output.note("interrupted; the same command again goes on from here")
    return result if isinstance(result, int) else 0


def spread(arguments: list[str]) -> list[str]:
    """`--agents a b c` as the parser wants it: --agents a --agents b --agents c. --debug is taken out."""
    words = [word for word in arguments if word != "--debug"]
    found: list[str] = []
    naming = False
    for word, following in zip(words, [*words, "-"][1:], strict=True):
        naming = word == "--agents" or (naming and not word.startswith("-"))
        if word == "--agents" and not following.startswith("-"):
            continue
        found += (
            [part for name in word.split(",") if name for part in ("--agents", name)]
            if (naming and word != "--agents")
            else [word]
        )
    return found


def failed(error: Exception) -> int:
    """Say what went wrong in one place; returns the exit code."""
    if isinstance(error, SimArenaError):
        output.note(str(error))
        return error.exit_code
    if hasattr(error, "format_message"):  # a wrong call, as the parser tells it
        context = getattr(error, "ctx", None)
        if context is not None:
            output.note(context.get_usage())
        output.note(f"Error: {error.format_message()}")
        return 2
    if isinstance(error, BrokenPipeError):  # whoever read the results has had enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - so that nothing is flushed into the closed pipe at exit
        return 0
    if isinstance(error, OSError):
        output.note(f"{error.filename or 'the system'}: {error.strerror or error}")
        return 1
    output.note(f"simarena failed unexpectedly: {type(error).__name__}: {error}; --debug shows where")
    return 1
