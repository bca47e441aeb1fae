"""The phase engine: one PettingZoo AEC environment that plays any declared script of phases.

An environment file holds only what is particular to it: task, cards, script, effects, payoffs, metrics, compact face.
The engine owns the log, all AEC bookkeeping, bad actions, snapshots and views. Pure: no model, network, clock, file or
global random state. Truth stays in `task.truth`; it is in no view, observation or info.
"""

from __future__ import annotations

from typing import Any

from simarena import reading
from simarena.envs.contract import Params, Scored, base_schema
from simarena.envs.faces import Faces
from simarena.envs.phases import Phase
from simarena.envs.state import Entry, State
from simarena.errors import SimArenaError
from simarena.records import JSON, Action, Outcome, Reading, View
from simarena.registry import TASKS, lookup

__all__ = ["Params", "PhaseEnv", "Scored", "base_schema"]


class PhaseEnv(Faces, State):
    """A match of any kind. Subclasses give the parts that `envs.contract` names first."""

    def __init__(self, *, render_mode: str | None = None, **params: Any) -> None:
        self.params = self.Params(**params)
        self.render_mode = render_mode
        self.family = lookup(TASKS, "task family", self.params.task)(**self.params.task_params)
        self.possible_agents = self.seats()
        self._roles = {seat: seat.rsplit("_", 1)[0] for seat in self.possible_agents}
        self._spaces = {}
        self.agents: list[str] = []
        self._next_seed = 0

    # ---- PettingZoo AEC --------------------------------------------------------------------------------------------

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Deal a match. `options["task_seed"]` fixes the task alone. Unseeded: the next number, from 0."""
        self.seed = self._next_seed if seed is None else int(seed)
        self._next_seed = self.seed + 1
        self.task_seed = int((options or {}).get("task_seed", self.seed))
        self._begin()
        self.note("task", self.task.public)
        for seat in self.possible_agents:
            if card := self.card(seat):
                self.note("card", card, (seat,))
        self._open(0)
        self._settle()

    def _open(self, index: int) -> None:
        """Move to the first phase from `index` on that is not skipped, or end the match."""
        while index < len(self._script):
            phase = self._script[index]
            if not (phase.unless and self.memo.get(phase.unless)) and phase.actors:
                self._index, self._at, self._phase_name = index, 0, phase.name
                self._order = self._ordered(phase)
                if self._order:
                    self.agent_selection = self._order[0]
                    return
            index += 1
        self._finish()

    def _ordered(self, phase: Phase) -> list[str]:
        if phase.order == "chosen":
            return list(self.chosen_order(phase))
        order = list(phase.actors)
        if phase.order == "random":
            self.rng("order", phase.name).shuffle(order)
        return order

    def _finish(self, truncated: bool = False) -> None:
        self._index, self._order, self._at, self._phase_name = len(self._script), [], 0, "end"
        for seat, amount in self.payoffs().items():
            self.pay(seat, amount)
        self.terminations = dict.fromkeys(self.agents, not truncated)
        self.truncations = dict.fromkeys(self.agents, truncated)
        self.agent_selection = self.agents[0]

    def step(self, action: str | dict[str, JSON] | Action | None) -> None:
        """Act for `agent_selection`: a text is read as JSON, a dict is checked, an Action was read before."""
        if not self.agents:
            raise SimArenaError(f"{self.name}: nobody is left to act; call reset() to deal a match")
        seat = self.agent_selection
        if self.terminations[seat] or self.truncations[seat]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[seat] = 0.0
        if self._paid:
            self.rewards, self._paid = dict.fromkeys(self.agents, 0.0), False
        phase = self._script[self._index]
        fields, outcome, error = self._admit(seat, phase, action)
        if not (phase.probe or phase.score):  # both are asked aside: what they showed is still to be told
            self._shown[seat] = len(self.log)
        self.infos[seat] = {"outcome": outcome}
        counts = self.outcomes[seat]
        counts[outcome] = counts.get(outcome, 0) + 1
        self._steps += 1
        self._advance(seat, phase, (seat, fields, outcome, error))
        limit = self.params.max_turns
        if limit is not None and self._steps >= limit and not self._buffer and not self.over:
            self._finish(truncated=True)
        self._settle()

    def _settle(self) -> None:
        """Book this step's rewards."""
        if self._paid:
            for name, reward in self.rewards.items():
                self.returns[name] += reward
                self._cumulative_rewards[name] += reward

    def _advance(self, seat: str, phase: Phase, entry: Entry) -> None:
        self._at += 1
        last = self._at >= len(self._order)
        if phase.order == "simultaneous":
            self._buffer.append(entry)
            if last:
                entries, self._buffer = self._buffer, []
                for each in entries:
                    self._record(phase, *each)
                for who, fields, _, _ in entries:
                    self._apply(who, phase, fields)
        else:
            self._record(phase, *entry)
            self._apply(seat, phase, entry[1])
        if last:
            self.phase_over(phase)
            self._open(self._index + 1)
        else:
            self.agent_selection = self._order[self._at]

    def _apply(self, seat: str, phase: Phase, fields: dict[str, JSON] | None) -> None:
        """Let an action have its effect, or count as missed; count verdicts, given and missed."""
        if phase.verdict:
            given = fields is not None and self.gives_verdict(seat, phase, fields)
            self.verdicts.setdefault(seat, {}).setdefault(phase.verdict, [0, 0])[not given] += 1
        if fields is None:
            self.missed(seat, phase)
        else:
            self.effect(seat, phase, fields)

    def _admit(
        self, seat: str, phase: Phase, action: str | dict[str, JSON] | Action | None
    ) -> tuple[dict[str, JSON] | None, Outcome, str]:
        """The fields to apply (None: nothing), what became of the action, and why."""
        outcome: Outcome = "ok"
        if isinstance(action, Action):
            outcome = action.outcome
            found = self._check(seat, phase, action.fields) if action.fields is not None else None
            found = found or Reading(None, action.outcome, reading.clean(action.error[:500]))
        elif isinstance(action, str):
            found = self.read(seat, phase, action)
        else:
            found = self._check(seat, phase, action)
        if found.fields is None:
            bad = found.outcome if found.outcome not in ("ok", "repaired") else "malformed"
            neutral = None if phase.default is None else dict(phase.default)
            return neutral, bad, found.error or "no action was given"
        return self._cut(phase, found.fields, outcome if outcome == "repaired" else found.outcome)

    def _check(self, seat: str, phase: Phase, value: JSON) -> Reading:
        found = reading.check(value, phase.fields)
        return self._legal(seat, phase, found)

    def read(self, seat: str, phase: Phase, text: str) -> Reading:
        """Read a reply as an action of `phase`, legality included."""
        return self._legal(seat, phase, reading.read(text, phase.fields))

    def _legal(self, seat: str, phase: Phase, found: Reading) -> Reading:
        if found.fields is None:
            return found
        for key, values in phase.choices.items():
            given = found.fields.get(key)
            for item in given if isinstance(given, list) else (given,):
                if item not in values:
                    return Reading(
                        None, "illegal", f"{key}: {str(item)[:80]!r} is not one of {str(list(values))[:400]}", found.how
                    )
        if problem := self.legal(seat, phase, found.fields):
            return Reading(None, "illegal", problem, found.how)
        return found

    @staticmethod
    def _cut(phase: Phase, fields: dict[str, JSON], outcome: Outcome) -> tuple[dict[str, JSON], Outcome, str]:
        error = ""
        for key, limit in phase.words.items():
            short = reading.cut_words(fields[key], limit)
            if short is not fields[key]:
                fields, outcome, error = {**fields, key: short}, "truncated", f"{key} was cut at {limit} words"
        return fields, outcome, error

    def _record(self, phase: Phase, seat: str, fields: dict[str, JSON] | None, outcome: Outcome, error: str) -> None:
        """Write an action's events: the public part, the private part, and what was wrong with it."""
        if fields is None:
            pass  # nothing was done
        elif phase.probe:
            self.note("probe", fields, (), seat)
        elif not phase.private:
            self.note("act", fields, self.audience(seat, phase), seat)
        else:
            public = {k: v for k, v in fields.items() if k not in phase.private}
            self.note("act", public, self.audience(seat, phase), seat)
            self.note("private", {k: v for k, v in fields.items() if k in phase.private}, (seat,), seat)
        if outcome not in ("ok", "repaired"):
            audience = () if phase.probe else (seat,)
            self.note("outcome", {"outcome": outcome, "error": error, "applied": fields}, audience)

    # ---- views -----------------------------------------------------------------------------------------------------

    def view(self, seat: str) -> View:
        """The match as `seat` may see it; the seat has to be one of `to_move`."""
        phase, until = self.phase, len(self.log)
        new = self.visible(seat, self._shown[seat])
        return View(
            env=self.name,
            seat=seat,
            role=self._roles[seat],
            phase=phase.name,
            kind=phase.kind,
            step=self._steps,
            brief=self.brief(seat),
            instruction=phase.instruction,
            task=self.task.known,
            card=self.card(seat),
            events=tuple(e for e in new if e.author != seat),
            history=lambda: self.visible(seat, until=until),
            fields=phase.fields,
            schema=self.schema(phase),
            choices=phase.choices,
            read=lambda text: self.read(seat, phase, text),
            probe=phase.probe,
            score=self.score(seat, phase) if phase.score else None,
            budget={f"words in {key}": limit for key, limit in phase.words.items()},
        )

    def schema(self, phase: Phase) -> dict[str, JSON]:
        """JSON Schema of the phase's action, with this match's legal values as enums."""
        schema = base_schema(phase.fields)
        if not phase.choices:
            return schema
        properties = dict(schema["properties"])
        for key, values in phase.choices.items():
            inner = properties[key]
            enum = {"enum": list(values)}
            properties[key] = {**inner, "items": enum} if inner.get("type") == "array" else {**inner, **enum}
        return {**schema, "properties": properties}
