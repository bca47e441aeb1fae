"""YAML files read safely and strictly: every error at once, each with file, line and column.

Knows pydantic models and text; knows no scenario, agent or environment.
"""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from simarena.errors import ScenarioError
from simarena.records import JSON

LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
MAX_NODES = 200_000
"""Aliases that unfold into more values than this are refused."""
MAX_DEPTH = 100

Place = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass
class Source:
    """A YAML file's data, and where each value stands."""

    path: str
    data: JSON = None
    lines: dict[Place, tuple[int, int]] = field(default_factory=dict)
    """Place of a value -> its line and column, from 1."""
    elsewhere: dict[Place, str] = field(default_factory=dict)
    """Place of a value that was set from outside the file -> where from, e.g. "--set rounds=3"."""
    moved: dict[Place, Place] = field(default_factory=dict)
    """Place of a value that was set from elsewhere in the file -> where from: errors are told there."""
    errors: list[str] = field(default_factory=list)

    def error(self, place: Place, message: str, note: str = "") -> None:
        """Note an error at a place, or at the nearest one around it that the file has.

        `note` stands behind the message; it tells under which circumstances, unless the place itself does.
        """
        origin = longest(place, self.moved)
        if origin is not None:
            place, note = (*self.moved[origin], *place[len(origin) :]), ""
        name = ".".join(map(str, place)) or "file"
        outside = longest(place, self.elsewhere)
        if outside is not None:
            where = self.elsewhere[outside]
        else:
            line, column = self.lines[found] if (found := longest(place, self.lines)) is not None else (1, 1)
            where = f"{self.path}:{line}:{column}"
        self.errors.append(f"{where}: {name}: {message}{note}")

    def place(self, place: Place, standing: Place) -> None:
        """Say that what is at `place` now is what stands at `standing` in the file."""
        kept = {where: at for where, at in self.lines.items() if where[: len(place)] != place}
        set_here = {
            (*place, *where[len(standing) :]): at
            for where, at in self.lines.items()
            if where[: len(standing)] == standing
        }
        self.lines = kept | set_here

    def check(self) -> None:
        """Raise all errors at once."""
        if self.errors:
            raise ScenarioError("\n".join(sorted(dict.fromkeys(self.errors), key=_line_of)))

    def model(self, kind: type[Model], data: JSON = None, at: Place = (), note: str = "") -> Model | None:
        """`data` (the whole file by default) as `kind`; None and noted errors, `note` behind each, where it is not."""
        value = self.data if data is None and not at else data
        try:
            return kind.model_validate(value)
        except ValidationError as error:
            for problem in error.errors(include_url=False):
                self.problem(kind, value, at, problem, note)
            return None

    def problem(self, kind: type[BaseModel], value: JSON, at: Place, problem: Any, note: str = "") -> None:
        """Note one of pydantic's errors about `value`, which stands at `at` and should be a `kind`."""
        place = within(value, tuple(problem["loc"]))
        if problem["type"] == "extra_forbidden":
            known = sorted(known_keys(kind, place[:-1]))
            message = f"unknown key{suggestion(str(place[-1]), known)}"
        elif problem["type"] == "missing":
            message = "is missing"
        elif problem["type"] == "value_error":
            message = str(problem["ctx"]["error"])
        elif kind.model_config.get("hide_input_in_errors"):  # it may be a secret in the wrong place
            message = problem["msg"]
        else:
            message = f"{problem['msg']} (got {shortened(problem['input'])}){_meant(problem)}"
        self.error((*at, *place), message, note)


def complaints(kind: type[BaseModel], error: ValidationError) -> list[str]:
    """What is wrong with values of a `kind` that stand in no file, a line each."""
    lines = []
    for problem in error.errors(include_url=False):
        *before, name = problem["loc"] or ("",)
        place = ".".join(map(str, problem["loc"]))
        if problem["type"] == "extra_forbidden":
            hint = suggestion(str(name), sorted(known_keys(kind, before))) or " (there are none here)"
            lines.append(f"{place}: unknown key{hint}")
        else:
            lines.append(f"{place}: {problem['msg']} (got {shortened(problem['input'])})")
    return lines


def longest(place: Place, known: Collection[Place]) -> Place | None:
    """The longest beginning of `place` that is known."""
    return next((place[:n] for n in range(len(place), -1, -1) if place[:n] in known), None)


