"""Commands that play: run, tournament, verify."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output

if TYPE_CHECKING:
    from simarena.execution import Settings
    from simarena.ledger import RunReport
    from simarena.scenario import Scenario
    from simarena.studies import Study
    from simarena.summary import CellRow, Mean

Name = Annotated[str, typer.Argument(metavar="SCENARIO", help="A scenario file, or a shipped one's name.")]
Scale = Annotated[str, typer.Option(help="Named overrides of the scenario, e.g. mini or paper.")]
Seats = Annotated[
    list[str] | None,
    typer.Option("--seat", metavar="ROLE=AGENT[,AGENT...]", help="Other agents in a role; * is every role. Repeats."),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A parameter, or any dotted key; holds a swept one. Repeats."),
]
Out = Annotated[Path | None, typer.Option(help="The run folder; by default one under runs/ named for the scenario.")]
Concurrency = Annotated[int, typer.Option(min=1, help="Matches in play at once.")]
Seed = Annotated[int | None, typer.Option(min=0, help="The run's seed instead of the scenario's.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]


def run(
    scenario: Name,
    scale: Scale = "",
    matches: Annotated[int | None, typer.Option(min=1, help="How many matches, instead of the scenario's.")] = None,
    seat: Seats = None,
    set_: Sets = None,
    out: Out = None,
    concurrency: Concurrency = 64,
    seed: Seed = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Play a scenario and print its measures. The same command again plays what is missing."""
    from simarena.studies import run_scenario

    loaded = loaded_scenario(scenario, scale, seat, set_, seed)
    found = run_scenario(loaded, scenario, out, matches, settings(concurrency, quiet))
    if as_json:
        output.say_json(study_json(found))
    else:
        show_study(loaded, found)
    finish(found.report, found.folder)


def settings(concurrency: int, quiet: bool) -> Settings:
    """How to play."""
    from simarena.execution import Settings

    return Settings(concurrency=concurrency, quiet=quiet)


def loaded_scenario(
    name: str, scale: str, seat: list[str] | None, set_: list[str] | None, seed: int | None
) -> Scenario:
    """The scenario as the command line has it."""
    from simarena import paths
    from simarena.scenario import load

    changes = dict(changed(text) for text in set_ or [])
    if seed is not None:
        changes["seed"] = seed
    return load(paths.find_scenario(name), scale, changes, dict(seated(text) for text in seat or []))


def changed(text: str) -> tuple[str, Any]:
    """KEY=VALUE; the value is read as YAML, so that numbers, lists and mappings can be given."""
    from simarena import yamlfile

    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE, e.g. --set rounds=3", param_hint="--set")
    return key.strip(), yamlfile.parse(value, f"--set {key}").data


def seated(text: str) -> tuple[str, list[str]]:
    """ROLE=AGENT[,AGENT...]."""
    role, _, names = text.partition("=")
    agents = [name.strip() for name in names.split(",") if name.strip()]
    if not role.strip() or not agents:
        raise typer.BadParameter(f"{text!r} is not ROLE=AGENT, e.g. --seat judge=nano-a", param_hint="--seat")
    return role.strip(), agents


def show_study(scenario: Scenario, study: Study) -> None:
    """Measures by cell, and returns by agent."""
    rows = study.cells
    names = [name for name in scenario.metrics if any(name in row.metrics for row in rows)]
    names = names or sorted({name for row in rows for name in row.metrics})
    axes = list(scenario.sweep)
    heads = [", ".join(coordinate(row.cell[axis]) for axis in axes) or "all" for row in rows]
    output.table(
        [" x ".join(axes) or "measure", *heads],
        [
            *([name, *(interval(row.metrics.get(name)) for row in rows)] for name in names),
            ["invalid turns", *(output.share(row.invalid_rate) for row in rows)],
            ["matches", *(str(row.matches) + (f" ({row.failed} failed)" if row.failed else "") for row in rows)],
        ],
    )
    agents = sorted({agent for row in rows for agent in row.returns})
    output.table(["return", *heads], [[name, *(interval(row.returns.get(name)) for row in rows)] for name in agents])


def coordinate(value: Any) -> str:
    """A sweep's value in a heading; agents by their names."""
    if isinstance(value, list) and all(isinstance(each, (str, dict)) for each in value):
        return "+".join(
            each if isinstance(each, str) else each.get("name") or each.get("policy", "?") for each in value
        )
    return value if isinstance(value, str) else json.dumps(value)


def interval(mean: Mean | None) -> str:
    """A mean with the half-width of its interval."""
    if mean is None:
        return "-"
    if mean.high is None:
        return output.number(mean.mean)
    return f"{output.number(mean.mean)} ±{output.number(mean.high - mean.mean)}"


def study_json(study: Study) -> dict[str, Any]:
    """A played scenario for a script."""
    from simarena.records import to_json

    cells: list[CellRow] = study.cells
    return {"run": str(study.folder), "report": to_json(study.report), "cells": to_json(cells)}


def finish(report: RunReport, folder: Path) -> None:
    """The last lines, and the exit code."""
    output.note(report.summary())
    output.note(f"run folder: {folder}")
    output.note(f"open a transcript with: simarena show {folder} MATCH (simarena show {folder} lists them)")
    raise typer.Exit(report.exit_code)
