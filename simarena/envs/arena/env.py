"""The arena: members answer the same question, others judge the answers without knowing the names.

Duel, panel and population in this file; matrix games in `matrix`. The question, its truth and its verifier come
from any question family. Ratings, pairing rules and iterations outlive a match and belong to tournaments: a match only
takes the judges' reputations as parameters. Knows no agent and no model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray

from simarena.envs.arena import faces, judging, script
from simarena.envs.arena import fields as words
from simarena.envs.arena.outcome import Outcome
from simarena.envs.arena.params import ArenaParams
from simarena.envs.base import PhaseEnv
from simarena.envs.phases import Phase
from simarena.records import JSON, Event, Score, View
from simarena.tasks.base import Task

GRADING = ("grade", "compare", "weigh")
KINDS = ("answer", *GRADING)
SOURCE = "story"
"""Key under which a task's private part holds the text that its question is about."""
LONGEST = {"reason": 4_000, "answer": 400}
"""Characters: a word limit does not stop a single endless word. Nine persons with their roles take about 120."""
LEAST = -1e6
"""Nats; a text is never less likely than this."""

WRITER_BRIEF = "You are a contestant. You and others answer the same question. Judges compare the answers."
MEMBER_BRIEF = "You are a member of a panel. You answer a question. Then you judge the answers of the other members."
JUDGE_BRIEF = "You are a judge. Others answered a question. You do not know who wrote which answer."


