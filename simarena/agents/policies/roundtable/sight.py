"""What a seat at the roundtable has heard, read from its view: its own last answer, the others', the item at hand."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from simarena.agents.policies.roundtable import problem as problems
from simarena.agents.policies.roundtable.problem import Problem
from simarena.records import Event, View
from simarena.tasks.wording import read_whole

NONE = "none"
CONFIDENCE = ", confidence "
ROLE = r"\b{}\b[\s:=]*(?:is\s+)?(?:an?\s+|the\s+)?(knight|knave|spy)\b"


class Sight:
    """A view, read. Answers are dicts from item number to value; what was not said is not in them."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.problem: Problem = problems.read(view.task)
        self.answers: dict[str, dict[int, str]] = {}
        self.topic: int | None = None
        for event in view.history():
            self._take(event)
        self.item = self._about(view.phase) if view.kind == "discuss" else None
        self.mine = self.answers.get(view.seat, {})
        self.heard = {seat: said for seat, said in self.answers.items() if seat != view.seat}

    def _take(self, event: Event) -> None:
        if event.kind in ("topic", "answers"):
            self._labels(event.data)
        elif event.kind == "act" and event.author.startswith("solver_") and "answer" in event.data:
            answer, item = event.data["answer"], self._about(event.phase)
            self._hear(event.author, self._values(answer) if item is None else {item: answer} if answer != NONE else {})

    def _labels(self, data: dict[str, Any]) -> None:
        """A notice about where solvers stand: on one item, or on all."""
        item = data.get("item")
        self.topic = None if item is None else self.problem.items.index(item)
        for seat, text in data.items():
            if seat.startswith("solver_"):
                value = text.split(CONFIDENCE)[0]
                self._hear(seat, self._values(value) if self.topic is None else {self.topic: value})

    def _hear(self, seat: str, values: dict[int, str]) -> None:
        self.answers[seat] = {**self.answers.get(seat, {}), **values}

    def _values(self, answer: str) -> dict[int, str]:
        """A whole answer, however it was written."""
        if self.problem.puzzle is None:
            number = read_whole(answer)
            return {} if answer == NONE else {0: answer.strip() if number is None else str(number)}
        found = {i: re.search(ROLE.format(re.escape(name)), answer, re.I) for i, name in enumerate(self.problem.items)}
        return {i: match[1].lower() for i, match in found.items() if match}

    def _about(self, phase: str) -> int | None:
        """The item that a round was about: the topic last named, or by its number where none was named."""
        if not (phase.startswith("item ") and " round " in phase):
            return None
        return int(phase.split()[1]) - 1 if self.topic is None else self.topic

    def top(self, item: int, with_me: bool = True) -> list[str]:
        """The most frequent values of an item among those heard (and one's own), in order of first mention."""
        voters = {**self.heard, self.view.seat: self.mine} if with_me else self.heard
        counts = Counter(said[item] for said in voters.values() if item in said)
        most = max(counts.values(), default=0)
        return [value for value, count in counts.items() if count == most]

    def voices(self) -> list[str]:
        """Whole answers of those heard, as text, each once."""
        found = [
            self.problem.write([said[i] for i in range(len(self.problem.items))])
            for said in self.answers.values()
            if len(said) == len(self.problem.items)
        ]
        return list(dict.fromkeys(found))
