"""The contract between the engine and an environment file: what the file gives, and what it is given.

An environment file overrides the first group of methods; everything has a default that does nothing, except for seats,
script and the numeric face. It calls the second group. Knows nothing of AEC bookkeeping.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
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
from simarena.records import JSON, Event, Score
from simarena.tasks.base import Task


class Params(BaseModel):
    """Base of an environment's parameters: strict, so that a misspelt key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = ""
    """Family that the tasks come from, e.g. "kks"."""
    task_params: dict[str, JSON] = {}
    """The family's own parameters."""
    max_turns: PositiveInt | None = None
    """Truncate the match after so many actions, once no committed move waits to be revealed; None: play it all."""


class Scored(reading.Fields):
    """The action of a scoring phase: for each given text its log-probability (nats) and its number of tokens."""

    logprobs: list[float]
    tokens: list[int]


@lru_cache(maxsize=512)
def base_schema(fields: type[BaseModel]) -> dict[str, JSON]:
    """JSON Schema of `fields`, closed: surplus keys are not asked for."""
    return {**fields.model_json_schema(), "additionalProperties": False}


class Contract(AECEnv):
    """What an environment file gives the engine, and what it may use."""

    metadata: ClassVar[dict[str, Any]] = {"name": "phase_env", "render_modes": ["ansi"], "is_parallelizable": False}
    name: ClassVar[str] = ""
    Params: ClassVar[type[Params]] = Params

    params: Any
    """The parameters, an instance of `Params`."""
    family: Any
    """Where tasks come from."""
    possible_agents: list[str]
    task: Task
    """This match's task; its truth is for payoffs and metrics only."""
    seed: int
    memo: dict[str, JSON]
    """The environment's own notes: plain JSON, so that a snapshot holds them."""
    log: list[Event]
    """All that has happened. Events are never changed."""
    rewards: dict[str, float]
    _roles: dict[str, str]
    _script: list[Phase]
    _index: int
    _at: int
    _order: list[str]
    _phase_name: str
    _steps: int
    _paid: bool

    # ---- what an environment file gives ---------------------------------------------------------------------------

    def seats(self) -> list[str]:
        """Seat names, `role_number`, fixed by the parameters."""
        raise NotImplementedError  # abstract: every environment gives it

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
        raise NotImplementedError  # abstract: every environment gives it

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

    def missed(self, seat: str, phase: Phase) -> None:
        """In place of `effect` where an action was unusable and the phase has no default: a vote that was not given."""

    def gives_verdict(self, seat: str, phase: Phase, fields: dict[str, JSON]) -> bool:
        """Whether usable fields of a phase with `verdict` hold one; a solution that says nothing, say, does not."""
        return True

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

    def decided(self) -> bool:
        """Whether somebody decided the finished match; where no judge did, its returns compare nobody."""
        return True

    def compact_space(self, seat: str) -> gymnasium.Space[Any]:
        """The numeric action space of this seat, the same in all its phases."""
        raise NotImplementedError  # abstract: every environment gives it

    def compact_mask(self, seat: str) -> NDArray[np.int8]:
        """Flat 0/1 vector of legal compact values now (`spaces.mask_size` long)."""
        return np.ones(spaces.mask_size(self._space("compact", seat)), np.int8)

    def compact_action(self, seat: str, value: Any) -> dict[str, JSON]:
        """A compact action as fields of the present phase."""
        raise NotImplementedError  # abstract: every environment gives it

    def features(self, seat: str) -> list[float]:
        """What this seat may see, as numbers in [-1, 1]; always of the same length for a seat."""
        raise NotImplementedError  # abstract: every environment gives it

    def _space(self, which: str, seat: str) -> gymnasium.Space[Any]:
        """The space of a seat, built once; `envs.faces` gives it."""
        raise NotImplementedError  # abstract: Faces, its only direct subclass, gives it

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

    def visible(self, seat: str, since: int = 0, until: int | None = None) -> tuple[Event, ...]:
        """Events at log positions `since` <= seq < `until` that `seat` may see."""
        return tuple(e for e in self.log[since:until] if e.audience is None or seat in e.audience)
