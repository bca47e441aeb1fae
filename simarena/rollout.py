"""The main loop: matches, agents and backends in; trajectories on record out.

One coroutine a match. All live matches share the backends, opponents and judges included; a match that ends frees its
slot at once. Every question passes the record: what was answered before is not asked again, and nothing is acted on
that is not on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sized
from typing import Any

from simarena import envs, seeds
from simarena.agents.base import Agent, Ask
from simarena.backends.base import Backend
from simarena.envs.base import PhaseEnv
from simarena.errors import BudgetSpent, RequestFailed, RunFailed, ScenarioError, StoreError, UnknownName
from simarena.identity import message_hash, request_digest
from simarena.ledger import Budget, Ledger, Price, RunReport, Stop
from simarena.progress import Progress, text
from simarena.records import Action, Completion, Match, Request, Trajectory, Turn, View
from simarena.store import Answer, Writer

Settle = Callable[[Trajectory], Iterator[Trajectory]]
"""Told of every match that has ended; gives what goes on record then: itself, or whatever waited for it."""


# ---- one match -----------------------------------------------------------------------------------------------------


async def play(
    match: Match, env: PhaseEnv, agents: Mapping[str, Agent], ask: Ask, noted: Callable[[Turn], None] | None = None
) -> Trajectory:
    """Play one match to its end; a request that fails for good ends it as failed. `noted` hears of every turn."""
    deal(match, env)
    seed = seeds.derive(match.seed, match.id) if match.parent else match.seed
    sittings = {seat: agents[name].sit(seat, f"{match.filed}/{seat}", seed) for seat, name in match.seats.items()}
    turns: list[Turn] = []
    try:
        while movers := env.to_move:
            acts = [take_turn(sittings[seat].act, env.view(seat), ask) for seat in movers]
            for seat, (action, calls) in zip(movers, await together(acts), strict=True):
                turns.append(apply(match, env, seat, action, calls, len(turns)))
                if noted:
                    noted(turns[-1])
    except RequestFailed as failure:
        return recorded(match, env, turns, str(failure) or type(failure).__name__)
    return recorded(match, env, turns)


def deal(match: Match, env: PhaseEnv) -> None:
    """Reset `env` to the beginning of `match`."""
    if set(env.possible_agents) != set(match.seats):
        raise ScenarioError(
            f"match {match.id} seats {', '.join(match.seats)}, but {match.env} has the seats "
            f"{', '.join(env.possible_agents)}; give each of them an agent"
        )
    env.reset(seed=match.seed, options={"task_seed": match.task_seed})


async def take_turn(act: Any, view: View, ask: Ask) -> tuple[Action, tuple[str, ...]]:
    """One action, and the keys of the completions that led to it."""
    calls: list[str] = []

    def noting(request: Request) -> Any:
        calls.append(request.key)
        return ask(request)

    return await act(view, noting), tuple(calls)


async def together(
    acts: list[Coroutine[Any, Any, tuple[Action, tuple[str, ...]]]],
) -> list[tuple[Action, tuple[str, ...]]]:
    """The results of all; all are awaited before the first error is raised, so that no answer is bought and lost."""
    if len(acts) == 1:
        return [await acts[0]]
    results = await asyncio.gather(*acts, return_exceptions=True)
    errors = [result for result in results if isinstance(result, BaseException)]
    if errors:
        raise next((e for e in errors if not isinstance(e, RequestFailed)), errors[0])
    return [result for result in results if not isinstance(result, BaseException)]


def apply(match: Match, env: PhaseEnv, seat: str, action: Action, calls: tuple[str, ...], n: int) -> Turn:
    """Let the environment take an action, and write the turn down."""
    phase = env.phase.name
    assert env.agent_selection == seat, "actions are applied in the environment's own order"
    env.step(action)
    return Turn(
        n=n,
        seat=seat,
        agent=match.seats[seat],
        phase=phase,
        calls=calls,
        fields=action.fields,
        outcome=env.infos[seat]["outcome"],
        state=env.state_hash(),
        error=action.error,
    )


def recorded(match: Match, env: PhaseEnv, turns: list[Turn], error: str = "") -> Trajectory:
    """The record of a match as `env` stands; measures are taken of finished matches only."""
    return Trajectory(
        match=match,
        status="failed" if error else "done",
        turns=tuple(turns),
        events=tuple(env.log),
        returns=dict(env.returns),
        metrics={} if error else env.metrics(),
        truth=env.task.truth,
        outcomes={seat: dict(counts) for seat, counts in env.outcomes.items()},
        verdicts={seat: {order: list(n) for order, n in by.items()} for seat, by in env.verdicts.items()},
        decided=bool(error) or env.decided(),
        error=error,
    )


# ---- many matches --------------------------------------------------------------------------------------------------


async def rollout(
    run: Writer,
    matches: Iterable[Match],
    agents: Mapping[str, Agent],
    backends: Mapping[str, Backend],
    *,
    concurrency: int = 64,
    budget: Budget | None = None,
    prices: Mapping[str, Price] | None = None,
    progress: Progress | None = None,
    settle: Settle | None = None,
) -> RunReport:
    """Play `matches` into `run`, at most `concurrency` at once; finished ones are skipped, failed ones tried again.

    `matches` is read when a slot is free, so a schedule may look at results before it names the next. Without `settle`
    every match goes on record as it ends. Ctrl-C once finishes the running matches, twice stops now.
    Raises StoreError where nothing can be recorded any more; all other ends are in the report.
    """
    ledger = Ledger(budget or Budget(), prices or {}, run.spent())
    ledger.total = len(matches) if isinstance(matches, Sized) else None
    floor = Floor(run, agents, backends, ledger, settle)
    with progress.show(lambda: text(ledger)) if progress else contextlib.nullcontext(), interrupts(floor):
        await floor.play_all(iter(matches), concurrency)
    run.flush()
    return floor.report()


class Floor:
    """The matches in play: who is next, who stops whom."""

    def __init__(
        self,
        run: Writer,
        agents: Mapping[str, Agent],
        backends: Mapping[str, Backend],
        ledger: Ledger,
        settle: Settle | None,
    ) -> None:
        self.run, self.agents, self.backends, self.ledger, self.settle = run, agents, backends, ledger, settle
        self.statuses = run.statuses()
        self.took: dict[str, float] = {}
        """Id that it was asked as -> seconds, of matches that have ended and are not on record."""
        self.seen: set[str] = set()
        self.left = 0
        self.stopped: Stop = ""
        self.reason = ""
        self.slots: list[asyncio.Task[None]] = []

    async def play_all(self, source: Iterator[Match], concurrency: int) -> None:
        """Keep `concurrency` slots busy until `source` is empty or something stops the run."""
        size = concurrency if self.ledger.total is None else min(concurrency, self.ledger.total)
        self.slots = [asyncio.create_task(self._slot(source)) for _ in range(max(1, size))]
        try:
            await asyncio.wait(self.slots, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for slot in self.slots:
                slot.cancel()
            ends = await asyncio.gather(*self.slots, return_exceptions=True)
        for error in ends:
            if isinstance(error, RunFailed):
                self.stop("backend", str(error))
            elif isinstance(error, BaseException) and not isinstance(error, asyncio.CancelledError):
                raise error

    async def _slot(self, source: Iterator[Match]) -> None:
        """Play one match after another; `source` is shared, so whoever is free takes the next."""
        while not self.stopped and (match := next(source, None)) is not None:
            if match.id in self.seen:
                continue
            self.seen.add(match.id)
            if self.statuses.get(match.id) == "done" and self.settle is None:
                self.ledger.skipped += 1
            else:
                await self._play(match)

    async def _play(self, match: Match) -> None:
        began = self.ledger.seconds
        self.left += 1
        self.ledger.running += 1
        self.run.start(match)
        try:
            env = envs.make(match.env, **match.params)
            trajectory = await play(match, env, self.agents, self.asker(match), self._noted)
        except BudgetSpent as spent:  # answers under way in other matches are still waited for
            self.stop("budget", str(spent))
            return
        finally:
            self.ledger.running -= 1
        self.took[match.id] = self.ledger.seconds - began
        for settled in self.settle(trajectory) if self.settle else (trajectory,):
            await self.run.finish(settled, self.took.pop(settled.match.filed))
            self.left -= 1
            self.ledger.ended(settled)

    def _noted(self, turn: Turn) -> None:
        self.ledger.turns += 1

    def asker(self, match: Match) -> Ask:
        """What a match's sittings ask: the record first, then the backend of the agent that asks."""
        for name in match.seats.values():
            self._backend(name)
        known = self.run.answers(match.id)
        inherited = prefix(self.run, match) if match.parent else {}
        limit = self.ledger.budget.match_seconds
        deadline = None if limit is None else asyncio.get_running_loop().time() + limit

        async def ask(request: Request) -> Completion:
            if request.key in known:
                return self._again(request, known[request.key])
            if request.key in inherited:
                completion = self._again(request, inherited[request.key])
                await self.run.answer(request, completion, None)
                return completion
            self.ledger.reserve()
            began = self.ledger.seconds
            completion = await within(deadline, limit, self._backend(request.agent).generate(request))
            await self.run.answer(request, completion, self.ledger.seconds - began)
            self.ledger.bought(request, completion.usage)
            return completion

        return ask

    def _again(self, request: Request, answer: Answer) -> Completion:
        """An answer on record, where it is one to this very question."""
        check_same(request, answer)
        self.ledger.replayed += 1
        return answer.completion

    def _backend(self, name: str) -> Backend:
        if name not in self.agents:
            raise UnknownName("agent", name, self.agents)
        kind = self.agents[name].backend
        if kind not in self.backends:
            raise UnknownName("backend", kind, self.backends)
        return self.backends[kind]

    def stop(self, how: Stop, reason: str) -> None:
        """Start no further match. The first reason stands."""
        if not self.stopped:
            self.stopped, self.reason = how, reason

    def interrupt(self) -> None:
        """First time: finish what is running. Second time: stop now."""
        if self.ledger.notice:
            for slot in self.slots:
                slot.cancel()
        self.ledger.notice = "finishing what is running; Ctrl-C again stops now"
        self.stop("interrupted", "interrupted")

    def report(self) -> RunReport:
        """What this execution came to."""
        total = self.ledger.total
        left = (
            self.left if total is None else total - self.ledger.done - self.ledger.skipped - len(self.ledger.failures)
        )
        return self.ledger.report(left, self.stopped, self.reason)


