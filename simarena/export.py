"""A run as JSON lines, one match a line, for whatever reads JSON. Streams; the run may be written meanwhile."""

from __future__ import annotations

import json
from typing import IO

from simarena.records import JSON, to_json
from simarena.store import Run


def export_jsonl(run: Run, out: IO[str], *, completions: bool = True) -> int:
    """Write every match that has ended; returns how many. `completions`: with all that was asked and answered."""
    count = 0
    for status in ("done", "failed"):
        for record in run.trajectories(status):
            line = to_json(record)
            if completions:
                line["completions"] = asked_and_answered(run, record.match.id)
            out.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


def asked_and_answered(run: Run, match_id: str) -> list[JSON]:
    """Requests and completions of a match, in each seat's order."""
    answers = run.answers(match_id)
    return [
        {
            "key": key,
            "request": to_json(request),
            "completion": to_json(answers[key].completion),
            "seconds": answers[key].seconds,
        }
        for key, request in run.requests(match_id).items()
    ]
