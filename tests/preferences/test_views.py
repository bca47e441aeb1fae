"""Views and formats: projections that lose no token, and rows that others can read."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simarena.preferences import views
from simarena.preferences.formats import FORMATS, write_lines, write_parquet
from simarena.preferences.record import Preference, read_jsonl, write_jsonl
from simarena.records import Message
from tests.preferences.made import compared, reply, some

LIST = compared(
    (
        reply("four", 3.0, scores={"cat": 3.0, "dan": 1.0}, truth=1.0),
        reply("five", 2.0, scores={"cat": 2.0}, objectives={"brief": 1.0}),
        reply("six", 2.0, scores={"cat": 1.0, "dan": 3.0}, truth=0.0),
    )
)


def test_a_record_comes_back_from_its_line_as_it_was() -> None:
    out = io.StringIO()
    write_jsonl([LIST, *some(2)], out)
    assert list(read_jsonl(out.getvalue().splitlines())) == [LIST, *some(2)]


def test_a_list_in_pairs() -> None:
    assert [r.messages[0].content for r in views.pair(LIST).responses] == ["four", "six"]
    assert [record.magnitude for record in views.pairs(LIST)] == [1.0, 1.0]
    assert [rank for _, rank in views.ranked(LIST)] == [0, 1, 1]
    assert [each.responses[0].score for each in views.pointwise(LIST)] == [3.0, 2.0, 2.0]
    assert views.cardinal(LIST)[2] == 1.0


def test_marks_as_a_table_and_by_annotator() -> None:
    assert views.vector(LIST) == (("cat", "dan", "brief"), [[3.0, 1.0, None], [2.0, None, 1.0], [1.0, 3.0, None]])
    assert dict(views.per_annotator(LIST)) == {"cat": 2.0, "dan": -2.0}


def paths(nodes: list[views.Node], before: tuple[int, ...] = ()) -> dict[tuple[str, int], tuple[int, ...]]:
    found = {}
    for node in nodes:
        ids = before + node.ids
        found |= dict.fromkeys(node.ends, ids) | paths(node.children, ids)
    return found


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.text("ab", min_size=1, max_size=5), min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_tree_holds_every_response_and_no_token_twice(texts: list[list[str]]) -> None:
    records = [compared([reply(text) for text in group], prompt="ab"[n % 2]) for n, group in enumerate(texts)]
    nodes = views.tree(records)
    found = paths(nodes)
    for record in records:
        for place, response in enumerate(record.responses):
            assert record.prompt_ids is not None
            assert response.ids is not None
            assert found[record.id, place] == record.prompt_ids + response.ids

    def starts(level: list[views.Node]) -> None:
        assert len({node.ids[0] for node in level}) == len(level)
        for node in level:
            assert len(node.ids) == len(node.own)
            starts(node.children)

    starts(nodes)


def rows(name: str, records: list[Preference]) -> list[dict[str, object]]:
    out = io.StringIO()
    count = write_lines(records, FORMATS[name], out)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert len(found) == count
    return found


def test_conversations_and_texts() -> None:
    (row,) = rows("trl-preference", [LIST])
    assert row["chosen"] == [{"role": "assistant", "content": "four"}]
    assert row["rejected"] == [{"role": "assistant", "content": "six"}]
    (whole,) = rows("trl-implicit", [LIST])
    assert isinstance(row["prompt"], list)
    assert whole["chosen"] == [*row["prompt"], {"role": "assistant", "content": "four"}]
    (plain,) = rows("trl-preference-text", [LIST])
    assert plain["prompt"] == "system: You answer.\n\nuser: What is 2 + 2?\n\nassistant: "
    assert rows("trl-prompt", [LIST]) == [{"id": LIST.id, "prompt": row["prompt"]}]


def test_unpaired_and_stepwise_rows() -> None:
    assert [row["label"] for row in rows("trl-unpaired", [LIST])] == [True, False, False]
    turns = (Message("assistant", "one"), Message("user", "and?"), Message("assistant", "two"))
    record = compared((reply("one", 1.0, messages=turns), reply("no")))
    steps = rows("trl-stepwise", [record])
    assert [(row["completions"], row["labels"]) for row in steps] == [(["one", "two"], [True, True]), (["no"], [False])]
    assert rows("trl-preference-text", [record])[0]["chosen"] == "one\n\nuser: and?\n\nassistant: two"


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "native"])
def test_parquet_holds_the_same_rows(name: str, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the extra data")
    file = tmp_path / "pairs.parquet"
    count = write_parquet([LIST, *some(1100)], FORMATS[name], str(file))
    found = parquet.read_table(file).to_pylist()
    assert len(found) == count
    assert found == rows(name, [LIST, *some(1100)])
