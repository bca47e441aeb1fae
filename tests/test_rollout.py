"""The main loop: no lockstep, failures stay where they happen, limits hold, Ctrl-C ends cleanly."""

from __future__ import annotations

import asyncio
import io
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from simarena.errors import RequestFailed, RunFailed, ScenarioError, StoreError, UnknownName
from simarena.ledger import Budget, Ledger, Price, RunReport
from simarena.progress import Progress, Stage, clock, short, stage, text
from simarena.records import Completion, Match, Request, Trajectory, Usage
from simarena.registry import ENVIRONMENTS
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
        yield writer


class Backend:
    """Answers by rule after `before(request)`; counts what it is asked and how much of it at once."""

    def __init__(self, before: Callable[[Request], object] | None = None) -> None:
        self.before = before
        self.asked: list[str] = []
        self.live: set[str] = set()
        self.most = 0

    async def generate(self, request: Request) -> Completion:
        self.asked.append(request.key)
        self.live.add(request.key)
        self.most = max(self.most, len({key.split("/")[0] for key in self.live}))
        try:
            await asyncio.sleep(0)
            pause = self.before(request) if self.before else None
            if isinstance(pause, (asyncio.Future, asyncio.Event)):
                await (pause.wait() if isinstance(pause, asyncio.Event) else pause)
        finally:
            self.live.discard(request.key)
        return Completion(text=toy.answer(request), usage=Usage(prompt=10, completion=2))

    async def aclose(self) -> None:
        pass


def schedule(size: int, **params: int) -> list[Match]:
    return toy.schedule(list(AGENTS.values()), size, **params)


def go(run: Writer, matches: Iterable[Match], backend: Backend | None = None, **options: object) -> RunReport:
    backends = {"scripted": backend or Backend()}
    return asyncio.run(rollout(run, matches, AGENTS, backends, **options))


def raising(when: Callable[[Request], bool], error: Exception) -> Callable[[Request], None]:
    def before(request: Request) -> None:
        if when(request):
            raise error

    return before


# ---- play ----------------------------------------------------------------------------------------------------------


def test_every_word_and_score_of_a_match_is_on_record(run: Writer) -> None:
    (match,) = schedule(1, rounds=4)
    backend = Backend()
    report = go(run, [match], backend)
    record = run.trajectory(match.id)
    assert report.complete
    assert report.turns == len(record.turns) == 16
    assert sorted(key for turn in record.turns for key in turn.calls) == sorted(backend.asked)
    assert set(run.answers(match.id)) == set(backend.asked)
    assert sum(record.outcomes["bidder_0"].values()) == 8
    assert {turn.outcome for turn in record.turns} >= {"ok", "repaired"}
    assert record.returns == {seat: record.returns[seat] for seat in match.seats}
    assert record.metrics["spent"] == sum(record.returns.values())
    assert record.truth == {"worth": match.task_seed % 7}
    assert len({turn.state for turn in record.turns}) == 16


def test_one_slow_reply_delays_its_own_match_only(run: Writer) -> None:
    matches = schedule(10)
    others = asyncio.Event()

    def settle(ended: Trajectory) -> Iterator[Trajectory]:
        if len(done := run_done) == 8:
            others.set()
        done.append(ended)
        yield ended

    run_done: list[Trajectory] = []
    slow = Backend(lambda request: others if request.key.startswith(matches[0].id) else None)
    report = go(run, matches, slow, concurrency=2, settle=settle)
    assert report.done == 10
    assert run_done[-1].match.id == matches[0].id


def test_slots_are_refilled_and_never_exceeded(run: Writer) -> None:
    backend = Backend()
    go(run, schedule(12), backend, concurrency=3)
    assert backend.most == 3


def test_seats_of_a_simultaneous_phase_are_asked_at_once(run: Writer) -> None:
    (match,) = schedule(1, seats=3, rounds=1)
    backend = Backend()
    seen: list[int] = []
    backend.before = lambda request: seen.append(len(backend.live)) if "/0" in request.key else None
    go(run, [match], backend)
    assert max(seen) == 3


