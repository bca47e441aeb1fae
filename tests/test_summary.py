"""Means and intervals by cell, and expectations about them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from scipy import stats

from simarena.identity import new_match
from simarena.scenario import Expectation
from simarena.store import Result
from simarena.summary import cell_rows, coordinate, mean, same
from simarena.verify import check


def result(cell: dict[str, Any], task: int, metrics: dict[str, float], **rest: Any) -> Result:
    match = new_match(
        "e", {}, {"a_0": "x", "a_1": "x", "b_0": "y"}, {"x": "", "y": ""}, task_seed=task, seed=0, cell=cell
    )
    given = {
        "status": "done",
        "returns": {"a_0": 1.0, "a_1": 3.0, "b_0": -1.0},
        "outcomes": {"a_0": {"ok": 2, "malformed": 1}, "b_0": {"repaired": 1}},
    }
    return Result(match=match, metrics=metrics, **{**given, **rest})


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 10, 40])
def test_intervals_are_students(n: int) -> None:
    values = [math.sin(i) for i in range(n)]
    found = mean(values)
    low, high = stats.t.interval(0.95, n - 1, loc=stats.tmean(values), scale=stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low, abs=0.02), pytest.approx(high, abs=0.02))


def test_matches_of_a_task_are_averaged_before_tasks_are() -> None:
    rows = cell_rows([result({}, 0, {"m": 0.0}), result({}, 0, {"m": 1.0}), result({}, 1, {"m": 1.0})])
    assert rows[0].metrics["m"].mean == 0.75
    assert rows[0].metrics["m"].tasks == 2


def test_what_a_match_does_not_measure_is_left_out() -> None:
    rows = cell_rows([result({}, 0, {"m": 1.0}), result({}, 1, {}), result({}, 2, {"m": 9.0}, status="failed")])
    assert rows[0].metrics["m"].mean == 1.0
    assert (rows[0].matches, rows[0].failed) == (2, 1)
    assert rows[0].metrics["m"].low is None, "one task has no interval"


def test_cells_keep_their_order_and_agents_count_by_their_seats_average() -> None:
    rows = cell_rows([result({"p": 1}, 0, {}), result({"p": True}, 0, {}), result({"p": 1}, 1, {})])
    assert [row.cell for row in rows] == [{"p": 1}, {"p": True}]
    assert rows[0].returns["x"].mean == 2.0
    assert rows[0].returns["y"].mean == -1.0
    assert rows[0].invalid_rate == 0.25


def test_coordinates_are_named_by_their_agents() -> None:
    assert coordinate([{"name": "a", "policy": "p"}, "b/c", {"policy": "d"}]) == "a+b/c+d"
    assert (coordinate("x"), coordinate(True), coordinate(2)) == ("x", "true", "2")
    assert same([1], [1])
    assert not same(1, True)
    assert not same(None, 0)


RESULTS = [
    result({"p": p}, task, {"m": value + task}) for p, value in (("low", 0.0), ("high", 1.0)) for task in range(5)
]


@pytest.mark.parametrize(
    ("expected", "passed", "value"),
    [
        ({"min": 2.0}, True, 2.5),
        ({"where": {"p": "low"}, "min": 2.1}, False, 2.0),
        ({"where": {"p": "high"}, "min": 3.0, "max": 3.0}, True, 3.0),
        ({"higher": {"p": "high"}, "than": {"p": "low"}, "by": 0.9}, True, 1.0),
        ({"higher": {"p": "high"}, "than": {"p": "low"}, "by": 1.0}, False, 1.0),
        ({"higher": {"p": "low"}, "than": {"p": "high"}}, False, -1.0),
    ],
)
def test_expectations_compare_means(expected: dict[str, Any], passed: bool, value: float) -> None:
    found = check(Expectation(metric="m", **expected), RESULTS)
    assert found.passed == passed
    assert found.found is not None
    assert found.found.mean == pytest.approx(value)
    if "higher" in expected:
        assert found.found.low == found.found.high == pytest.approx(value), "paired by task: the tasks' spread is gone"


def test_what_was_not_measured_fails_and_says_why() -> None:
    found = check(Expectation(metric="n", min=0), RESULTS)
    assert not found.passed
    assert "they measured m" in found.why
    assert "no finished match" in check(Expectation(metric="m", where={"p": "none"}, min=0), RESULTS).why
