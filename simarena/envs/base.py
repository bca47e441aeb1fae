"""The phase engine: one PettingZoo AEC environment that plays any declared script of phases.

An environment file holds only what is particular to it: task, cards, script, effects, payoffs, metrics, compact face.
The engine owns the log, all AEC bookkeeping, bad actions, snapshots and views. Pure: no model, network, clock, file or
global random state. Truth stays in `task.truth`; it is in no view, observation or info.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

import gymnasium
import numpy as np
from numpy.typing import NDArray
from pettingzoo import AECEnv
from pydantic import BaseModel, ConfigDict, PositiveInt

from simarena import reading, seeds
from simarena.envs import spaces
from simarena.envs.phases import Phase
from simarena.errors import SimArenaError
from simarena.records import JSON, Action, Event, Outcome, Reading, Score, View
from simarena.registry import TASKS, lookup
from simarena.tasks.base import Task

SNAPSHOT_VERSION = 1


class Params(BaseModel):
    """Base of an environment's parameters: strict, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = ""
    """Family that the tasks come from, e.g. "kks"."""
    task_params: dict[str, JSON] = {}
    """The family's own parameters."""
    max_turns: PositiveInt | None = None
    """Truncate the match after so many actions; None: play the whole script."""


class Scored(reading.Fields):
    """The action of a scoring phase: for each given text its log-probability (nats) and its number of tokens."""

    logprobs: list[float]
    tokens: list[int]


@lru_cache(maxsize=512)
def base_schema(fields: type[BaseModel]) -> dict[str, JSON]:
    """JSON Schema of `fields`, closed: surplus keys are not asked for."""
    return {**fields.model_json_schema(), "additionalProperties": False}