def test_a_schedule_may_look_at_results_before_it_names_the_next_match(run: Writer) -> None:
    matches = schedule(6)

    def adaptive() -> Iterator[Match]:
        for match in matches:
            assert run.statuses().get(match.id) is None
            yield match

    report = go(run, adaptive(), concurrency=2)
    assert report.done == 6
    assert report.left == 0


def test_a_match_named_twice_is_played_once(run: Writer) -> None:
    (match,) = schedule(1)
    assert go(run, iter([match, match, match])).done == 1


# ---- resume --------------------------------------------------------------------------------------------------------


def test_the_same_command_again_asks_nothing_of_what_is_done(run: Writer) -> None:
    go(run, schedule(5))
    backend = Backend()
    report = go(run, schedule(7), backend)
    assert (report.done, report.skipped) == (2, 5)
    assert {key.split("/")[0] for key in backend.asked} == {match.id for match in schedule(7)[5:]}


def test_a_failed_request_fails_its_match_alone_and_only_that_is_tried_again(run: Writer) -> None:
    matches = schedule(6)
    bad = f"{matches[2].id}/bidder_1/2"
    broken = Backend(raising(lambda request: request.key == bad, RequestFailed("endpoint x: 500 five times")))
    report = go(run, matches, broken)
    assert (report.done, report.failed, report.exit_code) == (5, 1, 3)
    assert report.failures == {matches[2].id: "endpoint x: 500 five times"}
    assert "endpoint x: 500 five times: run the same command again" in report.summary()
    record = run.trajectory(matches[2].id)
    assert (record.status, record.error, record.metrics) == ("failed", "endpoint x: 500 five times", {})
    assert record.turns

    again = Backend()
    report = go(run, matches, again)
    assert (report.done, report.skipped, report.failed, report.exit_code) == (1, 5, 0, 0)
    assert bad in again.asked
    assert not set(again.asked) & (set(broken.asked) - {bad})
    assert run.trajectory(matches[2].id).status == "done"


def test_the_other_seats_answers_of_a_failed_moment_are_kept(run: Writer) -> None:
    (match,) = schedule(1)
    go(run, [match], Backend(raising(lambda request: request.key.endswith("bidder_0/0"), RequestFailed("no"))))
    assert set(run.answers(match.id)) == {f"{match.id}/bidder_1/{n}" for n in range(len(run.answers(match.id)))}
    assert run.answers(match.id)


def test_a_dead_engine_stops_the_run_and_keeps_what_it_gave(run: Writer) -> None:
    matches = schedule(20)
    dying = Backend()
    dying.before = raising(lambda _: len(dying.asked) > 60, RunFailed("the key in API_KEY is refused"))
    report = go(run, matches, dying, concurrency=4)
    assert (report.stopped, report.reason, report.exit_code) == ("backend", "the key in API_KEY is refused", 1)
    assert report.left == 20 - report.done > 0
    kept = {key for match in run.statuses() for key in run.answers(match)}
    again = Backend()
    assert go(run, matches, again).complete
    assert not kept & set(again.asked)


def test_an_answer_to_another_prompt_is_never_taken_for_this_one(run: Writer) -> None:
    matches = schedule(2)
    go(run, matches, Backend(raising(lambda request: request.key.endswith("/4"), RequestFailed("no"))))
    changed = {name: toy.Talker(name, model="toy-2") for name in AGENTS}
    with pytest.raises(StoreError, match="belongs to another prompt"):
        asyncio.run(rollout(run, matches, changed, {"scripted": Backend()}))


def test_a_full_disk_ends_the_run_with_one_error_and_no_loss(tmp_path: Path) -> None:
    matches, first = schedule(40), Backend()
    with start_run(tmp_path, toy.META) as run:
        run._journal.connection.execute("PRAGMA max_page_count = 60")
        with pytest.raises(StoreError, match=r"the disk is full; free some space and run the same command again"):
            go(run, matches, first, concurrency=4)
    with start_run(tmp_path, toy.META) as run:
        kept = {key for match in run.statuses() for key in run.answers(match)}
        again = Backend()
        assert go(run, matches, again).complete
    assert kept
    assert not kept & set(again.asked)
    assert len(set(first.asked) - kept) <= 4 * 2


