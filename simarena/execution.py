"""One execution of a run: a cast, a folder and rounds of matches in; everything on record and a report out.

`run`, `tournament`, `verify` and `branch` all play through here.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from simarena import outputs, threads
from simarena.backends.engine_meter import Measured
from simarena.casting import Cast
from simarena.errors import StoreError
from simarena.ledger import Budget, RunReport
from simarena.progress import Progress, stage
from simarena.records import JSON, Match
from simarena.rollout import Settle, rollout
from simarena.scenario import Scenario
from simarena.store import Run, Writer, open_run, start_run
from simarena.store_file import FILE


class Batch(Sized, Iterable[Match], Protocol):
    """Matches that can be played at once, made when they are asked for."""


Rounds = Callable[[Run], Batch]
"""What to play next, looking at what is on record; empty: it is over."""

TIMELINE = "timeline.json"
"""File in a run's folder: open it at ui.perfetto.dev."""

AGENT = "agent/"
"""Under this prefix a run's notes hold each agent, for whoever casts it again."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How matches are played; none of it changes what comes of them."""

    concurrency: int = 64
    quiet: bool = False
    """No progress on stderr."""
    profile: bool = False
    """Write what the engines did, step by step, beside the record."""

    @property
    def progress(self) -> Progress | None:
        """What shows how far things are."""
        return None if self.quiet else Progress()


def notes(
    kind: str, name: str, scenario: Scenario, key: str, more: Mapping[str, JSON] | None = None
) -> dict[str, JSON]:
    """What a run remembers of how it was started."""
    return {
        "scenario_hash": key,
        "kind": kind,
        "name": name,
        "env": scenario.env,
        "scenario": scenario.model_dump(mode="json"),
        "rated": list(scenario.roster),
        "metrics": list(scenario.metrics),
        "seed": scenario.seed,
        **(more or {}),
    }


def execute(
    folder: Path,
    about: Mapping[str, JSON],
    cast: Cast,
    rounds: Rounds,
    *,
    budget: Budget | None = None,
    settings: Settings | None = None,
    extend: bool = False,
    settle: Settle | None = None,
) -> RunReport:
    """Play all rounds into `folder`, which is made or goes on where it stopped; `settle` as `rollout` has it."""
    cast.check()
    agents = cast.described()
    refuse_changed(folder, agents)
    meta = {**about, **{AGENT + name: each for name, each in agents.items()}}
    with start_run(folder, meta, extend=extend) as run:
        return asyncio.run(_execute(folder, run, cast, rounds, budget or Budget(), settings or Settings(), settle))


async def _execute(
    folder: Path,
    run: Writer,
    cast: Cast,
    rounds: Rounds,
    budget: Budget,
    settings: Settings,
    settle: Settle | None,
) -> RunReport:
    agents, reports = cast.agents(), list[RunReport]()
    async with contextlib.AsyncExitStack() as stack:
        with stage("opening the agents", settings.progress if cast.loads else None):
            backends = await stack.enter_async_context(cast.backends(agents))
        run.remark({"threads": threads.record()})
        while len(batch := rounds(run)):
            left = None if budget.seconds is None else max(budget.seconds - sum(r.seconds for r in reports), 1e-3)
            report = await rollout(
                run,
                batch,
                agents,
                backends,
                concurrency=settings.concurrency,
                budget=dataclasses.replace(budget, seconds=left),
                prices=cast.prices(),
                progress=settings.progress,
                settle=settle,
            )
            reports.append(report)
            if report.stopped:
                break
        engines = [backend for backend in backends.values() if isinstance(backend, Measured)]
        if settings.profile:
            write_timeline(folder / TIMELINE, engines)
        return dataclasses.replace(together(reports), engines=tuple(each for b in engines for each in b.reports()))


def write_timeline(path: Path, engines: Iterable[Measured]) -> None:
    """What the engines did, in the Chrome trace format."""
    events = [event for engine in engines for event in engine.timeline()]
    outputs.write(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}) + "\n", own=True)


def refuse_changed(folder: Path, agents: Mapping[str, Mapping[str, JSON]]) -> None:
    """Refuse to play on with an agent that is no longer what the run knows by its name."""
    if not (folder / FILE).is_file():
        return
    with open_run(folder) as run:
        before = run.meta
    for name, each in agents.items():
        known = before.get(AGENT + name)
        if known is not None and known["identity"] != each["identity"]:
            raise StoreError(
                f"agent {name!r} changed (its file, parameters or weights) since {folder} was begun, and ratings could "
                "not tell the two apart; give the changed one another name, or play into another folder with --out"
            )


def together(reports: Sequence[RunReport]) -> RunReport:
    """The sum of the rounds' reports."""
    sums = ("done", "failed", "skipped", "calls", "replayed", "turns", "prompt_tokens", "completion_tokens")
    last = reports[-1] if reports else None
    return RunReport(
        **{name: sum(getattr(report, name) for report in reports) for name in sums},
        left=last.left if last else 0,
        money=sum(report.money for report in reports),
        seconds=sum(report.seconds for report in reports),
        stopped=last.stopped if last else "",
        reason=last.reason if last else "",
        failures={name: why for report in reports for name, why in report.failures.items()},
    )


def budget_of(scenario: Scenario) -> Budget:
    """The scenario's limits."""
    return Budget(**scenario.budget.model_dump())
