"""The logic of knight / knave / spy puzzles: what a statement means, and which assignments of roles it leaves.

An assignment gives every person a role. A set of assignments is an int with one bit for each, so that meaning,
enumeration and deduction are a few bitwise operations. Knows nothing of names, wording or seeds' origin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from itertools import combinations, product
from operator import xor
from random import Random
from typing import Literal, NamedTuple, get_args

Kind = Literal[
    "knights", "knaves", "spies", "truths", "lies",
    "same_role", "different_role", "same_truth", "different_truth", "mixed_roles",
    "even_role", "odd_role", "even_truth", "odd_truth", "one_of_two",
]  # fmt: skip
"""The 15 statement templates. Those about truth speak of earlier speakers only: no statement is about itself."""

KINDS: tuple[Kind, ...] = get_args(Kind)
ROLES = ("knight", "knave", "spy")
COUNTED = {"knights": "knight", "knaves": "knave", "spies": "spy"}
ABOUT_TRUTH = frozenset({"truths", "lies", "same_truth", "different_truth", "even_truth", "odd_truth"})
FEWEST = {
    **dict.fromkeys(("knights", "knaves", "spies", "truths", "lies"), 1),
    **dict.fromkeys(("same_role", "different_role", "same_truth", "different_truth"), 2),
}
"""Persons that a statement names at least; the kinds that are not listed (not all the same, parities) need three."""


class Statement(NamedTuple):
    """What one person says. Persons are numbered from 0 in order of speaking."""

    kind: Kind
    people: tuple[int, ...] = ()
    """Whom it is about."""
    number: int = 0
    """For counts: how many of them, exactly."""
    of: str = ""
    """For parities: a role, or "true" / "false" statements."""
    parts: tuple[Statement, ...] = ()
    """For one_of_two: the two statements of which exactly one is true."""


class Worlds(NamedTuple):
    """All assignments with given numbers of spies (and knights), bit by bit."""

    table: tuple[tuple[str, ...], ...]
    """Bit number -> role of each person."""
    every: int
    """All of them."""
    has: Mapping[str, tuple[int, ...]]
    """Role -> for each person, the assignments in which that person has it."""


@lru_cache(maxsize=64)
def worlds(n: int, spies: int, knights: int | None = None) -> Worlds:
    """Assignments of `n` persons with `spies` spies, and `knights` knights where that is told."""
    table = tuple(
        roles
        for hidden in combinations(range(n), spies)
        for rest in product(ROLES[:2], repeat=n - spies)
        if knights is None or rest.count("knight") == knights
        for roles in [_fill(n, hidden, rest)]
    )
    has = {
        role: tuple(sum(1 << bit for bit, roles in enumerate(table) if roles[i] == role) for i in range(n))
        for role in ROLES
    }
    return Worlds(table, (1 << len(table)) - 1, has)


def _fill(n: int, hidden: tuple[int, ...], rest: tuple[str, ...]) -> tuple[str, ...]:
    others = iter(rest)
    return tuple("spy" if i in hidden else next(others) for i in range(n))


def exactly(sets: Sequence[int], count: int, every: int) -> int:
    """The assignments that lie in exactly `count` of `sets`."""
    if count > len(sets):
        return 0
    ways = [every] + [0] * count
    for one in sets:
        for k in range(count, 0, -1):
            ways[k] = (ways[k] & ~one) | (ways[k - 1] & one)
        ways[0] &= ~one
    return ways[count]


def same_role(space: Worlds, people: Sequence[int]) -> int:
    """The assignments in which all `people` have one role."""
    result = 0
    for masks in space.has.values():
        result |= reduce(lambda left, i: left & masks[i], people, space.every)
    return result


def meaning(statement: Statement, earlier: Sequence[int], space: Worlds) -> int:
    """The assignments in which `statement` is true; `earlier` holds the meanings of what was said before."""
    kind, people, number, of, parts = statement
    every = space.every
    if kind == "one_of_two":
        return meaning(parts[0], earlier, space) ^ meaning(parts[1], earlier, space)
    if kind in COUNTED:
        masks = space.has[COUNTED[kind]]
        return exactly([masks[i] for i in people], number, every)
    if kind in ABOUT_TRUTH:
        return _of_truths(kind, [earlier[i] for i in people], number, of, every)
    if kind == "same_role":
        return same_role(space, people)
    if kind in ("different_role", "mixed_roles"):
        return every & ~same_role(space, people)
    odd = reduce(xor, (space.has[of][i] for i in people))
    return odd if kind == "odd_role" else every & ~odd


def _of_truths(kind: str, said: list[int], count: int, of: str, every: int) -> int:
    if kind == "lies" or of == "false":
        said = [every & ~one for one in said]
    if kind in ("truths", "lies"):
        return exactly(said, count, every)
    if kind == "same_truth":
        return exactly(said, 0, every) | exactly(said, len(said), every)
    odd = reduce(xor, said)
    return odd if kind in ("different_truth", "odd_truth") else every & ~odd


def allowed(speaker: int, meant: int, space: Worlds) -> int:
    """The assignments in which `speaker` may say something that is true just in `meant`."""
    has = space.has
    return has["spy"][speaker] | (has["knight"][speaker] & meant) | (has["knave"][speaker] & ~meant)


def constraints(statements: Sequence[Statement], space: Worlds) -> list[int]:
    """For each statement, in order of speaking, the assignments that it allows."""
    said: list[int] = []
    for statement in statements:
        said.append(meaning(statement, said, space))
    return [allowed(i, meant, space) for i, meant in enumerate(said)]


def solutions(masks: Sequence[int], space: Worlds) -> int:
    """The assignments that every one of `masks` allows."""
    return reduce(lambda left, mask: left & mask, masks, space.every)


def forced(left: int, space: Worlds) -> dict[int, str]:
    """Persons whose role is the same in all the assignments `left`; nobody where none is left."""
    if not left:
        return {}
    found = [(i, role) for role, masks in space.has.items() for i, mask in enumerate(masks) if left & mask == left]
    return dict(sorted(found))


def draw(rng: Random, speaker: int, n: int, kinds: Sequence[Kind], largest: int) -> Statement:
    """A random statement for `speaker`, of a kind that can be said at that place, about at most `largest` persons."""
    kind = rng.choice(sayable(speaker, n, tuple(kinds), largest))
    if kind == "one_of_two":
        simple = [other for other in kinds if other != kind]
        return Statement(kind, parts=(draw(rng, speaker, n, simple, largest), draw(rng, speaker, n, simple, largest)))
    pool = speaker if kind in ABOUT_TRUTH else n
    people = tuple(sorted(rng.sample(range(pool), rng.randint(*_sizes(kind, pool, largest)))))
    if kind in ("knights", "knaves", "truths", "lies"):
        return Statement(kind, people, rng.randint(1, len(people)))
    if kind == "spies":
        return Statement(kind, people, 1)
    if kind in ("even_role", "odd_role"):
        return Statement(kind, people, of=rng.choice(ROLES))
    return Statement(kind, people, of=rng.choice(("true", "false")) if kind in ("even_truth", "odd_truth") else "")


@lru_cache(maxsize=256)
def sayable(speaker: int, n: int, kinds: tuple[Kind, ...], largest: int) -> tuple[Kind, ...]:
    """Those of `kinds` that `speaker` can use."""
    return tuple(kind for kind in kinds if can_say(kind, speaker, n, kinds, largest))


def can_say(kind: Kind, speaker: int, n: int, kinds: Sequence[Kind], largest: int) -> bool:
    """Whether `speaker` has enough persons to speak of for `kind`."""
    if kind == "one_of_two":
        return any(other != kind and can_say(other, speaker, n, kinds, largest) for other in kinds)
    low, high = _sizes(kind, speaker if kind in ABOUT_TRUTH else n, largest)
    return low <= high


def _sizes(kind: Kind, pool: int, largest: int) -> tuple[int, int]:
    if kind in ("different_role", "different_truth"):
        return 2, min(2, pool, largest)
    # "All have the same role" of everybody is never true with a spy among them.
    return FEWEST.get(kind, 3), min(pool - 1 if kind == "same_role" else pool, largest)
