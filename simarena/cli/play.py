"""Commands that play: run, tournament, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.output import interval
from simarena.cli.results import ratings_json, show_ratings, show_study, study_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from simarena.execution import Settings
    from simarena.ledger import RunReport
    from simarena.scenario import Scenario
    from simarena.tournament_run import Plan
    from simarena.yamlfile import Source

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
Profile = Annotated[
    bool, typer.Option("--profile", help="Write timeline.json into the run folder: what the engines did, step by step.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]

USUAL_SCALE = "mini"
"""What scenarios are verified at."""
SHOWN = 4
"""Cells that are named one by one."""


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
    profile: Profile = False,
    as_json: AsJson = False,
) -> None:
    """Play a scenario and print its measures. The same command again plays what is missing."""
    from simarena.studies import run_scenario

    loaded = loaded_scenario(scenario, scale, seat, set_, seed)
    found = run_scenario(loaded, scenario, out, matches, settings(concurrency, quiet, profile))
    if as_json:
        output.say_json(study_json(found))
    else:
        show_study(loaded, found)
    finish(found.report, found.folder, next((r.match.id for r in found.results if r.status == "done"), ""), as_json)


def tournament(
    scenario: Name,
    agents: Annotated[
        list[str] | None, typer.Option("--agents", metavar="AGENT...", help="Who enters; all of the roster if nobody.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="See: simarena list formats.")] = "round_robin",
    games: Annotated[
        int | None, typer.Option(min=1, help="Tasks each pairing meets on (an option of the format).")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="Further options of the format. Repeats.")
    ] = None,
    scale: Scale = "",
    seat: Seats = None,
    set_: Sets = None,
    out: Out = None,
    concurrency: Concurrency = 64,
    seed: Seed = None,
    quiet: Quiet = False,
    profile: Profile = False,
    as_json: AsJson = False,
) -> None:
    """Play a tournament on a scenario and print its leaderboard. The same command again plays what is missing."""
    from simarena.tournament_run import hold, plan

    loaded = loaded_scenario(scenario, scale, seat, set_, seed)
    options = dict(changed(text, "--option") for text in option or [])
    planned = plan(loaded, scenario, agents or [], format_, options | ({"games": games} if games else {}))
    announce(planned)
    held = hold(planned, out, settings(concurrency, quiet, profile))
    cells = held.cells if planned.scenario.sweep else None
    if as_json:
        about = {"run": str(held.folder), "report": held.report}
        output.say_json({**about, **ratings_json(held.ratings, held.unusable, cells), "standing": held.standing})
    else:
        show_ratings(held.ratings, held.unusable, cells)
        if format_ not in ("round_robin", "adaptive"):
            output.say(f"order by {format_}: {', '.join(held.standing)}")
    finish(held.report, held.folder, held.results[0].match if held.results else "", as_json)


def announce(planned: Plan) -> None:
    """Where a sweep is played: how much of it, before it is."""
    from simarena.summary import coordinate, coordinates

    if not planned.scenario.sweep:
        return
    axes = "; ".join(f"{axis}: {', '.join(map(coordinate, each))}" for axis, each in planned.scenario.sweep.items())
    cells, first = len(planned.tables), len(planned.drawn([]))
    matches = f"{first} matches" if planned.one_round else f"a first round of {first} matches"
    output.note(f"sweep over {axes}")
    output.note(f"{matches} in each of {cells} cells, {first * cells} in all; --set AXIS=VALUE holds an axis")
    if planned.left_out:
        shown = "; ".join(map(coordinates, planned.left_out[:SHOWN])) + ("; ..." if planned.left_out[SHOWN:] else "")
        output.note(f"{len(planned.left_out)} more are left out, for nobody meets anybody there: {shown}")


def verify(
    scenarios: Annotated[list[str], typer.Argument(metavar="SCENARIO...", help="Files, or shipped ones' names.")],
    scale: Annotated[str, typer.Option(help="Overrides to play with; mini where there are any.")] = USUAL_SCALE,
    seat: Seats = None,
    out: Annotated[Path | None, typer.Option(help="Keep the runs in this folder, one in it for each scenario.")] = None,
    concurrency: Concurrency = 64,
    as_json: AsJson = False,
) -> None:
    """Play scenarios at a small scale and check what they expect; exit code 1 where a check fails."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="simarena-verify-") as scratch:
        folder = out or Path(scratch)
        checked = [verified(name, scale, seat, folder, concurrency, show=not as_json) for name in scenarios]
    if as_json:
        output.say_json(checked)
    if not all(each["passed"] for each in checked):
        raise typer.Exit(1)


