"""Judges that fail to vote: no tie is made of it, tables and JSON tell, and no preference rests on it.

Each case plays the same duels twice: with a judge that fails, and with the same judge answering as asked.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from simarena.agents.language import LanguageAgent
from simarena.preferences.build import build
from simarena.preferences.filters import Filters
from simarena.records import Completion, Match, Request
from simarena.replay import replay
from simarena.rollout import rollout
from simarena.store import open_run, start_run
from simarena.unusable import TOLERATED, Unusable, unusable
from tests.cli.conftest import Call, Said
from tests.cli.conftest import simarena as simarena
from tests.preferences.spelling import Spelling, seated

SUM = {"mode": "duel", "task": "arithmetic", "task_params": {"shape": "a+b", "high": 9}}
META = {"scenario_hash": "feedbeef", "name": "test", "env": "arena", "seed": 0, "rated": ["contestant"]}
PROSE = "Both answers have their merits."
Fails = Callable[[Request], bool]


def reversed_sheet(request: Request) -> bool:
    """Whether a judge reads the second contestant's answer first."""
    shown = "".join(message.content for message in request.messages)
    return "I am contestant_1" in shown and shown.index("I am contestant_1") < shown.index("I am contestant_0")


def seat_of(request: Request) -> str:
    return request.key.split("/")[1]


class Panel(Spelling):
    """Contestants answer their own way; judges grade the first contestant higher, or fail."""

    def __init__(self, bad: str, fails: Fails, cut: bool = False) -> None:
        super().__init__(self.said)
        self.bad, self.fails, self.cut = bad, fails, cut

    def failing(self, request: Request) -> bool:
        return request.agent == self.bad and seat_of(request).startswith("judge") and self.fails(request)

    def said(self, request: Request) -> str:
        if not seat_of(request).startswith("judge"):
            match, seat, _ = request.key.split("/")
            return json.dumps({"reason": f"I am {seat} of {match}", "answer": seat[-1]})
        if self.failing(request):
            return '{"reason": "so' if self.cut else PROSE
        return json.dumps({"reason": "so", "scores": [3, 9] if reversed_sheet(request) else [9, 3]})

    async def generate(self, request: Request) -> Completion:
        found = await super().generate(request)
        return dataclasses.replace(found, finish="length") if self.cut and self.failing(request) else found


