"""The script of a debate: parameters and the answers at stake in, phases out.

Knows no state: what a phase does is the environment's business. The order is: beliefs, choice of sides, then for each
half the judges' prior, the rounds (question, drafts, speeches) and the verdict.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from simarena.envs.base import Scored
from simarena.envs.debate.fields import (
    Belief,
    BeliefOfMany,
    Critique,
    Decision,
    DecisionOfMany,
    Question,
    QuotedSpeech,
    Speech,
    ThoughtQuotedSpeech,
    ThoughtSpeech,
)
from simarena.envs.debate.params import DebateParams
from simarena.envs.phases import Phase

TIE = "tie"
"""What a judge may name as winner beside the answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DebatePhase(Phase):
    """A phase that knows its place in the debate."""

    half: int = 0
    """0, or 1 after sides were exchanged."""
    round: int = 0
    """Round of speeches, from 1; 0 outside the rounds."""
    turned: bool = False
    """Whether the answers are listed last first."""
    stage: str = ""
    """Of a speech: "spoken", "draft" (seen by the critic) or "candidate" (one of several, seen by nobody)."""
    about: str = ""
    """The debater whose draft or candidate a critic looks at."""
    candidate: int = 0
    """Which candidate, from 0."""
    speakers: tuple[str, ...] = ()
    """Set on the last weighing of a group: the debaters whose best candidates are now taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """Who takes part, and what is at stake."""

    params: DebateParams
    options: tuple[str, ...]
    """The answers."""
    debaters: tuple[str, ...]
    critics: dict[str, str]
    """Debater -> its critic."""
    judges: tuple[tuple[str, ...], ...]
    """The judges of each half."""
    quoted: bool
    """Whether speeches carry quotations."""
    truth: bool
    """Whether one of the answers is right."""

    def ask(self, options: Sequence[str], written: bool = True, own: bool = False) -> str:
        """Asks for one of `options`, with its confidence where the reply is written; `own`: for a belief."""
        which = "Which answer is right" if self.truth and not own else "Which answer do you believe"
        ask = f"{which}: {listed(options)}?"
        if not written:
            return ask
        return (
            f"{ask} Give your confidence in percent."
            if len(options) == 2
            else f"{ask} Give the probability of each, in this order."
        )


def write(cast: Cast) -> list[DebatePhase]:
    """The phases of a match, in order."""
    if cast.params.direct:
        return _judging(cast, 0, "verdict")
    return [
        *_beliefs(cast),
        *_choices(cast),
        *(phase for half in range(cast.params.halves) for phase in _half(cast, half)),
    ]


def listed(options: Sequence[str]) -> str:
    """The answers as they stand in an instruction: JSON strings, so that no answer can pose as something else."""
    quoted = [json.dumps(option, ensure_ascii=False) for option in options]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _beliefs(cast: Cast) -> list[DebatePhase]:
    if not cast.params.beliefs.elicit:
        return []
    return [
        DebatePhase(
            name="belief",
            kind="belief",
            actors=cast.debaters,
            order="simultaneous",
            fields=judgement_fields(cast.options, winner=False),
            probe=True,
            default=even(cast.options),
            choices={"answer": cast.options},
            instruction=cast.ask(cast.options, own=True),
        )
    ]


def _choices(cast: Cast) -> list[DebatePhase]:
    if not cast.params.chosen:
        return []
    first = _choice(cast, "choose", f"Choose the answer that you will defend: {listed(cast.options)}.")
    if cast.params.beliefs.persona == "none":
        return [first]
    again = f"You now know what the judge believes. Choose again, or keep your answer: {listed(cast.options)}."
    return [first, _choice(cast, "choose again", again)]


def _choice(cast: Cast, name: str, instruction: str) -> DebatePhase:
    confidence = "confidence in it in percent" if len(cast.options) == 2 else "probability of each, in this order"
    return DebatePhase(
        name=name,
        kind="choose",
        actors=cast.debaters[:1],
        fields=judgement_fields(cast.options, winner=False),
        audience=cast.debaters[:1],
        default=even(cast.options),
        choices={"answer": cast.options},
        instruction=f"{instruction} Give your {confidence}.",
    )


def _half(cast: Cast, half: int) -> list[DebatePhase]:
    p = cast.params
    prior = _judging(cast, half, "prior") if p.judge_mode == "prior_then_post" else []
    rounds = [phase for number in range(1, p.rounds + 1) for phase in _round(cast, half, number)]
    return [*prior, *rounds, *_judging(cast, half, "verdict")]


def _round(cast: Cast, half: int, number: int) -> list[DebatePhase]:
    found = [_question(cast, half, number)] if cast.params.judge_mode == "interactive" and number > 1 else []
    for group in speaking(cast.params, cast.debaters, number):
        found += _speech(cast, half, number, group)
    return found


def speaking(p: DebateParams, debaters: Sequence[str], number: int) -> list[tuple[str, ...]]:
    """Groups of debaters that speak in round `number`, one group after the other, unseen within a group."""
    order = tuple(reversed(debaters)) if p.swap.speakers else tuple(debaters)
    if p.order == "simultaneous" or (p.order == "first_blind" and number == 1):
        return [order]
    return [(seat,) for seat in order]


def hears(cast: Cast, half: int) -> tuple[str, ...] | None:
    """Who hears what is said in public in a half: the judges of the other half must not."""
    if cast.params.halves == 1:
        return None
    return (*cast.debaters, *cast.critics.values(), *cast.judges[half])


def _question(cast: Cast, half: int, number: int) -> DebatePhase:
    return DebatePhase(
        name=_name(half, f"question {number}"),
        kind="question",
        half=half,
        round=number,
        actors=cast.judges[half],
        order="simultaneous",
        fields=Question,
        audience=hears(cast, half),
        default={"question": ""},
        words={"question": cast.params.words.most},
        instruction="Ask the debaters one question that helps you to decide.",
    )


def _speech(cast: Cast, half: int, number: int, group: tuple[str, ...]) -> list[DebatePhase]:
    """All that leads to one public speech of each in `group`, the speech included."""
    p, where = cast.params, (half, number, group)
    if p.best_of == 1 and not p.refine:
        return [_argue(cast, where, "spoken", "")]
    phases = _candidates(cast, where) if p.best_of > 1 else [_argue(cast, where, "draft", " draft")]
    for turn in range(1, p.refine + 1):
        phases += [_critique(cast, where, seat, turn) for seat in group]
        last = turn == p.refine
        phases.append(_argue(cast, where, "spoken" if last else "draft", "" if last else f" draft {turn + 1}", True))
    return phases


def _candidates(cast: Cast, where: tuple[int, int, tuple[str, ...]]) -> list[DebatePhase]:
    """Write n candidates unseen, then have each weighed by the debater's critic."""
    _, _, group = where
    phases = [_argue(cast, where, "candidate", f" candidate {n + 1}", candidate=n) for n in range(cast.params.best_of)]
    weighed = [(seat, n) for seat in group for n in range(cast.params.best_of)]
    return phases + [_weigh(cast, where, seat, n, done=(seat, n) == weighed[-1]) for seat, n in weighed]


