"""The phases of a match of answers, built from its parameters alone. Knows no log and no truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from simarena.envs.arena import fields as words
from simarena.envs.arena.params import ArenaParams
from simarena.envs.base import Scored
from simarena.envs.phases import Phase

SETTLED = "settled"
"""Entry of the memo that is true where all answers say the same."""


def phases(p: ArenaParams) -> list[Phase]:
    """Answers, judgements, and what opponents make of the samples."""
    found = answering(p)
    if p.judging == "solve":
        own = [] if p.mode == "panel" else [answer_phase(p, "solve", p.graders, unless=SETTLED, verdict="none")]
        found += own
    else:
        found += [grade_phase(p, f"judge {i + 1}", i) for i in range(p.passes)]
    if p.opponent_logprobs:
        found.append(weigh_phase("recall", p.writers[1:], words.solve_rule(p.reasons)))
    return found


def answering(p: ArenaParams) -> list[Phase]:
    """One phase for all; several samples are probes: drawn at one position, none in the context of the next."""
    if p.samples == 1:
        verdict = "none" if p.mode == "panel" and p.judging == "solve" else ""  # members judge by their own answers
        return [answer_phase(p, "answer", p.writers, verdict=verdict)]
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


def grade_phase(p: ArenaParams, name: str, number: int) -> Phase:
    """Sheet `number`, from 0, for every judge."""
    rest: dict[str, Any] = {"unless": SETTLED if p.moot else "", "verdict": p.order_of(number)}
    size = p.sheet_size
    if p.judging == "likelihood":
        return weigh_phase(name, p.graders, words.solve_rule(p.weigh == "reply"), **rest)
    if p.judging == "options":
        return weigh_phase(name, p.graders, words.verdict_rule(size, p.ties), **rest)
    if p.judging == "verdict":
        return verdict_phase(p, name, reasons=True, **rest)
    rule = words.score_rule(size, p.judge_scale)
    return _judging(p, name, "grade", words.points(size, p.judge_scale), rule, **rest)


def verdict_phase(p: ArenaParams, name: str, reasons: bool, **rest: Any) -> Phase:
    """Which answer is best."""
    size = p.sheet_size
    options = (*words.LABELS[:size], *([words.TIE] if p.ties else []))
    fields, rule = words.Verdict if reasons else words.BareVerdict, words.verdict_rule(size, p.ties)
    return _judging(p, name, "compare", fields, rule, choices={"winner": options}, **rest)


def weigh_phase(name: str, actors: Sequence[str], instruction: str, **rest: Any) -> Phase:
    """Log-probabilities of the texts that `Arena.score` gives."""
    return Phase(
        name=name,
        kind="weigh",
        actors=tuple(actors),
        order="simultaneous",
        fields=Scored,
        instruction=instruction,
        default=None,
        probe=True,
        score=True,
        **rest,
    )


def _judging(p: ArenaParams, name: str, kind: str, fields: Any, rule: str, **rest: Any) -> Phase:
    """Judgements in words are probes: none colours the next one, nor anything that is said later."""
    return Phase(
        name=name,
        kind=kind,
        actors=tuple(p.graders),
        order="simultaneous",
        fields=fields,
        instruction=rule,
        default=None,
        words={"reason": p.words} if "reason" in fields.model_fields else {},
        probe=True,
        **rest,
    )
