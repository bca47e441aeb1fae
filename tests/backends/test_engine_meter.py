"""What an engine did with its time, by a clock that the test winds."""

from __future__ import annotations

from itertools import pairwise

import pytest

from simarena.backends.engine_meter import Meter


class Clock:
    """Says what it is set to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def lived(meter: Meter, clock: Clock) -> None:
    """Wait 5 s, two steps of 1 s with 4 and 8 live, 0.5 s between them, 2.5 s idle, one step of 2 s with 2."""
    clock.now = 105.0
    meter.woke()
    for live, seconds, pause in ((4, 1.0, 0.5), (8, 1.0, 2.5)):
        begin, clock.now = clock.now, clock.now + seconds
        meter.stepped(begin, live)
        meter.answered(prompt=100, cached=60, sampled=10)
        clock.now += pause
    meter.woke()
    begin, clock.now = clock.now, clock.now + 2.0
    meter.stepped(begin, 2)


def test_time_is_busy_idle_or_the_clients() -> None:
    clock = Clock()
    meter = Meter(6, clock)
    lived(meter, clock)
    report = meter.report("base@1")
    assert (report.busy, report.idle, report.client) == (4.0, 2.5, 0.5)
    assert report.seconds == clock.now - 105.0, "what comes before the first request is nobody's time"
    assert report.live == pytest.approx((4 * 1 + 6 * 1 + 2 * 2) / 4), "the batch holds six"
    assert (report.prompt, report.cached, report.sampled, report.steps) == (200, 120, 20, 3)
    assert report.line() == (
        "base@1: 200 prompt tokens (60% cached), 20 sampled, 3/s; 3.5 of 6 in the batch on average, idle 36% of 7.0 s"
    )


def test_an_engine_that_nobody_asked_did_nothing() -> None:
    report = Meter(6).report("base@1", "a note")
    assert (report.seconds, report.rate) == (0, 0)
    assert report.line().endswith("idle 0% of 0.0 s; a note")


def test_the_timeline_covers_all_steps_and_merges_those_near_together() -> None:
    clock = Clock()
    meter = Meter(6, clock)
    lived(meter, clock)
    for _ in range(100):
        begin, clock.now = clock.now, clock.now + 0.001
        meter.stepped(begin, 1)
    bars = [event for event in meter.timeline("base@1") if event["ph"] == "X"]
    assert sum(bar["dur"] for bar in bars) == pytest.approx(4.1e6)
    assert 3 < len(bars) < 8
    assert all(before["ts"] + before["dur"] <= after["ts"] + 1 for before, after in pairwise(bars))