def test_a_sitting_that_uses_a_key_twice_is_told(run: Writer) -> None:
    request, completion = Request(key="m/s/0", agent="a", model="m"), Completion(text="x")
    asyncio.run(run.answer(request, completion, 0.1))
    with pytest.raises(StoreError, match="each request needs a key of its own"):
        asyncio.run(run.answer(request, completion, 0.1))


def test_errors_of_our_own_are_not_hidden(run: Writer) -> None:
    with pytest.raises(ZeroDivisionError):
        go(run, schedule(3), Backend(raising(lambda request: request.key.endswith("/3"), ZeroDivisionError())))


# ---- bad calls -----------------------------------------------------------------------------------------------------


def test_unknown_agents_backends_and_seats_are_named(run: Writer) -> None:
    (match,) = schedule(1)
    with pytest.raises(UnknownName, match="unknown agent 'b'"):
        asyncio.run(rollout(run, [match], {"a": AGENTS["a"]}, {"scripted": Backend()}))
    with pytest.raises(UnknownName, match="unknown backend 'scripted'; did you mean 'script'"):
        asyncio.run(rollout(run, [match], AGENTS, {"script": Backend()}))
    three = Match(id="x", env="toy", params={"seats": 3}, seats=match.seats, task_seed=0, seed=0)
    with pytest.raises(ScenarioError, match="bidder_2; give each of them an agent"):
        go(run, [three])


# ---- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "word"),
    [(Budget(calls=50), "50 calls"), (Budget(tokens=600), "600 tokens"), (Budget(money=0.05), "0.05 money")],
)
def test_a_spent_budget_stops_the_run_and_counts_on_when_it_is_resumed(run: Writer, budget: Budget, word: str) -> None:
    prices = {name: Price(prompt=80.0, completion=100.0) for name in AGENTS}  # a call costs 0.001
    matches = schedule(30)
    report = go(run, matches, budget=budget, prices=prices, concurrency=4)
    assert (report.stopped, report.exit_code) == ("budget", 1)
    assert f"the budget of {word} is spent" in report.summary()
    assert 50 <= report.calls <= 50 + 8
    assert report.calls == 50 or budget.calls is None
    assert report.money == pytest.approx(report.calls * 0.001)
    idle = Backend()
    assert go(run, matches, idle, budget=budget, prices=prices).stopped == "budget"
    assert idle.asked == []
    assert go(run, matches).complete


def test_a_run_out_of_time_stops(run: Writer) -> None:
    assert go(run, schedule(5), budget=Budget(seconds=0.0)).stopped == "budget"


def test_a_match_out_of_time_fails_alone(run: Writer) -> None:
    matches = schedule(4)
    hanging = Backend(lambda request: asyncio.Event() if request.key.startswith(matches[1].id) else None)
    report = go(run, matches, hanging, budget=Budget(match_seconds=0.5))
    assert (report.done, report.failed) == (3, 1)
    assert run.trajectory(matches[1].id).error == "the match took longer than its 0.5 s"


def test_a_backends_own_time_out_fails_the_match(run: Writer) -> None:
    report = go(run, schedule(1), Backend(raising(lambda _: True, TimeoutError("30 s"))))
    assert list(report.failures.values()) == ["the backend gave no answer in time (30 s)"]


# ---- Ctrl-C --------------------------------------------------------------------------------------------------------


def interrupted(run: Writer, times: int, matches: list[Match]) -> tuple[RunReport, Backend]:
    """A run that gets `times` SIGINTs while it waits for its ninth answer."""
    backend = Backend()

    def before(request: Request) -> object:
        if len(backend.asked) == 9:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return asyncio.ensure_future(asyncio.sleep(0.02))

    backend.before = before
    return go(run, matches, backend, concurrency=2), backend