def _argue(
    cast: Cast,
    where: tuple[int, int, tuple[str, ...]],
    stage: str,
    suffix: str,
    advised: bool = False,
    candidate: int = 0,
) -> DebatePhase:
    p, (half, number, group) = cast.params, where
    default: dict[str, Any] = {"argument": "", **({"quotes": []} if cast.quoted else {})}
    return DebatePhase(
        name=_name(half, f"speech {number}{_who(group)}{suffix}"),
        kind="argue",
        half=half,
        round=number,
        stage=stage,
        candidate=candidate,
        actors=group,
        order="simultaneous" if len(group) > 1 else "sequential",
        fields=_speech_fields(p.thinking, cast.quoted),
        private=frozenset({"thinking"} if p.thinking else ()),
        audience=hears(cast, half),
        probe=stage == "candidate",
        default={"thinking": "", **default} if p.thinking else default,
        words={"argument": p.words.most},
        instruction=_told(cast, half, number, advised),
    )


def _speech_fields(thinking: bool, quoted: bool) -> type[BaseModel]:
    if thinking:
        return ThoughtQuotedSpeech if quoted else ThoughtSpeech
    return QuotedSpeech if quoted else Speech


def _told(cast: Cast, half: int, number: int, advised: bool) -> str:
    """The instruction of a speech; the advice on thinking differs for the first, the second and later rounds."""
    p = cast.params
    parts = [f"Round {number} of {p.rounds}.", f"Argue for your answer in at most {p.words.told} words."]
    if p.words.least:
        parts.append(f"Write at least {p.words.least} words.")
    if half:
        parts.insert(0, "Sides are exchanged.")
    if advised:
        parts.append("Use your critic's advice on your draft.")
    if p.judge_mode == "interactive" and number > 1:
        parts.append("Answer the judge's question.")
    if cast.quoted:
        must = "Give at least one quotation" if p.quotes == "checked_and_required" else "Put quotations"
        parts.append(f"{must} from the source, word for word, in quotes.")
    if p.thinking:
        advice = ("what speaks for your answer", "where the other side is weak", "what the judge still doubts")
        parts.append(f"Think first: {advice[min(number, 3) - 1]}.")
    return " ".join(parts)