class PhaseEnv(AECEnv):
    """A match of any kind. Subclasses give the parts under "what an environment file gives"."""

    metadata: ClassVar[dict[str, Any]] = {"name": "phase_env", "render_modes": ["ansi"], "is_parallelizable": False}
    name: ClassVar[str] = ""
    Params: ClassVar[type[Params]] = Params

    def __init__(self, *, render_mode: str | None = None, **params: Any) -> None:
        self.params: Any = self.Params(**params)
        self.render_mode = render_mode
        self.family: Any = lookup(TASKS, "task family", self.params.task)(**self.params.task_params)
        self.possible_agents: list[str] = self.seats()
        self._roles = {seat: seat.rsplit("_", 1)[0] for seat in self.possible_agents}
        self._spaces: dict[str, gymnasium.Space[Any]] = {}
        self.agents: list[str] = []
        self._next_seed = 0

    # ---- what an environment file gives ---------------------------------------------------------------------------

    def seats(self) -> list[str]:
        """Seat names, `role_number`, fixed by the parameters."""
        raise NotImplementedError

    def deal(self, seed: int) -> Task:
        """The task of this seed."""
        task: Task = self.family.generate(seed)
        return task

    def card(self, seat: str) -> dict[str, JSON]:
        """What this seat alone knows from the start."""
        return {}

    def brief(self, seat: str) -> str:
        """Rules and role in words, the system prompt of a language agent."""
        return ""

    def script(self) -> list[Phase]:
        """The phases of this match, in order; a function of parameters and task only."""
        raise NotImplementedError

    def chosen_order(self, phase: Phase) -> Sequence[str]:
        """Actors of a phase with order "chosen", as earlier actions decided."""
        return phase.actors

    def audience(self, seat: str, phase: Phase) -> tuple[str, ...] | None:
        """Who sees what `seat` does in `phase`, where that depends on the seat (who hears whom)."""
        return phase.audience

    def legal(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> str:
        """Why these well-formed fields are not allowed now; "" where they are."""
        return ""

    def effect(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> None:
        """Apply one action (for simultaneous phases: after all were revealed)."""

    def phase_over(self, phase: Phase) -> None:
        """After the last action of a phase: notes, stop flags, payments."""

    def score(self, seat: str, phase: Phase) -> Score | None:
        """For scoring phases: the texts to weigh."""
        return None

    def payoffs(self) -> dict[str, float]:
        """Seat -> final reward, paid when the script has ended."""
        return {}

    def metrics(self) -> dict[str, float]:
        """Measures of the finished match; may use the truth."""
        return {}

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """The numeric action space of this seat, the same in all its phases."""
        raise NotImplementedError

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Flat 0/1 vector of legal compact values now (`spaces.mask_size` long)."""
        return np.ones(spaces.mask_size(self._space("compact", seat)), np.int8)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """A compact action as fields of the present phase."""
        raise NotImplementedError

    def features(self, seat: str) -> list[float]:
        """What this seat may see, as numbers in [-1, 1]; always of the same length for a seat."""
        raise NotImplementedError

    # ---- tools for environment files -------------------------------------------------------------------------------

    def rng(self, *labels: object) -> random.Random:
        """A generator of its own for `labels` in this match; nothing has to be remembered of it."""
        return seeds.rng(self.seed, *labels)

    def note(self, kind: str, data: dict[str, JSON], audience: tuple[str, ...] | None = None, author: str = "") -> None:
        """Write an event of the environment into the log."""
        self.log.append(Event(len(self.log), self._phase_name, author, audience, kind, data))

    def pay(self, seat: str, amount: float) -> None:
        """Add to a seat's reward of this step."""
        self.rewards[seat] += amount
        self._paid = True

    def of_role(self, role: str) -> list[str]:
        """Seats of a role, in order."""
        return [seat for seat in self.possible_agents if self._roles[seat] == role]

    def role(self, seat: str) -> str:
        """Role of a seat: its name without the number."""
        return self._roles[seat]

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

    def _begin(self) -> None:
        self.task: Task = self.deal(self.task_seed)
        self.memo: dict[str, JSON] = {}
        self.log: list[Event] = []
        self._phase_name, self._steps, self._paid = "deal", 0, False
        self._buffer: list[tuple[str, dict[str, JSON], Outcome, str]] = []
        self._shown = dict.fromkeys(self.possible_agents, 0)
        self._hash, self._hashed = hashlib.sha256(), 0
        self.outcomes: dict[str, dict[str, int]] = {seat: {} for seat in self.possible_agents}
        self.agents = self.possible_agents[:]
        self.rewards: dict[str, float] = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.returns = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {seat: {} for seat in self.agents}
        self._skip_agent_selection = None
        self._script = self.script()

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

    @property
    def over(self) -> bool:
        """Whether the script has ended."""
        return self._index >= len(self._script)

    @property
    def phase(self) -> Phase:
        """The present phase."""
        return self._script[self._index]

    @property
    def to_move(self) -> list[str]:
        """Seats that may act now without seeing one another's actions; [] when the match is over."""
        if self.over:
            return []
        return self._order[self._at :] if self.phase.order == "simultaneous" else [self.agent_selection]

    def step(self, action: str | dict[str, JSON] | Action | None) -> None:
        """Act for `agent_selection`: a text is read as JSON, a dict is checked, an Action was read before."""
        seat = self.agent_selection
        if self.terminations[seat] or self.truncations[seat]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[seat] = 0.0
        if self._paid:
            self.rewards, self._paid = dict.fromkeys(self.agents, 0.0), False
        phase = self._script[self._index]
        fields, outcome, error = self._admit(seat, phase, action)
        self._shown[seat] = self._shown[seat] if phase.probe else len(self.log)
        self.infos[seat] = {"outcome": outcome}
        counts = self.outcomes[seat]
        counts[outcome] = counts.get(outcome, 0) + 1
        self._steps += 1
        self._advance(seat, phase, (seat, fields, outcome, error))
        if self.params.max_turns == self._steps and not self.over:
            self._finish(truncated=True)
        if self._paid:
            for name, reward in self.rewards.items():
                self.returns[name] += reward
                self._cumulative_rewards[name] += reward

    def _advance(self, seat: str, phase: Phase, entry: tuple[str, dict[str, JSON], Outcome, str]) -> None:
        self._at += 1
        last = self._at >= len(self._order)
        if phase.order == "simultaneous":
            self._buffer.append(entry)
            if last:
                entries, self._buffer = self._buffer, []
                for each in entries:
                    self._record(phase, *each)
                for who, fields, _, _ in entries:
                    self.effect(who, phase, fields)
        else:
            self._record(phase, *entry)
            self.effect(seat, phase, entry[1])
        if last:
            self.phase_over(phase)
            self._open(self._index + 1)
        else:
            self.agent_selection = self._order[self._at]

    def _admit(
        self, seat: str, phase: Phase, action: str | dict[str, JSON] | Action | None
    ) -> tuple[dict[str, JSON], Outcome, str]:
        """The fields to apply, what became of the action, and why."""
        outcome: Outcome = "ok"
        if isinstance(action, Action):
            outcome = action.outcome
            found = self._check(seat, phase, action.fields) if action.fields is not None else None
            found = found or Reading(None, action.outcome, action.error)
        elif isinstance(action, str):
            found = self.read(seat, phase, action)
        else:
            found = self._check(seat, phase, action)
        if found.fields is None:
            bad = found.outcome if found.outcome not in ("ok", "repaired") else "malformed"
            return dict(phase.default), bad, found.error or "no action was given"
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
                        None, "illegal", f"{key}: {str(item)[:80]!r} is not one of {list(values)}", found.how
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

    def _record(self, phase: Phase, seat: str, fields: dict[str, JSON], outcome: Outcome, error: str) -> None:
        """Write an action's events: the public part, the private part, and what was wrong with it."""
        if phase.probe:
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

    def visible(self, seat: str, since: int = 0, until: int | None = None) -> tuple[Event, ...]:
        """Events at log positions `since` <= seq < `until` that `seat` may see."""
        return tuple(e for e in self.log[since:until] if e.audience is None or seat in e.audience)

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

    # ---- learners' faces -------------------------------------------------------------------------------------------

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """Text: the action as a JSON object. `simarena.envs.compact` offers the numeric space."""
        return self._space("action", agent)

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Dict of text (new events), numeric features, and the mask of compact actions."""
        return self._space("observation", agent)

    def _space(self, which: str, seat: str) -> gymnasium.Space[Any]:
        key = f"{which}/{seat}"
        if key not in self._spaces:
            if which == "action":
                self._spaces[key] = spaces.Utterance()
            elif which == "compact":
                self._spaces[key] = self.compact_space(seat)
            else:
                size = spaces.mask_size(self.compact_space(seat))
                self._spaces[key] = spaces.observation_space(
                    self._feature_size(seat), size, text=which == "observation"
                )
        return self._spaces[key]

    def _feature_size(self, seat: str) -> int:
        """Measured on a match of its own, so that spaces can be asked for before `reset`."""
        probe = type(self)(**self.params.model_dump())
        probe.reset(seed=0)
        return len(probe.features(seat))

    def observe(self, agent: str) -> dict[str, Any]:
        """What a learner in seat `agent` sees now."""
        return {**self.observe_compact(agent), "text": self._text(agent)}

    def observe_compact(self, seat: str) -> dict[str, Any]:
        """Features and mask; the mask is all ones while the seat has nothing to decide."""
        moving = not self.over and seat in self.to_move
        mask = self.compact_mask(seat) if moving else np.ones(spaces.mask_size(self._space("compact", seat)))
        return {
            "features": np.asarray(self.features(seat), np.float32).clip(-1.0, 1.0),
            "mask": np.asarray(mask, np.int8),
        }

    def _text(self, seat: str) -> str:
        new = [e for e in self.visible(seat, self._shown[seat]) if e.author != seat]
        text = "\n".join(f"{e.author or 'arena'} {e.kind}: {json.dumps(e.data, ensure_ascii=False)}" for e in new)
        return text[-spaces.MAX_TEXT :]

    def render(self) -> str:
        """The public log as text."""
        lines = (
            f"[{e.phase}] {e.author or 'arena'} {e.kind}: {json.dumps(e.data, ensure_ascii=False)}"
            for e in self.log
            if e.audience is None
        )
        return "\n".join(lines)

    def close(self) -> None:
        """Nothing is held."""

    def state(self) -> NDArray[np.float32]:
        """All seats' features, side by side."""
        return np.concatenate([np.asarray(self.features(seat), np.float32) for seat in self.possible_agents])

    # ---- snapshot, restore, fork ------------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, JSON]:
        """The whole match as JSON; `restore` continues from it exactly."""
        return {
            "version": SNAPSHOT_VERSION,
            "env": self.name,
            "params": self.params.model_dump(mode="json"),
            "seed": self.seed,
            "task_seed": self.task_seed,
            **self._position(),
            "log": [[e.seq, e.phase, e.author, e.audience and list(e.audience), e.kind, e.data] for e in self.log],
        }

    def _position(self) -> dict[str, JSON]:
        """Everything that changes while a match is played, but for the log."""
        return {
            "index": self._index,
            "at": self._at,
            "order": self._order,
            "phase": self._phase_name,
            "steps": self._steps,
            "buffer": [list(entry) for entry in self._buffer],
            "memo": self.memo,
            "shown": self._shown,
            "outcomes": self.outcomes,
            "selection": self.agent_selection,
            "agents": self.agents,
            "rewards": self.rewards,
            "cumulative": self._cumulative_rewards,
            "returns": self.returns,
            "terminations": self.terminations,
            "truncations": self.truncations,
            "infos": self.infos,
            "paid": self._paid,
        }

    @classmethod
    def restore(cls, snapshot: Mapping[str, JSON]) -> PhaseEnv:
        """The match that `snapshot` was taken of."""
        if snapshot.get("version") != SNAPSHOT_VERSION or snapshot.get("env") != cls.name:
            raise SimArenaError(
                f"a snapshot of {snapshot.get('env')!r}, version {snapshot.get('version')!r}, "
                f"cannot be restored by {cls.name!r}, version {SNAPSHOT_VERSION}"
            )
        data = json.loads(json.dumps(snapshot))  # nothing is shared with the match it came from
        env = cls(**data["params"])
        env.seed, env.task_seed, env._next_seed = data["seed"], data["task_seed"], data["seed"] + 1
        env._begin()
        env._place(data)
        return env

    def _place(self, data: dict[str, JSON]) -> None:
        self.log = [Event(q, p, a, None if s is None else tuple(s), k, d) for q, p, a, s, k, d in data["log"]]
        self._index, self._at, self._order = data["index"], data["at"], data["order"]
        self._phase_name, self._steps, self._paid = data["phase"], data["steps"], data["paid"]
        self._buffer = [(entry[0], entry[1], entry[2], entry[3]) for entry in data["buffer"]]
        self.memo, self._shown, self.outcomes = data["memo"], data["shown"], data["outcomes"]
        self.agent_selection, self.agents = data["selection"], data["agents"]
        self.rewards, self._cumulative_rewards = data["rewards"], data["cumulative"]
        self.returns, self.terminations, self.infos = data["returns"], data["terminations"], data["infos"]
        self.truncations = data["truncations"]

    def fork(self) -> PhaseEnv:
        """An independent copy of the match at this very moment."""
        return self.restore(self.snapshot())

    def state_hash(self) -> str:
        """Hash of the match's state; equal for equal snapshots. Costs what was logged since the last call."""
        for event in self.log[self._hashed :]:
            self._hash.update(json.dumps(event, sort_keys=True).encode())
        self._hashed = len(self.log)
        total = self._hash.copy()
        total.update(json.dumps(self._position(), sort_keys=True).encode())
        return total.hexdigest()[:16]
