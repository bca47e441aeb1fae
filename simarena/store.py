"""The run folder: append, read, resume. Nothing that was bought is lost.

One SQLite file holds every match, every completion and every message, each once, under a content key. A completion is
on disk before anybody acts on it. `Run` reads and never writes; `Writer`, of which a run has one at a time, does both.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from simarena import codec, outputs, store_file
from simarena.errors import StoreError
from simarena.identity import content_hash, message_hash, request_digest
from simarena.journal import Journal, Statement
from simarena.lock import Lock
from simarena.records import JSON, Completion, Match, Request, Trajectory, Verdicts, to_json

START = "INSERT OR IGNORE INTO matches (id, status, spec) VALUES (?, 'open', ?)"
FINISH = """
INSERT INTO matches (id, status, spec, result, body, seconds) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
status = excluded.status, result = excluded.result, body = excluded.body, seconds = excluded.seconds
"""
ANSWER = "INSERT INTO completions VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
LIGHT = ("returns", "metrics", "outcomes", "verdicts", "decided", "error")
"""Parts of a trajectory that its light row holds."""
SETTLED = "DELETE FROM matches WHERE id = ? AND status = 'open'"
REMARK = "UPDATE sessions SET about = json_patch(about, ?) WHERE n = (SELECT MAX(n) FROM sessions)"
POOL = "INSERT OR IGNORE INTO pool VALUES (?, ?)"
POOLED = 50_000
"""Hashes remembered as written, so that a shared prompt is handed to SQLite once; about 10 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of a match, without its words."""

    match: Match
    status: str
    """open | done | failed"""
    returns: dict[str, float] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    outcomes: dict[str, dict[str, int]] = field(default_factory=dict)
    verdicts: Verdicts = field(default_factory=dict)
    decided: bool = True
    error: str = ""
    seconds: float | None = None
    """From its first request to its end, in the execution that ended it."""


class Answer(NamedTuple):
    """A completion on record."""

    digest: str
    """What was asked (see `identity.request_digest`)."""
    completion: Completion
    seconds: float | None
    """How long it took; None: taken over from the match it was forked from."""


class Spent(NamedTuple):
    """What an agent's answers cost so far."""

    calls: int
    prompt: int
    """Tokens."""
    sampled: int
    """Tokens."""


