"""What a run may spend, what it has spent, and what came of it. Knows no file, model or environment."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from simarena.errors import BudgetSpent
from simarena.records import Request, Trajectory, Usage

Stop = Literal["", "interrupted", "budget", "backend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits; None: none. Calls, tokens and money count over all executions of a run, seconds over this one."""

    calls: int | None = None
    tokens: int | None = None
    """Prompt and completion tokens together."""
    seconds: float | None = None
    money: float | None = None
    """In the unit that prices are in."""
    match_seconds: float | None = None
    """A match that takes longer is marked failed; the others go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What a million tokens of an agent cost."""

    prompt: float = 0.0
    completion: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What one execution of a run came to."""

    done: int
    """Matches played to their end now."""
    failed: int
    skipped: int
    """Matches found finished."""
    left: int
    """Matches that have not ended; known to be more where the schedule was not read to its end."""
    calls: int
    """Completions asked of a backend now."""
    replayed: int
    """Completions taken from the record instead."""
    turns: int
    prompt_tokens: int
    completion_tokens: int
    money: float
    seconds: float
    stopped: Stop = ""
    reason: str = ""
    """Why it stopped early."""
    failures: Mapping[str, str] = field(default_factory=dict)
    """Match id -> why it failed."""
    engines: tuple[Any, ...] = ()
    """What the engines of this process did: EngineReport records."""

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens bought now."""
        return self.prompt_tokens + self.completion_tokens

    @property
    def complete(self) -> bool:
        """Whether every match has been played to its end."""
        return not (self.stopped or self.failed or self.left)

    @property
    def exit_code(self) -> int:
        """0: complete; 1: stopped early; 3: some matches failed and can be tried again."""
        return 1 if self.stopped else 3 if self.failed else 0

    def summary(self) -> str:
        """One or two lines: what was done, and how to get the rest."""
        line = (
            f"{self.done} matches played, {self.failed} failed, {self.skipped} found finished; {self.calls} calls "
            f"({self.replayed} from the record), {self.tokens} tokens, {self.seconds:.1f} s"
        )
        if self.complete:
            return line
        why = self.reason or next(iter(self.failures.values()), "")
        return f"{line}\n{why}{': ' if why else ''}run the same command again to play the rest"


class Ledger:
    """Counts a run while it goes on."""

    def __init__(
        self,
        budget: Budget,
        prices: Mapping[str, Price],
        before: Mapping[str, tuple[int, int, int]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`before`: agent -> (calls, prompt tokens, completion tokens) of earlier executions."""
        self.budget, self.prices, self.clock = budget, prices, clock
        self.began = clock()
        self.total: int | None = None
        self.done = self.skipped = self.running = self.turns = 0
        self.calls = self.replayed = self.prompt_tokens = self.completion_tokens = 0
        self.money = 0.0
        self.notice = ""
        """What whoever watches should know now."""
        self.failures: dict[str, str] = {}
        self.begun_calls = sum(calls for calls, _, _ in before.values())
        self._tokens = sum(prompt + sampled for _, prompt, sampled in before.values())
        self._money = sum(self._cost(agent, prompt, sampled) for agent, (_, prompt, sampled) in before.items())

    @property
    def seconds(self) -> float:
        """Since the start of this execution."""
        return self.clock() - self.began

    def reserve(self) -> None:
        """Claim one call before it is made; BudgetSpent where a limit is reached."""
        limits = (
            ("calls", self.begun_calls, self.budget.calls),
            ("tokens", self._tokens, self.budget.tokens),
            ("seconds", self.seconds if self.budget.seconds is not None else 0, self.budget.seconds),
            ("money", self._money, self.budget.money),
        )
        for name, spent, limit in limits:
            if limit is not None and spent >= limit:
                raise BudgetSpent(f"the budget of {limit:g} {name} is spent; raise it to go on")
        self.begun_calls += 1

    def bought(self, request: Request, usage: Usage) -> None:
        """Enter a completion that a backend gave."""
        cost = self._cost(request.agent, usage.prompt, usage.completion)
        self.calls += 1
        self.prompt_tokens += usage.prompt
        self.completion_tokens += usage.completion
        self.money += cost
        self._money += cost
        self._tokens += usage.prompt + usage.completion

    def ended(self, trajectory: Trajectory) -> None:
        """Enter a match that has ended."""
        if trajectory.status == "failed":
            self.failures[trajectory.match.id] = trajectory.error
        else:
            self.done += 1

    def report(self, left: int, stopped: Stop, reason: str) -> RunReport:
        """The sums."""
        return RunReport(
            done=self.done,
            failed=len(self.failures),
            skipped=self.skipped,
            left=left,
            calls=self.calls,
            replayed=self.replayed,
            turns=self.turns,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            money=self.money,
            seconds=self.seconds,
            stopped=stopped,
            reason=reason,
            failures=dict(self.failures),
        )

    def _cost(self, agent: str, prompt: int, sampled: int) -> float:
        price = self.prices.get(agent)
        return 0.0 if price is None else (prompt * price.prompt + sampled * price.completion) / 1e6
