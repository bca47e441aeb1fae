"""Word sums worked out from their words: which riddle it is, its answer, its trap, and a line of working.

Knows the riddles that `tasks.trap_math` asks by their wording alone, as any reader would.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple


class Worked(NamedTuple):
    """A riddle, solved."""

    answer: int
    trap: int
    working: str


def work(question: str) -> Worked | None:
    """The riddle in `question`, solved; None where it is none of those known."""
    for pattern, solve in RIDDLES.items():
        if match := re.search(pattern, question):
            return solve(*map(int, match.groups()))
    return None


def _pair(both: int, gap: int) -> Worked:
    rest = both - gap
    return Worked(rest // 2, rest, f"{both} - {gap} = {rest}. {rest} / 2 = {rest // 2}.")


def _machines(minutes: int, many: int) -> Worked:
    return Worked(minutes, many, f"1 machine makes 1 part in {minutes} minutes, so the time stays {minutes}.")


def _speed(a: int, b: int) -> Worked:
    mean = 2 * a * b // (a + b)
    return Worked(mean, (a + b) // 2, f"2 * {a} * {b} / ({a} + {b}) = {mean}.")


def _doubling(full: int) -> Worked:
    return Worked(full - 1, full // 2, f"Half is one day before full: {full} - 1 = {full - 1}.")


def _ages(old: int, later: int) -> Worked:
    gap = old // 2
    return Worked(later - gap, later // 2, f"{old} / 2 = {gap}. {later} - {gap} = {later - gap}.")


def _posts(long: int, step: int) -> Worked:
    gaps = long // step
    return Worked(gaps + 1, gaps, f"{long} / {step} = {gaps} gaps. {gaps} + 1 = {gaps + 1}.")


def _cuts(pieces: int, minutes: int) -> Worked:
    cuts = pieces - 1
    return Worked(
        cuts * minutes, pieces * minutes, f"{pieces} - 1 = {cuts} cuts. {cuts} * {minutes} = {cuts * minutes}."
    )


def _percent(price: int, share: int) -> Worked:
    up = price * (100 + share) // 100
    down = up * (100 - share) // 100
    return Worked(down, price, f"{price} + {up - price} = {up}. {up} - {up - down} = {down}.")


def _snail(up: int, slide: int, wall: int) -> Worked:
    gain = up - slide
    nights = -(-(wall - up) // gain)
    at = nights * gain
    working = f"After {nights} nights it is at {at} m. {at} + {up} = {at + up}, on day {nights + 1}."
    return Worked(nights + 1, wall // gain, working)


def _overtake(place: int) -> Worked:
    return Worked(place, place - 1, f"The new place is the one overtaken: {place}.")


def _groups(few: int, low: int, many: int, high: int) -> Worked:
    mean = (few * low + many * high) // (few + many)
    return Worked(mean, (low + high) // 2, f"({few} * {low} + {many} * {high}) / {few + many} = {mean}.")


def _siblings(sons: int, girls: int) -> Worked:
    return Worked(
        sons + girls, sons + sons * girls, f"The sons share their sisters: {sons} + {girls} = {sons + girls}."
    )


RIDDLES: dict[str, Callable[..., Worked]] = {
    r"cost (\d+) together.* costs (\d+) more": _pair,
    r"machines? makes? \d+ parts? in (\d+) minutes.* do (\d+) machines": _machines,
    r"at (\d+) km per hour and back at (\d+) km": _speed,
    r"doubles every day.* on day (\d+)\.": _doubling,
    r"is (\d+) years old.*half as old.* is (\d+)\?": _ages,
    r"fence is (\d+) m long.*every (\d+) m": _posts,
    r"cut into (\d+) pieces.* takes (\d+) minutes": _cuts,
    r"price of (\d+) rises by (\d+) percent": _percent,
    r"climbs (\d+) m each day and slides back (\d+) m .* wall of (\d+) m": _snail,
    r"overtakes the runner in place (\d+)": _overtake,
    r"(\d+) child(?:ren)? ha(?:s|ve) (\d+) points each\. (\d+) others have (\d+)": _groups,
    r"has (\d+) sons.* has (\d+) sisters?": _siblings,
}
"""Words of a riddle, its numbers as groups."""
