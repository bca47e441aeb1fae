"""Randomness is passed, never found: every seed is a pure function of what it is for."""

from __future__ import annotations

import hashlib
import random


def derive(*parts: object) -> int:
    """A 48-bit seed for `parts` (run seed, match, seat, turn, ...); the same on every machine.

    48 bits fit in a JSON number, a SQLite integer and every engine's seed field.
    """
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def rng(*parts: object) -> random.Random:
    """A private generator for `parts`; nothing outside can move it."""
    return random.Random(derive(*parts))
