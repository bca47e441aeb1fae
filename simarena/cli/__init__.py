"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from simarena.cli import output, play
from simarena.errors import SimArenaError

app = typer.Typer(
    name="simarena",
    help="Scenario files become rated, resumable tournaments of language models, policies and learners.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("run")(play.run)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error; stands anywhere.")] = False,
) -> None:
    """Options of every command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script: runs a command and exits with its code."""
    raise SystemExit(call(sys.argv[1:] if arguments is None else list(arguments)))


def call(arguments: list[str]) -> int:
    """Run a command; returns its exit code. No error but one under --debug shows a traceback."""
    debug = "--debug" in arguments
    command = typer.main.get_command(app)
    try:
        result = command.main([a for a in arguments if a != "--debug"], prog_name="simarena", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except Exception as error:
        if debug:
            raise
        return failed(error)
    except KeyboardInterrupt:
        output.note("interrupted; the same command again goes on from here")
        return 130


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
    if isinstance(error, BrokenPipeError):
        return 0
    output.note(f"simarena failed unexpectedly: {type(error).__name__}: {error}; --debug shows where")
    return 1