class Arena(PhaseEnv):
    """A match between answers."""

    name: ClassVar[str] = "arena"
    Params: ClassVar[type[ArenaParams]] = ArenaParams
    metadata: ClassVar[dict[str, Any]] = {"name": "arena_v0", "render_modes": ["ansi"], "is_parallelizable": True}

    def __new__(cls, *_: Any, **params: Any) -> Arena:
        """A matrix game is the same environment to its users, and another class inside."""
        if cls is Arena and params.get("mode") == "matrix_game":
            from simarena.envs.arena.matrix import MatrixArena  # it builds on this class

            cls = MatrixArena
        made: Arena = super().__new__(cls)
        return made

    # ---- seats, cards, script ---------------------------------------------------------------------------------------

    def seats(self) -> list[str]:
        """Those who answer, then those who only judge."""
        p: ArenaParams = self.params
        return list(dict.fromkeys([*p.writers, *p.graders]))

    def deal(self, seed: int) -> Task:
        """The question; which family it is of is public, so that reports can tell families apart."""
        task = super().deal(seed)
        return dataclasses.replace(task, public={**task.public, "family": task.family})

    def card(self, seat: str) -> dict[str, JSON]:
        """The text that the question is about, where there is one and the seat may read it."""
        p: ArenaParams = self.params
        if p.source == "none" or (p.source == "contestants" and seat not in p.writers):
            return {}
        texts = [part[SOURCE] for part in self.task.private.values() if SOURCE in part]
        return {SOURCE: texts[0]} if texts else {}

    def brief(self, seat: str) -> str:
        """A judge that solves the question first is briefed like those who answer it."""
        p: ArenaParams = self.params
        if p.mode != "panel" and (seat in p.writers or p.judging == "solve"):
            return WRITER_BRIEF
        return f"{MEMBER_BRIEF if p.mode == 'panel' else JUDGE_BRIEF} Judge by: {', '.join(p.criteria)}."

    def script(self) -> list[Phase]:
        """Answers, judgements, and what opponents make of the samples."""
        return script.phases(self.params)

    def audience(self, seat: str, phase: Phase) -> tuple[str, ...] | None:
        """Nobody but its author sees an answer with a name on it."""
        return (seat,)

    # ---- what happens -----------------------------------------------------------------------------------------------

    def legal(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> str:
        """Refuses texts that no prompt could hold, and weights that are none."""
        for key, limit in LONGEST.items():
            if len(fields.get(key, "")) > limit:
                return f"{key}: longer than {limit} characters"
        if not phase.score:
            return ""
        count, logprobs, tokens = self._weighed(phase), fields["logprobs"], fields["tokens"]
        if not len(logprobs) == len(tokens) == count:
            return f"logprobs and tokens: {count} of each are needed"
        if not all(LEAST <= value <= 1e-3 for value in logprobs) or min(tokens) < 1:
            return f"logprobs: from {LEAST:g} to 0; tokens: 1 or more"
        return ""

    def _weighed(self, phase: Phase) -> int:
        """Texts that a scoring phase gives: samples, answers, or possible verdicts."""
        p: ArenaParams = self.params
        if phase.name == "recall":
            return p.samples
        return p.sheet_size + (p.ties if p.judging == "options" else 0)

    def gives_verdict(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> bool:
        """A judge that solves the question judges by its own answer: one that cannot be read is no verdict."""
        return phase.kind != "answer" or self.family.parse(self.task, fields["answer"]) is not None

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """Keep an answer, a judge's own answer, a judgement, or an opponent's weights of the samples."""
        if phase.name == "solve":
            self._part("solved")[seat] = fields["answer"]
        elif phase.kind == "answer":
            self.memo.setdefault("answers", []).append({"seat": seat, "reason": "", **fields})
        elif phase.name == "recall":
            self._part("recalled")[seat] = fields["logprobs"]
        else:
            sheet = self._sheet(seat)
            self._part("judgements").setdefault(seat, []).append([sheet, self._values(len(sheet), fields)])

    def _part(self, key: str) -> dict[str, JSON]:
        part: dict[str, JSON] = self.memo.setdefault(key, {})
        return part

    def _values(self, size: int, fields: dict[str, JSON]) -> list[float]:
        """A judge's action as one value for each of the `size` answers on its sheet."""
        if "scores" in fields:
            return [float(value) for value in fields["scores"]]
        if "winner" in fields:
            return [float(label == fields["winner"]) for label in words.LABELS[:size]]
        logprobs: list[float] = fields["logprobs"]
        if self.params.judging == "options":
            return judging.softmax(logprobs)[:size]
        if self.params.per_token:
            return [value / count for value, count in zip(logprobs, fields["tokens"], strict=True)]
        return list(logprobs)

    def phase_over(self, phase: Phase) -> None:
        """After the last answer lay out the sheets; after each judgement show the next sheet."""
        p: ArenaParams = self.params
        if phase.name == "solve":
            for judge in p.graders:
                self._grade_by(judge, self.memo["solved"].get(judge))
        elif phase.kind == "answer":
            if len(self.memo["answers"]) == p.answers:
                self._answered()
        elif phase.name != "recall":
            self.memo["pass"] += 1
            self._show()

    def _answered(self) -> None:
        p: ArenaParams = self.params
        answers = self.memo["answers"]
        answers.sort(key=lambda entry: p.writers.index(entry["seat"]))
        for entry in answers:
            entry["values"] = self.family.parse(self.task, entry["answer"])
        self.memo[script.SETTLED] = all(_same(entry, answers[0]) for entry in answers)
        self.memo["pass"], self.memo["sheets"] = 0, {judge: self._sheets(judge) for judge in p.graders}
        if p.judging == "solve" and p.mode == "panel":
            for entry in answers:
                self._grade_by(entry["seat"], entry["answer"])
        self._show()

    def _sheets(self, judge: str) -> list[list[int]]:
        p: ArenaParams = self.params
        others = [i for i, entry in enumerate(self.memo["answers"]) if entry["seat"] != judge]
        if p.alone:
            return [[i] for i in others]
        base = p.compared(others) if p.judging == "verdict" else [others]
        orders = "given" if p.judging in ("likelihood", "solve") else p.orders
        return judging.ordered(base, orders, self.rng("sheets", judge))

    def _sheet(self, judge: str) -> list[int]:
        sheets: list[list[int]] = self.memo["sheets"][judge]
        return list(sheets[self.memo["pass"]])

    def _show(self) -> None:
        """Put the next sheet before each judge that reads answers."""
        p: ArenaParams = self.params
        self.memo["desk"] = len(self.log)
        moot = p.moot and self.memo[script.SETTLED]
        if moot or p.judging in ("likelihood", "solve") or self.memo["pass"] >= p.passes:
            return
        kept = ("reason", "answer") if p.reasons else ("answer",)
        for judge in p.graders:
            for label, number in zip(words.LABELS, self._sheet(judge), strict=False):
                entry = self.memo["answers"][number]
                self.note("answer", {"label": label, **{key: entry[key] for key in kept}}, (judge,))

    def _grade_by(self, judge: str, answer: JSON) -> None:
        """Solve, then grade: an answer is worth 1 where it says the same as the judge's own, else 0."""
        own, sheet = self.family.parse(self.task, answer), self._sheets(judge)[0]
        if own is not None:
            values = [float(self.memo["answers"][i]["values"] == own) for i in sheet]
            self._part("judgements")[judge] = [[sheet, values]]

    # ---- views ------------------------------------------------------------------------------------------------------

    def view(self, seat: str) -> View:
        """As the engine's, but a judge's desk holds one sheet at a time."""
        view = super().view(seat)
        if view.kind not in GRADING:
            return view
        return dataclasses.replace(view, events=self._on_desk(view.events))

    def _on_desk(self, events: Sequence[Event]) -> tuple[Event, ...]:
        return tuple(event for event in events if event.kind != "answer" or event.seq >= self.memo["desk"])

    def score(self, seat: str, phase: Phase) -> Score | None:
        """Replies that a judge weighs as if it had been a contestant, or the verdicts that it may give."""
        p: ArenaParams = self.params
        if phase.name == "recall":
            return self._replies(seat, list(range(p.samples)), p.reasons)
        if p.judging == "likelihood":
            return self._replies(seat, self._sheet(seat), p.weigh == "reply")
        asked = script.verdict_phase(p, phase.name, reasons=False)
        texts = tuple(words.verdict(str(winner)) for winner in asked.choices["winner"])
        kinds = ("task", "card", "answer")
        events = self._on_desk([event for event in self.visible(seat) if event.kind in kinds])
        return Score(continuations=texts, view=self._view_of(seat, asked, events))

    def _replies(self, seat: str, numbers: list[int], reasons: bool) -> Score:
        """Answers in canonical writing, so that spelling weighs nothing; unreadable ones as they are."""
        p: ArenaParams = self.params
        entries = [self.memo["answers"][i] for i in numbers]
        texts = tuple(words.reply(entry["reason"], self._canonical(entry), reasons) for entry in entries)
        writer = seat if seat in p.writers else p.writers[0]
        events = tuple(event for event in self.visible(seat) if event.kind in ("task", "card"))
        asked = script.answer_phase(p, "answer", (writer,), reasons=reasons)
        return Score(continuations=texts, view=self._view_of(writer, asked, events))

    def _canonical(self, entry: dict[str, JSON]) -> str:
        text: str = entry["answer"] if entry["values"] is None else self.family.write(self.task, entry["values"])
        return text

    def _view_of(self, seat: str, phase: Phase, events: tuple[Event, ...]) -> View:
        """The view that `seat` would have in `phase` with these events before it, and nothing else."""
        cards = [event.data for event in events if event.kind == "card"]
        return View(
            env=self.name,
            seat=seat,
            role=self.role(seat),
            phase=phase.name,
            kind=phase.kind,
            step=0,
            brief=self.brief(seat),
            instruction=phase.instruction,
            task=self.task.known,
            card=cards[0] if cards else {},
            events=events,
            history=lambda: events,
            fields=phase.fields,
            schema=self.schema(phase),
            choices=phase.choices,
            read=lambda text: self.read(seat, phase, text),
            budget={f"words in {key}": limit for key, limit in phase.words.items()},
        )

    # ---- outcome ----------------------------------------------------------------------------------------------------

    def _outcome(self) -> Outcome:
        answers, given = self.memo["answers"], self.memo.get("judgements", {})
        return Outcome(
            params=self.params,
            authors=[entry["seat"] for entry in answers],
            right=[self.family.verify(self.task, entry["answer"]) == 1.0 for entry in answers],
            given={
                judge: judging.whole((judging.Judgement(*each) for each in all_of), self.params.twice)
                for judge, all_of in given.items()
            },
            settled=self.memo[script.SETTLED],
        )

    def decided(self) -> bool:
        """Whether judges compared all that is compared, or all answers said the same."""
        return script.SETTLED in self.memo and self._outcome().decided

    def payoffs(self) -> dict[str, float]:
        """Win or loss, standard rank, or mean win over the opponents; judges as `grader_reward` says."""
        if script.SETTLED not in self.memo:
            return {}
        outcome = self._outcome()
        told = {"grades": outcome.grades, "standing": outcome.standing} if outcome.decided else {"undecided": True}
        self.note("verdict", told)
        return outcome.returns()

    def metrics(self) -> dict[str, float]:
        """Correctness, wins and label accuracy; {} where the match was cut before all had answered."""
        if script.SETTLED not in self.memo:
            return {}
        found = {"settled": float(self.memo[script.SETTLED]), **self._outcome().metrics()}
        for judge, answer in self.memo.get("solved", {}).items():
            found[f"solved/{judge}"] = self.family.verify(self.task, answer)
        for seat, logprobs in self.memo.get("recalled", {}).items():
            found[f"logprob/{seat}"] = sum(logprobs) / len(logprobs)
        return found

    # ---- numeric face -----------------------------------------------------------------------------------------------

    @cached_property
    def _shape(self) -> faces.Shape:
        return faces.shape(self.family)

    def _items(self, seat: str) -> int:
        """Items of an answer in this seat's compact action."""
        p: ArenaParams = self.params
        return self._shape.items if seat in p.writers or p.judging == "solve" else 0

    def _slots(self, seat: str) -> int:
        """Answers that this seat weighs at once, at most."""
        p: ArenaParams = self.params
        judged = p.sheet_size if seat in p.graders and p.judging != "solve" else 0
        return max(judged, p.samples if p.opponent_logprobs and seat in p.writers[1:] else 0)

    def _levels(self, seat: str) -> list[int]:
        """Sizes of the judging part of a compact action: points for each answer, or one choice."""
        p: ArenaParams = self.params
        if p.judging == "verdict" and seat in p.graders:
            return [p.sheet_size + p.ties]
        tie = p.ties and p.judging == "options" and seat in p.graders
        return [p.judge_scale] * (self._slots(seat) + tie)

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """MultiDiscrete: a value for each item of an answer, then points (or a choice) for the answers on the desk."""
        sizes = [self._shape.values] * self._items(seat) + self._levels(seat)
        return gymnasium.spaces.MultiDiscrete(np.array(sizes, np.int64))

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """The part that the present phase does not ask for has its first value only."""
        answering = self.phase.kind == "answer"
        mask: list[int] = []
        if items := self._items(seat):
            idle = [1, *[0] * (self._shape.values - 1)] * items
            mask += faces.answer_mask(self.family, self.task, self._shape) if answering else idle
        for size in self._levels(seat):
            mask += [1] + [int(not answering)] * (size - 1)
        return np.array(mask, np.int8)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """An answer by item values; points; a choice; or points as log-probabilities, one nat a point."""
        items, phase = self._items(seat), self.phase
        picks = [int(each) for each in value]
        rest = picks[items:]
        if phase.score:
            count = self._weighed(phase)
            return {"logprobs": [each + 1.0 - self.params.judge_scale for each in rest[:count]], "tokens": [1] * count}
        fields: dict[str, JSON] = {"reason": ""} if "reason" in phase.fields.model_fields else {}
        if phase.kind == "answer":
            return {**fields, "answer": faces.answer_text(self.family, self.task, picks[:items])}
        if phase.kind == "grade":
            return {**fields, "scores": [1 + each for each in rest]}
        return {**fields, "winner": phase.choices["winner"][rest[0]]}

    def features(self, seat: str) -> list[float]:
        """Kind of the phase, words of the question, and the answers on this seat's desk."""
        kind = "" if self.over else self.phase.kind
        found = [float(kind == each) for each in KINDS]
        found += faces.bag(f"{self.task.family} {self.task.public['question']}")
        desk = self._desk(seat)
        for slot in range(self._slots(seat)):
            found += self._answer_features(desk[slot], desk[0]) if slot < len(desk) else [0.0] * (4 + self._shape.items)
        return found

    def _desk(self, seat: str) -> list[int]:
        """Numbers of the answers that this seat has before it now."""
        if self.over or self.phase.kind not in GRADING or seat not in self.phase.actors:
            return []
        return list(range(self.params.samples)) if self.phase.name == "recall" else self._sheet(seat)

    def _answer_features(self, number: int, first: int) -> list[float]:
        entry, other = self.memo["answers"][number], self.memo["answers"][first]
        length = min(1.0, len(entry["reason"].split()) / self.params.words)
        return [
            1.0,
            float(_same(entry, other)),
            length,
            *faces.answer_codes(self.family, self.task, entry, self._shape),
        ]


def _same(a: dict[str, JSON], b: dict[str, JSON]) -> bool:
    """Whether two answers say the same; unreadable ones do where they are the same text."""
    return bool(a["values"] == b["values"] and (a["values"] is not None or a["answer"] == b["answer"]))
