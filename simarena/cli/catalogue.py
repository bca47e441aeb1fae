"""Commands that look things up: list, validate, schema, doctor."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.output import say
from simarena.errors import ScenarioError, SimArenaError

AsJson = Annotated[bool, typer.Option("--json", help="Results as JSON.")]
Line = tuple[str, str]
"""A name, and what it is."""


def list_(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="[KIND]",
            help="environments, tasks, scenarios, agents, policies, backends, formats, builders, recipes or losses; "
            "if none, all but losses.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """What there is, one line each."""
    from simarena.errors import UnknownName

    if kind and kind not in KINDS:
        raise UnknownName("kind", kind, KINDS)
    found = {name: sorted(KINDS[name]()) for name in ([kind] if kind else LIGHT)}
    if as_json:
        output.say_json({name: dict(lines) for name, lines in found.items()})
        return
    for name, lines in found.items():
        if not kind:
            say(f"{name}:")
        width = max((len(each) for each, _ in lines), default=0)
        for each, words in lines:
            say(f"{'' if kind else '  '}{each.ljust(width)}  {words}".rstrip())
        if not lines:
            say("  none")


def environments() -> Iterator[Line]:
    """Environments."""
    from simarena.registry import ENVIRONMENTS

    return described(ENVIRONMENTS)


def tasks() -> Iterator[Line]:
    """Task families."""
    from simarena.registry import TASKS

    return described(TASKS)


def backends() -> Iterator[Line]:
    """Backends; those whose extra is missing are listed too."""
    from simarena.registry import BACKENDS

    return described(BACKENDS)


def formats() -> Iterator[Line]:
    """Tournament formats with their options."""
    from simarena.registry import lookup
    from simarena.tournament.schedule import FORMATS

    for name in FORMATS:
        kind = lookup(FORMATS, "tournament format", name)
        yield name, f"{first_line(kind)} (options: {', '.join(kind.model_fields) or 'none'})"


def builders() -> Iterator[Line]:
    """Ways to make preferences, with their parameters."""
    from simarena.preferences.builders import BUILDERS
    from simarena.registry import lookup

    for name in BUILDERS:
        made = lookup(BUILDERS, "builder", name)
        knobs = ", ".join(made.params.model_fields)
        yield name, made.line + (f" (params: {knobs})" if knobs else "")


def recipes() -> Iterator[Line]:
    """Recipes of training."""
    from simarena import paths, yamlfile

    for name in paths.recipe_names():
        yield name, summary(yamlfile.read(paths.find_recipe(name)).data, "recipe")


def losses() -> Iterator[Line]:
    """Losses, with their sources."""
    from simarena.errors import MissingExtra

    try:
        from simarena.training.losses import LOSSES
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("the list of losses", "transformers") from None
    for name, loss in LOSSES.items():
        yield name, f"{loss.line} ({loss.source})"


def pair_formats() -> Iterator[Line]:
    """Formats that preferences are written in."""
    from simarena.preferences.formats import FORMATS

    for name, format_ in FORMATS.items():
        yield name, format_.line


def described(table: dict[str, str]) -> Iterator[Line]:
    """The entries of a registry, by the first line of their files."""
    for name, path in table.items():
        yield name, first_line(import_module(path.partition(":")[0]))


def policies() -> Iterator[Line]:
    """Scripted policies, with their parameters."""
    from simarena.registry import lookup_policy, policy_names

    for name in policy_names():
        kind = lookup_policy(name)
        knobs = ", ".join(kind.Params.model_fields)
        yield name, first_line(kind) + (f" (params: {knobs})" if knobs else "")


def scenarios() -> Iterator[Line]:
    """Shipped scenarios."""
    from simarena import paths, yamlfile

    for name in paths.scenario_names():
        yield name, summary(yamlfile.read(paths.find_scenario(name)).data, "description")


def agents() -> Iterator[Line]:
    """Agent files that ship or lie in ./agents."""
    from simarena import paths, yamlfile

    for name in paths.agent_names():
        data = yamlfile.read(str(paths.find_agent(name))).data
        what = " ".join(summary(data, key) for key in ("backend", "policy", "model", "adapter"))
        yield name, " ".join(what.split())


def summary(data: object, key: str) -> str:
    """A text of a file that may be anything."""
    value = data.get(key, "") if isinstance(data, dict) else ""
    return " ".join(str(value).split())


def first_line(thing: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


KINDS: dict[str, Callable[[], Iterator[Line]]] = {
    "environments": environments,
    "tasks": tasks,
    "scenarios": scenarios,
    "agents": agents,
    "policies": policies,
    "backends": backends,
    "formats": formats,
    "builders": builders,
    "pair-formats": pair_formats,
    "losses": losses,
    "recipes": recipes,
}
LIGHT = [kind for kind in KINDS if kind != "losses"]
"""What is listed when nothing is named: losses would load torch."""


def validate(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Scenario and agent files, or shipped names.")],
    as_json: AsJson = False,
) -> None:
    """Check files without playing: every error at once, as file:line:col: path: message."""
    found: list[dict[str, Any]] = []
    for name in files:
        try:
            path = found_file(name)
            found.append({"file": str(path), "kind": check_file(path), "errors": []})
        except SimArenaError as error:
            found.append({"file": name, "kind": "", "errors": str(error).split("\n")})
        if found[-1]["kind"] and not as_json:
            say(f"{found[-1]['file']}: {found[-1]['kind']} is valid")
    if as_json:
        output.say_json(found)
    wrong = [error for each in found for error in each["errors"]]
    if wrong:
        raise ScenarioError("\n".join(wrong))


def found_file(name: str) -> Path:
    """The scenario or agent file that a path or a shipped name stands for."""
    from simarena import paths
    from simarena.errors import UnknownName

    if Path(name).is_file():
        return Path(name)
    if Path(name).suffix in (".yaml", ".yml"):
        raise ScenarioError(f"{name}: there is no such file (looked for {Path(name).absolute()})")
    agent = paths.find_agent(name)
    if agent is not None:
        return agent
    if name in paths.recipe_names():
        return paths.find_recipe(name)
    try:
        return paths.find_scenario(name)
    except UnknownName:
        known = [*paths.scenario_names(), *paths.agent_names(), *paths.recipe_names()]
        raise UnknownName("scenario, agent or recipe", name, known) from None


def check_file(path: Path) -> str:
    """Which kind of file it is; ScenarioError where it is wrong, at any of its scales."""
    from simarena import yamlfile
    from simarena.agents.members import examine_spec
    from simarena.agents.spec import read_agent
    from simarena.scenario import load

    source = yamlfile.read(path)
    if isinstance(source.data, dict) and {"env", "data", "roster"} & set(source.data):
        from simarena.league.check import examine

        scenario = load(path, further=examine)
        for scale in scenario.scale:
            load(path, scale, further=examine)
        return "scenario"
    if isinstance(source.data, dict) and "recipe" in source.data:
        from simarena.training.recipe import read_recipe

        read_recipe(path)
        return "recipe"
    if not isinstance(source.data, dict):
        raise ScenarioError(
            f"{path}:1:1: file: holds neither scenario (env, data, roster) nor agent (policy, or backend and model)"
        )
    spec = read_agent(source)
    if spec is not None:
        examine_spec(spec, source)
    source.check()
    return "agent"


def schema(
    kind: Annotated[str, typer.Argument(metavar="[scenario|agent]", help="Of which files.")] = "scenario",
) -> None:
    """JSON Schema of scenario or agent files, for editors."""
    from simarena import scenario
    from simarena.agents import spec
    from simarena.errors import UnknownName

    schemas = {"scenario": scenario.schema, "agent": spec.schema}
    if kind not in schemas:
        raise UnknownName("kind of file", kind, schemas)
    say(json.dumps(schemas[kind](), indent=2))


def doctor(as_json: AsJson = False) -> None:
    """What is installed, what would work, and what to do about the rest."""
    from simarena.doctor import examine

    found = examine()
    if as_json:
        output.say_json(found)
        return
    width = max(len(each.what) for each in found)
    for each in found:
        say(f"{'ok' if each.fine else '--'}  {each.what.ljust(width)}  {each.said}")
        if each.remedy:
            say(f"    {' ' * width}  -> {each.remedy}")
