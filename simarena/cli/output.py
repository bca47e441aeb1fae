"""How results reach a terminal or a script: sanitised text, tables, JSON. Results to stdout, the rest to stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from simarena.records import JSON, to_json
from simarena.transcript import plain

if TYPE_CHECKING:
    from simarena.summary import Mean

WIDE = 10_000


def say(text: str = "") -> None:
    """A line of results."""
    sys.stdout.write(plain(text) + "\n")


def note(text: str) -> None:
    """A line beside the results."""
    sys.stderr.write(plain(text) + "\n")
    sys.stderr.flush()


def say_json(value: JSON) -> None:
    """Results for a script."""
    sys.stdout.write(json.dumps(finite(to_json(value)), indent=2) + "\n")


def finite(value: JSON) -> JSON:
    """`value` with null for numbers that JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    return [finite(each) for each in value] if isinstance(value, list) else value


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
    return f"{value:z.{digits}f}" if abs(value) < 1000 else f"{value:.0f}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.1f} %"


def interval(mean: Mean | None) -> str:
    """A mean with the half-width of its interval."""
    if mean is None:
        return "-"
    if mean.high is None:
        return number(mean.mean)
    return f"{number(mean.mean)} ±{number(mean.high - mean.mean)}"
