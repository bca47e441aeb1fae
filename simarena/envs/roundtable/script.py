"""The script of a roundtable: which phases, in what order, with which legal values. A pure function of its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from simarena.envs.phases import Phase
from simarena.envs.roundtable import words
from simarena.envs.roundtable.rules import (
    NONE,
    TIT_FOR_TAT,
    Answer,
    Extract,
    Order,
    RoundtableParams,
    Ruling,
    answer_fields,
)
from simarena.records import JSON


class Round(NamedTuple):
    """A round of discussion."""

    slot: int
    """Place of the item in the order of discussion; -1: the whole answer is discussed."""
    number: int
    """From 1."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a script depends on."""

    params: RoundtableParams
    solvers: tuple[str, ...]
    items: tuple[str, ...]
    options: Sequence[Sequence[str]]
    """For each item its possible values."""
    offered: Sequence[str]
    """Whole answers to choose from; none for an open question."""

    @property
    def whole(self) -> bool:
        """Whether the answer is discussed as a whole."""
        return self.params.discuss == "answer" or len(self.items) == 1

    def script(self) -> tuple[list[Phase], dict[str, Round]]:
        """All phases, and for the rounds of discussion (by name) what is discussed."""
        stages = self.params.phases
        acts: list[Phase] = []
        rounds: dict[str, Round] = {}
        if "initial" in stages:
            acts.append(self.answers("initial", "initial", words.ALONE))
        if "per_item" in stages:
            acts += self._talk_whole(rounds) if self.whole else self._talk_by_item(rounds)
        if "final" in stages:
            acts.append(self.answers("final", "final", words.FINAL))
        return self._samples(acts) + acts + self._decision(), rounds

    def answers(self, name: str, kind: str, instruction: str) -> Phase:
        """All solvers give the whole answer, unseen by one another."""
        sure = self.params.confidence_visible
        default: dict[str, JSON] = {"explanation": "", "answer": NONE}
        return Phase(
            name=name,
            kind=kind,
            actors=self.solvers,
            fields=answer_fields(sure, talk=False),
            order="simultaneous",
            instruction=instruction,
            default=default | ({"confidence": 1} if sure else {}),
            choices=self._choices(self.offered),
            words={"explanation": self.params.words},
        )

    @staticmethod
    def _choices(values: Sequence[str]) -> dict[str, tuple[JSON, ...]]:
        return {"answer": (*values, NONE)} if values else {}

    def _talk(self, name: str, instruction: str, unless: str, values: Sequence[str]) -> Phase:
        alone = self.answers(name, "discuss", instruction)
        return replace(
            alone,
            fields=answer_fields(self.params.confidence_visible, talk=True),
            order="sequential" if self.params.structure == TIT_FOR_TAT else "simultaneous",
            default={**(alone.default or {}), "agree": [], "disagree": []},
            choices={"agree": self.solvers, "disagree": self.solvers, **self._choices(values)},
            unless=unless,
        )

    def _talk_whole(self, rounds: dict[str, Round]) -> list[Phase]:
        acts: list[Phase] = []
        for r in range(1, self.params.depth + 1):
            acts.append(self._talk(f"round {r}", words.TALK, "stop", self.offered))
            rounds[acts[-1].name] = Round(-1, r)
            if self.params.moderated:
                acts.append(self._ruling(r))
        if "self_adjust" in self.params.phases:
            acts.append(self.answers("adjust", "adjust", words.PRIVATE))
        return acts

    def _talk_by_item(self, rounds: dict[str, Round]) -> list[Phase]:
        given = self.params.order == "given"
        acts = [] if given else [self._ask_order()]
        for k, item in enumerate(self.items):
            values = self.options[k] if given or self._alike() else ()
            for r in range(1, self.params.depth + 1):
                about = words.talk_about(item if given else "")
                acts.append(self._talk(f"item {k + 1} round {r}", about, f"agreed {k}", values))
                rounds[acts[-1].name] = Round(k, r)
            if "self_adjust" in self.params.phases:
                acts.append(self.answers(f"item {k + 1} adjust", "adjust", words.PRIVATE))
        return acts

    def _alike(self) -> bool:
        return all(list(possible) == list(self.options[0]) for possible in self.options)

    def _ask_order(self) -> Phase:
        return Phase(
            name="order",
            kind="order",
            actors=self.solvers,
            fields=Order,
            order="simultaneous",
            audience=self.solvers,
            instruction=words.ORDER,
            default={"order": list(self.items)},
            choices={"order": self.items},
        )

    def _ruling(self, r: int) -> Phase:
        return Phase(
            name=f"ruling {r}",
            kind="moderate",
            actors=("moderator_0",),
            fields=Ruling,
            audience=("moderator_0",),
            instruction=words.RULING,
            default={"reason": "", "side": NONE, "answer": NONE, "stop": False},
            choices={"side": (*self.solvers, NONE), **self._choices(self.offered)},
            words={"reason": self.params.words},
            unless="stop",
            verdict="none",
        )

    def _samples(self, acts: Sequence[Phase]) -> list[Phase]:
        """Baseline answers: as many for each solver as it would give if nothing stopped the match."""
        turns = sum(phase.actors == self.solvers and phase.kind != "order" for phase in acts)
        count = turns if "samples" in self.params.probes else 0
        return [replace(self.answers(f"sample {i + 1}", "sample", words.ALONE), probe=True) for i in range(count)]

    def _decision(self) -> list[Phase]:
        if not self.params.supervised:
            return []
        settle = self.params.decision == "supervisor"
        default: dict[str, JSON] = {"explanation": "", "answer": NONE}
        return [
            Phase(
                name="settle" if settle else "extract",
                kind="settle" if settle else "extract",
                actors=("supervisor_0",),
                fields=Answer if settle else Extract,
                instruction=words.SETTLE if settle else words.EXTRACT,
                default=default if settle else {"candidates": [], **default},
                choices=self._choices(self.offered),
                words={"explanation": self.params.words},
                unless="settled",
                verdict="none",
            )
        ]
