"""What a trainer refuses to read, row by row, and what it makes of the rest."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simarena.preferences.record import Preference, to_line
from simarena.records import Message
from simarena.training import data
from simarena.training.data import BadPairs, prepare, read_line, read_records
from tests.training.planted import record, reply


def spoilt(good: Preference, **changes: Any) -> Preference:
    """The record with its second response changed."""
    return replace(good, responses=(good.responses[0], replace(good.responses[1], **changes)))


def line_with(good: Preference, **more: Any) -> Any:
    return read_line(json.dumps({**to_line(good), **more}))


def with_response(good: Preference, **more: Any) -> Any:
    line: Any = to_line(good)
    return line_with(good, responses=[{**line["responses"][0], **more}, *line["responses"][1:]])


WRONG: dict[str, Any] = {
    "has no own token that could carry loss": lambda r: spoilt(r, mask=tuple(False for _ in r.responses[1].mask)),
    "marks": lambda r: spoilt(r, mask=(True,)),
    "its words 'maybe'": lambda r: spoilt(r, messages=(Message("assistant", "maybe"),)),
    "holds id 99999": lambda r: spoilt(r, ids=(99999,) * len(r.responses[1].ids)),
    "do not spell its messages": lambda r: replace(r, prompt=(Message("user", "something else"),)),
    "counts own turns": lambda r: spoilt(r, turns=(-1,) * len(r.responses[1].ids)),
    "none of its prompt": lambda r: replace(r, prompt_ids=None),
    "do not share their prompt": lambda r: spoilt(
        r,
        ids=(9, *r.responses[1].ids),
        mask=(False, *r.responses[1].mask),
        turns=(-1, *r.responses[1].turns),
    ),
    "unknown column 'chosen'": lambda r: line_with(r, chosen="x"),
    "is not JSON": lambda r: read_line("{"),
    "has no 'responses'": lambda r: read_line("{}"),
    "(--format native)": lambda r: read_line('{"prompt": [], "chosen": "yes", "rejected": "no"}'),
    "ids of response 0: 'x' is no whole number": lambda r: with_response(r, ids=["x"]),
    "mask of response 0: 'all' is no list": lambda r: with_response(r, mask="all"),
    "score of response 0: 'good' is no finite number": lambda r: with_response(r, score="good"),
    "scores of response 0, ann: None is no finite number": lambda r: with_response(r, scores={"ann": None}),
    "objectives of response 0: 3 is no object": lambda r: with_response(r, objectives=3),
    "weight: nan is no finite number": lambda r: line_with(r, weight=float("nan")),
    "responses: 3 is no list": lambda r: line_with(r, responses=3),
    "a message is [role, words]": lambda r: line_with(r, prompt=[{"role": "user", "content": "hello"}]),
    "has no prompt": lambda r: replace(r, prompt=(), prompt_ids=()),
    "has no response": lambda r: replace(r, responses=()),
    "the model reads 40": lambda r: long(r),
}


def long(good: Preference) -> Preference:
    first, second = good.responses
    ids = second.ids * 30
    return replace(
        good,
        responses=(
            first,
            replace(
                second,
                ids=ids,
                mask=(True,) * len(ids),
                turns=(0,) * len(ids),
                messages=(Message("assistant", "no" * 30),),
            ),
        ),
    )


@pytest.mark.parametrize("said", WRONG)
def test_a_wrong_row_is_refused_with_its_number_and_the_reason(said: str, template: Any) -> None:
    good = record(0, template=template)
    rows = [good, record(1, template=template), WRONG[said](good)]
    with pytest.raises(BadPairs, match="row 3: ") as refused:
        prepare(rows, template, window=40)
    assert said in str(refused.value)
    assert "--skip-bad" in str(refused.value)


@pytest.mark.parametrize("said", WRONG)
def test_skip_bad_drops_and_counts_it(said: str, template: Any) -> None:
    good = record(0, template=template)
    prepared = prepare([WRONG[said](good), good], template, window=40, skip_bad=True)
    assert [each.row for each in prepared.decisions] == [2]
    assert sum(prepared.dropped.values()) == 1


def test_nothing_left_is_an_error(template: Any) -> None:
    with pytest.raises(BadPairs, match="no pair to train on: 1 no record"):
        prepare([read_line("[]")], template, window=40, skip_bad=True)


def test_recorded_tokens_are_taken_as_they_are(template: Any) -> None:
    """A model that split its own words oddly is trained on what it sampled."""
    good = record(0, template=template)
    split = tuple(i for letter in "yes" for i in template.continuation(letter))
    assert split != tuple(template.continuation("yes"))
    odd = replace(good.responses[0], ids=split, mask=(True,) * 3, turns=(0,) * 3)
    [made] = prepare([replace(good, responses=(odd, good.responses[1]))], template, window=40).decisions
    assert made.sequences[0].ids == (*good.prompt_ids, *split)
    assert made.sequences[0].mask == (*(False for _ in good.prompt_ids), True, True, True)


def test_a_record_of_words_is_tokenised_as_the_template_would(template: Any) -> None:
    good = record(0, template=template)
    bare = [replace(r, ids=None, mask=None, turns=None) for r in good.responses]
    said = prepare([replace(good, prompt_ids=None, responses=tuple(bare))], template, window=40)
    assert said.decisions[0].sequences == prepare([good], template, window=40).decisions[0].sequences


def test_a_segment_of_two_turns_keeps_glue_out_of_the_loss(template: Any) -> None:
    good = record(0, template=template)
    first, end = tuple(template.continuation("yes")), template.tokenizer.eos_token_id
    glue = tuple(template.encode([Message("user", "and?")]))
    ids = (*first, end, *glue, *first, end)
    own = (True,) * (len(first) + 1)
    mask = (*own, *(False for _ in glue), *own)
    turns = tuple(-1 if not m else 0 if n <= len(first) else 1 for n, m in enumerate(mask))
    words = (Message("assistant", "yes"), Message("user", "and?"), Message("assistant", "yes"))
    two = replace(good.responses[0], messages=words, ids=ids, mask=mask, turns=turns)
    [made] = prepare([replace(good, responses=(two, good.responses[1]))], template, window=60).decisions
    assert made.turns[0] == (0,) * (len(first) + 1) + (1,) * (len(first) + 1)
    assert sum(made.sequences[0].mask) == len(made.turns[0])


def test_votes_are_per_judge_and_family(template: Any) -> None:
    [made] = prepare([record(0, template=template)], template, window=40).decisions
    assert made.votes == {"ann|toy": 1.0, "bob|toy": 0.0, "cat|toy": 1.0}
    tied = replace(
        record(0, template=template), responses=(reply("yes", template, ann=1), reply("no", template, ann=1))
    )
    assert data.votes(tied) == {"ann|toy": 0.5}


def test_a_file_is_read_a_line_at_a_time(tmp_path: Path, template: Any) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(to_line(record(0, template=template))) + "\n\n{\n")
    found = list(read_records(path))
    assert isinstance(found[0], Preference)
    assert [type(each).__name__ for each in found] == ["Preference", "Unfit"]


def test_the_digest_changes_with_any_record(template: Any) -> None:
    one = prepare([record(0, template=template)], template, window=40).digest
    assert one == prepare([record(0, template=template)], template, window=40).digest
    assert one != prepare([replace(record(0, template=template), weight=2.0)], template, window=40).digest
