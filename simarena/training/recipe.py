"""Recipe files: a published way to train, as arguments; read once, strictly, and checked without loading a model.

A recipe has one or more stages, each of which goes on with the agent that the last one made, and perhaps a grid.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from simarena import names, yamlfile
from simarena.errors import ScenarioError, UnknownName
from simarena.training.arguments import Arguments

LOSS_PART = "params"


class Pairs(BaseModel):
    """Which preferences a recipe is meant for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    builder: str = Field(description="See: simarena list builders.")
    params: dict[str, Any] = Field(default_factory=dict, description="Of the builder.")
    filters: dict[str, Any] = Field(default_factory=dict, description="As simarena pairs --filter has them.")


class Recipe(BaseModel):
    """A recipe file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: str = Field(description="What it does, in a line.")
    provenance: str = Field(description="Where it comes from.")
    pairs: Pairs = Field(description="How its pairs are made from a run; for people, the pairs are given.")
    rounds: PositiveInt = Field(1, description="Collections of pairs by the agent as it then is; one call trains one.")
    stages: list[dict[str, Any]] = Field(min_length=1, description="Arguments of each stage.")
    grid: dict[str, list[Any]] = Field(default_factory=dict, description="Dotted argument -> values to try, all ways.")


def read_recipe(path: Path) -> Recipe:
    """A recipe, every stage and every point of its grid checked. ScenarioError holds every error."""
    source = yamlfile.read(path)
    recipe = source.model(Recipe)
    source.check()
    assert recipe is not None, "an invalid recipe was reported by check()"
    for number, stage in enumerate(recipe.stages):
        for point in points(recipe):
            try:
                arguments({**stage}, point)
            except ScenarioError as error:
                source.error(("stages", number), str(error))
    for point in points(recipe):
        if point and (found := names.fault(label(point))):
            source.error(("grid",), f"{label(point)!r} is the name of a folder, and {found}")
    source.check()
    return recipe


def points(recipe: Recipe) -> Iterator[dict[str, Any]]:
    """Every combination of the grid's values; one empty one where there is no grid."""
    for values in itertools.product(*recipe.grid.values()):
        yield dict(zip(recipe.grid, values, strict=True))


def arguments(stage: Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Arguments:
    """A stage's arguments with `changes` by dotted key; a key that is no argument is a parameter of the loss.

    ScenarioError names every key that is wrong, the loss's own included.
    """
    from simarena.training import losses
    from simarena.training.trainer import TrainingError, chosen_loss

    data = {key: dict(value) if isinstance(value, Mapping) else value for key, value in stage.items()}
    for key, value in (changes or {}).items():
        name, _, rest = key.partition(".")
        if rest:
            data[name] = {**data.get(name, {}), rest: value}
        elif name in Arguments.model_fields:
            data[name] = value
        else:
            data[LOSS_PART] = {**data.get(LOSS_PART, {}), name: value}
    try:
        made = Arguments(**data)
        refuse_unknown(changes or {}, made, losses.find(made.loss).Params)
        chosen_loss(made)
    except ValidationError as error:
        raise ScenarioError("\n".join(yamlfile.complaints(Arguments, error))) from error
    except (TrainingError, UnknownName) as error:
        raise ScenarioError(str(error)) from error
    return made


def refuse_unknown(changes: Mapping[str, Any], made: Arguments, params: type[BaseModel]) -> None:
    """ScenarioError for a change that is neither an argument nor one of the loss's parameters."""
    known = [*Arguments.model_fields, *params.model_fields]
    for name in changes:
        if "." not in name and name not in known:
            hint = yamlfile.suggestion(name, known)
            raise ScenarioError(f"{name}: neither an argument nor a parameter of loss {made.loss!r}{hint}")


def label(point: Mapping[str, Any]) -> str:
    """A point of a grid as a folder's name."""
    return ",".join(f"{key}={value}" for key, value in point.items()).replace("/", "_")