def _weigh(cast: Cast, where: tuple[int, int, tuple[str, ...]], seat: str, n: int, done: bool) -> DebatePhase:
    half, number, group = where
    return DebatePhase(
        name=_name(half, f"weigh {number} {seat} candidate {n + 1}"),
        kind="weigh",
        half=half,
        round=number,
        about=seat,
        candidate=n,
        speakers=group if done else (),
        actors=(cast.critics[seat],),
        fields=Scored,
        probe=True,
        score=True,
        default=None,
        verdict="dealt",
        instruction=cast.ask(cast.options, written=False),
    )


def _critique(cast: Cast, where: tuple[int, int, tuple[str, ...]], seat: str, turn: int) -> DebatePhase:
    half, number, _ = where
    return DebatePhase(
        name=_name(half, f"critique {number} {seat} {turn}"),
        kind="critique",
        half=half,
        round=number,
        about=seat,
        actors=(cast.critics[seat],),
        fields=Critique,
        audience=(seat, cast.critics[seat]),
        default={"critique": ""},
        words={"critique": cast.params.words.most},
        instruction=f"Tell {seat} how to make its last draft more convincing.",
    )


def _judging(cast: Cast, half: int, kind: str) -> list[DebatePhase]:
    """The judges' verdict or prior: once, or once for each order of the answers, each unaware of the other."""
    both = cast.params.swap.answers == "both"
    orders = (False, True) if both else (bool(cast.params.swap.answers),)
    return [_judge(cast, half, kind, turned, alone=not both) for turned in orders]


def _judge(cast: Cast, half: int, kind: str, turned: bool, alone: bool) -> DebatePhase:
    p = cast.params
    options = tuple(reversed(cast.options)) if turned else cast.options
    written, winner = p.judging == "written", kind == "verdict" and p.judge_mode == "prior_then_post" and not p.direct
    fields = judgement_fields(cast.options, winner) if written else Scored
    ask = cast.ask(options, written) + (" Name also the answer that was argued better." if winner else "")
    before = "Nobody has spoken yet. " if kind == "prior" else ""
    return DebatePhase(
        name=_name(half, kind if alone else f"{kind}, answers {'turned' if turned else 'as dealt'}"),
        kind=kind,
        half=half,
        turned=turned,
        actors=cast.judges[half],
        order="simultaneous",
        fields=fields,
        audience=(),
        # A prior must not anchor the verdict, and one order of the answers must not anchor the other.
        probe=kind == "prior" or not alone or not written,
        score=not written,
        default=None,
        verdict="reversed" if turned else "dealt",
        choices=_judge_choices(options, winner) if written else {},
        instruction=before + ask if written or p.judging == "options" else before + "Give your answer.",
    )


def _judge_choices(options: tuple[str, ...], winner: bool) -> dict[str, tuple[str, ...]]:
    return {"answer": options, **({"winner": (*options, TIE)} if winner else {})}


def judgement_fields(options: Sequence[str], winner: bool) -> type[BaseModel]:
    """Fields of a written verdict over `options`; `winner`: it names the better argued answer too."""
    if len(options) == 2:
        return Decision if winner else Belief
    return DecisionOfMany if winner else BeliefOfMany


def even(options: Sequence[str]) -> dict[str, Any]:
    """The neutral belief of a debater: even odds."""
    if len(options) == 2:
        return {"answer": options[0], "confidence": 50.0}
    return {"answer": options[0], "probs": [1 / len(options)] * len(options)}


def _who(group: tuple[str, ...]) -> str:
    return "" if len(group) > 1 else f" {group[0]}"


def _name(half: int, name: str) -> str:
    return f"half 2 {name}" if half else name
