"""Language models without weights: a backend that answers sums with a planted skill, and a lesson that raises it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from simarena import seeds
from simarena.agents.members import member
from simarena.agents.spec import LanguageSpec
from simarena.league.learning import Learnt, Lesson
from simarena.records import Completion, Request

OPTIONS = {"base_url": "http://localhost:1/v1"}
SUM = re.compile(r"What is (\d+) \+ (\d+)\?")


class Backend:
    """Stands in for an endpoint; a model called "70" gets 70 % of sums right."""

    def __init__(self, **options: Any) -> None:
        pass

    async def generate(self, request: Request) -> Completion:
        found = SUM.search(request.messages[-1].content)
        assert found is not None, request.messages
        chance, right = seeds.rng(request.seed), int(found[1]) + int(found[2])
        answer = right if chance.random() < int(request.model) / 100 else right + chance.randint(1, 9)
        return Completion(text=json.dumps({"reason": f"It is {answer}.", "answer": str(answer)}), version=request.model)

    async def aclose(self) -> None:
        pass


def agent(folder: Path, name: str, skill: int) -> str:
    """An agent file; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump({"backend": "openai", "model": str(skill), "options": OPTIONS}))
    return str(path)


def skill_of(file: str) -> int:
    spec = member(file).spec
    assert isinstance(spec, LanguageSpec)
    return int(spec.model)


def learn(lesson: Lesson) -> Learnt:
    """Rise by as much as the share of right labels is above a half, in points; fall where it is below."""
    lesson.report(f"{len(lesson.records)} records")
    labels = [record.responses[0].truth == 1.0 for record in lesson.records]
    skill = skill_of(lesson.agent) + round(40 * (sum(labels) / len(labels) - 0.5))
    file = agent(lesson.folder, f"{lesson.member}@{lesson.version}", min(skill, 100))
    return Learnt(file=Path(file), about={"steps": len(labels)})
