"""The command that makes preferences of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from simarena.cli import output
from simarena.cli.play import AsJson, Sets, changed
from simarena.cli.records import Folder

if TYPE_CHECKING:
    from simarena.preferences.build import Counts
    from simarena.preferences.filters import Filters


def pairs(
    run: Folder,
    builder: Annotated[str, typer.Option(help="How: see simarena list builders.")],
    out: Annotated[str, typer.Option(help='The file to write, JSON lines; "-" is stdout.')],
    set_: Sets = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="KEY=VALUE", help="margin, orders, agreement, length, per_state, ... Repeats."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Preferences from a run's record, and why the rest made none."""
    from simarena.preferences.build import build
    from simarena.preferences.record import write_jsonl
    from simarena.store import open_run

    params = dict(changed(text) for text in set_ or [])
    with open_run(run) as opened:
        records, counts = build(opened, builder, params, filters(filter_ or []))
        with whole(out) as file:
            write_jsonl(records, file)
    tell(counts, out, as_json)


@contextmanager
def whole(out: str) -> Iterator[TextIO]:
    """A file that is whole or not there; "-" is stdout."""
    if out == "-":
        yield sys.stdout
        return
    begun = Path(f"{out}.part")
    with begun.open("w", encoding="utf-8", errors="surrogatepass") as file:
        yield file
    begun.replace(out)


def filters(texts: list[str]) -> Filters:
    """The filters as the command line has them."""
    from pydantic import ValidationError

    from simarena.errors import ScenarioError
    from simarena.preferences.filters import Filters

    given: dict[str, Any] = dict(changed(text, "--filter") for text in texts)
    try:
        return Filters(**given)
    except ValidationError as error:
        lines = "; ".join(f"{e['loc'][0]}: {e['msg']}" for e in error.errors(include_url=False))
        raise ScenarioError(f"--filter: {lines} (known: {', '.join(Filters.model_fields)})") from error


def tell(counts: Counts, out: str, as_json: bool) -> None:
    """How many were kept, and how many were dropped for what."""
    dropped = dict(counts.dropped.most_common())
    if as_json and out != "-":
        output.say_json({"out": out, "kept": counts.kept, "dropped": dropped})
        return
    output.note(f"{counts.kept} preferences written to {'stdout' if out == '-' else out}")
    for reason, count in dropped.items():
        output.note(f"  {count} dropped: {reason}")
