"""The command that makes preferences of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.play import AsJson, Sets, changed
from simarena.cli.records import Folder, Force

if TYPE_CHECKING:
    from simarena.preferences.build import Counts
    from simarena.preferences.filters import Filters
    from simarena.preferences.formats import Format
    from simarena.preferences.record import Preference

PARQUET = ".parquet"
FILES = (".jsonl", ".json", PARQUET)
"""An --out that ends otherwise is a folder."""


def pairs(
    run: Folder,
    builder: Annotated[str, typer.Option(help="How: see simarena list builders.")],
    out: Annotated[
        str, typer.Option(help='A .jsonl or .parquet file; a folder, for a data set with its card; "-" is stdout.')
    ],
    format_: Annotated[str, typer.Option("--format", help="See: simarena list pair-formats.")] = "native",
    set_: Sets = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="KEY=VALUE", help="margin, orders, agreement, length, per_state, ... Repeats."
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Preferences from a run's record, and why the rest made none."""
    from simarena.errors import ScenarioError, UnknownName
    from simarena.preferences import card
    from simarena.preferences.build import build
    from simarena.preferences.builders import BUILDERS
    from simarena.preferences.formats import FORMATS, write_lines
    from simarena.registry import lookup
    from simarena.store import open_run

    if format_ not in FORMATS:
        raise UnknownName("format", format_, FORMATS)
    if format_ == "native" and out.endswith(PARQUET):
        raise ScenarioError(f"--out {out}: native records are JSON lines; give a .jsonl file or another --format")
    params, sieve = dict(changed(text) for text in set_ or []), filters(filter_ or [])
    with open_run(run) as opened:
        records, counts = build(opened, builder, params, sieve)
        if out == "-":
            write_lines(records, FORMATS[format_], sys.stdout)
        else:
            place = card.alone(Path(out)) if out.endswith(FILES) else card.in_folder(Path(out))
            own = card.replaceable(place, run, force)
            rows = write(records, FORMATS[format_], place.file, place.file in own)
            about = card.manifest(
                opened,
                place.file,
                builder=builder,
                params=params,
                filters=sieve,
                format_=format_,
                rows=rows,
                counts=counts,
            )
            card.write(place, about, own)
    tell(counts, out, as_json)
    if not (counts.kept or counts.dropped):
        output.note(f"nothing here to compare; {builder}: {lookup(BUILDERS, 'builder', builder).line}")


def write(records: Iterable[Preference], format_: Format, file: Path, own: bool) -> int:
    """Rows into a file that is whole or not there; `own`: one that is there may be replaced."""
    from simarena import outputs
    from simarena.preferences.formats import write_lines, write_parquet

    if file.suffix == PARQUET:
        with outputs.writing(file, "wb", own=own) as opened:
            return write_parquet(records, format_, opened)
    with outputs.writing(file, own=own) as opened:
        return write_lines(records, format_, opened)


def filters(texts: list[str]) -> Filters:
    """The filters as the command line has them."""
    from pydantic import ValidationError

    from simarena.errors import ScenarioError
    from simarena.preferences.filters import Filters
    from simarena.yamlfile import complaints

    given: dict[str, Any] = dict(changed(text, "--filter") for text in texts)
    try:
        return Filters(**given)
    except ValidationError as error:
        raise ScenarioError(f"--filter: {'; '.join(complaints(Filters, error))}") from error


def tell(counts: Counts, out: str, as_json: bool) -> None:
    """How many were kept, and how many were dropped for what."""
    dropped = dict(counts.dropped.most_common())
    if as_json and out != "-":
        output.say_json({"out": out, "kept": counts.kept, "dropped": dropped})
        return
    tell_ = output.note if out == "-" else output.say
    tell_(f"{counts.kept} preferences written to {'stdout' if out == '-' else out}")
    for reason, count in dropped.items():
        tell_(f"  {count} dropped: {reason}")
