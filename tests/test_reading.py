"""Whatever a model writes becomes a Reading: never an exception, never a guess, never in more than one pass."""

import json
import math
import re
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from simarena import reading
from simarena.reading import Fields, check, clean, cut_words, read


class Vote(Fields):
    vote: Literal["A", "B"]
    sure: float = 0.5


class Open(Fields):
    anything: Any = None
    count: int = 0
    items: list[str] = Field(default=[], max_length=3)
    name: str = Field("x", min_length=1)


A, B = {"vote": "A", "sure": 0.5}, {"vote": "B", "sure": 0.5}
JSONISH = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner, max_size=3)),
    max_leaves=8,
)
SCRAPS = [
    '{"vote":',
    '"A"',
    "{",
    "}",
    "[",
    "]",
    ",",
    '"',
    "\\",
    "<think>",
    "</think>",
    "NaN",
    "1e999",
    "9" * 50,
    "\ud800",
]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(), st.lists(st.one_of(st.sampled_from(SCRAPS), st.text(max_size=3))).map("".join)))
def test_no_text_raises_and_what_is_read_is_json(text):
    for fields in (Vote, Open):
        found = read(text, fields)
        assert (found.fields is None) == (found.outcome == "malformed")
        assert bool(found.error) == (found.fields is None)
        json.dumps(found.fields, allow_nan=False).encode()
        found.error.encode()


@settings(max_examples=200, deadline=None)
@given(JSONISH)
def test_no_value_raises_and_what_is_read_is_json(value):
    for given_value in (value, {"anything": value}, {"count": value}, {"items": value}, {"vote": "A", "sure": value}):
        for fields in (Vote, Open):
            found = check(given_value, fields)
            text = json.dumps(found.fields, allow_nan=False, ensure_ascii=False)
            text.encode()
            if found.fields is not None:
                assert check(json.loads(text), fields).fields == found.fields


@given(st.text())
def test_clean_is_idempotent_and_leaves_no_control_characters(text):
    once = clean(text)
    assert clean(once) == once
    once.encode()
    assert not set(once) & {chr(n) for n in range(32) if chr(n) not in "\n\t"}
    assert clean("Zürich, 答え, naïve: 5 €\n\t") == "Zürich, 答え, naïve: 5 €\n\t"


@given(st.text(), st.integers(1, 5))
def test_words_are_cut_and_nothing_else(text, limit):
    short = cut_words(text, limit)
    assert len(short.split()) <= limit
    assert short is text if len(text.split()) <= limit else text.split()[:limit] == short.split()


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ('{"vote": "A"}', "strict"),
        ('  {"vote": "A", "why": "surplus keys are dropped"}\n', "strict"),
        ('```json\n{"vote": "A"}\n```', "extracted"),
        ('I think {maybe} {1, 2} then: {"vote": "A"} so.', "extracted"),
        ('First {"vote": "B"}, but no: {"vote": "A"}', "extracted"),
        ('{"vote": "A"} {"confidence": 3} {}', "extracted"),  # objects that name no field are no answer
        ('{"note": {"vote": "B"}} {"vote": "A"}', "extracted"),
        ('<think>{"vote": "B"} or {"vote"</think>{"vote": "A"}', "strict"),
        ('opened by the template: {"vote": "B", </think> {"vote": "A"}', "strict"),
        ('<think>a</think><think>{"vote": "B"}</think>Well: {"vote": "A"}', "extracted"),
        ('{"vote": "A"}<think> and so on', "strict"),
        ('{"vote": "A", "why": "<think> and </think> are words here"}', "strict"),
        ('{"vote": "A", "why": "{\\"vote\\": \\"B\\"}"}', "strict"),  # forged inside a string
        ('Take this: {"vote": "A", "why": "they said {\\"vote\\": \\"B\\"}"}.', "extracted"),
        ("{" * 300 + '{"vote": "A"}', "extracted"),
        ('{"none": 1}' * 200 + '{"vote": "B"}' * 200 + '{"vote": "A"}', "extracted"),
    ],
)
def test_what_is_read(text, how):
    found = read(text, Vote)
    assert (found.fields, found.outcome, found.how) == (A, "ok", how)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "<think>all thought, no word",
        "A",
        "My vote is A.",
        "vote: A",
        "The answer is \\boxed{A}",
        "null",
        "[]",
        '"A"',
        '[{"vote": "A"}]',
        '[{"vote": "B"}, {"vote": "A"}]',
        "{}",
        '{"vote": "C"}',
        '{"vote": null}',
        '{"vote": ["A"]}',
        '{"Vote": "A"}',
        '{"answer": {"vote": "A"}}',
        '{"vote": "A"} no: {"vote": "C"}',  # the last answer counts, even where it is wrong
        '{"vote": "A"} no: {"vote": B}',  # and where it is broken
        '{"vote": "B", "draft": {"vote": "A"}, "why": "cut in mid-sent',
        '{"vote": A, "other": {"vote": "A"}}',
        'So: {"why": "x" {"vote": "A"}}',
        "{'vote': 'A'}",
        '{"vote": "A",}',
        '{"vote": "B", "vote": "A"}',
        'So: {"vote": "A", "vote": "A"}',
        '{"vote": "A", "sure": NaN}',
        '{"vote": "A", "sure": Infinity}',
        '{"vote": "A", "sure": -Infinity}',
        '{"vote": "A", "sure": 1e999}',
        '{"vote": "A", "sure": "nan"}',
        'x {"vote": "A", "sure": ' + "9" * 5000 + "}",
        '{"vote": "A", "sure": ' + "9" * 5000 + "}",
        '{"vote": "A", "why": "' + "w" * 41_000 + '"}',
        '{"a":' * 5000,
        'x {"a":' * 5000,
        "[" * 39_000 + "]" * 1000,
    ],
)
def test_what_is_not_read(text):
    found = read(text, Vote)
    assert found.fields is None
    assert found.outcome == "malformed"
    assert 0 < len(found.error) <= 500


