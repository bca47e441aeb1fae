"""The phases of a match of answers, built from its parameters alone. Knows no log and no truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simarena import seeds
from simarena.envs.arena import fields as words
from simarena.envs.arena.params import ArenaParams
from simarena.envs.base import Scored
from simarena.envs.phases import Phase
from simarena.records import JSON

SETTLED = "settled"
"""Entry of the memo that is true where all answers say the same."""


def phases(p: ArenaParams, seed: int) -> list[Phase]:
    """Answers, judgements, and what opponents make of the samples. `seed`: of the task."""
    found = answering(p)
    if p.judging == "solve":
        found += [] if p.mode == "panel" else [answer_phase(p, "solve", p.graders, unless=SETTLED)]
    else:
        found += [grade_phase(p, f"judge {i + 1}", seed) for i in range(p.passes)]
    if p.opponent_logprobs:
        found.append(weigh_phase("recall", p.writers[1:], p.samples, words.solve_rule(p.reasons)))
    return found


def answering(p: ArenaParams) -> list[Phase]:
    """One phase for all; several samples are probes: drawn at one position, none in the context of the next."""
    if p.samples == 1:
        return [answer_phase(p, "answer", p.writers)]
    samples = [answer_phase(p, f"sample {i + 1}", p.writers[:1], probe=True) for i in range(p.samples)]
    return [answer_phase(p, "answer", p.writers[1:]), *samples]


def answer_phase(p: ArenaParams, name: str, actors: Sequence[str], **rest: Any) -> Phase:
    """Somebody answers the question, unseen by all others. `reasons` overrides the parameter."""
    reasons = rest.pop("reasons", p.reasons)
    fields = words.Reply if reasons else words.BareReply
    return Phase(
        name=name,
        kind="answer",
        actors=tuple(actors),
        order="simultaneous",
        fields=fields,
        instruction=words.solve_rule(reasons),
        default=dict.fromkeys(fields.model_fields, ""),
        words={"reason": p.words} if reasons else {},
        **rest,
    )


def grade_phase(p: ArenaParams, name: str, seed: int) -> Phase:
    """One sheet for every judge."""
    unless, size = SETTLED if p.moot else "", p.sheet_size
    if p.judging == "likelihood":
        return weigh_phase(name, p.graders, size, words.solve_rule(p.weigh == "reply"), unless)
    if p.judging == "options":
        return weigh_phase(name, p.graders, size + p.ties, words.verdict_rule(size, p.ties), unless)
    if p.judging == "verdict":
        return verdict_phase(p, name, seed, reasons=True, unless=unless)
    default: dict[str, JSON] = {"reason": "", "scores": [(1 + p.judge_scale) // 2] * size}
    rule = words.score_rule(size, p.judge_scale)
    return _judging(p, name, "grade", words.points(size, p.judge_scale), rule, default, unless=unless)


def verdict_phase(p: ArenaParams, name: str, seed: int, reasons: bool, unless: str = "") -> Phase:
    """Which answer is best. Without ties no default is neutral: the seed picks one, so that no place is favoured."""
    size = p.sheet_size
    options = (*words.LABELS[:size], *([words.TIE] if p.ties else []))
    winner = words.TIE if p.ties else options[seeds.derive("unread", seed, name) % size]
    default = {"reason": "", "winner": winner} if reasons else {"winner": winner}
    fields, rule = words.Verdict if reasons else words.BareVerdict, words.verdict_rule(size, p.ties)
    return _judging(p, name, "compare", fields, rule, default, choices={"winner": options}, unless=unless)


def weigh_phase(name: str, actors: Sequence[str], count: int, instruction: str, unless: str = "") -> Phase:
    """Log-probabilities of `count` texts; unread ones weigh the same."""
    return Phase(
        name=name,
        kind="weigh",
        actors=tuple(actors),
        order="simultaneous",
        fields=Scored,
        instruction=instruction,
        default={"logprobs": [0.0] * count, "tokens": [1] * count},
        unless=unless,
        probe=True,
        score=True,
    )


def _judging(
    p: ArenaParams, name: str, kind: str, fields: Any, rule: str, default: Mapping[str, JSON], **rest: Any
) -> Phase:
    """Judgements in words are probes: none colours the next one, nor anything that is said later."""
    return Phase(
        name=name,
        kind=kind,
        actors=tuple(p.graders),
        order="simultaneous",
        fields=fields,
        instruction=rule,
        default=default,
        words={"reason": p.words} if "reason" in default else {},
        probe=True,
        **rest,
    )
