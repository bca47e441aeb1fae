"""How results reach a terminal or a script: sanitised text, tables, JSON. Results to stdout, the rest to stderr."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simarena.records import JSON, to_json

KEPT = "\n\t"
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
WIDE = 10_000


def plain(text: str) -> str:
    """`text` with everything that could move a cursor, colour or reorder a line written out as an escape."""
    if text.isprintable():
        return text
    return "".join(
        c if c in KEPT or unicodedata.category(c) not in UNSEEN else c.encode("unicode_escape").decode() for c in text
    )


def say(text: str = "") -> None:
    """A line of results."""
    sys.stdout.write(plain(text) + "\n")


def note(text: str) -> None:
    """A line beside the results."""
    sys.stderr.write(plain(text) + "\n")
    sys.stderr.flush()


def say_json(value: JSON) -> None:
    """Results for a script."""
    sys.stdout.write(json.dumps(to_json(value), ensure_ascii=False, indent=2, allow_nan=False) + "\n")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1, title: str = "") -> None:
    """A table; the first `left` columns are words, the others numbers."""
    drawn = Table(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", title_style="bold")
    if title:
        drawn.title = Text(title)
    for n, name in enumerate(head):
        drawn.add_column(Text(plain(name)), justify="left" if n < left else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(plain(value).replace("\n", " ")) for value in row))
    out = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
    if not out.is_terminal:
        out.width = WIDE
    out.print(drawn)


def number(value: float | None, digits: int = 3) -> str:
    """A number in a table; "-" for none."""
    if value is None:
        return "-"
    if value == round(value) and abs(value) < 1e6:
        return str(round(value))
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:.0f}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f} %"
