"""From a trained agent back to the very turn that one of its pairs was made of.

In: an adapter's folder and a pair (its id or row). Out: where it was said. Reads meta.json, the pairs' file and run
folders; loads no model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simarena.errors import SimArenaError
from simarena.preferences.record import Preference, from_line


class Untraceable(SimArenaError):
    """An adapter, pair or run that does not lead back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a pair comes from."""

    agent: str
    """NAME@VERSION that learnt from it."""
    pairs: str
    row: int
    """Line of the pairs' file, from 1."""
    pair: Preference
    run: str
    """The run folder."""
    match: str
    turn: int
    """Number of the action in the match."""
    words: str
    """What the run has on record as said there."""


def origin(adapter: Path, pair: str = "", runs: Sequence[Path] = ()) -> Origin:
    """Where the pair whose id begins with `pair`, or in that row, was said; the first one if none is named.

    The run folder is looked for in `runs`, beside the pairs and under ./runs.
    """
    meta = read_meta(adapter)
    file = Path(meta["pairs"].get("file", ""))
    if not file.is_file():
        raise Untraceable(f"{adapter} was trained on {file or 'pairs without a file'}, which is not there any more")
    row, found = chosen(file, pair)
    run = run_of(found, [*runs, *nearby(file)])
    return Origin(
        agent=meta["name"],
        pairs=str(file),
        row=row,
        pair=found,
        run=str(run),
        match=found.match,
        turn=found.turn,
        words=words_at(run, found),
    )


def read_meta(adapter: Path) -> dict[str, Any]:
    """An agent's story; `adapter` is its folder or the file that seats it."""
    folder = adapter.with_suffix("") if adapter.suffix in (".yaml", ".yml") else adapter
    try:
        meta = dict(json.loads((folder / "meta.json").read_text(encoding="utf-8")))
        meta["pairs"].get("file")
        return meta
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise Untraceable(f"{folder} has no meta.json of a training; give a folder that simarena train made") from error


def chosen(file: Path, pair: str) -> tuple[int, Preference]:
    """Row and record of the pair that is meant."""
    with file.open(encoding="utf-8") as opened:
        rows = (line for line in opened if line.strip())
        for row, line in enumerate(rows, 1):
            data = json.loads(line)
            if pair in ("", str(row)) or (len(pair) > 3 and data.get("id", "").startswith(pair)):
                return row, from_line(data)
    raise Untraceable(f"{file} holds no pair {pair!r}; give a row, from 1, or the beginning of an id")


def nearby(file: Path) -> Iterator[Path]:
    """Folders in which the run may lie."""
    for folder in (file.parent, Path("runs"), file.parent / "runs"):
        yield folder
        if folder.is_dir():
            yield from sorted(path.parent for path in folder.glob("*/run.sqlite"))


def run_of(pair: Preference, candidates: Sequence[Path]) -> Path:
    """The run folder that holds the pair's match."""
    from simarena.errors import StoreError
    from simarena.store import open_run

    for folder in candidates:
        try:
            with open_run(folder) as run:
                if pair.match in run.statuses():
                    return folder
        except StoreError:
            continue
    raise Untraceable(f"no run folder here holds match {pair.match}; name it with --run")


def words_at(run: Path, pair: Preference) -> str:
    """What was said at that turn, as the run has it."""
    from simarena.store import open_run

    with open_run(run) as opened:
        answers = opened.answers(pair.match)
        calls = [key for response in pair.responses for key in response.source if key in answers]
        return answers[calls[0]].completion.text if calls else ""
