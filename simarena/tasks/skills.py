"""Small questions by topic, and planted laws for who answers them right and how they are judged.

Contestants have a table of skills (chance of a right answer by topic), graders a bias, a favourite place and noise, and
style judges a cycle of styles in which each beats the next. Everything about them is known, so that ratings,
reputations and equilibria can be held against what was planted. The laws are this project's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Literal, NamedTuple, get_args

from pydantic import Field, model_validator

from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.answers import WHOLE_NUMBER, NumberFamily, offered, plausible
from simarena.tasks.base import Knobs, Task

Topic = Literal["sum", "difference", "product", "greater", "smaller", "remainder"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
STYLES = ("plain", "ornate", "terse")
"""Each beats the next, and the last beats the first."""


class SkillParams(Knobs):
    """Knobs of the questions and of the planted table."""

    topics: tuple[Topic, ...] = Field(("sum", "difference", "greater", "smaller"), min_length=1)
    """Topics that are asked about."""
    high: int = Field(20, ge=3, le=999)
    """Greatest number in a question."""
    options: int = Field(0, ge=0, le=6)
    """Answers to choose from; 0: an open question."""
    contestants: int = Field(10, ge=2, le=100)
    """Contestants in the planted table."""
    low_skill: float = Field(0.3, ge=0, le=1)
    """Mean skill of the weakest contestant."""
    high_skill: float = Field(0.9, ge=0, le=1)
    """Mean skill of the strongest; the others are evenly spaced."""
    spread: float = Field(0.1, ge=0, le=0.5)
    """How far a contestant's skill in a topic may lie from its mean, either way."""
    table_seed: int = 0
    """Fixes the table: the same contestants in every task."""

    @model_validator(mode="after")
    def _ordered(self) -> SkillParams:
        if self.low_skill > self.high_skill:
            raise ValueError(f"low_skill={self.low_skill} is above high_skill={self.high_skill}; swap them")
        if len(set(self.topics)) != len(self.topics):
            raise ValueError(f"a topic is listed twice in {list(self.topics)}")
        return self


class SkillTable(NumberFamily):
    """What is the sum of 12 and 7?"""

    name = "skills"
    Params = SkillParams

    def __init__(self, **params: JSON) -> None:
        super().__init__(**params)
        p: SkillParams = self.params
        self.table = skill_table(p.contestants, p.topics, p.low_skill, p.high_skill, p.spread, p.table_seed)

    def generate(self, seed: int) -> Task:
        """A question of a random topic; truth also holds "topic" and each planted contestant's "skills" in it."""
        p: SkillParams = self.params
        random = rng("skills", seed)
        topic = random.choice(p.topics)
        large, small = sorted(random.sample(range(2, p.high + 1), 2), reverse=True)
        pair = [large, small] if topic in ("difference", "remainder") else random.sample([large, small], 2)
        results = {name: result(name, pair) for name in TOPICS}
        answer = str(results[topic])
        wrong = plausible(random, results[topic], [results[name] for name in TOPICS if results[name] != results[topic]])
        public: dict[str, JSON] = {
            "question": f"What is the {topic} of {pair[0]} {'by' if topic == 'remainder' else 'and'} {pair[1]}?",
            "options": offered(random, answer, wrong, p.options),
            "format": WHOLE_NUMBER,
        }
        truth: dict[str, JSON] = {
            "answer": answer,
            "reason": f"The {topic} is {answer}.",
            "wrong": wrong,
            "topic": topic,
            "skills": [row[topic] for row in self.table],
        }
        structure: dict[str, JSON] = {"topic": topic, "numbers": pair}
        return Task(family=self.name, seed=seed, public=public, structure=structure, truth=truth)


def result(topic: Topic, numbers: Sequence[int]) -> int:
    """The answer to a question."""
    one, two = numbers
    return {
        "sum": one + two,
        "difference": one - two,
        "product": one * two,
        "greater": max(one, two),
        "smaller": min(one, two),
        "remainder": one % two,
    }[topic]


def skill_table(
    contestants: int, topics: Sequence[str], low: float, high: float, spread: float, seed: int
) -> list[dict[str, float]]:
    """Contestant -> topic -> chance of a right answer; means evenly spaced from `low` to `high`, weakest first."""
    random = rng("skill table", contestants, low, high, spread, seed)
    step = (high - low) / (contestants - 1)
    return [
        {topic: round(min(1.0, max(0.0, low + i * step + random.uniform(-spread, spread))), 4) for topic in topics}
        for i in range(contestants)
    ]


def attempt(known: Mapping[str, JSON], skill: float, random: Random) -> str:
    """The answer of somebody who is right with chance `skill`, from a task's public knowledge; else a near miss."""
    right = result(known["topic"], known["numbers"])
    if random.random() < skill:
        return str(right)
    others: list[str] = [option for option in known["options"] if option != str(right)] or plausible(
        random, right, [right + 1]
    )
    return random.choice(others)


class Grader(NamedTuple):
    """A grader with planted habits; grades run from 1 to `scale`."""

    bias: float = 0.0
    """Added to every grade."""
    first: float = 0.0
    """Added to what is read first."""
    noise: float = 0.0
    """Standard deviation of a grade, in points."""
    sight: float = 1.0
    """Chance to tell right from wrong; otherwise the grade is that of the other case."""
    scale: int = 10

    def grade(self, right: bool, place: int, random: Random) -> int:
        """The grade of an answer that is `right` or not and is read at `place` (from 0)."""
        seen = right if random.random() < self.sight else not right
        points = (0.8 if seen else 0.3) * self.scale + self.bias + self.first * (place == 0)
        return min(self.scale, max(1, round(points + random.gauss(0, self.noise))))


def cycle(styles: int = 3, strength: float = 1.0) -> list[list[float]]:
    """Style -> style -> chance that a style judge prefers the first: each beats the next; others tie at one half.

    `strength` 1: always, 0: at random. With three styles the only equilibrium is one third each, and every rating that
    is a single number (Bradley-Terry) predicts one half throughout.
    """
    win = 0.5 + strength / 2
    table = [[0.5] * styles for _ in range(styles)]
    for i in range(styles):
        if styles > 2:
            table[i][(i + 1) % styles], table[(i + 1) % styles][i] = win, 1 - win
    return table


def prefer(first: str, second: str, random: Random, strength: float = 1.0) -> int:
    """0 or 1: which of two styles (see STYLES) a style judge prefers."""
    chance = cycle(len(STYLES), strength)[STYLES.index(first)][STYLES.index(second)]
    return 0 if random.random() < chance else 1
