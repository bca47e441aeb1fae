"""Multiple-choice questions from a JSON Lines file; the only family that reads one, and only while it is being built.

A line holds "question", "options" (two or more) and "answer" (one of them), and may hold "reason" and "source" (a text
that only debaters read).
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simarena.errors import ScenarioError
from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.answers import ChoiceFamily
from simarena.tasks.base import Knobs, Task
from simarena.tasks.wording import squash

MAX_ERRORS = 20
"""More are only counted."""


class QuestionFileParams(Knobs):
    """Knobs of the file."""

    path: str = Field(min_length=1)
    """The file, UTF-8, one JSON object a line; relative to the working directory."""
    shuffle: bool = True
    """Whether options come in a seeded order instead of the file's."""


class Row(BaseModel):
    """One line of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    question: str = Field(min_length=1)
    options: list[str] = Field(min_length=2)
    answer: str
    reason: str = ""
    source: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Row:
        if self.answer not in self.options:
            raise ValueError(f"answer {self.answer!r} is none of the options {self.options}")
        if len({squash(option) for option in self.options}) < len(self.options):
            raise ValueError(f"two of the options are the same but for case or spacing: {self.options}")
        return self


class QuestionFile(ChoiceFamily):
    """Questions of your own."""

    name = "questions"
    Params = QuestionFileParams

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.rows = load(self.params.path)

    def generate(self, seed: int) -> Task:
        """One of the file's questions, drawn by seed."""
        p: QuestionFileParams = self.params
        # The path is no part of the seed: the same file gives the same tasks wherever it lies.
        random = rng("questions", seed)
        number = random.randrange(len(self.rows))
        row = self.rows[number]
        options = random.sample(row.options, len(row.options)) if p.shuffle else list(row.options)
        public: dict[str, JSON] = {"question": row.question, "options": options, "format": "one of the options"}
        truth = {"answer": row.answer, "reason": row.reason or row.answer, "number": number}
        private = {"debater": {"story": row.source, "sentences": sentences(row.source)}} if row.source else {}
        return Task(family=self.name, seed=seed, public=public, private=private, truth=truth)


def sentences(text: str) -> list[str]:
    """`text` cut after every full stop, question or exclamation mark that a space follows, and at line ends."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+|\n+", text) if part.strip()]


def load(path: str) -> list[Row]:
    """The questions in the file at `path`; ScenarioError with every wrong line where it is not what it should be."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, ValueError) as error:
        raise ScenarioError(
            f"questions: {path!r} cannot be read ({error}); `path` must name a UTF-8 text file"
        ) from None
    rows: list[Row] = []
    errors: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                rows.append(Row.model_validate(json.loads(line)))
            except (ValueError, RecursionError) as error:
                errors += [f"{path}:{number}: {problem}" for problem in _problems(error)]
    if errors:
        more = [f"... and {len(errors) - MAX_ERRORS} more"] * (len(errors) > MAX_ERRORS)
        raise ScenarioError("\n".join(errors[:MAX_ERRORS] + more))
    if not rows:
        raise ScenarioError(f"questions: {path!r} holds no question; write one JSON object a line")
    return rows


def _problems(error: Exception) -> list[str]:
    if isinstance(error, ValidationError):
        return [f"{'.'.join(map(str, e['loc'])) or 'question'}: {e['msg']}" for e in error.errors(include_url=False)]
    return [f"not a JSON object: {error}"]
