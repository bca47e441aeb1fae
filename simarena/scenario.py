"""Scenario files: YAML in, a checked Scenario out, and from it the cells of its sweep.

Strict: all errors at once, with file, line and column (`scenario_check` looks for those that the model cannot see).
Past `load` no room sees YAML. Knows environments by their parameters and seats; knows no backend, match or run.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Tag,
    ValidationInfo,
    field_validator,
)

from simarena import seeds, yamlfile
from simarena.agents.spec import Seating
from simarena.errors import ScenarioError, UnknownName
from simarena.identity import content_hash
from simarena.league_spec import League
from simarena.records import JSON
from simarena.registry import ENVIRONMENTS, lookup

PARTS = ("roster", "judges")
Judging = Annotated[
    Annotated[list[Seating], Tag("list")] | Annotated[Literal["rest"], Tag("rest")],
    Discriminator(lambda value: "rest" if isinstance(value, str) else "list"),
]
MOST_CELLS = 100_000


class Strict(BaseModel):
    """A misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Strict):
    """Which tasks are played."""

    task: str = Field(description="Task family, as `simarena list tasks` names it.")
    params: dict[str, JSON] = Field(default_factory=dict, description="The family's parameters (difficulty and such).")
    seed: NonNegativeInt = Field(default=0, description="Seed of the first task; the others follow.")
    size: PositiveInt = Field(default=10, description="How many tasks each cell of the sweep plays.")


class Budget(Strict):
    """Limits after which a run stops cleanly."""

    calls: PositiveInt | None = Field(default=None, description="Requests to models.")
    tokens: PositiveInt | None = Field(default=None, description="Prompt and completion tokens together.")
    seconds: PositiveFloat | None = Field(default=None, description="Wall time of one execution.")
    money: PositiveFloat | None = Field(default=None, description="In the currency of the agents' prices.")
    match_seconds: PositiveFloat | None = Field(default=None, description="Wall time of one match.")


class Expectation(Strict):
    """A check of the played scenario: a range for some cells' mean, or an ordering of two cells' means."""

    metric: str
    where: dict[str, JSON] = Field(default_factory=dict, description="Cells that the check is about; {}: all.")
    min: float | None = None
    max: float | None = None
    higher: dict[str, JSON] | None = Field(default=None, description="Cells whose mean has to be higher ...")
    than: dict[str, JSON] | None = Field(default=None, description="... than these cells' mean ...")
    by: float = Field(default=0.0, description="... by more than this.")

    @field_validator("than")
    @classmethod
    def _both(cls, than: dict[str, JSON] | None, info: ValidationInfo) -> dict[str, JSON] | None:
        if than is not None and info.data.get("higher") is None:
            raise ValueError("needs higher beside it: which cells are to be higher than these?")
        return than


