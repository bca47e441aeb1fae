"""What a scenario's model alone cannot see: names nobody knows, parameters that do not go together, empty seats.

In: a scenario and the file it was read from. Out: errors noted there, each with its line. Plays nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from simarena import yamlfile
from simarena.agents.members import examine_entry, member
from simarena.agents.spec import LanguageSpec, ScriptedSpec, kind_of
from simarena.errors import SimArenaError
from simarena.records import JSON
from simarena.registry import ENVIRONMENTS, TASKS, lookup
from simarena.scenario import PARTS, TOP, Cell, Data, Scenario, parts_of, ready_cell
from simarena.yamlfile import longest

PER_RUN = ("seed", "size")
"""Keys of `data` that are one for the whole run: cells share their tasks."""


def examine_data(data: Mapping[str, Any], source: yamlfile.Source) -> None:
    """Note what is wrong with single values, whether or not the file as a whole is a scenario."""
    env, tasks = data.get("env"), part(data, "data")
    if isinstance(env, str) and known(source, ("env",), "environment", env, ENVIRONMENTS):
        examine_values(lookup(ENVIRONMENTS, "environment", env).Params, part(data, "params"), ("params",), source)
    task = tasks.get("task")
    if isinstance(task, str) and known(source, ("data", "task"), "task family", task, TASKS):
        family = lookup(TASKS, "task family", task)
        examine_values(family.Params, part(tasks, "params"), ("data", "params"), source)
    for name in PARTS:
        for role, agents in part(data, name).items():
            for n, entry in enumerate(agents if isinstance(agents, list) else ()):
                examine_seat(entry, source, (name, role, n))


def part(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A part of a scenario that should be a mapping; empty where it is none."""
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def examine_values(kind: type[BaseModel], values: dict[str, JSON], at: yamlfile.Place, source: yamlfile.Source) -> None:
    """Note values that are wrong by themselves; what they lack or contradict is for each cell to say."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            if problem["loc"] and problem["type"] not in ("missing", "value_error"):
                source.problem(kind, values, at, problem)


def examine_seat(entry: Any, source: yamlfile.Source, place: yamlfile.Place, note: str = "") -> None:
    """Note what is wrong with an agent's name, or with a description that is one."""
    if isinstance(entry, str):
        examine_entry(entry, source, place, note)
    elif isinstance(entry, dict):
        kind: type[ScriptedSpec] | type[LanguageSpec] = ScriptedSpec if kind_of(entry) == "scripted" else LanguageSpec
        with contextlib.suppress(ValidationError):  # told with the scenario's own errors
            examine_entry(kind.model_validate(entry), source, place, note)


def examine(scenario: Scenario, source: yamlfile.Source) -> None:
    """Note everything else that is wrong with a scenario whose values are right by themselves."""
    if scenario.env not in ENVIRONMENTS:
        return
    params = lookup(ENVIRONMENTS, "environment", scenario.env).Params
    for axis in scenario.sweep:
        examine_axis(scenario, params, axis, source)
    examine_expectations(scenario, source)
    if not source.errors:
        examine_cells(scenario, params, source)


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
    elif first == "data" and (fixed := per_run(rest, scenario.sweep[axis])):
        source.error(place, f"data.{fixed} cannot be varied: all cells play the same tasks; set it under data or scale")
    elif first in TOP - {"params", "data", "probes", *PARTS}:
        source.error(place, f"{first} cannot be varied; parameters, data, roster, judges and probes can")


def per_run(rest: list[str], values: list[JSON]) -> str:
    """A key that no axis can vary but this one (`data`, or `data.` and `rest`) tries to; "" where there is none."""
    keys = set(rest[:1]) or {key for value in values if isinstance(value, dict) for key in value}
    return next((key for key in PER_RUN if key in keys), "")


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
    names: dict[str, str] = {}
    for cell in singly(scenario):
        ready = examine_cell(scenario, params, cell, source, names)
        seated |= set(ready.roles) if ready else set()
    if source.errors:
        return
    for cell in scenario.cells():
        ready = examine_cell(scenario, params, cell, source, names)
        seated |= set(ready.roles) if ready else set()
        if source.errors:
            return
    for part_ in PARTS:
        for role in getattr(scenario, part_):
            held = source.elsewhere and (part_, role) not in source.elsewhere  # --set may leave a role without seats
            if role not in seated and not held:
                hint = yamlfile.suggestion(role, sorted(seated))
                source.error((part_, role), f"{scenario.env} has no such role with these parameters{hint}")


