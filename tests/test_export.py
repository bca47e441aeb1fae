"""One match a line, with or without its words."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path

import pytest

from simarena.backends.scripted import ScriptedBackend
from simarena.errors import RequestFailed
from simarena.export import export_jsonl
from simarena.records import Request, to_json
from simarena.registry import ENVIRONMENTS
from simarena.rollout import rollout
from simarena.store import open_run, start_run
from tests import toy


def test_every_ended_match_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "toy", "tests.toy:Toy")
    agents = {name: toy.Talker(name) for name in ("a", "b")}
    matches = toy.schedule(list(agents.values()), 4)

    def reply(request: Request) -> str:
        if request.key.startswith(matches[1].id):
            raise RequestFailed("gone")
        return toy.answer(request)

    with start_run(tmp_path, toy.META) as run:
        run.start(toy.schedule(list(agents.values()), 5)[4])
        asyncio.run(rollout(run, matches, agents, {"scripted": ScriptedBackend(reply)}))
        with open_run(tmp_path) as reader:
            whole, light = io.StringIO(), io.StringIO()
            assert export_jsonl(reader, whole) == export_jsonl(reader, light, completions=False) == 4
    lines = [json.loads(line) for line in whole.getvalue().splitlines()]
    assert {line["status"] for line in lines} == {"done", "failed"}
    assert {line["match"]["id"] for line in lines} == {match.id for match in matches}
    with open_run(tmp_path) as reader:
        for line in lines:
            asked = line.pop("completions")
            assert line == json.loads(json.dumps(to_json(reader.trajectory(line["match"]["id"]))))
            calls = {key for turn in line["turns"] for key in turn["calls"]}
            assert calls <= {entry["key"] for entry in asked}
    assert [json.loads(text) for text in light.getvalue().splitlines()] == lines