def test_ctrl_c_once_finishes_what_is_running(run: Writer) -> None:
    matches, handler = schedule(10), signal.getsignal(signal.SIGINT)
    report, _ = interrupted(run, 1, matches)
    assert report.stopped == "interrupted"
    assert set(run.statuses().values()) == {"done"}
    assert report.done == len(run.statuses()) < 10
    assert report.left == 10 - report.done
    assert "run the same command again to play the rest" in report.summary()
    assert signal.getsignal(signal.SIGINT) is handler
    assert go(run, matches).complete


def test_ctrl_c_twice_stops_now_and_loses_nothing(run: Writer) -> None:
    matches = schedule(10)
    report, backend = interrupted(run, 2, matches)
    assert report.stopped == "interrupted"
    assert "open" in run.statuses().values()
    kept = {key for match in run.statuses() for key in run.answers(match)}
    assert kept
    again = Backend()
    assert go(run, matches, again).complete
    assert not kept & set(again.asked)
    assert len(set(backend.asked) - kept) <= 4


def test_a_run_outside_the_main_thread_leaves_signals_alone(run: Writer) -> None:
    reports: list[RunReport] = []
    thread = threading.Thread(target=lambda: reports.append(go(run, schedule(2))))
    thread.start()
    thread.join()
    assert reports[0].complete


# ---- what is shown -------------------------------------------------------------------------------------------------


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), Screen()])
def test_progress_ends_with_the_whole_truth(run: Writer, stream: io.StringIO) -> None:
    go(run, schedule(3), progress=Progress(stream, every=0.01))
    said = stream.getvalue()
    assert "3/3 matches" in said
    assert "tokens" in said
    assert "\x1b" not in said or stream.isatty()


@pytest.mark.parametrize("stream", [io.StringIO(), Screen()])
def test_lines_come_while_the_work_leaves_no_turn_to_anything_else(stream: io.StringIO) -> None:
    looks = itertools.count(1)
    with Progress(stream, every=0.01).show(lambda: f"look {next(looks)}"):
        until = time.monotonic() + 60
        while "look 4" not in stream.getvalue() and time.monotonic() < until:
            pass  # an event loop would be stuck here
        assert "look 4" in stream.getvalue()
    assert f"look {next(looks) - 1}" in stream.getvalue(), "the last look is shown"


def test_a_stage_says_what_how_far_and_for_how_long() -> None:
    now = [10.0]
    found = Stage("training ann", clock=lambda: now[0])
    now[0] = 75.0
    assert found.text() == "training ann · 0:01:05"
    found.say("step 2/9")
    assert found.text() == "training ann · step 2/9 · 0:01:05"


def test_a_stage_is_shown_where_somebody_looks_and_works_all_the_same() -> None:
    stream = io.StringIO()
    for progress in (Progress(stream, every=60), None):
        with stage("exam", progress) as shown:
            shown.say("9/9")
    assert stream.getvalue() == "exam · 9/9 · 0:00:00\n"


def test_the_progress_line() -> None:
    now = [0.0]
    ledger = Ledger(Budget(), {}, {}, clock=lambda: now[0])
    assert text(ledger) == "0/? matches · 0 running · 0.0 turns/s · ETA -"
    now[0], ledger.total, ledger.done, ledger.skipped, ledger.running, ledger.turns = 10.0, 100, 20, 30, 4, 120
    ledger.prompt_tokens, ledger.completion_tokens, ledger.failures = 1_500_000, 0, {"x": "why"}
    ledger.notice = "ending"
    line = "51/100 matches · 4 running · 12.0 turns/s · 1.5M tokens, 150.0k/s · 1 failed · ETA 0:00:23 · ending"
    assert text(ledger) == line


def test_times_and_numbers_are_short() -> None:
    assert [clock(s) for s in (None, 0.4, 61, 3600 * 30)] == ["-", "0:00:00", "0:01:01", "30:00:00"]
    assert [short(n) for n in (0, 999, 1000, 12_345_678)] == ["0", "999", "1.0k", "12.3M"]
