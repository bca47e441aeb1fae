"""What the judges of an arena match found: a mark for every answer, by each judge and by all together.

Reads turns on record. A judgement that could not be used is no vote and counts for nothing, and where judges read in
both orders neither does the other half. Knows no builder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import fsum

from simarena import seeds
from simarena.envs.arena import judging
from simarena.envs.arena.fields import LABELS
from simarena.envs.arena.judging import Judgement
from simarena.envs.arena.params import ArenaParams
from simarena.preferences.comparing import Marked
from simarena.preferences.played import Played, usable
from simarena.preferences.rules import dealt, worth
from simarena.records import JSON, Turn

Given = Mapping[str, Sequence[Judgement]]
"""Judge's seat -> its judgements that could be read."""


def judged(played: Played) -> bool:
    """Whether a match is one of answers and judges."""
    return played.match.env == "arena" and played.match.params.get("mode") != "matrix_game"


def answers(played: Played) -> list[Turn]:
    """The turns that answered the question, in the order in which judges number them."""
    order = parameters(played).writers
    found = [turn for turn in played.turns if turn.seat in order and turn.phase.startswith(("answer", "sample "))]
    return sorted(found, key=lambda turn: order.index(turn.seat))


def marks(played: Played) -> list[Marked]:
    """Every answer with its marks: score is what all judges together gave it, centred on the match's mean."""
    turns, every = answers(played), judgements(played)
    p = parameters(played)
    given = {judge: judging.whole([each for each in all_of if each.values], p.twice) for judge, all_of in every.items()}
    ballots = counted(played, every, given)
    read = judging.pair_margins if p.judging == "verdict" else judging.point_margins
    margins = {judge: read(sheets) for judge, sheets in given.items()}
    pooled = judging.pooled(margins, {judge: p.weight(judge) for judge in margins})
    size = len(turns)
    grades = judging.grades(pooled, size)
    scores, orders = per_judge(played, given)
    return [
        Marked(
            said=played.said(turn),
            score=grades[i] * (size - 1) / size,  # so that the difference of two scores is their margin
            scores=scores.get(i, {}),
            orders=orders.get(i, {}),
            ballots=ballots.get(i, {}),
            truth=worth(played, turn),
        )
        for i, turn in enumerate(turns)
    ]


def per_judge(
    played: Played, given: Given
) -> tuple[dict[int, dict[str, float]], dict[int, dict[str, tuple[float, ...]]]]:
    """Answer -> agent that judged -> its mean mark; and, where it read in several orders, its mark in each."""
    found: dict[int, dict[str, list[float]]] = {}
    for judge, sheets in given.items():
        agent = played.match.seats[judge]
        for sheet, values in sheets:
            for answer, value in zip(sheet, values, strict=True):
                found.setdefault(answer, {}).setdefault(agent, []).append(value)
    means = {i: {agent: fsum(each) / len(each) for agent, each in by.items()} for i, by in found.items()}
    p = parameters(played)
    if not p.twice:
        return means, {}
    return means, {i: {agent: tuple(each) for agent, each in by.items()} for i, by in found.items()}


def counted(played: Played, every: Given, given: Given) -> dict[int, dict[str, tuple[int, int, int]]]:
    """Answer -> agent that judged -> (judgements asked of it, unusable, counted); {} where all were usable."""
    if all(each.values for all_of in every.values() for each in all_of):
        return {}
    found: dict[int, dict[str, list[int]]] = {}
    for judge, sheets in every.items():
        for sheet, values in sheets:
            for answer in sheet:
                ballot = found.setdefault(answer, {}).setdefault(played.match.seats[judge], [0, 0, 0])
                ballot[0] += 1
                ballot[1] += not values
        for sheet, _ in given[judge]:
            for answer in sheet:
                found[answer][played.match.seats[judge]][2] += 1
    return {i: {agent: (a, u, c) for agent, (a, u, c) in by.items()} for i, by in found.items()}


def judgements(played: Played) -> dict[str, list[Judgement]]:
    """What was asked of every judge, sheet by sheet; a judgement that could not be used has no values."""
    p = parameters(played)
    if p.judging == "solve":
        return _solved(played)
    authors = [turn.seat for turn in answers(played)]
    found: dict[str, list[Judgement]] = {}
    sheets: dict[str, list[list[int]]] = {}
    for turn in played.turns:
        if not turn.phase.startswith("judge "):
            continue
        if turn.seat not in sheets:
            sheets[turn.seat] = sheets_of(played, p, turn.seat, authors)
        sheet = sheets[turn.seat][int(turn.phase.split()[1]) - 1]
        marks = values(p, len(sheet), turn.fields) if usable(turn) and turn.fields else []
        found.setdefault(turn.seat, []).append(Judgement(sheet, marks))
    return found


def _solved(played: Played) -> dict[str, list[Judgement]]:
    """Each judge's own answer as a judgement: 1 for answers that say the same, else 0."""
    p, here, turns = parameters(played), dealt(played.match), answers(played)
    own = turns if p.mode == "panel" else played.turns_in("solve")
    read = [here.family.parse(here.task, stated(turn)) for turn in turns]
    found = {}
    for judge in own:
        mine = here.family.parse(here.task, stated(judge))
        sheet = [i for i, turn in enumerate(turns) if turn.seat != judge.seat]
        found[judge.seat] = [Judgement(sheet, [] if mine is None else [float(read[i] == mine) for i in sheet])]
    return found


def stated(turn: Turn) -> JSON:
    """The answer of a turn; None where it could not be used."""
    return turn.fields.get("answer") if usable(turn) and turn.fields else None


def sheets_of(played: Played, p: ArenaParams, judge: str, authors: Sequence[str]) -> list[list[int]]:
    """The sheets of a judge, in the order in which it had them; as the arena lays them out."""
    others = [i for i, author in enumerate(authors) if author != judge]
    if p.alone:
        return [[i] for i in others]
    base = p.compared(others) if p.judging == "verdict" else [others]
    orders = "given" if p.judging == "likelihood" else p.orders
    return judging.ordered(base, orders, seeds.rng(played.match.seed, "sheets", judge))


def values(p: ArenaParams, size: int, fields: dict[str, JSON]) -> list[float]:
    """One judgement's fields as a value for each answer on its sheet."""
    if "scores" in fields:
        return [float(value) for value in fields["scores"]]
    if "winner" in fields:
        return [float(label == fields["winner"]) for label in LABELS[:size]]
    logprobs: list[float] = fields["logprobs"]
    if p.judging == "options":
        return judging.softmax(logprobs)[:size]
    if p.per_token:
        return [value / count for value, count in zip(logprobs, fields["tokens"], strict=True)]
    return list(logprobs)


def parameters(played: Played) -> ArenaParams:
    """The match's parameters, read."""
    return _parameters(played.conditions)


@lru_cache(maxsize=64)
def _parameters(params: str) -> ArenaParams:
    return ArenaParams(**json.loads(params))
