"""Scenario files: YAML in, a checked Scenario out, and from it the matches of every cell of its sweep.

Strict: all errors at once, with file, line and column. Past `load` no room sees YAML. Knows environments by their
parameters and seats; knows no agent, backend or run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError

from simarena import seeds, yamlfile
from simarena.agents.spec import AgentSpec
from simarena.errors import SimArenaError, UnknownName
from simarena.records import JSON
from simarena.registry import ENVIRONMENTS, TASKS, lookup

Seating = str | AgentSpec
"""An agent file's or policy's name, or an agent described in place."""


class Strict(BaseModel):
    """A misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Strict):
    """Which tasks are played."""

    task: str = Field(description="Task family, as `simarena list tasks` names it.")
    params: dict[str, JSON] = Field(default_factory=dict, description="The family's parameters (difficulty and such).")
    seed: int = Field(default=0, description="Seed of the first task; the others follow.")
    size: PositiveInt = Field(default=10, description="How many tasks each cell of the sweep plays.")


class Budget(Strict):
    """Limits after which a run stops cleanly."""

    calls: PositiveInt | None = Field(default=None, description="Requests to models.")
    tokens: PositiveInt | None = Field(default=None, description="Prompt and completion tokens together.")
    seconds: PositiveFloat | None = Field(default=None, description="Wall time of one execution.")
    money: PositiveFloat | None = Field(default=None, description="In the currency of the agents' prices.")
    match_seconds: PositiveFloat | None = Field(default=None, description="Wall time of one match.")


class Expectation(Strict):
    """A check of the played scenario: a range for one cell's mean, or an ordering of two cells' means."""

    metric: str
    where: dict[str, JSON] = Field(default_factory=dict, description="Cells that the range is about; {}: all.")
    min: float | None = None
    max: float | None = None
    higher: dict[str, JSON] | None = Field(default=None, description="Cells whose mean has to be higher ...")
    than: dict[str, JSON] | None = Field(default=None, description="... than these cells' mean ...")
    by: float = Field(default=0.0, description="... by more than this.")


class Scenario(Strict):
    """One study: an environment, its tasks, who sits where, what varies and what is expected."""

    env: str = Field(description="Environment, as `simarena list environments` names it.")
    description: str = ""
    provenance: str = Field(default="own", description='The study it re-runs, or "own".')
    params: dict[str, JSON] = Field(default_factory=dict, description="The environment's parameters.")
    data: Data
    roster: dict[str, list[Seating]] = Field(description="Role -> agents that are compared.")
    judges: dict[str, list[Seating] | Literal["rest"]] = Field(
        default_factory=dict,
        description='Role -> agents that judge and are not rated; "rest": those of the roster who do not contest.',
    )
    probes: list[str] = Field(default_factory=list, description="Optional probes of the environment to switch on.")
    sweep: dict[str, list[JSON]] = Field(
        default_factory=dict, description="Axis -> values; full factorial, the same tasks and seeds in every cell."
    )
    metrics: list[str] = Field(default_factory=list, description="Measures that reports show; []: all.")
    scale: dict[str, dict[str, JSON]] = Field(
        default_factory=dict, description='Named overrides by dotted key, as in mini: {"data.size": 4}.'
    )
    expect: list[Expectation] = Field(default_factory=list, description="Checked by `simarena verify`.")
    seed: NonNegativeInt = Field(default=0, description="The run's seed.")
    budget: Budget = Budget()

    def cells(self) -> list[dict[str, JSON]]:
        """The sweep's coordinates; one empty cell where nothing varies."""
        names = list(self.sweep)
        return [dict(zip(names, values, strict=True)) for values in itertools.product(*self.sweep.values())]

    def at(self, cell: Mapping[str, JSON]) -> Scenario:
        """This scenario in one cell of its sweep."""
        data = self.model_dump(mode="json", exclude_none=True)
        for key, value in cell.items():
            put(data, key, value)
        return Scenario.model_validate({**data, "sweep": {}})

    def env_params(self) -> dict[str, JSON]:
        """Parameters to make the environment with."""
        probes: dict[str, JSON] = {"probes": self.probes} if self.probes else {}
        return {**self.params, **probes, "task": self.data.task, "task_params": self.data.params}

    def text(self) -> str:
        """Canonical JSON: equal for scenarios that mean the same."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)


TOP = frozenset(Scenario.model_fields)


def put(data: dict[str, Any], key: str, value: JSON) -> None:
    """Set a dotted key; a key whose first part is no scenario key is a parameter."""
    parts = key.split(".")
    if parts[0] not in TOP:
        parts = ["params", *parts]
    elif parts[0] == "data" and len(parts) == 2 and parts[1] not in Data.model_fields:
        parts = ["data", "params", parts[1]]
    for part in parts[:-1]:
        data = data.setdefault(part, {})
    data[parts[-1]] = value


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the sweep, ready to be seated."""

    at: dict[str, JSON]
    """Its coordinates."""
    scenario: Scenario
    params: dict[str, JSON]
    """The environment's parameters."""
    seats: tuple[str, ...]