class Run:
    """A run folder, open for reading."""

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self.folder = folder
        self._connection = connection

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    @property
    def meta(self) -> dict[str, JSON]:
        """What the run was started with: scenario text and hash, seed, agents."""
        return {name: json.loads(value) for name, value in self._rows("SELECT name, value FROM meta")}

    def sessions(self) -> list[dict[str, JSON]]:
        """Versions, hardware, threads, commit and time of each execution that wrote here."""
        return [json.loads(about) for (about,) in self._rows("SELECT about FROM sessions ORDER BY n")]

    def statuses(self) -> dict[str, str]:
        """Match id -> open | done | failed, in the order of their start."""
        return dict(self._rows("SELECT id, status FROM matches ORDER BY rowid"))

    def matches(self) -> list[Match]:
        """Every match, in the order of their start."""
        return [codec.match_of(json.loads(spec)) for (spec,) in self._rows("SELECT spec FROM matches ORDER BY rowid")]

    def results(self) -> Iterator[Result]:
        """Light rows for ratings and tables, in the order of their start."""
        for row in self._rows("SELECT spec, status, result, seconds FROM matches ORDER BY rowid"):
            yield light_row(*row)

    def result(self, match_id: str) -> Result:
        """The light row of one match."""
        rows = list(self._rows("SELECT spec, status, result, seconds FROM matches WHERE id = ?", match_id))
        if not rows:
            raise StoreError(f"{self.folder} holds no match {match_id!r}")
        return light_row(*rows[0])

    def find(self, prefix: str) -> str:
        """The id of the one match that begins with `prefix`."""
        ids = [name for name in self.statuses() if name.startswith(prefix)]
        if len(ids) == 1 or prefix in ids:
            return prefix if prefix in ids else ids[0]
        if ids:
            raise StoreError(f"{self.folder}: {len(ids)} matches begin with {prefix!r}; give more of the id")
        known = ", ".join(list(self.statuses())[:5]) or "none"
        raise StoreError(f"{self.folder} holds no match {prefix!r}; the first ones are: {known}")

    def trajectory(self, match_id: str) -> Trajectory:
        """The record of a match that has ended."""
        rows = list(self._rows("SELECT status, spec, result, body FROM matches WHERE id = ?", match_id))
        if not rows:
            raise StoreError(f"{self.folder} holds no match {match_id!r}")
        status, spec, result, body = rows[0]
        if status == "open":
            raise StoreError(f"{self.folder}: match {match_id} has not ended; run the same command again to play it on")
        data = self._unpack(body)
        return Trajectory(
            match=codec.match_of(json.loads(spec)),
            status=status,
            turns=codec.turns_of(data["turns"]),
            events=codec.events_of(data["events"]),
            truth=data["truth"],
            **json.loads(result),
        )

    def trajectories(self, status: str = "done") -> Iterator[Trajectory]:
        """The records of all matches of a status, one in memory at a time."""
        for name, found in self.statuses().items():
            if found == status:
                yield self.trajectory(name)

    def answers(self, match_id: str) -> dict[str, Answer]:
        """Key -> completion, for everything a match was ever answered."""
        rows = self._of_match("key, digest, completion, seconds", match_id)
        found: dict[str, Answer] = {}
        for key, digest, blob, seconds in sorted(rows, key=lambda row: place(row[0])):
            data = self._unpack(blob)
            prompt = data.pop("prompt", None)
            ids = None if prompt is None else self._prompt(prompt, found)
            found[key] = Answer(digest, codec.completion_of(data, ids), seconds)
        return found

    def requests(self, match_id: str) -> dict[str, Request]:
        """Key -> request, for everything a match was ever answered; messages as they were sent, views left out."""
        rows = self._of_match("key, request", match_id)
        found = {key: self._unpack(blob) for key, blob in sorted(rows, key=lambda row: place(row[0]))}
        hashes = {h for data in found.values() for h in (*data.get("messages", ()), data.get("schema")) if h}
        pool = {h: self._pooled(h) for h in hashes}
        return {key: codec.request_of(key, data, pool) for key, data in found.items()}

    def spent(self) -> dict[str, Spent]:
        """Agent -> what its answers cost, over all executions."""
        sums = "SELECT agent, COUNT(*), SUM(prompt), SUM(sampled) FROM completions WHERE seconds IS NOT NULL"
        return {agent: Spent(*row) for agent, *row in self._rows(f"{sums} GROUP BY agent")}

    def tables(self) -> dict[str, JSON]:
        """Everything but times, in an order of its own: equal for equal runs, however often they were interrupted."""
        ids = sorted(self.statuses())
        ended = {r.match.id: r for r in self.results() if r.status != "open"}
        return {
            "meta": self.meta,
            "matches": {i: to_json(self.trajectory(i)) if i in ended else "open" for i in ids},
            "completions": {
                key: [answer.digest, to_json(answer.completion), to_json(request)]
                for i in ids
                for (key, answer), request in zip(self.answers(i).items(), self.requests(i).values(), strict=True)
            },
            "pool": [h for (h,) in self._rows("SELECT hash FROM pool ORDER BY hash")],
        }

    def _prompt(self, parts: Sequence[Any], found: Mapping[str, Answer]) -> tuple[int, ...]:
        """A prompt's tokens: the first `same` of those that an earlier prompt and its reply had, then `rest`."""
        before, same, rest = parts
        if not before:
            return tuple(rest)
        earlier = found[before].completion
        return (*((earlier.prompt_ids or ()) + (earlier.ids or ()))[:same], *rest)

    def _pooled(self, name: str) -> JSON:
        rows = list(self._rows("SELECT data FROM pool WHERE hash = ?", name))
        if not rows:
            raise store_file.damaged(self.folder, f"no message {name}")
        return self._unpack(rows[0][0])

    def _of_match(self, columns: str, match_id: str) -> list[Any]:
        """Completion rows of a match; "0" is the character after "/"."""
        specs = list(self._rows("SELECT spec FROM matches WHERE id = ?", match_id))
        filed = codec.match_of(json.loads(specs[0][0])).filed if specs else match_id
        query = f"SELECT {columns} FROM completions WHERE key > ? AND key < ?"  # noqa: S608 - our own column names
        return list(self._rows(query, f"{filed}/", f"{filed}0"))

    def _rows(self, query: str, *values: Any) -> Iterator[Any]:
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise store_file.explain(self.folder, error) from error

    def _unpack(self, blob: bytes) -> Any:
        try:
            return codec.unpack(blob)
        except (ValueError, zlib.error) as error:
            raise store_file.damaged(self.folder, str(error)) from error