def singly(scenario: Scenario) -> Iterator[dict[str, JSON]]:
    """The first cell, and those that differ from it along one axis: every value once or more."""
    first = scenario.cells()[0]
    yield first
    for axis, values in scenario.sweep.items():
        yield from ({**first, axis: value} for value in values[1:])


def examine_cell(
    scenario: Scenario, params: type[BaseModel], cell: dict[str, JSON], source: yamlfile.Source, names: dict[str, str]
) -> Cell | None:
    """Note what is wrong in one cell; the cell where nothing is. `names`: agents met so far, by what they are."""
    for axis, value in cell.items():  # a value that is wrong is told where it stands: in the sweep
        source.moved[parts_of(axis)] = ("sweep", axis, scenario.sweep[axis].index(value))
    return examine_here(scenario, params, cell, source, names)


def examine_here(
    scenario: Scenario, params: type[BaseModel], cell: dict[str, JSON], source: yamlfile.Source, names: dict[str, str]
) -> Cell | None:
    """The same with `cell` for any dotted keys; where they stand is in `source.moved`, which is empty afterwards."""
    before = len(source.errors)
    if scenario.probes or ("probes",) in source.moved:  # a parameter with a place of its own in the file
        source.moved["params", "probes"] = source.moved.get(("probes",), ("probes",))
    try:
        here = examined(scenario, params, cell, source, names)
        if here is None or len(source.errors) > before:
            return None
        ready = ready_cell(scenario, cell)
        examine_roles(ready, source, told(cell))
        return ready
    except ValidationError as error:
        for problem in error.errors(include_url=False):
            source.problem(Scenario, {}, (), problem)
    except (SimArenaError, ValueError) as error:
        source.error(("params",), str(error), told(cell))
    finally:
        source.moved.clear()
    return None


def examined(
    scenario: Scenario, params: type[BaseModel], cell: dict[str, JSON], source: yamlfile.Source, names: dict[str, str]
) -> Scenario | None:
    """The scenario in this cell, its parameters and agents checked."""
    here = scenario.at(cell)
    if not known(source, ("data", "task"), "task family", here.data.task, TASKS):
        return None
    family = lookup(TASKS, "task family", here.data.task)
    source.model(family.Params, here.data.params, ("data", "params"), noted(cell, "data"))
    values = here.env_params()
    if here.probes and "probes" not in params.model_fields:
        source.error(("probes",), f"{here.env} has none to switch on")
        del values["probes"]
    source.model(params, values, ("params",), noted(cell, "params"))
    for name in PARTS:
        for role, agents in getattr(here, name).items():
            for n, entry in enumerate(agents if isinstance(agents, list) else ()):
                examine_named(entry, source, (name, role, n), names)
    return here


def examine_named(entry: Any, source: yamlfile.Source, place: yamlfile.Place, names: dict[str, str]) -> None:
    """Note an agent that nobody knows, or whose name another one has."""
    before = len(source.errors)
    if longest(place, source.moved) is not None:
        examine_entry(entry, source, place)
    if len(source.errors) > before:
        return
    who = member(entry)
    text = who.spec.model_dump_json(exclude={"name"})
    if names.setdefault(who.name, text) != text:
        source.error(place, f"another agent is called {who.name!r} too; give each a name of its own")


def examine_roles(ready: Cell, source: yamlfile.Source, note: str) -> None:
    """Note roles for which nobody is named, and those named twice over."""
    given = {**ready.scenario.roster, **ready.scenario.judges}
    for role in sorted(set(ready.roles) - set(given)):
        near = yamlfile.suggestion(role, [name for name in given if name not in ready.roles])
        message = f"no agent for role {role!r}"
        if not any(message in error for error in source.errors):  # one cell that lacks it stands for all
            source.error(("roster",), f"{message}; name one under roster or judges{near}", note)
    for role in sorted(set(ready.scenario.roster) & set(ready.scenario.judges)):
        source.error(("judges", role), "is under roster too; agents of a role are compared or they judge")


def told(cell: Mapping[str, JSON]) -> str:
    """A cell's coordinates in words, to stand behind an error."""
    if not cell:
        return ""
    return f" (where {', '.join(f'{axis} is {yamlfile.shortened(value)}' for axis, value in cell.items())})"


def noted(cell: Mapping[str, JSON], name: str) -> str:
    """The coordinates that vary something in this part of the scenario."""
    return told({axis: value for axis, value in cell.items() if parts_of(axis)[0] == name})
