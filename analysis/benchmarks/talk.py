"""The smallest match worth timing: two seats take turns to speak. Shared by the benchmarks beside it."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import gymnasium

from simarena import seeds
from simarena.agents.base import Ask
from simarena.envs.base import Params, PhaseEnv
from simarena.envs.phases import Phase
from simarena.identity import new_match
from simarena.reading import Fields
from simarena.records import JSON, Action, Match, Request, View
from simarena.registry import ENVIRONMENTS
from simarena.tasks.base import Task

ENVIRONMENTS["talk"] = "talk:Talk"
SEATS = ("pro_0", "con_0")
WORDS = "the tax moves money from those who burn to those who save and nobody has shown that it costs a single job"


class Speech(Fields):
    """What is said."""

    text: str


class TalkParams(Params):
    """How long the talk is."""

    task: str = "kks"
    turns: int = 6


class Talk(PhaseEnv):
    """Two seats speak in turn; the longer talker wins."""

    name: ClassVar[str] = "talk"
    Params: ClassVar[type[Params]] = TalkParams

    def seats(self) -> list[str]:
        """Two."""
        return list(SEATS)

    def deal(self, seed: int) -> Task:
        """A motion."""
        return Task(family="talk", seed=seed, public={"motion": f"motion {seed}"}, truth={"right": SEATS[seed % 2]})

    def script(self) -> list[Phase]:
        """One phase a speech."""
        return [
            Phase(name=f"speech {n}", kind="argue", actors=(SEATS[n % 2],), fields=Speech, default={"text": ""})
            for n in range(self.params.turns)
        ]

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """Count characters."""
        self.memo[seat] = self.memo.get(seat, 0) + len(fields["text"])

    def payoffs(self) -> dict[str, float]:
        """+1 and -1."""
        lead = self.memo.get("pro_0", 0) - self.memo.get("con_0", 0)
        sign = float((lead > 0) - (lead < 0))
        return {"pro_0": sign, "con_0": -sign}

    def metrics(self) -> dict[str, float]:
        """Characters said."""
        return {"characters": float(sum(self.memo.values()))}

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """One of four speeches."""
        return gymnasium.spaces.Discrete(4)

    def features(self, seat: str) -> list[float]:
        """How far the talk is."""
        return [self._steps / self.params.turns]


class Parrot:
    """A scripted agent: one request and one reading a turn."""

    backend = "scripted"

    def __init__(self, name: str) -> None:
        self.name = name

    def sit(self, seat: str, key: str, seed: int) -> Perch:
        """A fresh sitting."""
        return Perch(self.name, seat, key, seed)


class Perch:
    """A parrot's turns in one match."""

    __slots__ = ("asked", "key", "name", "seat", "seed")

    def __init__(self, name: str, seat: str, key: str, seed: int) -> None:
        self.name, self.seat, self.key, self.seed, self.asked = name, seat, key, seed, 0

    async def act(self, view: View, ask: Ask) -> Action:
        """Say something."""
        n, self.asked = self.asked, self.asked + 1
        seed = seeds.derive(self.seed, self.seat, n)
        request = Request(key=f"{self.key}/{n}", agent=self.name, model="parrot", seed=seed, view=view)
        found = view.read((await ask(request)).text)
        return Action(found.fields, found.outcome, found.error)


def reply(request: Request) -> str:
    """A speech of some thirty words."""
    return json.dumps({"text": f"{request.seed % 1000} {WORDS} {WORDS[: request.seed % 100]}"})


def schedule(size: int, turns: int = 6) -> list[Match]:
    """`size` matches between two parrots."""
    who = {"polly": "1", "jack": "2"}
    names = list(who)
    return [
        new_match(
            "talk",
            {"turns": turns},
            {seat: names[(n + i) % 2] for i, seat in enumerate(SEATS)},
            who,
            task_seed=n // 2,
            seed=n,
        )
        for n in range(size)
    ]


AGENTS = {name: Parrot(name) for name in ("polly", "jack")}
META = {"scenario": "talk", "scenario_hash": "talk", "seed": 0}
