"""Several solvers work on one question: alone, in rounds of discussion, in private again, and then they decide.

The environment of the controlled debate study on knight / knave / spy puzzles (labels item by item, six factors), of
multi-agent debate in rounds (Du et al. 2023), and of debate with an affirmative and a negative side before a moderator
(Liang et al. 2023). Knows nothing of how any question is solved: that is the task family's affair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from simarena.envs.base import Params, PhaseEnv
from simarena.envs.phases import Phase
from simarena.envs.roundtable import face, measures, words
from simarena.envs.roundtable.measures import Answers, Said
from simarena.envs.roundtable.rules import NONE, TIT_FOR_TAT, RoundtableParams
from simarena.envs.roundtable.script import Round, Table
from simarena.records import JSON
from simarena.tasks.base import Task
from simarena.tasks.kks import check_reason

KINDS = ("sample", "initial", "order", "discuss", "adjust", "final", "moderate", "settle", "extract")
"""Kinds of phases."""
STAGES = ("initial", "discuss", "adjust", "final")
"""Those in which solvers answer."""
NO_RULING: dict[str, JSON] = {"values": [], "stop": False}


class Roundtable(PhaseEnv):
    """`n` solvers, and a moderator or a supervisor where the parameters want one."""

    metadata: ClassVar[dict[str, Any]] = {"name": "roundtable_v0", "render_modes": ["ansi"], "is_parallelizable": False}
    name = "roundtable"
    Params: ClassVar[type[Params]] = RoundtableParams
    params: RoundtableParams

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.solvers = self.of_role("solver")
        self._hears = {seat: self._heard_by(seat) for seat in self.possible_agents}

    # ---- deal ------------------------------------------------------------------------------------------------------

    def seats(self) -> list[str]:
        """Solvers, then the moderator, then the supervisor."""
        solvers = [f"solver_{i}" for i in range(self.params.n)]
        return solvers + ["moderator_0"] * self.params.moderated + ["supervisor_0"] * self.params.supervised

    def deal(self, seed: int) -> Task:
        """The question of this seed."""
        task = super().deal(seed)
        self.items: list[str] = self.family.items(task)
        self.options: list[list[str]] = [self.family.values(task, item) for item in self.items]
        return task

    def card(self, seat: str) -> dict[str, JSON]:
        """The level of disagreement, for the negative side."""
        if self.params.structure != TIT_FOR_TAT or seat not in self.solvers[1:]:
            return {}
        return {"side": "negative", "disagreement": self.params.disagreement}

    def brief(self, seat: str) -> str:
        """Role, whom the seat hears, and how the decision is made."""
        return words.brief(self.params, seat, self._hears[seat])

    def _heard_by(self, seat: str) -> list[str]:
        """The solvers that `seat` hears."""
        solvers, structure = self.solvers, self.params.structure
        if seat not in solvers:
            return solvers
        at = solvers.index(seat)
        if structure == "ring":
            return [solvers[at - 1]] if len(solvers) > 1 else []
        if structure == "star" and at:
            return solvers[:1]
        return [other for other in solvers if other != seat]

    def _begin(self) -> None:
        super()._begin()
        size = len(self.items)
        self.memo = {
            "now": {seat: [""] * size for seat in self.solvers},
            "shown": {seat: [""] * size for seat in self.solvers},
            "sure": dict.fromkeys(self.solvers, 0),
            "order": list(range(size)),
            "votes": [],
            "rulings": {},
            "asked": False,
        }

    def script(self) -> list[Phase]:
        """The stages asked for, and the decision."""
        offered = self.task.public["options"]
        table = Table(self.params, tuple(self.solvers), tuple(self.items), self.options, offered)
        phases, self._rounds = table.script()
        self.whole = table.whole
        self._last = [phase.name for phase in phases if phase.kind in STAGES][-1]
        self._audiences: dict[tuple[str, str], tuple[str, ...] | None] = {}
        return phases

    # ---- who hears what --------------------------------------------------------------------------------------------

    def audience(self, seat: str, phase: Phase) -> tuple[str, ...] | None:
        """Private stages: the seat alone. Discussion: those who hear it, and who has to judge it."""
        if seat not in self.solvers or phase.kind == "order":
            return phase.audience
        key = (seat, phase.name)
        if key not in self._audiences:
            self._audiences[key] = self._audience(seat, phase)
        return self._audiences[key]

    def _audience(self, seat: str, phase: Phase) -> tuple[str, ...] | None:
        heard = {seat}
        if self._meant_for_others(phase):
            heard |= {other for other in self.solvers if seat in self._hears[other]} | {"moderator_0"}
        if phase.name == self._last or (phase.kind == "discuss" and self.params.decision == "judge_extract"):
            heard.add("supervisor_0")
        found = tuple(name for name in self.possible_agents if name in heard)
        return None if len(found) == len(self.possible_agents) else found

    def _meant_for_others(self, phase: Phase) -> bool:
        """First answers that are discussed item by item show as labels only, when an item's turn comes."""
        return phase.kind == "discuss" or (phase.kind == "initial" and self.whole and "per_item" in self.params.phases)

    # ---- actions ---------------------------------------------------------------------------------------------------

    def legal(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> str:
        """Answers have to be readable, and nobody can be agreed and disagreed with at once."""
        if phase.kind == "order":
            return "" if sorted(fields["order"]) == sorted(self.items) else f"order: list each of {self.items} once"
        if phase.kind == "discuss":
            both = set(fields["agree"]) & set(fields["disagree"])
            if both:
                return f"agree, disagree: {min(both)} is in both lists; name each solver once"
        return self._unreadable(phase, fields["answer"])

    def _unreadable(self, phase: Phase, answer: str) -> str:
        item = self._item(phase)
        if answer == NONE:
            return ""
        if item >= 0:
            return "" if answer in self.options[item] else f"answer: {answer[:80]!r} is not one of {self.options[item]}"
        if self.family.parse(self.task, answer) is None:
            return f"answer: {answer[:80]!r} cannot be read; write {self.task.public['format']}"
        return ""

    def _item(self, phase: Phase) -> int:
        """The item under discussion; -1 where it is the whole answer."""
        slot = self._rounds.get(phase.name, Round(-1, 0)).slot
        return slot if slot < 0 else int(self.memo["order"][slot])

    def _values(self, phase: Phase, fields: dict[str, JSON]) -> dict[int, str]:
        """Item -> value that an action states; {} for an action without an answer."""
        answer, item = fields["answer"], self._item(phase)
        if answer == NONE:
            return {}
        return {item: answer} if item >= 0 else dict(enumerate(self.family.parse(self.task, answer)))

    def gives_verdict(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> bool:
        """A ruling that was replaced by the default is none; one that says so in its own words is."""
        return fields != phase.default

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """Keep the seat's present answer, or its vote or ruling."""
        if phase.kind == "order":
            self.memo["votes"].append([self.items.index(item) for item in fields["order"]])
        elif seat not in self.solvers:
            self._rule(seat, fields)
        elif not phase.probe:
            for item, value in self._values(phase, fields).items():
                self.memo["now"][seat][item] = value
            self.memo["sure"][seat] = fields.get("confidence", 0)
            if self._meant_for_others(phase):
                self._show(seat, range(len(self.items)) if self.whole else [self._item(phase)])

    def _rule(self, seat: str, fields: dict[str, JSON]) -> None:
        given = [] if fields["answer"] == NONE else self.family.parse(self.task, fields["answer"])
        values, stop = given or self._ruling(seat)["values"], bool(fields.get("stop", False))
        self.memo["rulings"][seat] = {"values": values, "stop": stop}
        if stop and self.params.early_stop:
            self.memo["stop"] = True
        if seat == "moderator_0" and self.params.decision == "judge_extract":
            self.memo["settled"] = stop and bool(values)

    def _ruling(self, seat: str) -> dict[str, JSON]:
        found: dict[str, JSON] = self.memo["rulings"].get(seat, NO_RULING)
        return found

    def _show(self, seat: str, items: Iterable[int]) -> None:
        for item in items:
            self.memo["shown"][seat][item] = self.memo["now"][seat][item]

    # ---- between phases --------------------------------------------------------------------------------------------

    def phase_over(self, phase: Phase) -> None:
        """Settle the order, stop where all agree, and say what comes next."""
        if phase.kind == "order":
            self._rank()
        if self.params.decision == "supervisor":
            self.memo["settled"] = all(self._columns(measures.most))
        if self.params.early_stop and not self.params.moderated:
            self._stop_agreed()
        rest = self._script[self._index + 1 :]
        follows = next((p for p in rest if not (p.unless and self.memo.get(p.unless))), None)
        if follows is not None and follows.kind in ("settle", "extract"):
            self._report()
        elif follows is not None and follows.name in self._rounds:
            slot, number = self._rounds[follows.name]
            if slot >= 0 and number == 1:
                self._announce(self.memo["order"][slot])

    def _rank(self) -> None:
        """Items by their mean place in the orders that were proposed; the given order breaks ties."""
        ranks = [sum(vote.index(i) for vote in self.memo["votes"]) for i in range(len(self.items))]
        self.memo["order"] = sorted(range(len(self.items)), key=lambda i: (ranks[i], i))

    def _stop_agreed(self) -> None:
        agreed = [seat and len(set(seat)) == 1 for seat in self._columns(lambda votes: all(votes) and votes)]
        if self.whole:
            self.memo["stop"] = all(agreed)
            return
        for slot, item in enumerate(self.memo["order"]):
            self.memo[f"agreed {slot}"] = bool(agreed[item])

    def _announce(self, item: int) -> None:
        """Tell each solver which item is next, and the labels of those it hears."""
        for seat in self.solvers:
            self._show(seat, [item])
        if self.params.structure not in ("ring", "star"):
            self.note("topic", self._labels(item, self.solvers), tuple(self.solvers))
            return
        for seat in self.solvers:
            self.note("topic", self._labels(item, [seat, *self._hears[seat]]), (seat,))

    def _labels(self, item: int, seats: Sequence[str]) -> dict[str, JSON]:
        labels: dict[str, JSON] = {"item": self.items[item]}
        for seat in seats:
            value, sure = self.memo["now"][seat][item], self.memo["sure"][seat]
            if value:
                labels[seat] = f"{value}, confidence {sure}" if sure else value
        return labels

    def _report(self) -> None:
        """Tell the supervisor where each solver stands, and what has no majority."""
        self.memo["asked"] = True
        data: dict[str, JSON] = {seat: self._write(values) for seat, values in self.memo["now"].items()}
        if self.params.decision == "supervisor" and len(self.items) > 1:
            top = self._columns(measures.most)
            data["undecided"] = [item for item, value in zip(self.items, top, strict=True) if not value]
        self.note("answers", data, ("supervisor_0",))

    # ---- decision and pay ------------------------------------------------------------------------------------------

    def _columns(self, count: Callable[[list[str]], Any]) -> list[Any]:
        return [count(measures.column(self.memo["now"], i)) for i in range(len(self.items))]

    def decision(self) -> list[str]:
        """The team's answer as it stands: one value per item, "" where there is none."""
        nothing = [""] * len(self.items)
        ruled = {seat: ruling["values"] or nothing for seat, ruling in self.memo["rulings"].items()}
        if self.params.decision == "moderator":
            return ruled.get("moderator_0", nothing)
        if self.params.decision == "judge_extract":
            return ruled.get("supervisor_0" if "supervisor_0" in ruled else "moderator_0", nothing)
        if self.params.decision == "supervisor":
            last = ruled.get("supervisor_0", nothing)
            return [value or other for value, other in zip(self._columns(measures.most), last, strict=True)]
        return self._vote(self._columns(list), "tie")

    def _vote(self, votes: Sequence[Sequence[str]], label: str) -> list[str]:
        """The winner of each item's vote."""
        return [measures.settle(vote, self.params.tie, self.rng(label, i)) for i, vote in enumerate(votes)]

    def _right(self) -> list[str]:
        right: list[str] = self.family.parse(self.task, self.task.truth["answer"])
        return right

    def _write(self, values: Sequence[str]) -> str:
        """An answer in the family's writing, as far as there is one."""
        return str(self.family.write(self.task, [value or NONE for value in values])) if any(values) else NONE

    def _mark(self, values: Sequence[str]) -> float:
        share = measures.share(values, self._right())
        return share if self.params.grade == "share" else float(share == 1)

    def payoffs(self) -> dict[str, float]:
        """Solvers by `reward`; a moderator for its own answer, a supervisor for the decision."""
        decision = self.decision()
        self.note("decision", {"answer": self._write(decision)})
        paid = dict.fromkeys(self.possible_agents, self._mark(decision))
        if self.params.moderated:
            paid["moderator_0"] = self._mark(self._ruling("moderator_0")["values"])
        if self.params.reward != "team":
            paid |= {seat: self._mark(values) for seat, values in self.memo["now"].items()}
        if self.params.reward == "delta":
            first = self._stages(self._said())["initial"]
            paid |= {seat: paid[seat] - self._mark(first[seat]) for seat in self.solvers}
        return paid

    # ---- measures --------------------------------------------------------------------------------------------------

    def metrics(self) -> dict[str, float]:
        """Accuracy of the decision; accuracy, majority and agreement by stage; who changed beside whom; rounds."""
        right, decision, said = self._right(), self.decision(), self._said()
        table = self._stages(said)
        before = next(iter(table.values()))
        held = {e.phase for e in self.log if e.kind == "act" and e.phase in self._rounds}
        found = {
            "accuracy": measures.share(decision, right),
            "solved": float(decision == right),
            "gain": measures.gain(decision, before, right),
            "decided": sum(map(bool, decision)) / len(right),
            "rounds": len(held) / (1 if self.whole else len(self.items)),
            "answers": float(len(said)),
        }
        found |= measures.by_stage(table, right) | measures.transitions(before, table["end"], right)
        found |= measures.overturned(before, decision, right)
        found |= measures.justified(measures.changes(said), self._deduced if "statements" in self.task.known else None)
        if self.params.moderated:
            ruling = self._ruling("moderator_0")
            found |= {"moderator_accuracy": measures.share(ruling["values"], right), "stopped": float(ruling["stop"])}
        return found | self._baseline(decision, right)

    def _said(self, kind: str = "act") -> list[Said]:
        """All answers of solvers, from the log."""
        phases = {phase.name: phase for phase in self._script if phase.kind != "order"}
        return [
            Said(e.author, self._stage(phases[e.phase]), self._values(phases[e.phase], e.data), e.data["explanation"])
            for e in self.log
            if e.kind == kind and e.author in self.solvers and e.phase in phases
        ]

    def _stage(self, phase: Phase) -> str:
        return f"round {self._rounds[phase.name].number}" if phase.kind == "discuss" else phase.kind

    def _stages(self, said: Sequence[Said]) -> dict[str, Answers]:
        """Every solver's answer by stage, in the order of an item's life."""
        names = dict.fromkeys(self._stage(phase) for phase in self._script if phase.kind in STAGES)
        order = sorted(names, key=lambda name: (name == "final", name == "adjust", name != "initial"))
        return measures.stages(said, self.solvers, len(self.items), order)

    def _deduced(self, change: measures.Change) -> bool:
        """Whether the words that came with a change deduce the new value from the puzzle's statements."""
        claim = f"{self.items[change.item]} {change.value}"
        return claim in change.explanation and check_reason(self.task, change.explanation) == 1.0

    def _baseline(self, decision: Sequence[str], right: Sequence[str]) -> dict[str, float]:
        """Majority of all samples: self-consistency with as many answers as the match itself takes."""
        samples = [word.values for word in self._said("probe")]
        votes = [[values.get(i, "") for values in samples] for i in range(len(right))]
        return measures.baseline(votes, self._vote(votes, "baseline"), decision, right) if samples else {}

    # ---- numbers for learners --------------------------------------------------------------------------------------

    def _shape(self) -> face.Shape:
        return face.shape(self.params.task, json.dumps(self.params.task_params, sort_keys=True))

    def compact_space(self, seat: str) -> spaces.MultiDiscrete:
        """Solver, supervisor: an option per item (and, where asked for, confidence - 1, the item to discuss first).

        Moderator: the solver that is right, and whether to stop.
        """
        items, width, _ = self._shape()
        if self.role(seat) == "moderator":
            return spaces.MultiDiscrete([self.params.n, 2])
        sizes = [width] * items
        if self.role(seat) == "solver":
            sizes += [10] * self.params.confidence_visible + [items] * (self.params.order == "agent_chosen")
        return spaces.MultiDiscrete(sizes)

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Options that this question has; everything else is free."""
        mask = super().compact_mask(seat)
        if self.role(seat) != "moderator":
            width = self._shape().width
            for i, possible in enumerate(self.options):
                mask[i * width + len(possible) : (i + 1) * width] = 0
        return mask

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """The chosen options as an answer; what the phase does not ask for is ignored."""
        phase, chosen = self.phase, [int(x) for x in value]
        if phase.kind == "moderate":
            side = self.solvers[chosen[0]]
            answer = self._write(self.memo["shown"][side])
            return {"reason": "", "side": side, "answer": answer, "stop": bool(chosen[1])}
        if phase.kind == "order":
            first = self.items[chosen[-1]]
            return {"order": [first, *(item for item in self.items if item != first)]}
        values = [possible[choice] for possible, choice in zip(self.options, chosen, strict=False)]
        item = self._item(phase)
        fields: dict[str, JSON] = {"explanation": "", "answer": values[item] if item >= 0 else self._write(values)}
        if phase.kind == "extract":
            fields["candidates"] = list(dict.fromkeys(self._write(answer) for answer in self.memo["now"].values()))
        if "confidence" in phase.fields.model_fields:
            fields["confidence"] = chosen[self._shape().items] + 1
        return fields

    def features(self, seat: str) -> list[float]:
        """The kind of phase, the item discussed, the task, the seat's own answer, and what it heard of the others."""
        items, width, size = self._shape()
        kind, item = ("", -1) if self.over else (self.phase.kind, self._item(self.phase))
        numbers = [float(kind == name) for name in KINDS] + face.one_hot(item, items)
        numbers += face.pad(face.task_numbers(self.task.known, self.options, width), size)
        numbers += self._encode(self.memo["now"].get(seat, []))
        for other in self.solvers:
            if other != seat:
                numbers += self._heard(seat, other)
        return [*numbers, self.params.disagreement if self.card(seat) else 0.0]

    def _encode(self, values: Sequence[str]) -> list[float]:
        items, width, _ = self._shape()
        return face.pad(face.encode(values, self.options, width), items * (width + 1))

    def _heard(self, seat: str, other: str) -> list[float]:
        """The last answer (and confidence) of `other` that `seat` was shown."""
        supervisor = self.role(seat) == "supervisor"
        known = self.memo["asked"] if supervisor else other in self._hears[seat]
        values = self.memo["now" if supervisor else "shown"][other] if known else []
        sure = self.memo["sure"][other] / 10 if any(values) else 0.0
        return self._encode(values) + [sure] * self.params.confidence_visible
