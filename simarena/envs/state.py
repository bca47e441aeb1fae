"""Everything that changes while a match is played: begun, written as JSON, restored, forked, hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Self

from simarena.envs.contract import Contract
from simarena.errors import SimArenaError
from simarena.records import JSON, Event, Outcome, Verdicts

SNAPSHOT_VERSION = 1
Entry = tuple[str, dict[str, JSON] | None, Outcome, str]
"""An action on its way to the log: seat, the fields to apply (None: nothing is), outcome, what was wrong."""


class State(Contract):
    """A match's state: exact JSON at any turn."""

    task_seed: int
    agent_selection: str
    _next_seed: int

    def _begin(self) -> None:
        """A fresh match of `seed` and `task_seed`, before anything is in the log."""
        self.task = self.deal(self.task_seed)
        self.memo = {}
        self.log = []
        self._phase_name, self._steps, self._paid = "deal", 0, False
        self._buffer: list[Entry] = []
        self._shown = dict.fromkeys(self.possible_agents, 0)
        self._hash, self._hashed = hashlib.sha256(f"{self.name} {self.seed} {self.task_seed}".encode()), 0
        self.outcomes: dict[str, dict[str, int]] = {seat: {} for seat in self.possible_agents}
        self.verdicts: Verdicts = {}
        self.agents = self.possible_agents[:]
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.returns = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos: dict[str, dict[str, Any]] = {seat: {} for seat in self.agents}
        self._skip_agent_selection = None
        self._script = self.script()

    def snapshot(self) -> dict[str, JSON]:
        """The whole match as JSON, a copy; `restore` continues from it exactly."""
        copy: dict[str, JSON] = json.loads(json.dumps(self._picture(), allow_nan=False))
        return copy

    def _picture(self) -> dict[str, JSON]:
        return {
            "version": SNAPSHOT_VERSION,
            "env": self.name,
            "params": self.params.model_dump(mode="json"),
            "seed": self.seed,
            "task_seed": self.task_seed,
            **self._position(),
            "verdicts": self.verdicts,
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
            "skipped": self._skip_agent_selection,
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
    def restore(cls, snapshot: Mapping[str, JSON]) -> Self:
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
        self.verdicts = data["verdicts"]
        self.agent_selection, self.agents = data["selection"], data["agents"]
        self.rewards, self._cumulative_rewards = data["rewards"], data["cumulative"]
        self.returns, self.terminations, self.infos = data["returns"], data["terminations"], data["infos"]
        self.truncations, self._skip_agent_selection = data["truncations"], data["skipped"]

    def fork(self) -> Self:
        """An independent copy of the match at this very moment."""
        return self.restore(self._picture())

    def state_hash(self) -> str:
        """Hash of the match's state; equal for equal snapshots. Costs what was logged since the last call."""
        for event in self.log[self._hashed :]:
            self._hash.update(json.dumps(event, sort_keys=True).encode())
        self._hashed = len(self.log)
        total = self._hash.copy()
        total.update(json.dumps(self._position(), sort_keys=True).encode())
        return total.hexdigest()[:16]
