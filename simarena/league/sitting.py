"""Exams of a league's versions, each sat once and kept on disk."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from pathlib import Path

from simarena.casting import Cast
from simarena.exams import Marks, Paper, sit
from simarena.league import steps
from simarena.league.lineage import entry
from simarena.league.plan import Plan
from simarena.league.state import State
from simarena.outputs import inside
from simarena.progress import Progress, Stage, stage

TITLES = {"exams": "exam", "final": "final exam"}


def held(
    plan: Plan, folder: Path, which: str, state: State, names: Sequence[str], progress: Progress | None = None
) -> dict[str, Marks]:
    """Version -> marks in "exams" (after each round) or "final"; those that are not on disk are sat now."""
    asked = plan.final if which == "final" else plan.papers
    files = {name: inside(folder, which, *f"{name}.json".split("/")) for name in names}  # a policy's name holds a "/"
    missing = [name for name, path in files.items() if not path.is_file()]
    if missing:
        cast = Cast()
        for name in missing:
            cast.add(entry(state.version(name), folder, plan.entries))
        for judge in plan.examiners:
            cast.add(judge)
        with stage(f"{TITLES[which]} of {', '.join(missing)}", progress) as shown:
            asyncio.run(_sit_all(cast, asked, {name: files[name] for name in missing}, shown))
    return {name: steps.read(path) for name, path in files.items()}


async def _sit_all(cast: Cast, asked: Sequence[Paper], files: dict[str, Path], shown: Stage) -> None:
    """All agents at once, so that those of one base share its batch; each one's marks are written when it has done."""
    agents, done = cast.agents(), itertools.count(1)
    total = len(files) * sum(len(paper.seeds) for paper in asked)

    def noted() -> None:
        shown.say(f"{next(done)}/{total} questions")

    async with cast.backends(agents) as backends:
        others = {name: (agent, backends[agent.backend]) for name, agent in agents.items()}

        async def one(name: str, path: Path) -> None:
            agent = agents[name]
            steps.put(path, await sit(agent, backends[agent.backend], asked, others, noted))

        await asyncio.gather(*(one(name, path) for name, path in files.items()))
