"""Text to action fields: the one place where what a model wrote is parsed.

In: a reply of any content and length, and the pydantic model of the fields wanted. Out: a Reading, never an exception.
Prose is never searched for an answer: a reply holds a legal JSON object with the right fields, or it is malformed.
Nothing is guessed: a key that stands twice, a broken object or a number that JSON cannot hold is malformed too.
"""

from __future__ import annotations

import json
import re
import unicodedata
from math import isfinite
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from simarena.records import JSON, Reading

MAX_CHARS = 40_000
"""Longer replies are read up to here; no legal action is near it."""
MAX_DEPTH = 32
"""Lists and objects inside one another; no legal action is near it."""
MAX_WHOLE = 2**63
"""Whole numbers stay below it, so that every reader of JSON, every database and every float can hold them."""

THINK = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL)
KEYED = re.compile(r'\{\s*"')
"""How a JSON object with keys begins; braces of prose and of formulas do not."""
KEPT_CONTROLS = "\n\t"


class Fields(BaseModel):
    """Base of every action's fields. Surplus keys are dropped (they stay in the raw reply); types are enforced."""

    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False, ser_json_inf_nan="constants")


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


def _hold(value: JSON, depth: int = 0) -> None:
    """ValueError for what no action holds: nesting without end, numbers that are none or that overflow."""
    if isinstance(value, float) and not isfinite(value):
        raise ValueError("a number is not finite")
    if isinstance(value, int) and abs(value) >= MAX_WHOLE:
        raise ValueError("a number is too large")
    if isinstance(value, (dict, list)):
        if depth == MAX_DEPTH:
            raise ValueError("the reply is nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _hold(item, depth + 1)


def cut_words(text: str, limit: int) -> str:
    """The first `limit` words of `text`; the text itself where it has no more."""
    if len(text) <= limit:  # a word has a letter at least: cheaper than splitting
        return text
    words = text.split()
    return text if len(words) <= limit else " ".join(words[:limit])


def read(text: str, fields: type[BaseModel]) -> Reading:
    """The fields that `text` states: the whole text as one JSON object, or else the last object in it that names any.

    Thoughts between <think> marks are left out where the text is more than an object.
    """
    text = text[:MAX_CHARS].strip()
    found = _whole(text, fields)
    if found is None and "think>" in text:
        text = spoken(text)
        found = _whole(text, fields)
    if found is None:
        found = _within(text, fields) if text else Reading(None, "malformed", "the reply is empty")
    return found


def spoken(text: str) -> str:
    """`text` without its thoughts. A template may have opened the first one, so that only its end is there."""
    head, close, rest = text.partition("</think>")
    if close and "<think>" not in head:
        text = rest
    return THINK.sub("", text).strip()


class _DoubleKey(ValueError):
    """A key that stands twice in one object: which of the two was meant?"""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [key for key, _ in pairs]
        raise _DoubleKey(f"{next(key for key in found if names.count(key) > 1)!r} stands twice in the reply"[:200])
    return found


def _whole_number(digits: str) -> float:
    return int(digits) if len(digits) < 20 else float(digits)  # the rest is out of range: no work for long ones


STRICT = json.JSONDecoder(object_pairs_hook=_once, parse_int=_whole_number)
QUICK = json.JSONDecoder(parse_int=float)
"""Finds where an object ends. Fails with a JSONDecodeError or a RecursionError and with nothing else."""


def _whole(text: str, fields: type[BaseModel], how: str = "strict") -> Reading | None:
    """All of `text` as one object; None where it is not JSON."""
    try:
        value = STRICT.decode(text)
    except _DoubleKey as error:
        return Reading(None, "malformed", str(error), how)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        return check(value, fields, how)
    return Reading(None, "malformed", "the reply is JSON, but not an object", how)


def _within(text: str, fields: type[BaseModel]) -> Reading:
    """The last outermost object of `text` that names a field. One pass: every character is decoded at most once."""
    names, last, at = fields.model_fields.keys(), "", text.find("{")
    while at != -1:
        try:
            value, end = QUICK.raw_decode(text, at)
        except json.JSONDecodeError as error:
            if KEYED.match(text, at):
                return Reading(None, "malformed", f"the reply holds a broken JSON object: {error.msg}", "extracted")
            end = at + 1
        except RecursionError:
            return Reading(None, "malformed", "the reply is nested too deeply", "extracted")
        else:
            last = last if names.isdisjoint(value) else text[at:end]
        at = text.find("{", end)
    found = _whole(last, fields, "extracted") if last else None
    return found or Reading(None, "malformed", "the reply holds no JSON object with the fields asked for")


def check(value: JSON, fields: type[BaseModel], how: str = "strict") -> Reading:
    """`value` as `fields`, or the reason why it is not."""
    try:
        found = _dump(value, fields)
        _hold(found)
        tidy = clean_value(found)
        if tidy != found:
            tidy = _dump(tidy, fields)  # limits of length and the like hold for what is applied
    except (ValueError, RecursionError) as error:
        return Reading(None, "malformed", _reason(error), how)
    return Reading(tidy, "ok", "", how)


def _dump(value: JSON, fields: type[BaseModel]) -> dict[str, JSON]:
    found: dict[str, JSON] = fields.__pydantic_validator__.validate_python(value).model_dump(mode="json")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the reply is nested too deeply"
    if not isinstance(error, ValidationError):
        return clean(str(error))[:500]
    problems = [f"{'.'.join(map(str, e['loc'])) or 'reply'}: {e['msg']}" for e in error.errors(include_url=False)[:5]]
    return clean("; ".join(problems))[:500]
