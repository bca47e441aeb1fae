"""Replies at one position, with their marks, put together as one preference; what cannot be compared is dropped.

Pure: knows no store, environment or builder.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, Literal

from simarena.preferences.played import Dropped, Said
from simarena.preferences.record import Preference, preference
from simarena.records import Message

OTHER_PROMPT = Dropped("the prompts differ")
OTHER_TOKENS = Dropped("the prompts' tokens differ")
SAME_WORDS = Dropped("both say the same")
TIE = Dropped("tie")
ALONE = Dropped("no other reply to the same prompt")
FEW_VOTES = Dropped("too few voted")
QUORUM = 0.5
"""Least share of the judgements asked for that must count: what fewer than half voted on is no preference."""

Pick = Literal["ends", "all", "list"]
"""Of replies to one prompt: the best and the worst; every two; or all of them as one ranked list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """A reply and what it was found to be worth."""

    said: Said | Dropped
    score: float = 0.0
    scores: Mapping[str, float] = field(default_factory=dict)
    orders: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    ballots: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    objectives: Mapping[str, float] = field(default_factory=dict)
    truth: float | None = None


def compared(builder: str, marked: Sequence[Marked], **changes: Any) -> Preference | Dropped:
    """Replies to one prompt, best first; the first reason why not, where they cannot be compared."""
    usable = [each.said for each in marked if not isinstance(each.said, Dropped)]
    for each in marked:
        if isinstance(each.said, Dropped):
            return each.said
    if problem := apart(usable):
        return problem
    ranked = sorted(zip(marked, usable, strict=True), key=lambda pair: -pair[0].score)
    return of(builder, ranked, **changes)


def apart(said: Sequence[Said]) -> Dropped | None:
    """Why replies are not replies to the same prompt."""
    first = said[0]
    for other in said[1:]:
        if other.prompt != first.prompt:
            return OTHER_PROMPT
        if None not in (other.prompt_ids, first.prompt_ids) and other.prompt_ids != first.prompt_ids:
            return OTHER_TOKENS
    return None


def of(builder: str, ranked: Sequence[tuple[Marked, Said]], **changes: Any) -> Preference:
    """A preference of replies to one prompt, best first; the best one's match names it."""
    best = ranked[0][1]
    match, turn = best.played.match, best.turn
    parts: dict[str, Any] = {
        "builder": builder,
        "prompt": best.prompt,
        "prompt_ids": next((said.prompt_ids for _, said in ranked if said.prompt_ids is not None), None),
        "responses": tuple(response(mark, said) for mark, said in ranked),
        "magnitude": ranked[0][0].score - ranked[-1][0].score,
        "model": best.model,
        "env": match.env,
        "family": best.played.family,
        "phase": turn.phase,
        "run": best.played.source,
        "match": match.id,
        "unit": match.unit,
        "seat": turn.seat,
        "turn": turn.n,
    }
    return preference(**{**parts, **changes})


def response(mark: Marked, said: Said) -> Any:
    """A reply with its marks."""
    return replace(
        said.response,
        score=mark.score,
        scores=mark.scores,
        orders=mark.orders,
        ballots=mark.ballots,
        objectives=mark.objectives,
        truth=mark.truth,
    )


def pairs(builder: str, marked: Sequence[Marked]) -> Iterator[Preference | Dropped]:
    """Every two replies as a pair."""
    for one, other in combinations(marked, 2):
        if few_votes(one, other):
            yield FEW_VOTES
        else:
            yield TIE if one.score == other.score else compared(builder, (one, other))


def few_votes(*marked: Marked) -> bool:
    """Whether fewer than QUORUM of the judgements asked for count, for the replies together."""
    asked = counted = 0
    for who in {who for each in marked for who in each.ballots}:
        ballots = [each.ballots[who] for each in marked if who in each.ballots]
        asked += max(a for a, _, _ in ballots)
        counted += min(c for _, _, c in ballots)
    return counted < QUORUM * asked


def picked(builder: str, marked: Iterable[Marked], pick: Pick, **changes: Any) -> Iterator[Preference | Dropped]:
    """Replies, those to one prompt together, as `pick` says; of what was said in the same words the first one."""
    every = list(marked)
    voted = [each for each in every if not few_votes(each)]
    yield from [FEW_VOTES] * (len(every) - len(voted))
    groups, dropped = by_prompt(voted)
    yield from dropped
    for here in groups:
        apiece = list({words(each): each for each in reversed(here)}.values())
        apiece.sort(key=lambda each: -each.score)
        if len(apiece) < 2:
            yield SAME_WORDS if len(here) > 1 else ALONE
        elif pick == "all":
            yield from pairs(builder, apiece)
        else:
            yield compared(builder, apiece if pick == "list" else (apiece[0], apiece[-1]), **changes)


def words(each: Marked) -> tuple[Message, ...]:
    """What was said."""
    assert not isinstance(each.said, Dropped), "only what was said has words"
    return each.said.response.messages


def by_prompt(marked: Iterable[Marked]) -> tuple[list[list[Marked]], list[Dropped]]:
    """Replies to the same prompt together, in their order; and what is no reply to any."""
    found: dict[tuple[Message, ...], list[Marked]] = {}
    dropped = []
    for each in marked:
        if isinstance(each.said, Dropped):
            dropped.append(each.said)
        else:
            found.setdefault(each.said.prompt, []).append(each)
    return list(found.values()), dropped