def within(value: Any, loc: Place) -> Place:
    """`loc` without the parts that name no key of `value` but an alternative that was tried there."""
    place: list[str | int] = []
    for n, part in enumerate(loc):
        inside = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if inside or (isinstance(value, dict) and part in value):
            value = value[part]
        elif n < len(loc) - 1 or not isinstance(value, dict):
            continue
        place.append(part)
    return tuple(place)


def shortened(value: JSON) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _meant(problem: Any) -> str:
    """The one of a few allowed words that was probably meant."""
    if problem["type"] != "literal_error" or not isinstance(problem["input"], str):
        return ""
    words = problem["ctx"]["expected"].replace(" or ", ", ").split(", ")
    near = get_close_matches(problem["input"], [word.strip("'") for word in words], n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _line_of(error: str) -> tuple[str, int, int]:
    path, line, column, *_ = [*error.split(":"), "", "", ""]
    return (path, int(line), int(column)) if line.isdigit() and column.isdigit() else ("", 0, 0)


def suggestion(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` or the list of what is known."""
    known = list(known)
    near = get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else (f" (known: {', '.join(known)})" if known else "")


def read(path: str | Path) -> Source:
    """Read a YAML file. Raises ScenarioError for what is no YAML; duplicate keys are noted as errors."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no UTF-8 text"
        raise ScenarioError(f"{path}: cannot be read: {reason}") from error
    return parse(text, str(path))


def parse(text: str, path: str = "<text>") -> Source:
    """Like `read`, for a text."""
    source = Source(path)
    try:
        refuse_deep(text, path)
        node = yaml.compose(text, Loader=LOADER)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ScenarioError(f"{path}:{line}:{column}: file: is not YAML: {problem}") from error
    if node is not None:
        source.data = _Builder(source).value(node, ())
    return source


def refuse_deep(text: str, path: str) -> None:
    """Raise ScenarioError for values nested so deeply that reading them would exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=LOADER):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            mark: Any = event.start_mark
            line, column = mark.line + 1, mark.column + 1
            raise ScenarioError(f"{path}:{line}:{column}: file: is nested deeper than {MAX_DEPTH} levels")


class _Builder:
    """Plain values from YAML nodes, with a note of where each stands."""

    def __init__(self, source: Source) -> None:
        self.source, self.count, self.scalars = source, 0, LOADER("")

    def value(self, node: Any, place: Place) -> JSON:
        """The value of a node; its children's places are noted."""
        self.count += 1
        if self.count > MAX_NODES or len(place) > MAX_DEPTH:
            raise ScenarioError(f"{self.source.path}: holds more values than any scenario needs; look at its aliases")
        self.source.lines.setdefault(place, (node.start_mark.line + 1, node.start_mark.column + 1))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*place, i)) for i, child in enumerate(node.value)]
        try:
            value = self.scalars.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.source.error(place, f"is no plain value: {str(error).splitlines()[0]}")
            return None
        if value is not None and not isinstance(value, (str, int, float, bool)):
            return str(node.value)  # dates and the like stay the text they were written as
        return value

    def _mapping(self, node: Any, place: Place) -> dict[str, JSON]:
        found: dict[str, JSON] = {}
        for key_node, child in node.value:
            key = str(key_node.value)
            here = (*place, key)
            if key in found:
                self.source.lines[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
                self.source.error(here, "is given twice")
            self.source.lines[here] = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            found[key] = self.value(child, here)
        return found


def known_keys(kind: type[BaseModel], place: Sequence[Any]) -> set[str]:
    """The keys that the model at `place` inside `kind` knows."""
    if not place:
        return {f.alias or name for name, f in kind.model_fields.items()}
    keys: set[str] = set()
    name = place[0]
    candidates = [kind.model_fields[name].annotation] if name in kind.model_fields else []
    for model in (inner for each in candidates for inner in models_in(each)):
        rest = [part for part in place[1:] if not isinstance(part, int) and part in model.model_fields]
        keys |= known_keys(model, rest)
    return keys


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """All models that an annotation mentions."""
    parts = typing.get_args(annotation)
    if parts:
        return [model for part in parts for model in models_in(part)]
    return [annotation] if isinstance(annotation, type) and issubclass(annotation, BaseModel) else []
