"""Steps of a league on disk: each leaves one file, whole or not at all, and a step that left it is not taken again.

Knows nothing of what a step does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simarena import outputs
from simarena.errors import StoreError
from simarena.records import JSON, to_json


def done(path: Path, make: Callable[[], Any]) -> JSON:
    """What stands in `path`; made first where it is not there yet."""
    if not path.is_file():
        put(path, to_json(make()))
    return read(path)


def read(path: Path) -> JSON:
    """A JSON file; StoreError where it is damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read ({error}); remove it, and the same command makes it again") from error


def put(path: Path, value: JSON) -> None:
    """Write a JSON file in one move."""
    outputs.write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", own=True)


def line(value: JSON) -> str:
    """A JSON value as a line of a file of lines."""
    return json.dumps(value, ensure_ascii=False) + "\n"
