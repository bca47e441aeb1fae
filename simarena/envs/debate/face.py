"""The numeric face of a debate: learners choose sentences to quote and sides, or spread a judge's probability.

Debater: MultiDiscrete, a yes or no for each sentence of the source, then an answer, then a confidence in tenths.
Judge and critic: Box, one weight per answer in the order of dealing. Parts that a phase does not need are ignored.
Everything here is a function of what the seat may see.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from simarena.envs.debate.fields import MAX_QUOTES
from simarena.records import JSON
from simarena.tasks.story import letters

if TYPE_CHECKING:
    import gymnasium

    from simarena.envs.debate.env import Debate

STEPS = 11
"""Values of a compact confidence: 0, 10, ... 100 percent."""
LEAST = 1e-6
"""Smallest weight of an answer, so that logarithms are finite."""
KINDS = ("belief", "choose", "argue", "prior", "verdict", "question", "critique", "weigh")
WORD = re.compile(r"\w+")


def quotable(env: Debate) -> int:
    """Sentences that a debater may quote from, the same in every match of these parameters."""
    p = env.params
    if p.quotes == "off" or p.source_access == "none":
        return 0
    return int(getattr(env.family.params, "sentences", 0))


def space(env: Debate, seat: str) -> gymnasium.Space[Any]:
    """MultiDiscrete for a debater, Box for the others."""
    k = env.params.options
    if env.role(seat) == "debater":
        return spaces.MultiDiscrete([2] * quotable(env) + [k, STEPS])
    return spaces.Box(0.0, 1.0, (k,), np.float32)


def mask(env: Debate, seat: str) -> NDArray[np.int8]:
    """Everything is allowed but quoting sentences that are not there."""
    if env.role(seat) != "debater":
        return np.ones(env.params.options, np.int8)
    told = [[1, int(i < len(env.item.sentences))] for i in range(quotable(env))]
    return np.array([bit for pair in told for bit in pair] + [1] * (env.params.options + STEPS), np.int8)


def action(env: Debate, seat: str, value: Any) -> dict[str, JSON]:
    """Fields of the present phase."""
    if env.role(seat) == "debater":
        return _debater(env, seat, [int(part) for part in value])
    phase, options = env.phase, env.item.options
    if phase.kind == "question":
        return {"question": "What proves your answer?"}
    if phase.kind == "critique":
        return {"critique": "Say what proves your answer."}
    weights = [max(float(part), LEAST) for part in value]
    probs = dict(zip(options, (w / sum(weights) for w in weights), strict=True))
    return _judgement(env, probs)


def _judgement(env: Debate, probs: dict[str, float]) -> dict[str, JSON]:
    phase: Any = env.phase
    presented = env.item.options[::-1] if phase.turned else env.item.options
    if phase.score:
        return {"logprobs": [min(0.0, math.log(probs[o])) for o in presented], "tokens": [1] * len(presented)}
    best = max(presented, key=probs.__getitem__)
    found: dict[str, JSON] = {"answer": best}
    if len(presented) == 2:
        found["confidence"] = min(100.0, 100 * probs[best])
    else:
        found["probs"] = [min(1.0, probs[option]) for option in presented]
    return {**found, **({"winner": best} if "winner" in phase.choices else {})}


def _debater(env: Debate, seat: str, value: list[int]) -> dict[str, JSON]:
    phase, size, options = env.phase, quotable(env), env.item.options
    answer, confidence = options[value[size]], value[size + 1] * 100 / (STEPS - 1)
    if phase.kind != "argue":
        if len(options) == 2:
            return {"answer": answer, "confidence": confidence}
        rest = (1 - confidence / 100) / (len(options) - 1)
        return {"answer": answer, "probs": [confidence / 100 if o == answer else rest for o in options]}
    quotes = [s for s, wanted in zip(env.item.sentences, value[:size], strict=False) if wanted][:MAX_QUOTES]
    if env.params.quotes == "checked_and_required" and not quotes:
        quotes = list(env.item.sentences[:1])
    own = options[env.sides(getattr(phase, "half", 0))[seat]]
    words = f"The answer is {own}.".split()
    times = max(1, math.ceil(env.params.words.least / len(words)))
    found: dict[str, JSON] = {"argument": " ".join((words * times)[: env.params.words.most])}
    return {**found, "quotes": quotes} if "quotes" in phase.fields.model_fields else found


def features(env: Debate, seat: str) -> list[float]:
    """Place in the script; then for each answer what was said for it; debaters also see their sentences."""
    half = env.half_of(seat) if env.role(seat) == "judge" else _half_now(env)
    sides = {} if env.params.direct else env.sides(half)
    found = [*_place(env), *_answers(env, half, sides)]
    if env.role(seat) == "judge":
        return [*found, *_evidence(env, env.reads(seat))]
    return [*found, *_own(env, sides.get(env.speaker(seat))), *_sentences(env, seat, sides)]


def _half_now(env: Debate) -> int:
    return env.params.halves - 1 if env.over else int(getattr(env.phase, "half", 0))


def _place(env: Debate) -> list[float]:
    kind = "" if env.over else env.phase.kind
    number = 0 if env.over else int(getattr(env.phase, "round", 0))
    return [float(kind == name) for name in KINDS] + [number / env.params.rounds]


def _answers(env: Debate, half: int, sides: dict[str, int]) -> list[float]:
    """For each answer: defended, words, quotations verified, of these naming the answer, unverified, repeated; spoke
    last; believed by the judge's persona."""
    speeches = [s for s in env.memo.get("speeches", []) if s["half"] == half]
    room = env.params.rounds * MAX_QUOTES
    found: list[float] = []
    for i, option in enumerate(env.item.options):
        own = [s for s in speeches if sides.get(s["by"]) == i]
        named = sum(letters(option) in text for s in own for text in s["used"])
        found += [
            float(i in sides.values()),
            sum(s["words"] for s in own) / (env.params.rounds * env.params.words.most),
            sum(s["verified"] for s in own) / room,
            named / room,
            sum(s["unverified"] for s in own) / room,
            sum(s["repeated"] for s in own) / room,
            float(bool(own) and speeches[-1] is own[-1]),
            float(env.memo.get("persona") == i),
        ]
    return found


def _evidence(env: Debate, reads: bool) -> list[float]:
    """For each answer: the greatest share of the question's words in a sentence that names it; 0 without the source."""
    asked = _words(env.item.question)
    return [
        max((_overlap(asked, s) for s in env.item.sentences if reads and letters(option) in letters(s)), default=0.0)
        for option in env.item.options
    ]


def _own(env: Debate, side: int | None) -> list[float]:
    return [float(side == i) for i in range(len(env.item.options))]


def _sentences(env: Debate, seat: str, sides: dict[str, int]) -> list[float]:
    """For each quotable sentence: whether it names the own answer, and its share of the question's words."""
    asked, side = _words(env.item.question), sides.get(env.speaker(seat))
    own = "" if side is None else letters(env.item.options[side])
    found: list[float] = []
    for i in range(quotable(env)):
        text = env.item.sentences[i] if i < len(env.item.sentences) else ""
        found += [float(bool(own) and own in letters(text)), _overlap(asked, text)]
    return found


def _words(text: str) -> set[str]:
    return {word.casefold() for word in WORD.findall(text)}


def _overlap(asked: set[str], text: str) -> float:
    return len(asked & _words(text)) / max(1, len(asked))
