"""Preferences in the formats that people train on: TRL's dataset types, as rows of plain JSON values.

A list becomes a pair of its best and worst where a format holds pairs. Rows carry the record's id beside what a trainer
reads. Conversational columns are lists of {"role", "content"}; text columns are for models without a chat template.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from simarena.errors import MissingExtra
from simarena.preferences import views
from simarena.preferences.record import Preference, Response, to_line
from simarena.records import JSON, Message

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, JSON]
BATCH = 1000
"""Rows of a Parquet file that are in memory at a time."""


class Format(NamedTuple):
    """A type of data set."""

    rows: Callable[[Preference], Iterable[Row]]
    line: str
    columns: dict[str, str]
    """Column -> text | messages | texts | label | labels; {}: lines of their own, for JSON alone."""


def chat(messages: Sequence[Message]) -> list[Row]:
    """Messages as conversational data sets hold them."""
    return [{"role": message.role, "content": message.content} for message in messages]


def text(messages: Sequence[Message]) -> str:
    """A prompt as plain text, ending where the assistant begins."""
    return "".join(f"{message.role}: {message.content}\n\n" for message in messages) + "assistant: "


def reply(response: Response) -> str:
    """A response as plain text, what was asked in between included."""
    first, *rest = response.messages
    return first.content + "".join(f"\n\n{message.role}: {message.content}" for message in rest)


def native(record: Preference) -> Iterator[Row]:
    """The record itself."""
    yield to_line(record)


def preference(record: Preference) -> Iterator[Row]:
    """Prompt, chosen and rejected as conversations."""
    best, worst, _ = views.cardinal(record)
    yield {
        "id": record.id,
        "prompt": chat(record.prompt),
        "chosen": chat(best.messages),
        "rejected": chat(worst.messages),
    }


def preference_text(record: Preference) -> Iterator[Row]:
    """Prompt, chosen and rejected as text."""
    best, worst, _ = views.cardinal(record)
    yield {"id": record.id, "prompt": text(record.prompt), "chosen": reply(best), "rejected": reply(worst)}


def implicit(record: Preference) -> Iterator[Row]:
    """Chosen and rejected, each with the prompt in it."""
    best, worst, _ = views.cardinal(record)
    yield {
        "id": record.id,
        "chosen": chat((*record.prompt, *best.messages)),
        "rejected": chat((*record.prompt, *worst.messages)),
    }


def unpaired(record: Preference) -> Iterator[Row]:
    """Every response alone, and whether it is a good one: better than the middle between best and worst."""
    middle = (record.responses[0].score + record.responses[-1].score) / 2
    for each in record.responses:
        good = each.score > middle if record.magnitude > 0 and len(record.responses) > 1 else bool(each.truth)
        yield {"id": record.id, "prompt": chat(record.prompt), "completion": chat(each.messages), "label": good}


def prompt_only(record: Preference) -> Iterator[Row]:
    """The prompt."""
    yield {"id": record.id, "prompt": chat(record.prompt)}


def stepwise(record: Preference) -> Iterator[Row]:
    """The best and the worst response, own turn by own turn, each turn labelled by the side it is on."""
    best, worst, _ = views.cardinal(record)
    for response, good in ((best, True), (worst, False)):
        steps = [message.content for message in response.messages if message.role == "assistant"]
        yield {"id": record.id, "prompt": text(record.prompt), "completions": steps, "labels": [good] * len(steps)}


ID = {"id": "text"}
FORMATS: dict[str, Format] = {
    "native": Format(native, "all that is on record: tokens, masks, marks per annotator, sources", {}),
    "trl-preference": Format(
        preference,
        "conversational: prompt, chosen, rejected",
        ID | {"prompt": "messages", "chosen": "messages", "rejected": "messages"},
    ),
    "trl-preference-text": Format(
        preference_text,
        "standard: prompt, chosen, rejected as text",
        ID | {"prompt": "text", "chosen": "text", "rejected": "text"},
    ),
    "trl-implicit": Format(
        implicit,
        "conversational: chosen and rejected, prompt included",
        ID | {"chosen": "messages", "rejected": "messages"},
    ),
    "trl-unpaired": Format(
        unpaired,
        "conversational: prompt, completion, label",
        ID | {"prompt": "messages", "completion": "messages", "label": "label"},
    ),
    "trl-prompt": Format(prompt_only, "conversational: prompt alone", ID | {"prompt": "messages"}),
    "trl-stepwise": Format(
        stepwise,
        "standard: prompt, completions, labels",
        ID | {"prompt": "text", "completions": "texts", "labels": "labels"},
    ),
}


def write_lines(records: Iterable[Preference], format_: Format, out: IO[str]) -> int:
    """Rows as JSON lines; returns how many."""
    count = 0
    for record in records:
        for row in format_.rows(record):
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def write_parquet(records: Iterable[Preference], format_: Format, out: IO[bytes]) -> int:
    """Rows as a Parquet file; returns how many. MissingExtra without pyarrow."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtra("a Parquet file", "data") from error
    schema, count = schema_of(format_), 0
    with pyarrow.parquet.ParquetWriter(out, schema) as writer:
        for rows in batches(row for record in records for row in format_.rows(record)):
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
            count += len(rows)
    return count


def batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Some rows at a time."""
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def schema_of(format_: Format) -> pyarrow.Schema:
    """The columns of a format as pyarrow types."""
    import pyarrow as pa

    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    kinds: dict[str, Any] = {
        "text": pa.string(),
        "messages": pa.list_(message),
        "texts": pa.list_(pa.string()),
        "label": pa.bool_(),
        "labels": pa.list_(pa.bool_()),
    }
    return pa.schema([(name, kinds[kind]) for name, kind in format_.columns.items()])