def verified(name: str, scale: str, seat: list[str] | None, out: Path, concurrency: int, show: bool) -> dict[str, Any]:
    """Verify one scenario, print what came of it, and give it as JSON."""
    from simarena import paths
    from simarena import verify as checks
    from simarena.records import to_json
    from simarena.scenario import load
    from simarena.studies import label

    path = paths.find_scenario(name)
    scale = "" if scale == USUAL_SCALE and scale not in load(path).scale else scale
    scenario = loaded_scenario(name, scale, seat, None, None)
    held = load(path, scale).sweep.keys() - scenario.sweep.keys()
    study, found = checks.verify(scenario, name, out / label(name), settings(concurrency, True), held)
    toy = checks.toy(scenario)
    if show:
        source = "a study of its own" if scenario.provenance == "own" else scenario.provenance
        output.say(f"{name}: {source}" + (" [toy: scripted or tiny agents]" if toy else ""))
        for each in found:
            value = each.why or interval(each.found)
            word = "skip" if each.skipped else "pass" if each.passed else "FAIL"
            output.say(f"  {word}  {value:>16}  {each.said}")
        if not found:
            output.say("  nothing is expected")
        if not study.report.complete:
            output.say(f"  FAIL  {study.report.summary()}")
    passed = all(each.passed or each.skipped for each in found) and study.report.complete
    return {"scenario": name, "passed": passed, "toy": toy, "provenance": scenario.provenance, "checks": to_json(found)}


def settings(concurrency: int, quiet: bool, profile: bool = False) -> Settings:
    """How to play."""
    from simarena.execution import Settings

    return Settings(concurrency=concurrency, quiet=quiet, profile=profile)


def loaded_scenario(
    name: str,
    scale: str,
    seat: list[str] | None,
    set_: list[str] | None,
    seed: int | None,
    further: Callable[[Scenario, Source], None] | None = None,
) -> Scenario:
    """The scenario as the command line has it; `further` as `scenario.load` has it."""
    from simarena import paths
    from simarena.scenario import load

    changes = dict(changed(text) for text in set_ or [])
    if seed is not None:
        changes["seed"] = seed
    return load(paths.find_scenario(name), scale, changes, dict(seated(text) for text in seat or []), further)


def changed(text: str, option: str = "--set") -> tuple[str, Any]:
    """KEY=VALUE; the value is read as YAML, so that numbers, lists and mappings can be given."""
    from simarena import yamlfile

    key, sign, value = text.partition("=")
    if not sign or not key.strip():
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE, e.g. {option} rounds=3", param_hint=option)
    return key.strip(), yamlfile.parse(value, f"{option} {key}").data


def seated(text: str) -> tuple[str, list[str]]:
    """ROLE=AGENT[,AGENT...]."""
    role, _, names = text.partition("=")
    agents = [name.strip() for name in names.split(",") if name.strip()]
    if not role.strip() or not agents:
        raise typer.BadParameter(f"{text!r} is not ROLE=AGENT, e.g. --seat judge=nano-a", param_hint="--seat")
    return role.strip(), agents


def finish(report: RunReport, folder: Path, match: str, as_json: bool) -> None:
    """The last lines, and the exit code; with JSON they are beside the results."""
    tell = output.note if as_json else output.say
    sys.stdout.flush()
    output.note(report.summary())
    for engine in report.engines:
        output.note(engine.line())
    tell(f"run folder: {folder}")
    if match:
        tell(f"open a transcript with: simarena show {folder} {match}")
    raise typer.Exit(report.exit_code)