def duels(judges: Iterable[str], count: int = 6, **params: object) -> list[Match]:
    """Swapped duels of ann and bob before these judges."""
    panel = {f"judge_{i}": name for i, name in enumerate(judges)}
    found = []
    for task in range(count // 2):
        for one, other in (("ann", "bob"), ("bob", "ann")):
            seats = {"contestant_0": one, "contestant_1": other, **panel}
            about = {**SUM, "m": 2 + len(panel), **params}
            found.append(seated("arena", about, seats, task=task, seed=task, unit=f"ann|bob#{task}"))
    return found


def played(folder: Path, matches: list[Match], backend: Spelling) -> None:
    """Play matches of language agents that are asked once."""
    names = {name for match in matches for name in match.seats.values()}
    agents = {name: LanguageAgent(name=name, backend="spelling", model="letters", repairs=0) for name in names}
    with start_run(folder, META) as run:
        report = asyncio.run(rollout(run, matches, agents, {"spelling": backend}, concurrency=4))
    assert report.failed == 0


def counted(folder: Path) -> Unusable:
    with open_run(folder) as run:
        return unusable(run.results())


def pairs(folder: Path, **filters: object) -> tuple[int, dict[str, int]]:
    with open_run(folder) as run:
        records, counts = build(run, "duel", {}, Filters(**filters))
        return len(list(records)), dict(counts.dropped)


KINDS: dict[str, tuple[Fails, bool, dict[str, float]]] = {
    "prose": (lambda request: True, False, {"dealt": 1.0, "reversed": 1.0}),
    "cut": (lambda request: True, True, {"dealt": 1.0, "reversed": 1.0}),
    "second order": (reversed_sheet, False, {"dealt": 0.0, "reversed": 1.0}),
}


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_one_of_three_fails_and_the_others_decide(tmp_path: Path, kind: str) -> None:
    fails, cut, missed = KINDS[kind]
    trio = ("cat", "dan", "eve")
    played(tmp_path / "bad", duels(trio), Panel("eve", fails, cut))
    played(tmp_path / "good", duels(trio), Panel("nobody", fails, cut))
    bad, good = counted(tmp_path / "bad"), counted(tmp_path / "good")
    assert {order: each.share for order, each in bad.judges["eve"].orders.items()} == missed
    assert bad.judges["cat"].missed.share == bad.judges["dan"].missed.share == 0
    assert bad.judges["cat"].missed.of == 12
    assert len(bad.warnings) == 1
    assert "eve" in bad.warnings[0]
    assert good.warnings == ()
    assert bad.agents["eve"].share == sum(missed.values()) / 2
    assert bad.roles["judge"].share == pytest.approx(sum(missed.values()) / 6)
    assert bad.roles["contestant"].share == bad.agents["ann"].share == 0
    with open_run(tmp_path / "bad") as one, open_run(tmp_path / "good") as other:
        decided = [[(r.returns, r.decided) for r in run.results()] for run in (one, other)]
        grades = [r.metrics["grade/contestant_0"] for r in one.results()]
        assert all(replay(one, name).same for name in one.statuses())
    assert decided[0] == decided[1]
    assert all(ok for _, ok in decided[0])
    assert grades == [6.0] * 6  # as the two others say; a third grade of 0 or 3 would be half a vote
    assert pairs(tmp_path / "bad") == pairs(tmp_path / "good") == (6, {})
    assert pairs(tmp_path / "good", agreement=0.9) == (6, {})
    assert pairs(tmp_path / "bad", agreement=0.9) == (0, {"annotators disagree": 6})
    assert pairs(tmp_path / "bad", agreement=0.6) == (6, {})
    assert pairs(tmp_path / "good", orders=True) == (6, {})
    half = kind == "second order"
    assert pairs(tmp_path / "bad", orders=True) == ((0, {"judge orders disagree": 6}) if half else (6, {}))


def test_where_the_only_judge_fails_nothing_is_decided(tmp_path: Path, simarena: Call, kind: str) -> None:
    fails, cut, missed = KINDS[kind]
    played(tmp_path / "bad", duels(["eve"]), Panel("eve", fails, cut))
    played(tmp_path / "good", duels(["eve"]), Panel("nobody", fails, cut))
    with open_run(tmp_path / "bad") as run:
        for result in run.results():
            assert not result.decided
            assert result.returns["contestant_0"] == result.returns["contestant_1"] == 0
            assert not {"decisive", "win/contestant_0", "grade/contestant_0", "winner_right"} & result.metrics.keys()
    assert pairs(tmp_path / "bad") == (0, {"too few voted": 6})
    bad, good = (simarena("rate", tmp_path / name, "--json") for name in ("bad", "good"))
    assert (bad.code, good.code) == (0, 0)
    assert bad.json["undecided"] == 6
    assert bad.json["tie_rate"] == 0
    assert bad.json["seat_effect"] is None
    assert [row["score"] for row in bad.json["leaderboard"]] == [None, None]
    assert bad.json["unusable"]["judges"]["eve"]["orders"]["reversed"]["share"] == missed["reversed"]
    assert bad.json["unusable"]["roles"]["judge"]["share"] == sum(missed.values()) / 2
    assert len(bad.json["unusable"]["warnings"]) == 2
    assert good.json["undecided"] == 0
    assert good.json["unusable"]["warnings"] == []
    shown = {name: simarena("rate", tmp_path / name) for name in ("bad", "good")}
    assert says_warning(shown["bad"])
    assert not says_warning(shown["good"])
    assert "decided by no judge: 6 of 6" in shown["bad"].out
    assert "decided by no judge" not in shown["good"].out
    for each in shown.values():
        assert "judge" in each.out
        assert "reversed" in each.out


def says_warning(said: Said) -> bool:
    return "warning: judge eve" in said.err


def test_pairs_counts_what_too_few_voted_on(tmp_path: Path, simarena: Call) -> None:
    trio = ("cat", "eve", "eve")
    played(tmp_path / "bad", duels(trio), Panel("eve", lambda request: True))
    played(tmp_path / "good", duels(trio), Panel("nobody", lambda request: True))
    for name, kept, dropped in (("bad", 0, {"too few voted": 6}), ("good", 6, {})):
        said = simarena("pairs", tmp_path / name, "--builder", "duel", "--out", tmp_path / f"{name}.jsonl", "--json")
        assert (said.json["kept"], said.json["dropped"]) == (kept, dropped)


@pytest.mark.parametrize(("missing", "warns"), [(2, True), (1, False)])
def test_a_judge_is_warned_of_above_the_tolerated_share_alone(tmp_path: Path, missing: int, warns: bool) -> None:
    asked = iter(range(1000))

    def seldom(request: Request) -> bool:
        return next(asked) < missing

    matches = duels(["eve"], count=20, orders="given")
    played(tmp_path, matches, Panel("eve", seldom))
    found = counted(tmp_path)
    assert found.judges["eve"].missed.share == missing / 20
    assert (missing / 20 > TOLERATED) is warns
    assert any(warning.startswith("judge eve") for warning in found.warnings) is warns
    assert any("decided by no judge" in warning for warning in found.warnings)  # told at any share


@pytest.mark.parametrize("judging", ["verdict", "solve", "likelihood", "options"])
def test_every_way_of_judging_knows_a_missing_vote(tmp_path: Path, judging: str) -> None:
    class Mute(Panel):
        """A panel whose replies to questions of judging are of no use, weights included."""

        async def generate(self, request: Request) -> Completion:
            found = await super().generate(request)
            mute = seat_of(request).startswith("judge") and request.agent == self.bad
            return dataclasses.replace(found, text=PROSE, scores=()) if mute else found

    for name, bad in (("bad", "eve"), ("good", "nobody")):
        backend = Mute(bad, lambda request: False)
        if name == "good" and judging in ("verdict", "solve"):
            answer = {"verdict": {"reason": "so", "winner": "A"}, "solve": {"reason": "so", "answer": "1"}}[judging]
            backend.reply = lambda request, answer=answer, backend=backend: (
                json.dumps(answer) if seat_of(request).startswith("judge") else backend.said(request)
            )
        played(tmp_path / name, duels(["eve"], judging=judging), backend)
    assert {r.decided for r in open_run(tmp_path / "bad").results()} == {False}
    assert {r.decided for r in open_run(tmp_path / "good").results()} == {True}
    assert counted(tmp_path / "bad").judges["eve"].missed.share == 1
    assert counted(tmp_path / "good").judges["eve"].missed.share == 0
    assert pairs(tmp_path / "bad") == (0, {"too few voted": 6})


class Bench(Panel):
    """Debaters speak; the judge believes whoever is listed first a little, or fails."""

    def said(self, request: Request) -> str:
        if not seat_of(request).startswith("judge"):
            return json.dumps({"argument": f"I am right, says {request.key}"})
        if self.failing(request):
            return PROSE
        first = json.loads(request.messages[-1].content.partition("right: ")[2].partition(" or ")[0])
        return json.dumps({"answer": first, "confidence": 70 if request.key.split("/")[2] == "0" else 60})


@pytest.mark.parametrize("half", [False, True])
def test_a_debate_without_a_verdict_is_no_tie(tmp_path: Path, half: bool) -> None:
    def fails(request: Request) -> bool:
        return not half or request.key.endswith("/1")  # the second order

    seats = [{"debater_0": a, "debater_1": b, "judge_0": "eve"} for a, b in (("ann", "bob"), ("bob", "ann"))]
    params = {"quotes": "off", "rounds": 1, "swap": {"answers": "both"}, "judging": "written"}
    matches = [seated("debate", params, each, seed=1, unit="ann|bob") for each in seats]
    for name, bad in (("bad", "eve"), ("good", "nobody")):
        played(tmp_path / name, matches, Bench(bad, fails))
    with open_run(tmp_path / "bad") as run:
        assert [r.decided for r in run.results()] == [False, False]
        assert not any({"accuracy", "win_debater_0", "brier"} & r.metrics.keys() for r in run.results())
        assert {r.returns["debater_0"] for r in run.results()} == {0}
        assert all(r.returns["judge_0"] == pytest.approx(math.log(0.5)) for r in run.results())  # paid as even odds
        records, counts = build(run, "verdict")
        assert (list(records), set(counts.dropped)) == ([], {"too few voted"})
    with open_run(tmp_path / "good") as run:
        assert [r.decided for r in run.results()] == [True, True]
        assert all("accuracy" in r.metrics for r in run.results())
    missed = {order: each.share for order, each in counted(tmp_path / "bad").judges["eve"].orders.items()}
    assert missed == {"dealt": 0.0 if half else 1.0, "reversed": 1.0}
    assert counted(tmp_path / "good").warnings == ()


def test_forks_are_left_out(tmp_path: Path) -> None:
    played(tmp_path, duels(["eve"]), Panel("eve", lambda request: True))
    with open_run(tmp_path) as run:
        results = list(run.results())
    forks = [dataclasses.replace(r, match=dataclasses.replace(r.match, parent="other")) for r in results]
    assert unusable(forks).judges == {}
    assert unusable(results + forks) == unusable(results)
