"""What a scenario's model alone cannot see: names nobody knows, parameters that do not go together, empty seats.

In: a scenario and the file it was read from. Out: errors noted there, each with its line. Plays nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from simarena import yamlfile
from simarena.casting import examine_entry
from simarena.errors import SimArenaError
from simarena.records import JSON
from simarena.registry import ENVIRONMENTS, TASKS, lookup
from simarena.scenario import PARTS, TOP, Cell, Data, Scenario, parts_of, ready_cell

MOST_BAD_CELLS = 3
"""Cells whose errors are told; a sweep with one bad value is bad in many."""


def examine(scenario: Scenario, source: yamlfile.Source) -> None:
    """Note everything that is wrong with a scenario whose keys and types are right."""
    names_known = known(source, ("env",), "environment", scenario.env, ENVIRONMENTS)
    names_known &= known(source, ("data", "task"), "task family", scenario.data.task, TASKS)
    for part in PARTS:
        for role, agents in getattr(scenario, part).items():
            for n, entry in enumerate(agents if isinstance(agents, list) else ()):
                examine_entry(entry, source, (part, role, n))
    if not names_known:
        return
    kind = lookup(ENVIRONMENTS, "environment", scenario.env)
    for axis in scenario.sweep:
        examine_axis(scenario, kind.Params, axis, source)
    examine_expectations(scenario, source)
    if not source.errors:
        examine_cells(scenario, kind.Params, source)


def known(source: yamlfile.Source, place: yamlfile.Place, kind: str, name: str, table: Mapping[str, str]) -> bool:
    """Whether a name is in a registry; an error is noted where not."""
    if name in table:
        return True
    source.error(place, f"unknown {kind} {name!r}{yamlfile.suggestion(name, sorted(table))}")
    return False


def examine_axis(scenario: Scenario, params: type[BaseModel], axis: str, source: yamlfile.Source) -> None:
    """Note a sweep axis that nothing would read."""
    first, *rest = parts_of(axis)
    place = ("sweep", axis)
    if first == "params" and rest and rest[0] not in params.model_fields:
        names = sorted(params.model_fields)
        source.error(place, f"{scenario.env} has no parameter {rest[0]!r}{yamlfile.suggestion(rest[0], names)}")
    elif first in PARTS and rest and rest[0] not in getattr(scenario, first):
        source.error(place, f"no role {rest[0]!r}{yamlfile.suggestion(rest[0], sorted(getattr(scenario, first)))}")
    elif first == "data" and rest and rest[0] not in Data.model_fields:
        source.error(place, f"unknown key{yamlfile.suggestion(rest[0], sorted(Data.model_fields))}")
    elif first in TOP - {"params", "data", "probes", *PARTS}:
        source.error(place, f"{first} cannot be varied; parameters, data, roster, judges and probes can")


def examine_expectations(scenario: Scenario, source: yamlfile.Source) -> None:
    """Note checks of cells that no scale of this scenario has."""
    axes = {*scenario.sweep, *(axis for scale in scenario.scale.values() for axis in scale.get("sweep") or ())}
    for n, expectation in enumerate(scenario.expect):
        for part in ("where", "higher", "than"):
            for axis in getattr(expectation, part) or ():
                held = parts_of(axis) in source.elsewhere or parts_of(axis)[:2] in source.elsewhere
                if axis not in axes and not held:
                    place = ("expect", n, part, axis)
                    source.error(place, f"is no axis of the sweep{yamlfile.suggestion(axis, sorted(axes))}")


def examine_cells(scenario: Scenario, params: type[BaseModel], source: yamlfile.Source) -> None:
    """Note what is wrong in single cells, and roles that no cell has."""
    seated: set[str] = set()
    bad = 0
    for cell in scenario.cells():
        before = len(source.errors)
        ready = examine_cell(scenario, params, cell, source)
        if ready:
            seated |= set(ready.roles)
        bad += len(source.errors) > before
        if bad >= MOST_BAD_CELLS:
            return
    for part in PARTS if not bad else ():
        for role in getattr(scenario, part):
            if role not in seated:
                hint = yamlfile.suggestion(role, sorted(seated))
                source.error((part, role), f"{scenario.env} has no such role with these parameters{hint}")


def examine_cell(
    scenario: Scenario, params: type[BaseModel], cell: dict[str, JSON], source: yamlfile.Source
) -> Cell | None:
    """Note what is wrong in one cell: parameters, agents, seats without an agent; the cell where nothing is."""
    where = f" (where {told(cell)})" if cell else ""
    before = len(source.errors)
    try:
        here = scenario.at(cell)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            source.error(blamed(cell, problem["loc"]), f"{problem['msg']}{where}")
        return None
    except SimArenaError as error:
        source.error(("sweep",), f"{error}{where}")
        return None
    if not known(source, blamed(cell, ("data", "task")), "task family", here.data.task, TASKS):
        return None
    family = lookup(TASKS, "task family", here.data.task)
    source.model(family.Params, here.data.params, ("data", "params"), noted(cell, "data", where))
    source.model(params, here.env_params(), ("params",), noted(cell, "params", where))
    examine_varied(here, cell, source, where)
    if len(source.errors) > before:
        return None
    try:
        ready = ready_cell(scenario, cell)
    except (SimArenaError, ValueError) as error:
        source.error(("params",), f"{error}{where}")
        return None
    examine_roles(ready, source, where)
    return ready


def examine_varied(here: Scenario, cell: Mapping[str, JSON], source: yamlfile.Source, where: str) -> None:
    """Note unknown agents that the sweep puts in a role."""
    for axis in cell:
        part, *rest = parts_of(axis)
        agents: Any = getattr(here, part).get(rest[0]) if part in PARTS and rest else ()
        for entry in agents if isinstance(agents, list) else ():
            examine_entry(entry, source, ("sweep", axis), where)


def examine_roles(ready: Cell, source: yamlfile.Source, where: str) -> None:
    """Note roles for which nobody is named."""
    given = {**ready.scenario.roster, **ready.scenario.judges}
    for role in sorted(set(ready.roles) - set(given)):
        near = yamlfile.suggestion(role, [name for name in given if name not in ready.roles])
        source.error(("roster",), f"no agent for role {role!r}{where}; name one under roster or judges{near}")
    twice = sorted(set(ready.scenario.roster) & set(ready.scenario.judges))
    for role in twice:
        source.error(("judges", role), "is under roster too; agents of a role are compared or they judge")


def told(cell: Mapping[str, JSON]) -> str:
    """A cell's coordinates in words."""
    return ", ".join(f"{axis} is {yamlfile.shortened(value)}" for axis, value in cell.items())


def noted(cell: Mapping[str, JSON], part: str, where: str) -> str:
    """`where`, if the cell varies anything in that part of the scenario."""
    return where if any(parts_of(axis)[0] == part for axis in cell) else ""


def blamed(cell: Mapping[str, JSON], loc: Iterable[str | int]) -> yamlfile.Place:
    """The axis that set the value at `loc`, or else `loc`."""
    loc = tuple(loc)
    for axis in cell:
        parts = parts_of(axis)
        if tuple(map(str, loc[: len(parts)])) == parts:
            return ("sweep", axis)
    return loc
