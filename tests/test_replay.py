"""A record plays again, state by state; a fork shares its beginning and nothing else."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from simarena.backends.scripted import ScriptedBackend
from simarena.branch import branches
from simarena.codec import body_json, pack
from simarena.errors import RequestFailed, StoreError
from simarena.records import Request
from simarena.registry import ENVIRONMENTS
from simarena.replay import compare, reenact, replay
from simarena.rollout import rollout
from simarena.store import Writer, start_run
from tests import toy

AGENTS = {name: toy.Talker(name) for name in ("a", "b")}


@pytest.fixture(autouse=True)
def _toy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENVIRONMENTS, "toy", "tests.toy:Toy")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Writer]:
    with start_run(tmp_path / "run", toy.META) as writer:
        asyncio.run(rollout(writer, toy.schedule(list(AGENTS.values()), 6), AGENTS, backends()))
        yield writer


def backends() -> dict[str, ScriptedBackend]:
    return {"scripted": ScriptedBackend(toy.answer)}


def test_every_match_replays_from_its_actions_and_from_its_answers(run: Writer) -> None:
    outcomes = set()
    for name in run.statuses():
        record = run.trajectory(name)
        outcomes |= {turn.outcome for turn in record.turns}
        assert replay(run, name).same
        assert replay(run, name).turns == len(record.turns)
        assert asyncio.run(reenact(run, name, AGENTS)).same
    assert outcomes >= {"ok", "repaired", "malformed", "truncated"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: body["turns"][3]["fields"].update(amount=9, text="changed"), "turn 3 .*state was"),
        (lambda body: body["turns"][5].update(state="0" * 16), "turn 5 .*state was '0000000000000000', now"),
        (lambda body: body["turns"].pop(), "go on after its last recorded turn"),
        (lambda body: body["turns"][0].update(seat="bidder_1"), "turn 0: bidder_1 acted, now bidder_0 would"),
        (lambda body: body["events"][0][5].update(prize=-1), "event 0 was task {'prize': -1}"),
    ],
)
def test_the_first_difference_is_named(run: Writer, change: object, words: str) -> None:
    name = next(iter(run.statuses()))
    record = run.trajectory(name)
    body = json.loads(json.dumps(body_json(record)))
    change(body)
    rewrite(run, name, body)
    found = replay(run, name)
    assert not found.same
    assert found.turns <= len(record.turns)
    assert re.search(words, found.difference), found.difference


def rewrite(run: Writer, name: str, body: dict[str, object]) -> None:
    run._journal.put([("UPDATE matches SET body = ? WHERE id = ?", (pack(body), name))])
    run.flush()


def test_a_failed_match_replays_as_far_as_it_went(tmp_path: Path) -> None:
    def reply(request: Request) -> str:
        if request.key.endswith("/5"):
            raise RequestFailed("no")
        return toy.answer(request)

    with start_run(tmp_path, toy.META) as run:
        matches = toy.schedule(list(AGENTS.values()), 1)
        asyncio.run(rollout(run, matches, AGENTS, {"scripted": ScriptedBackend(reply)}))
        assert replay(run, matches[0].id).same
        with pytest.raises(StoreError, match="only finished matches"):
            asyncio.run(reenact(run, matches[0].id, AGENTS))


def test_agents_that_ask_otherwise_are_found_out(run: Writer) -> None:
    name = next(iter(run.statuses()))
    changed = {agent: toy.Talker(agent, model="toy-2") for agent in AGENTS}
    assert "belongs to another prompt" in asyncio.run(reenact(run, name, changed)).difference


def test_two_records_of_different_length_differ(run: Writer) -> None:
    record = run.trajectory(next(iter(run.statuses())))
    shorter = replace(record, turns=record.turns[:-1])
    assert compare(record, shorter).difference == "12 turns on record, 11 now"
    assert compare(record, replace(record, returns={})).difference.startswith("returns were")


@pytest.mark.parametrize("turn", range(12))
def test_a_fork_shares_its_beginning_and_samples_anew_after_it(run: Writer, turn: int) -> None:
    name = next(iter(run.statuses()))
    record = run.trajectory(name)
    forks = branches(run, name, turn, 3)
    report = asyncio.run(rollout(run, forks, AGENTS, backends()))
    assert report.done == 3
    assert report.replayed == 3 * sum(len(turn.calls) for turn in record.turns[:turn])
    ends = set()
    for fork in forks:
        played = run.trajectory(fork.id)
        assert (played.match.parent, played.match.turn, played.match.unit) == (name, turn, record.match.unit)
        assert [t.state for t in played.turns[:turn]] == [t.state for t in record.turns[:turn]]
        assert replay(run, fork.id).same
        assert asyncio.run(reenact(run, fork.id, AGENTS)).same
        ends.add(played.turns[-1].state)
    assert len(ends | {record.turns[-1].state}) > 1 or turn > 9


def test_forks_cost_only_what_they_ask_and_fork_again(run: Writer) -> None:
    name = next(iter(run.statuses()))
    before = sum(spent.calls for spent in run.spent().values())
    (fork,) = branches(run, name, 6, 1)
    report = asyncio.run(rollout(run, [fork], AGENTS, backends()))
    assert sum(spent.calls for spent in run.spent().values()) == before + report.calls
    (deeper,) = branches(run, fork.id, 9, 1)
    assert asyncio.run(rollout(run, [deeper], AGENTS, backends())).done == 1
    states = [[t.state for t in run.trajectory(one).turns] for one in (name, fork.id, deeper.id)]
    assert states[0][:6] == states[1][:6] == states[2][:6]
    assert states[1][:9] == states[2][:9]


def test_the_same_fork_is_the_same_match(run: Writer) -> None:
    name = next(iter(run.statuses()))
    assert branches(run, name, 4, 5)[:2] == branches(run, name, 4, 2)
    assert len({fork.id for turn in (4, 5) for fork in branches(run, name, turn, 5)}) == 10
    with pytest.raises(StoreError, match="has no turn 12; give one of 0 to 11"):
        branches(run, name, 12, 1)
