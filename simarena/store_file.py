"""The SQLite file of a run: how it is laid out, opened, examined and refused. Knows no record."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path

from simarena import outputs
from simarena.errors import StoreError
from simarena.provenance import provenance
from simarena.records import JSON

FILE = "run.sqlite"
LOCK = "lock"
BESIDE = tuple(f"{FILE}-{what}" for what in ("wal", "shm", "journal"))
"""What SQLite puts beside the file while it is open."""
VERSION = 1
APPLICATION = 0x51A4E7A
"""Marks the file as ours among all SQLite files."""

SCHEMA = f"""
BEGIN;
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sessions (n INTEGER PRIMARY KEY, about TEXT NOT NULL);
CREATE TABLE matches (
    id TEXT PRIMARY KEY, status TEXT NOT NULL, spec TEXT NOT NULL, result TEXT, body BLOB, seconds REAL
);
CREATE TABLE completions (
    key TEXT PRIMARY KEY, agent TEXT NOT NULL, digest TEXT NOT NULL, request BLOB NOT NULL, completion BLOB NOT NULL,
    prompt INTEGER NOT NULL, sampled INTEGER NOT NULL, seconds REAL
);
CREATE TABLE pool (hash TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""


def open_reading(folder: Path) -> sqlite3.Connection:
    """A connection that cannot write."""
    path = folder / FILE
    if not path.is_file():
        raise StoreError(f"{folder} is not a run folder (no {FILE} in it); runs are made by: simarena run SCENARIO")
    refuse_strange(folder, BESIDE)  # SQLite writes into them for readers too
    try:
        return _examined(folder, "mode=ro")
    except sqlite3.OperationalError as error:
        if path.with_name(f"{FILE}-wal").exists():
            raise StoreError(
                f"{folder} cannot be read where it is ({error}): its last writer did not close it; copy it to a folder "
                "you may write in"
            ) from error
    try:  # a folder that nobody may write in, and nobody does: SQLite needs no index beside the file
        return _examined(folder, "mode=ro&immutable=1")
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def open_writing(folder: Path, meta: Mapping[str, JSON], extend: bool) -> sqlite3.Connection:
    """A connection to the run of `meta`: made, or examined and compared with it. The caller holds the lock."""
    refuse_strange(folder, (FILE, *BESIDE))
    connection = connect(folder / FILE, "mode=rwc")
    try:
        _prepare(folder, connection, meta, extend)
    except sqlite3.Error as error:
        connection.close()
        raise explain(folder, error) from error
    except StoreError:
        connection.close()
        raise
    return connection


def refuse_strange(folder: Path, names: Iterable[str]) -> None:
    """OutputError where one of these files is a link, a device or known by a second name."""
    for name in names:
        outputs.refuse_in_place(folder / name)


def connect(path: Path, how: str) -> sqlite3.Connection:
    """A connection to an existing run, opened as the query part `how` of SQLite's address says."""
    uri = f"{path.absolute().as_uri()}?{how}"
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)


def _examined(folder: Path, how: str) -> sqlite3.Connection:
    connection = connect(folder / FILE, how)
    try:
        _examine(folder, connection)
    except (sqlite3.Error, StoreError):
        connection.close()
        raise
    return connection


def _prepare(folder: Path, connection: sqlite3.Connection, meta: Mapping[str, JSON], extend: bool) -> None:
    """Make or examine the file, compare scenarios, and enter this execution."""
    execute = connection.execute
    if not execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
    else:
        _examine(folder, connection)
    execute("PRAGMA synchronous = FULL")
    known = dict(execute("SELECT name, value FROM meta"))
    if known and not extend and json.loads(known["scenario_hash"]) != meta["scenario_hash"]:
        raise StoreError(
            f"{folder} holds a run of another scenario, or of this one by another command or before it was changed; "
            "give another run folder"
        )
    about = provenance() | {"scenario_hash": meta["scenario_hash"]}
    execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in meta.items()])
    execute("INSERT INTO sessions (about) VALUES (?)", (json.dumps(about),))
    execute("COMMIT")


def _examine(folder: Path, connection: sqlite3.Connection) -> None:
    """Refuse what is not a run, is damaged, or was written by a later version."""
    try:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application == APPLICATION and version > VERSION:
            raise StoreError(
                f"{folder} was written by a later simarena (store version {version}, this one knows {VERSION}); "
                "upgrade it (in its clone: git pull)"
            )
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        raise damaged(folder, str(error)) from error
    if verdict != "ok":
        raise damaged(folder, verdict.splitlines()[-1])
    if application != APPLICATION:
        raise StoreError(
            f"{folder / FILE} was not written by simarena, or never got under way; give another run folder"
        )


def damaged(folder: Path, detail: str) -> StoreError:
    """The error for a file that cannot be trusted."""
    return StoreError(
        f"{folder / FILE} is damaged ({detail}) and was left as it is; move the folder away and run again, "
        f"or save what can be read with: sqlite3 {folder / FILE} .recover"
    )


def explain(folder: Path, error: Exception) -> StoreError:
    """What went wrong with the file, and what to do."""
    text = str(error)
    if "full" in text:
        return StoreError(
            f"{folder}: the disk is full; free some space and run the same command again: all that was answered is kept"
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(f"cannot write in {folder} ({text}); make it writable or give another run folder")
    if isinstance(error, sqlite3.IntegrityError):
        return StoreError(f"{folder}: something was put on record twice ({text}); each request needs a key of its own")
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return damaged(folder, text)
    return StoreError(
        f"{folder}: the store could not be written or read ({text}); all that was answered before is kept"
    )
