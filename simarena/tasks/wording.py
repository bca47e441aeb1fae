"""Small matters of text that task families share: synthetic names, lists in words, readings of short answers.

Knows nothing of any family. Every reader here takes any JSON value and never raises.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

from simarena.records import JSON

NAMES = (
    "Ann", "Bob", "Cal", "Dan", "Eve", "Fay", "Gus", "Hal", "Ivy", "Jan", "Kim", "Leo", "Mia",
    "Ned", "Oda", "Pam", "Quin", "Ray", "Sue", "Tom", "Una", "Vic", "Wes", "Xia", "Yan", "Zoe",
)  # fmt: skip
"""Short first names, one per letter of the alphabet; nobody in particular."""

WHOLE = re.compile(r"=?\s*([+-]?[0-9]{1,30})\s*\.?")
LONGEST = 2_000
"""Characters; no short answer is near it, so that longer ones are not even looked at."""


def listed(words: Sequence[str]) -> str:
    """`words` in a row: "Ann", "Ann and Bob", "Ann, Bob and Cal"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def squash(text: str) -> str:
    """`text` for comparison: compatibility forms and case folded, spaces single, no closing full stop."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".").rstrip()


def read_whole(answer: JSON) -> int | None:
    """The whole number that `answer` states: 12, 12.0, "12", "= 12.", "-12"; None where it states none."""
    if isinstance(answer, bool):
        return None
    if isinstance(answer, int):
        return answer if abs(answer) < 10**30 else None
    if isinstance(answer, float):
        return int(answer) if math.isfinite(answer) and answer.is_integer() and abs(answer) < 1e15 else None
    if not isinstance(answer, str) or len(answer) > LONGEST:
        return None
    found = WHOLE.fullmatch(answer.strip().replace("\N{MINUS SIGN}", "-"))
    return int(found[1]) if found else None


def read_option(answer: JSON, options: Sequence[str]) -> str | None:
    """The option that `answer` writes out, case and spacing aside; None where it is none of them, or several."""
    if not isinstance(answer, str) or len(answer) > LONGEST:
        return None
    if answer in options:
        return answer
    wanted = squash(answer)
    found = [option for option in options if squash(option) == wanted]
    return found[0] if len(found) == 1 else None