class Writer(Run):
    """A run folder, open for reading and writing. What it commits, it can read at once."""

    def __init__(self, folder: Path, reading: sqlite3.Connection, writing: sqlite3.Connection, lock: Lock) -> None:
        super().__init__(folder, reading)
        self._lock = lock
        self._journal = Journal(writing, lambda error: store_file.explain(folder, error))
        self._pooled_now: dict[str, None] = {}
        self._last: dict[str, tuple[str, tuple[int, ...]]] = {}

    def close(self) -> None:
        """Put what is left on disk and let the next writer in."""
        try:
            super().close()
            self._journal.close()
        finally:
            self._lock.release()

    def remark(self, about: Mapping[str, JSON]) -> None:
        """Enter what has become known of this execution since it began (see `sessions`)."""
        self._journal.put([(REMARK, (json.dumps(about),))])

    def start(self, match: Match) -> None:
        """Enter a match as open; no need to wait, since what it asks is written later."""
        self._journal.put([(START, (match.id, json.dumps(codec.match_json(match))))])

    async def answer(self, request: Request, completion: Completion, seconds: float | None) -> None:
        """Put a completion on record; it is on disk when this returns. `seconds` None: taken over, not asked for."""
        statements: list[Statement] = []
        hashes = tuple(message_hash(message) for message in request.messages)
        for name, message in zip(hashes, request.messages, strict=True):
            self._pool(name, codec.message_json, message, statements)
        schema = content_hash(request.schema, 32) if request.schema is not None else ""
        if schema:
            self._pool(schema, to_json, request.schema, statements)
        data = codec.completion_json(completion)
        if completion.prompt_ids is not None:
            data["prompt"] = self._difference(request, completion)
        used = completion.usage
        row = (
            request.key,
            request.agent,
            request_digest(request, hashes),
            codec.pack(codec.request_json(request, hashes, schema)),
            codec.pack(data),
            used.prompt,
            used.completion,
            seconds,
        )
        await self._journal.commit([*statements, (ANSWER, row)])

    async def finish(self, trajectory: Trajectory, seconds: float) -> None:
        """Put a match that has ended on record; it is on disk when this returns."""
        match = trajectory.match
        light = {name: getattr(trajectory, name) for name in LIGHT}
        for seat in match.seats:
            self._last.pop(f"{match.filed}/{seat}", None)
        spec, body = json.dumps(codec.match_json(match)), codec.pack(codec.body_json(trajectory))
        row = (match.id, trajectory.status, spec, json.dumps(light), body, seconds)
        await self._journal.commit([(FINISH, row), *([(SETTLED, (match.asked_as,))] if match.asked_as else [])])

    def flush(self) -> None:
        """Return when everything handed in is on disk."""
        self._journal.flush()

    def _pool(self, name: str, write: Any, value: Any, statements: list[Statement]) -> None:
        if name in self._pooled_now:
            return
        if len(self._pooled_now) >= POOLED:
            self._pooled_now.clear()
        self._pooled_now[name] = None
        statements.append((POOL, (name, codec.pack(write(value)))))

    def _difference(self, request: Request, completion: Completion) -> JSON:
        """A prompt's tokens as what it adds to the seat's last prompt and reply: long matches stay linear on disk."""
        sitting, ids = request.key.rpartition("/")[0], completion.prompt_ids or ()
        before, known = self._last.get(sitting, ("", ()))
        same = common(known, ids)
        if not request.score:
            self._last[sitting] = (request.key, ids + (completion.ids or ()))
        return [before if same else "", same, ids[same:]]


def light_row(spec: str, status: str, result: str | None, seconds: float | None) -> Result:
    """A row of the matches' table as a Result."""
    match = codec.match_of(json.loads(spec))
    return Result(match=match, status=status, seconds=seconds, **json.loads(result or "{}"))


def place(key: str) -> tuple[str, int]:
    """What sorts "match/seat/10" after "match/seat/9"."""
    sitting, _, n = key.rpartition("/")
    return sitting, int(n)


def common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many leading numbers two sequences share."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    return next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)


def open_run(folder: str | Path) -> Run:
    """Open a run for reading; it may be written meanwhile, and no writer ever waits for it."""
    return Run(Path(folder), store_file.open_reading(Path(folder)))


def start_run(folder: str | Path, meta: Mapping[str, JSON], *, extend: bool = False) -> Writer:
    """Open a run for writing: a new one, or the one in `folder`, which goes on where it stopped.

    `meta` holds at least "scenario_hash"; a run of another scenario is refused, unless `extend` says that its matches
    are to stand beside the old ones. OutputError for a folder that holds anything but a run.
    """
    folder = Path(folder)
    outputs.claim(folder, store_file.FILE, store_file.LOCK, *store_file.BESIDE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / store_file.LOCK)
    except OSError as error:
        raise StoreError(f"cannot write in {folder}: {error.strerror}; give another run folder") from error
    try:
        writing = store_file.open_writing(folder, meta, extend)
        reading = store_file.connect(folder / store_file.FILE, "mode=ro")
        return Writer(folder, reading, writing, lock)
    except BaseException:
        lock.release()
        raise
