"""What a file of preferences says of itself: a manifest for programs, a data set card for people.

In: the run, the builder's parameters, the counts, the file. Knows no format's rows.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from simarena import __version__
from simarena.preferences.build import Counts
from simarena.preferences.filters import Filters
from simarena.records import JSON
from simarena.store import Run

MANIFEST = "manifest.json"
CARD = "README.md"
READ = 1 << 20


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


def write(folder: Path, about: Mapping[str, JSON], name: str = MANIFEST) -> None:
    """Put the manifest down."""
    (folder / name).write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


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
