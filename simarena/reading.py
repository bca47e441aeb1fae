"""Text to action fields: the one place where what a model wrote is parsed.

In: a reply of any content and length, and the pydantic model of the fields wanted. Out: a Reading, never an exception.
Prose is never searched for an answer: a reply holds a JSON object with the right fields, or it is malformed.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from simarena.records import JSON, Reading

MAX_CHARS = 40_000
"""Longer replies are read up to here; no legal action is near it."""

THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
KEPT_CONTROLS = "\n\t"


class Fields(BaseModel):
    """Base of every action's fields. Surplus keys are dropped (they stay in the raw reply); types are enforced."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def clean(text: str) -> str:
    """`text` without control characters, lone surrogates and other marks that could forge a layout."""
    if text.isprintable():
        return text
    return "".join(
        c for c in text if c in KEPT_CONTROLS or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    )


def clean_value(value: JSON) -> JSON:
    """`clean` for every text inside a JSON value."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): clean_value(item) for key, item in value.items()}
    if isinstance(value, list):
        return [clean_value(item) for item in value]
    return value


def cut_words(text: str, limit: int) -> str:
    """The first `limit` words of `text`; the text itself where it has no more."""
    if len(text) <= limit:  # a word has a letter at least: cheaper than splitting
        return text
    words = text.split()
    return text if len(words) <= limit else " ".join(words[:limit])


def objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in `text` that stand at its outermost level, last first."""
    decoder, at = json.JSONDecoder(), text.find("{")
    spans: list[dict[str, Any]] = []
    while at != -1 and len(spans) < 64:
        try:
            value, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = at + 1
        else:
            spans.append(value)
        at = text.find("{", end)
    yield from reversed(spans)


def read(text: str, fields: type[BaseModel]) -> Reading:
    """The fields that `text` states: the whole text as one JSON object, or else the last object in it that fits."""
    text = THINK.sub("", text[:MAX_CHARS]).strip()
    if not text:
        return Reading(None, "malformed", "the reply is empty")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        return check(whole, fields)
    best = Reading(None, "malformed", "the reply holds no JSON object")
    for value in objects(text):
        reading = check(value, fields, how="extracted")
        if reading.fields is not None:
            return reading
        best = reading if best.how == "strict" else best
    return best


def check(value: JSON, fields: type[BaseModel], how: str = "strict") -> Reading:
    """`value` as `fields`, or the reason why it is not."""
    try:
        found = fields.__pydantic_validator__.validate_python(value)
    except (ValidationError, RecursionError) as error:
        return Reading(None, "malformed", _reason(error), how)
    return Reading(clean_value(found.model_dump(mode="json")), "ok", "", how)


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "the reply is nested too deeply"
    problems = [f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}" for e in error.errors(include_url=False)[:5]]
    return "; ".join(problems)[:500]
