"""What a file of preferences says of itself: a manifest for programs, a data set card for people.

In: the run, the builder's parameters, the counts, the file. Knows no format's rows. The manifest's checksums say also
which files may be replaced: those that are as they were written.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path

from simarena import __version__, outputs
from simarena.preferences.build import Counts
from simarena.preferences.filters import Filters
from simarena.records import JSON
from simarena.store import Run

MANIFEST = "manifest.json"
CARD = "README.md"
READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Place:
    """Where a data set goes: a file with its manifest, in a folder of its own with a card too."""

    file: Path
    manifest: Path
    card: Path | None = None

    @property
    def files(self) -> list[Path]:
        """All that is written."""
        return [self.file, self.manifest, *([self.card] if self.card else [])]


def alone(file: Path) -> Place:
    """The place of a file of that name."""
    return Place(file, file.with_name(f"{file.name}.{MANIFEST}"))


def in_folder(folder: Path) -> Place:
    """The place of a data set that is a folder."""
    return Place(folder / "train.jsonl", folder / MANIFEST, folder / CARD)


def replaceable(place: Place, run: Path, force: bool) -> set[Path]:
    """The files that may be replaced: as they were written, or all by `force`. OutputError where another is there."""
    own = {*place.files} if force else written(place)
    for path in place.files:
        outputs.refuse(path, own=path in own, inputs=[run])
    return own


def written(place: Place) -> set[Path]:
    """Those of the files that are as an earlier call wrote them."""
    about = read_manifest(place)
    sums = {place.file: about.get("sha256"), place.card: about.get("card_sha256")}
    same = {path for path, known in sums.items() if path and known and outputs.ordinary(path) and digest(path) == known}
    return same | ({place.manifest} if about else set())


def read_manifest(place: Place) -> dict[str, JSON]:
    """What an earlier call said of the file; {} where there is no manifest, or somebody else's."""
    try:
        about = json.loads(place.manifest.read_bytes()) if outputs.ordinary(place.manifest) else {}
    except ValueError:
        return {}
    ours = isinstance(about, dict) and about.get("file") == place.file.name and {"sha256", "simarena"} <= about.keys()
    return about if ours else {}


def manifest(
    run: Run,
    file: Path,
    *,
    builder: str,
    params: Mapping[str, JSON],
    filters: Filters,
    format_: str,
    rows: int,
    counts: Counts,
) -> dict[str, JSON]:
    """Where a file comes from, and its own hash."""
    meta = run.meta
    agents = {key.removeprefix("agent/"): value["identity"] for key, value in meta.items() if key.startswith("agent/")}
    return {
        "file": file.name,
        "sha256": digest(file),
        "rows": rows,
        "format": format_,
        "builder": builder,
        "params": dict(params),
        "filters": filters.model_dump(mode="json"),
        "kept": counts.kept,
        "dropped": dict(counts.dropped.most_common()),
        "run": {
            "folder": os.path.relpath(run.folder, file.parent),
            "hash": meta.get("scenario_hash", ""),
            "name": meta.get("name", ""),
            "env": meta.get("env", ""),
            "seed": meta.get("seed"),
            "agents": agents,
        },
        "simarena": __version__,
    }


def digest(file: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    found = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(READ):
            found.update(part)
    return found.hexdigest()


def write(place: Place, about: Mapping[str, JSON], own: Container[Path]) -> None:
    """Put the manifest down, and the card; `own` are those that may be replaced."""
    if place.card:
        text = card(about)
        outputs.write(place.card, text, own=place.card in own)
        about = {**about, "card_sha256": hashlib.sha256(text.encode()).hexdigest()}
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    outputs.write(place.manifest, text, own=place.manifest in own)


def card(about: Mapping[str, JSON]) -> str:
    """A data set card: what the hub and `datasets.load_dataset` read first, then the story in words."""
    run = about["run"]
    dropped = "\n".join(f"| {reason} | {count} |" for reason, count in about["dropped"].items())
    agents = ", ".join(f"`{name}`" for name in run["agents"]) or "unknown"
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: {about["file"]}
tags:
- preferences
- simarena
---

# Preferences from {run["name"] or run["env"] or "play"}

{about["rows"]} rows of type `{about["format"]}`, made by the builder `{about["builder"]}` of simarena
{about["simarena"]} from the record of a run of `{run["env"]}` (hash `{run["hash"]}`, seed {run["seed"]}).
Agents: {agents}. Everything was said by language models in play; labels are their judges' or the rules' own.

Parameters: `{json.dumps(about["params"])}`; filters: `{json.dumps(about["filters"])}`.

| what was dropped | how many |
|---|---:|
{dropped or "| nothing | 0 |"}

The column `id` names the native record; `{MANIFEST}` holds the hash of the file and of the run.
"""
