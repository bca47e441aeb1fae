"""A scenario as a run: its tables of names, its matches, the folder they go to, and what came of them.

The glue between scenario files and `execution`; `tournament_run` does the same for tournaments.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from simarena.casting import Cast
from simarena.execution import Batch, Settings, budget_of, execute, notes
from simarena.identity import content_hash
from simarena.ledger import RunReport
from simarena.names import checked
from simarena.records import Match
from simarena.scenario import Scenario, ready_cells
from simarena.seating import Table, matches, task_matches
from simarena.store import Result, open_run
from simarena.summary import CellRow, cell_rows
from simarena.unusable import Unusable, unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A played scenario."""

    folder: Path
    report: RunReport
    cells: list[CellRow]
    results: list[Result]
    """Of the matches that were asked for; the folder may hold more."""
    unusable: Unusable


class Chosen:
    """The matches of a run, made one by one as they are asked for."""

    def __init__(self, seated: Sequence[Table], cast: Cast, total: int) -> None:
        self.seated, self.cast, self.total = seated, cast, total
        self.places: dict[str, int] = {}
        """Id -> place in the run, of those asked for so far."""

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Match]:
        for match in itertools.islice(matches(self.seated, self.cast.identities()), self.total):
            self.places.setdefault(match.id, len(self.places))
            yield match


def tables(scenario: Scenario, cast: Cast) -> list[Table]:
    """Every cell with its agents' names; the agents are entered in `cast`."""
    found = []
    for cell in ready_cells(scenario):
        here = cell.scenario
        roster = {role: [cast.add(entry) for entry in agents] for role, agents in here.roster.items()}
        judges = {
            role: None if agents == "rest" else [cast.add(entry) for entry in agents]
            for role, agents in here.judges.items()
        }
        found.append(Table(cell, roster, judges))
    return found


def label(name: str) -> str:
    """A scenario's name as part of a folder's: its folder and file, or the file alone; ScenarioError if it is none."""
    path = Path(name)
    parts = path.with_suffix("").parts
    words = parts[parts.index("scenarios") + 1 :] if "scenarios" in parts else parts[-2 if not path.is_file() else -1 :]
    return checked(re.sub(r"[^\w.-]+", "-", "-".join(words)).strip("-.") or "scenario", f"{name}: folder of the run")


def run_key(kind: str, scenario: Scenario) -> str:
    """What a run folder is known by: its kind and conditions."""
    return content_hash([kind, scenario.key()])


def default_folder(kind: str, name: str, scenario: Scenario) -> Path:
    """Where a run goes when nothing is said: the same command finds the same folder."""
    middle = "" if kind == "run" else f"-{kind}"
    return Path("runs") / f"{label(name)}{middle}-{run_key(kind, scenario)[:6]}"


def run_scenario(
    scenario: Scenario,
    name: str,
    folder: Path | None = None,
    count: int | None = None,
    settings: Settings | None = None,
) -> Study:
    """Play a scenario in all its cells; `count` matches where given, else its number of tasks."""
    cast = Cast()
    seated = tables(scenario, cast)
    total = count if count is not None else scenario.data.size * task_matches(seated)
    chosen = Chosen(seated, cast, total)
    folder = folder or default_folder("run", name, scenario)
    about = notes("run", name, scenario, run_key("run", scenario))
    rounds: Iterator[Batch] = iter([chosen])
    report = execute(
        folder,
        about,
        cast,
        lambda _: next(rounds, ()),
        budget=budget_of(scenario),
        settings=settings,
    )
    with open_run(folder) as run:
        results = [r for r in run.results() if r.match.id in chosen.places and r.status != "open"]
    results.sort(key=lambda result: chosen.places[result.match.id])
    cells = cell_rows(results)
    return Study(folder=folder, report=report, cells=cells, results=results, unusable=unusable(results))