class Scenario(Strict):
    """One study: an environment, its tasks, who sits where, what varies and what is expected."""

    env: str = Field(description="Environment, as `simarena list environments` names it.")
    description: str = Field(default="", description="One line: what it re-runs and what it shows.")
    provenance: str = Field(default="own", description='The study it re-runs, or "own".')
    params: dict[str, JSON] = Field(default_factory=dict, description="The environment's parameters.")
    data: Data
    roster: dict[str, list[Seating]] = Field(description="Role -> agents that are compared.")
    judges: dict[str, Judging] = Field(
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
    league: League = Field(default=League(), description="How `simarena league` plays it, in rounds with training.")

    @field_validator("roster", "judges")
    @classmethod
    def _someone(cls, value: dict[str, Any]) -> dict[str, Any]:
        empty = [role for role, agents in value.items() if not agents]
        if empty:
            raise ValueError(f"{', '.join(empty)}: name an agent at least")
        return value

    @field_validator("sweep")
    @classmethod
    def _values(cls, value: dict[str, list[JSON]]) -> dict[str, list[JSON]]:
        empty = [axis for axis, values in value.items() if not values]
        if empty:
            raise ValueError(f"{', '.join(empty)}: give a value at least")
        count = 1
        for values in value.values():
            count *= len(values)
        if count > MOST_CELLS:
            raise ValueError(f"has {count} cells, more than {MOST_CELLS}: leave out values")
        return value

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

    def key(self) -> str:
        """Hash of the conditions that matches are played under.

        Who is compared and how much is played are no part of it: more agents or tasks only add matches to a run.
        """
        data = self.model_dump(mode="json", include={"env", "params", "data", "judges", "probes", "sweep", "seed"})
        data["data"].pop("size")
        return content_hash(data)


TOP = frozenset(Scenario.model_fields)


def parts_of(key: str) -> tuple[str, ...]:
    """A dotted key in full; one whose first part is no scenario key is a parameter."""
    parts = tuple(key.split("."))
    if parts[0] not in TOP:
        return ("params", *parts)
    if parts[0] == "data" and len(parts) == 2 and parts[1] not in Data.model_fields:
        return ("data", "params", parts[1])
    return parts


def put(data: dict[str, Any], key: str, value: JSON) -> None:
    """Set a dotted key, list places by number. ScenarioError where its way leads through a plain value."""
    *way, last = parts_of(key)
    here: Any = data
    for part in way:
        here = here[_place(here, part, key)] if isinstance(here, list) else _inner(here, part)
    if isinstance(here, list):
        here[_place(here, last, key)] = value
    elif isinstance(here, dict):
        here[last] = value
    else:
        raise ScenarioError(f"{key}: {'.'.join(way)} holds {yamlfile.shortened(here)}, which has no part {last!r}")


def _inner(here: Any, part: str) -> Any:
    """The value under `part`, an empty mapping being made where there is none."""
    return here.setdefault(part, {}) if isinstance(here, dict) else here


def _place(here: list[Any], part: str, key: str) -> int:
    if not part.isdigit() or int(part) >= len(here):
        raise ScenarioError(f"{key}: {part!r} is no place in a list of {len(here)}; the first is 0")
    return int(part)


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the sweep, ready to be seated."""

    at: dict[str, JSON]
    """Its coordinates."""
    scenario: Scenario
    params: dict[str, JSON]
    """The environment's parameters."""
    seats: tuple[str, ...]

    @property
    def roles(self) -> dict[str, list[str]]:
        """Role -> its seats, in order."""
        found: dict[str, list[str]] = {}
        for seat in self.seats:
            found.setdefault(seat.rsplit("_", 1)[0], []).append(seat)
        return found


def load(
    name: str | Path,
    scale: str = "",
    changes: Mapping[str, JSON] | None = None,
    seats: Mapping[str, Sequence[str]] | None = None,
    further: Callable[[Scenario, yamlfile.Source], None] | None = None,
) -> Scenario:
    """Read, scale and check a scenario file. ScenarioError holds every error.

    `changes` are dotted keys set last, as --set gives them; a key that the sweep varies is held at the value. `seats`,
    as --seat gives them, puts other agents in a role ("*": in every role). `further` notes what else is wrong with a
    scenario that is right otherwise: what only rooms know that this one does not.
    """
    from simarena.scenario_check import examine, examine_data  # they look into environments, agents and policies

    source = yamlfile.read(name)
    if not isinstance(source.data, dict):
        raise ScenarioError(f"{name}:1:1: file: holds no scenario; it needs env, data and roster (simarena schema)")
    scenario = source.model(Scenario)
    if scenario is None:
        examine_data(source.data, source)
        source.check()
    assert scenario is not None, "a scenario that did not validate was reported by check()"
    data = json.loads(json.dumps(source.data))
    for key, value in (scale_of(scenario, scale) if scale else {}).items():
        put(data, key, value)
        source.place(parts_of(key), ("scale", scale, key))
    for key, value in (changes or {}).items():
        change(data, key, value)
        source.elsewhere[parts_of(key)] = f"--set {key}={json.dumps(value)}"
    for role, agents in (seats or {}).items():
        for place in reseat(data, role, list(agents)):
            source.elsewhere[place] = f"--seat {role}={','.join(agents)}"
    found = source.model(Scenario, data)
    examine_data(data, source)
    if found is not None:
        examine(found, source)
        if further is not None and not source.errors:
            further(found, source)
    source.check()
    assert found is not None, "see above"
    return found


def change(data: dict[str, Any], key: str, value: JSON) -> None:
    """Set a key and hold it there: a sweep does not vary it any more."""
    hold(data, parts_of(key))
    put(data, key, value)


def hold(data: dict[str, Any], place: tuple[str, ...]) -> None:
    """Take every axis out of the sweep that varies `place` or a part of it."""
    for axis in list(data.get("sweep", {})):
        parts = parts_of(axis)
        if parts[: len(place)] == place:
            del data["sweep"][axis]


def reseat(data: dict[str, Any], role: str, agents: list[str]) -> list[tuple[str, str]]:
    """Put other agents in a role, or ("*") in all; returns the places that were set."""
    named = [(part, name) for part in PARTS for name in data.get(part, {})]
    places = named if role == "*" else [place for place in named if place[1] == role] or [("judges", role)]
    for part, name in places:
        hold(data, (part, name))
        data.setdefault(part, {})[name] = list(agents)
    return places


def scale_of(scenario: Scenario, scale: str) -> dict[str, JSON]:
    """The overrides of a scale."""
    if scale not in scenario.scale:
        raise UnknownName("scale", scale, scenario.scale or ["none: this scenario has no scales"])
    return scenario.scale[scale]


def ready_cell(scenario: Scenario, cell: Mapping[str, JSON]) -> Cell:
    """A cell with its parameters and seats."""
    here = scenario.at(cell)
    params = here.env_params()
    env = lookup(ENVIRONMENTS, "environment", here.env)(**params)
    return Cell(dict(cell), here, params, tuple(env.possible_agents))


def ready_cells(scenario: Scenario) -> Iterator[Cell]:
    """Every cell of the sweep."""
    return (ready_cell(scenario, cell) for cell in scenario.cells())


def match_seed(scenario: Scenario, task_seed: int, replica: int | str = 0) -> int:
    """Seed of a match: the same for the same task in all cells of a sweep, so that comparisons are paired.

    `replica` tells plays of one task by different choices of agents apart: their chances are independent.
    """
    return seeds.derive("match", scenario.seed, task_seed, replica)


def schema() -> dict[str, JSON]:
    """JSON Schema of scenario files, for editors."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
