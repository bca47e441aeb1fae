"""Verdicts that nobody writes: the positions in which the answers are weighed as a judge's own replies.

Knows a match as its judges may see it, and nothing of the truth.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from simarena import reading
from simarena.envs.base import base_schema
from simarena.envs.debate.fields import Pick
from simarena.envs.debate.items import marks
from simarena.envs.debate.script import DebatePhase
from simarena.records import JSON, Event, Score, View

if TYPE_CHECKING:
    from simarena.envs.debate.env import Debate

SILENCE = "I stand by my answer."
"""What a rival who has yet to speak is taken to say while a candidate is weighed."""


def score(env: Debate, seat: str, phase: DebatePhase) -> Score:
    """Each answer as a judge's reply: at its own position, or at the one after a candidate was spoken."""
    options = env.item.options[::-1] if phase.turned else env.item.options
    texts = tuple(json.dumps({"answer": option}, ensure_ascii=False) for option in options)
    if phase.kind == "weigh":
        judge = env.cast.judges[phase.half][0]
        return Score(continuations=texts, view=_position(env, judge, phase, _as_if_spoken(env, judge, phase)))
    return Score(continuations=texts, view=_position(env, seat, phase, env.visible(seat)))


def _position(env: Debate, judge: str, phase: DebatePhase, events: tuple[Event, ...]) -> View:
    """The judge asked for an answer alone, from the beginning: all it may see is new to it.

    Likelihood judging names no answer in the question, so that the judge draws on what it would have said itself.
    """
    named = phase.kind == "weigh" or env.params.judging == "options"
    options = list(env.item.options[::-1] if phase.turned else env.item.options)
    schema = base_schema(Pick)
    if named:
        schema = {**schema, "properties": {"answer": {**schema["properties"]["answer"], "enum": options}}}
    return View(
        env=env.name,
        seat=judge,
        role="judge",
        phase=phase.name,
        kind="answer",
        step=env._steps,
        brief=env.brief(judge),
        instruction=phase.instruction,
        task=env.task.known,
        card=env.card(judge),
        events=events,
        history=lambda: events,
        fields=Pick,
        schema=schema,
        choices={"answer": options} if named else {},
        read=lambda text: reading.read(text, Pick),
    )


def _as_if_spoken(env: Debate, judge: str, phase: DebatePhase) -> tuple[Event, ...]:
    """What the judge would have seen had the candidate been spoken, and every rival still to speak said nothing new."""
    fields: dict[str, JSON] = env.memo["drafts"][phase.about][phase.candidate]
    spoken = {key: value for key, value in fields.items() if key != "thinking"}
    made: list[tuple[str, str, dict[str, JSON]]] = [(phase.about, "act", spoken)]
    if quotes := fields.get("quotes", []):
        made.append(("", "quotes", marks(phase.about, env.item.checked(quotes))))
    heard = {s["by"] for s in env.memo.get("speeches", []) if (s["half"], s["round"]) == (phase.half, phase.round)}
    rivals = [seat for seat in env.cast.debaters if seat != phase.about and seat not in heard]
    made += [(seat, "act", {"argument": SILENCE}) for seat in rivals]
    at = len(env.log)
    extra = [Event(at + i, phase.name, author, None, kind, data) for i, (author, kind, data) in enumerate(made)]
    return (*env.visible(judge), *extra)