def load(name: str | Path, scale: str = "", changes: Mapping[str, JSON] | None = None) -> Scenario:
    """Read, scale and check a scenario file. ScenarioError holds every error.

    `changes` are dotted keys set last, as the command line's --set gives them.
    """
    source = yamlfile.read(name)
    scenario = source.model(Scenario)
    source.check()
    assert scenario is not None, "a scenario that did not validate was reported by check()"
    overrides = scale_of(scenario, scale, source) if scale else {}
    data = json.loads(json.dumps(source.data))
    for key, value in {**overrides, **(changes or {})}.items():
        put(data, key, value)
    found = source.model(Scenario, data)
    source.check()
    assert found is not None, "see above"
    examine(found, source)
    source.check()
    return found


def scale_of(scenario: Scenario, scale: str, source: yamlfile.Source) -> dict[str, JSON]:
    """The overrides of a scale."""
    if scale not in scenario.scale:
        raise UnknownName("scale", scale, scenario.scale or ["none: this scenario has no scales"])
    return scenario.scale[scale]


def examine(scenario: Scenario, source: yamlfile.Source) -> None:
    """Note everything that the model alone cannot see: names, parameters, seats, sweep axes."""
    if not known(source, ("env",), "environment", scenario.env, ENVIRONMENTS):
        return
    if not known(source, ("data", "task"), "task family", scenario.data.task, TASKS):
        return
    kind = lookup(ENVIRONMENTS, "environment", scenario.env)
    before = len(source.errors)
    source.model(lookup(TASKS, "task family", scenario.data.task).Params, scenario.data.params, ("data", "params"))
    for axis in scenario.sweep:
        axis_known(scenario, kind.Params, axis, source)
    if not scenario.sweep:
        source.model(kind.Params, scenario.env_params(), ("params",))
    if len(source.errors) == before:
        for cell in scenario.cells():
            examine_cell(scenario, cell, source)


def known(source: yamlfile.Source, place: yamlfile.Place, kind: str, name: str, table: Mapping[str, str]) -> bool:
    """Whether a name is in a registry; an error is noted where not."""
    if name in table:
        return True
    source.error(place, f"unknown {kind} {name!r}{yamlfile.suggestion(name, sorted(table))}")
    return False


def axis_known(scenario: Scenario, params: type[BaseModel], axis: str, source: yamlfile.Source) -> None:
    """Note a sweep axis that nothing would read."""
    first, *rest = axis.split(".")
    fields = sorted(params.model_fields)
    if first not in TOP and first not in fields:
        source.error(("sweep", axis), f"is no parameter{yamlfile.suggestion(first, fields)}")
    elif first in ("roster", "judges") and rest and rest[0] not in getattr(scenario, first):
        source.error(("sweep", axis), f"no role {rest[0]!r}{yamlfile.suggestion(rest[0], getattr(scenario, first))}")


def examine_cell(scenario: Scenario, cell: dict[str, JSON], source: yamlfile.Source) -> None:
    """Note what is wrong in one cell: parameters that do not go together, seats without an agent."""
    where = f" in cell {cell}" if cell else ""
    try:
        ready = ready_cell(scenario, cell)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            source.error(("params", *problem["loc"]), f"{problem['msg']}{where}")
        return
    except (SimArenaError, ValueError) as error:
        source.error(("params",), f"{error}{where}")
        return
    roles = {seat.rsplit("_", 1)[0] for seat in ready.seats}
    given = {**ready.scenario.roster, **ready.scenario.judges}
    for role in sorted(roles - set(given)):
        source.error(("roster",), f"no agent for role {role!r}{where}; name one under roster or judges")
    for role in sorted(set(given) - roles if not scenario.sweep else ()):
        part = "roster" if role in ready.scenario.roster else "judges"
        source.error((part, role), f"the environment has no such role{yamlfile.suggestion(role, sorted(roles))}")


def ready_cell(scenario: Scenario, cell: dict[str, JSON]) -> Cell:
    """A cell with its parameters and seats."""
    here = scenario.at(cell)
    params = here.env_params()
    env = lookup(ENVIRONMENTS, "environment", here.env)(**params)
    return Cell(cell, here, params, tuple(env.possible_agents))


def task_seeds(scenario: Scenario) -> list[int]:
    """Seeds of the tasks, shared by all cells."""
    return [scenario.data.seed + i for i in range(scenario.data.size)]


def match_seed(scenario: Scenario, task_seed: int, replica: int = 0) -> int:
    """Seed of a match: the same for the same task in all cells and seatings, so that comparisons are paired."""
    return seeds.derive("match", scenario.seed, task_seed, replica)


def ready_cells(scenario: Scenario) -> Iterator[Cell]:
    """Every cell of the sweep."""
    return (ready_cell(scenario, cell) for cell in scenario.cells())


def schema() -> dict[str, JSON]:
    """JSON Schema of scenario files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
