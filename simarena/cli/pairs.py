"""The command that makes preferences of a run."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.play import AsJson, Sets, changed
from simarena.cli.records import Folder

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
    as_json: AsJson = False,
) -> None:
    """Preferences from a run's record, and why the rest made none."""
    from simarena.errors import ScenarioError, UnknownName
    from simarena.preferences import card
    from simarena.preferences.build import build
    from simarena.preferences.builders import BUILDERS
    from simarena.preferences.formats import FORMATS
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
            write(records, FORMATS[format_], None)
        else:
            file = Path(out) if out.endswith(FILES) else Path(out) / "train.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            rows = write(records, FORMATS[format_], file)
            about = card.manifest(
                opened, file, builder=builder, params=params, filters=sieve, format_=format_, rows=rows, counts=counts
            )
            if file == Path(out):
                card.write(file.parent, about, f"{file.name}.{card.MANIFEST}")
            else:
                card.write(file.parent, about)
                (file.parent / card.CARD).write_text(card.card(about), encoding="utf-8")
    tell(counts, out, as_json)
    if not (counts.kept or counts.dropped):
        output.note(f"nothing here to compare; {builder}: {lookup(BUILDERS, 'builder', builder).line}")


def write(records: Iterable[Preference], format_: Format, file: Path | None) -> int:
    """Rows into a file that is whole or not there; None is stdout."""
    from simarena.preferences.formats import write_lines, write_parquet

    if file is None:
        return write_lines(records, format_, sys.stdout)
    begun = file.with_name(f"{file.name}.part")
    if file.suffix == PARQUET:
        rows = write_parquet(records, format_, str(begun))
    else:
        with begun.open("w", encoding="utf-8", errors="surrogatepass") as opened:
            rows = write_lines(records, format_, opened)
    begun.replace(file)
    return rows


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
