"""Filters: what each drops, by which reason, and that nothing is lost uncounted."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.preferences.filters import Filters, agreement, length_ratio
from simarena.preferences.played import Dropped
from simarena.preferences.record import Preference
from tests.preferences.made import compared, reply

GOOD = compared((reply("four", 3.0), reply("five", 1.0)))


def reason(record: Preference, **filters: Any) -> str:
    found = Filters(**filters).passes()(record)
    return found.reason if isinstance(found, Dropped) else "kept"


def judged(*gaps: float) -> Preference:
    best = {f"judge {n}": gap for n, gap in enumerate(gaps)}
    return compared((reply("four", 1.0, scores=best), reply("five", 0.0, scores=dict.fromkeys(best, 0.0))))


@pytest.mark.parametrize(
    ("record", "filters", "expected"),
    [
        (GOOD, {}, "kept"),
        (GOOD, {"margin": 2.0}, "kept"),
        (GOOD, {"margin": 2.1}, "below the margin"),
        (compared((reply("four", 1.0), reply("five", 1.0))), {}, "tie"),
        (compared((reply("four", 1.0), reply("four", 0.0))), {}, "both say the same"),
        (compared((reply("four", 1.0), reply("", 0.0, outcome="malformed"))), {}, "a reply could not be used"),
        (compared((reply("four", 1.0), reply("", 0.0, outcome="malformed"))), {"valid": False}, "kept"),
        (compared((reply("four", 1.0), reply("too long", 0.0, outcome="truncated"))), {}, "a reply could not be used"),
        (compared((reply("four", 1.0), reply("forty-four", 0.0))), {"length": 0.5}, "lengths differ"),
        (compared((reply("four", 1.0), reply("forty-four", 0.0))), {"length": 0.4}, "kept"),
        (judged(1, 1, -1), {"agreement": 0.6}, "kept"),
        (judged(1, 1, -1), {"agreement": 0.7}, "annotators disagree"),
        (judged(1, 0, 0), {"agreement": 1.0}, "kept"),
        (judged(), {"agreement": 0.1}, "annotators disagree"),
    ],
)
def test_a_filter_names_its_reason(record: Preference, filters: dict[str, Any], expected: str) -> None:
    assert reason(record, **filters) == expected


@pytest.mark.parametrize(
    ("best", "worst", "expected"),
    [
        ((9.0, 8.0), (3.0, 4.0), "kept"),
        ((9.0, 3.0), (3.0, 9.0), "judge orders disagree"),
        ((9.0, 5.0), (3.0, 5.0), "kept"),
    ],
)
def test_orders_agree_where_no_order_turns_the_preference_round(
    best: tuple[float, ...], worst: tuple[float, ...], expected: str
) -> None:
    record = compared((reply("four", 1.0, orders={"cat": best}), reply("five", 0.0, orders={"cat": worst})))
    assert reason(record, orders=True) == expected


def test_a_prompt_gets_its_share_and_repeats_are_found() -> None:
    keep = Filters(per_state=2).passes()
    pairs = [compared((reply(f"four{n}", 1.0), reply("five", 0.0))) for n in (0, 0, 1, 2)]
    found = [keep(each) for each in pairs]
    assert [each.reason if isinstance(each, Dropped) else "kept" for each in found] == [
        "kept",
        "duplicate",
        "kept",
        "enough of this prompt",
    ]


def test_small_margins_weigh_less() -> None:
    found = Filters(whole=4.0).passes()(GOOD)
    assert isinstance(found, Preference)
    assert found.weight == 0.5
    sure = Filters(whole=1.0).passes()(GOOD)
    assert isinstance(sure, Preference)
    assert sure.weight == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=6), st.text("ab", min_size=1), st.text("ab", min_size=1))
def test_shares_lie_between_nothing_and_all(gaps: list[float], one: str, other: str) -> None:
    record = judged(*gaps)
    assert 0 <= agreement(record.responses) <= 1
    assert 0 < length_ratio((reply(one), reply(other))) <= 1
    if gaps and all(gap > 0 for gap in gaps):
        assert agreement(record.responses) == 1