def check_same(request: Request, answer: Answer) -> None:
    """Refuse an answer that was given to another question."""
    if answer.digest != request_digest(request, tuple(map(message_hash, request.messages))):
        raise StoreError(
            f"the answer on record for {request.key} belongs to another prompt: agent {request.agent!r}, its files or "
            "this program changed since; play into another run folder"
        )


def prefix(run: Writer, match: Match) -> dict[str, Answer]:
    """What a forked match takes over: the answers behind its parent's first turns, under its own keys."""
    answers, parent = run.answers(match.parent), run.trajectory(match.parent)
    calls = [key for turn in parent.turns[: match.turn] for key in turn.calls]
    return {match.id + key.removeprefix(parent.match.filed): answers[key] for key in calls}


async def within(deadline: float | None, limit: float | None, answer: Awaitable[Completion]) -> Completion:
    """Await an answer; RequestFailed where the match's time is up before it comes."""
    try:
        async with asyncio.timeout_at(deadline) as timer:
            return await answer
    except TimeoutError as error:
        if timer.expired():
            raise RequestFailed(f"the match took longer than its {limit:g} s") from error
        raise RequestFailed(f"the backend gave no answer in time ({error})") from error


@contextlib.contextmanager
def interrupts(floor: Floor) -> Iterator[None]:
    """Ctrl-C goes to `floor` meanwhile, where this thread is one that signals reach."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)
    loop.add_signal_handler(signal.SIGINT, floor.interrupt)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
