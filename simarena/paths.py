"""Where the scenarios and agents that ship with simarena are, and how names become files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from simarena.errors import UnknownName

PACKAGE = Path(__file__).parent
REPOSITORY = PACKAGE.parent
RECIPES = "recipes"
"""Folder of the recipes among the shipped scenarios; they are none."""


def shipped(kind: str) -> Path:
    """The folder of shipped "scenarios" or "agents": in the repository, or inside an installed package."""
    inside = PACKAGE / "shipped" / kind
    return inside if inside.is_dir() else REPOSITORY / kind


def scenario_names() -> list[str]:
    """Names of the shipped scenarios, as in "debate/khan_persuasive_debate"."""
    root = shipped("scenarios")
    files = (path for path in root.glob("*/*.yaml") if path.parent.name != RECIPES)
    return sorted(str(path.relative_to(root).with_suffix("")) for path in files)


def recipe_names() -> list[str]:
    """Names of the shipped recipes of training, as in "tr_dpo"."""
    return sorted(path.stem for path in (shipped("scenarios") / RECIPES).glob("*.yaml"))


def find_recipe(name: str) -> Path:
    """The file that a path or a shipped recipe's name stands for."""
    for path in (Path(name), shipped("scenarios") / RECIPES / f"{name}.yaml"):
        if path.suffix in (".yaml", ".yml") and is_file(path):
            return path
    raise UnknownName("recipe", name, recipe_names())


def agent_names() -> list[str]:
    """Names of the agent files that ship or lie in ./agents."""
    return sorted({path.stem for folder in agent_folders() for path in folder.glob("*.yaml")})


def agent_folders() -> Iterator[Path]:
    """Where agent files are looked for, nearest first."""
    here = Path("agents")
    if here.is_dir() and here.resolve() != shipped("agents").resolve():
        yield here
    if shipped("agents").is_dir():
        yield shipped("agents")


def find_scenario(name: str) -> Path:
    """The file that a path or a shipped scenario's name stands for."""
    for path in (Path(name), shipped("scenarios") / f"{name}.yaml", shipped("scenarios") / name):
        if is_file(path):
            return path
    same = [known for known in scenario_names() if known.endswith(f"/{name}")]
    if len(same) == 1:
        return shipped("scenarios") / f"{same[0]}.yaml"
    raise UnknownName("scenario", name, scenario_names())


def find_agent(name: str) -> Path | None:
    """The agent file that a path or a name stands for, or None."""
    candidates = [Path(name)] if name.endswith((".yaml", ".yml")) else []
    candidates += [folder / f"{name}.yaml" for folder in agent_folders()]
    return next((path for path in candidates if is_file(path)), None)


def is_file(path: Path) -> bool:
    """Whether a path leads to a file; a text that can be no path leads to none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