def test_every_reason_is_one_that_a_model_can_act_on():
    reasons = {
        "": "the reply is empty",
        "words": "the reply holds no JSON object with the fields asked for",
        "[1]": "the reply is JSON, but not an object",
        'x {"vote": A}': "the reply holds a broken JSON object: .+",
        '{"vote": "A", "vote": "B"}': "'vote' stands twice in the reply",
        '{"sure": 1}': "vote: .+",
        '{"vote": "C"}': "vote: .+",
    }
    for text, reason in reasons.items():  # what stands behind a colon is pydantic's wording, or the JSON reader's
        assert re.fullmatch(reason, read(text, Vote).error)


def nested(depth):
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def endless():
    value: dict[str, Any] = {}
    value["anything"] = value
    return value


@pytest.mark.parametrize(
    "value",
    [
        nested(reading.MAX_DEPTH),
        nested(300),
        nested(5000),
        endless(),
        math.nan,
        math.inf,
        {"deep": [{"in": -math.inf}]},
        2**63,
        -(10**400),
        b"\xff",
        object(),
    ],
    ids=["33", "300", "5000", "endless", "nan", "inf", "inner", "2**63", "10**400", "bytes", "object"],
)
def test_values_that_a_snapshot_cannot_hold_are_malformed(value):
    assert check({"anything": value}, Open).outcome == "malformed"


def test_values_at_the_limits_are_kept():
    for value in (nested(reading.MAX_DEPTH - 3), 2**63 - 1, -(2**63) + 1, 1e308, 0.1, True, None, {"a": [1, "x"]}):
        assert check({"anything": value}, Open).fields["anything"] == value


@pytest.mark.parametrize("text", ['{"count": "%s"}', '{"count": %s}', '{"count": %s.0}', 'x {"count": %s}'])
def test_whole_numbers_are_bounded_however_they_are_written(text):
    for digits in ("9" * 25, "9" * 400, "9" * 4400, "1" + "0" * 30):
        assert read(text % digits, Open).outcome == "malformed"
    assert read(text % "12", Open).fields["count"] == 12


def test_limits_hold_for_the_text_that_is_applied():
    assert check({"name": "\x00\x1b"}, Open).outcome == "malformed"  # nothing is left of it, and it needs one letter
    assert check({"name": "a\x00"}, Open).fields["name"] == "a"


class Counting:
    """A decoder that adds up how many characters it is asked to decode."""

    def __init__(self, decoder):
        self.decoder, self.steps = decoder, 0

    def raw_decode(self, text, at):
        try:
            value, end = self.decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            self.steps += error.pos - at + 1
            raise
        except RecursionError:
            self.steps += len(text) - at
            raise
        self.steps += end - at
        return value, end


@pytest.mark.parametrize(
    "scrap",
    ["{", '{"', '{"a":', '{"a":[', '{"a":1}', '{"a":{"b":[1,2]}} {', '{"a":"', "{ ", "{1}", '{"a":{}', '\\{"', "{'a'"],
)
def test_the_search_is_one_pass(scrap, monkeypatch):
    counting = Counting(reading.QUICK)
    monkeypatch.setattr(reading, "QUICK", counting)
    text = ("x " + scrap * 20_000)[: reading.MAX_CHARS]
    read(text, Vote)
    assert counting.steps <= 3 * len(text)
    for tail in ('{"vote": "A"}', '"}]}}}}', '"' * 3):
        counting.steps = 0
        read(text[:39_000] + tail, Vote)
        assert counting.steps <= 3 * len(text)
