"""Multi-issue negotiations: a secret score sheet and a minimum for every party, and all deals enumerated.

A deal takes one option of each issue; its worth to a party is the sum of the options' scores on that party's sheet.
Minimums are quantiles of a party's own scores over all deals, so that they dial how hard agreement is. Protocol after
LLM-Deliberation (Abdelnabi et al. 2024). A sheet file, if one is named, is read once, when the family is made.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from simarena import seeds
from simarena.errors import ScenarioError
from simarena.records import JSON
from simarena.tasks import welfare
from simarena.tasks.base import Family, Knobs, Task

Sheets = tuple[tuple[tuple[int, ...], ...], ...]
"""Party -> issue -> option -> score."""
MAX_DEALS = 10_000
MAX_DRAWS = 2_000
"""With the default quantiles about 1 draw in 10 has no unanimous deal; settings that never have one give up here."""
PUBLISHED = (0.60, 0.60, 0.50, 0.35, 0.35, 0.50)
"""Quantiles of the six-party game; other numbers of parties go round them."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

FESTIVAL = (
    ("place", "park", "hall", "harbour", "square", "school"),
    ("day", "Friday", "Saturday", "Sunday", "Monday", "Tuesday"),
    ("music", "choir", "band", "drums", "organ", "silence"),
    ("food", "soup", "rice", "bread", "fruit", "cake"),
    ("price", "free", "one coin", "two coins", "five coins", "ten coins"),
    ("light", "lamps", "candles", "fire", "moon", "none"),
)


class SheetFile(BaseModel):
    """Content of a sheet file (JSON)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sheets: list[list[list[int]]]
    """Party -> issue -> option -> score."""
    minimums: list[int]
    """One a party, in points."""
    names: dict[str, str] = {}
    """What issues and options stand for, e.g. {"A": "place", "A1": "park"}; public."""

    @model_validator(mode="after")
    def _rectangular(self) -> SheetFile:
        shapes = {tuple(len(issue) for issue in sheet) for sheet in self.sheets}
        if len(shapes) != 1 or not next(iter(shapes)) or min(next(iter(shapes))) < 2:
            raise ValueError("every party needs the same issues, with the same two or more options")
        if len(self.minimums) != len(self.sheets) or len(self.sheets) < 2:
            raise ValueError(
                f"{len(self.sheets)} sheets and {len(self.minimums)} minimums: give one each, two at least"
            )
        return self


class SheetParams(Knobs):
    """Knobs of the negotiations."""

    parties: int = Field(6, ge=2, le=26)
    """How many negotiate."""
    issues: tuple[int, ...] = (3, 3, 4, 4, 5)
    """Options of each issue; issues are called A, B, C, ... and their options A1, A2, ..."""
    points: int = Field(100, ge=4, le=10_000)
    """Score of a party's best deal."""
    weights: tuple[tuple[float, ...], ...] = ()
    """Party -> share of its points that each issue carries; (): drawn."""
    thresholds: float | tuple[float, ...] = PUBLISHED
    """Quantile of a party's own scores that is its minimum; one for all, or one each (shorter lists go round)."""
    unanimous: bool = True
    """Draw again until at least one deal gives every party its minimum."""
    sheet_file: str = ""
    """JSON file with `sheets`, `minimums` and maybe `names`; takes the place of all drawing. Every seed gives it."""
    theme: Literal["plain", "festival"] = "plain"
    """festival: issues and options also get names in words (six issues, five options at most)."""

    @model_validator(mode="after")
    def _possible(self) -> SheetParams:
        if not self.issues or min(self.issues) < 2 or len(self.issues) > len(LETTERS):
            raise ValueError(f"issues={list(self.issues)}: give 1 to 26 issues with two or more options each")
        if math.prod(self.issues) > MAX_DEALS:
            raise ValueError(f"{math.prod(self.issues)} deals are too many to enumerate (at most {MAX_DEALS})")
        if self.points < 2 * len(self.issues):
            raise ValueError(f"points={self.points} are too few for {len(self.issues)} issues: give two each or more")
        if not self.quantiles or not all(0 <= q < 1 for q in self.quantiles):
            raise ValueError(f"thresholds={self.thresholds}: quantiles are at least 0 and under 1")
        if self.weights and (len(self.weights) != self.parties or {len(w) for w in self.weights} != {len(self.issues)}):
            raise ValueError(f"weights need {self.parties} rows of {len(self.issues)} numbers")
        if any(min(row) < 0 or sum(row) <= 0 for row in self.weights):
            raise ValueError("weights are not negative, and each row has some weight")
        if self.theme == "festival" and (len(self.issues) > len(FESTIVAL) or max(self.issues) > 5):
            raise ValueError(f"theme festival has {len(FESTIVAL)} issues of five options; use theme plain")
        return self

    @property
    def quantiles(self) -> tuple[float, ...]:
        """The quantiles as given, always a tuple."""
        return self.thresholds if isinstance(self.thresholds, tuple) else (self.thresholds,)


class ScoreSheets(Family):
    """Score sheets and minimums; truth holds the enumerated optima."""

    name = "scoresheets"
    Params = SheetParams

    def __init__(self, **params: Any) -> None:
        super().__init__(**params)
        self.file = read_file(self.params.sheet_file) if self.params.sheet_file else None
        self.parties: int = len(self.file.sheets) if self.file else self.params.parties
        self.sizes: tuple[int, ...] = tuple(map(len, self.file.sheets[0])) if self.file else self.params.issues
        if math.prod(self.sizes) > MAX_DEALS or len(self.sizes) > len(LETTERS):
            raise ScenarioError(f"{self.params.sheet_file}: at most 26 issues and {MAX_DEALS} deals can be enumerated")

    def generate(self, seed: int) -> Task:
        """Public: issues and their options. Private per party: scores and minimum. Truth: sheets and optima."""
        sheets, minimums = self._draw(seed)
        names = self._names()
        public: dict[str, JSON] = {"issues": {issue: options(i, n) for i, (issue, n) in enumerate(self._issues())}}
        if names:
            public["names"] = names
        return Task(
            family=self.name,
            seed=seed,
            public=public,
            private={f"party_{i}": private(sheet, minimums[i]) for i, sheet in enumerate(sheets)},
            truth=truth(sheets, minimums),
        )

    def verify(self, task: Task, answer: JSON) -> float:
        """Share of parties that a deal gives their minimum; 0 for what is no deal."""
        place = position(self.sizes, answer)
        if place is None:
            return 0.0
        scores = score_table(as_sheets(task.truth["sheets"]))[:, place]
        return float((scores >= np.asarray(task.truth["minimums"])).mean())

    def _issues(self) -> list[tuple[str, int]]:
        return list(zip(LETTERS, self.sizes, strict=False))

    def _names(self) -> dict[str, str]:
        if self.file:
            return dict(self.file.names)
        if self.params.theme == "plain":
            return {}
        pairs = ((issue, i, size) for i, (issue, size) in enumerate(self._issues()))
        return {f"{issue}{o or ''}": FESTIVAL[i][o] for issue, i, size in pairs for o in range(size + 1)}

    def _draw(self, seed: int) -> tuple[Sheets, tuple[int, ...]]:
        if self.file:
            return as_sheets(self.file.sheets), tuple(self.file.minimums)
        for draw in range(MAX_DRAWS):
            sheets = self._sheets(seeds.rng(self.name, seed, draw))
            table = score_table(sheets)
            quantiles = self.params.quantiles
            minimums = tuple(quantile(row, quantiles[i % len(quantiles)]) for i, row in enumerate(table))
            if not self.params.unanimous or (table >= np.asarray(minimums)[:, None]).all(axis=0).any():
                return sheets, minimums
        raise ScenarioError(
            f"scoresheets: {MAX_DRAWS} draws had no deal that gives all {self.parties} parties their minimum; "
            f"lower thresholds={list(self.params.quantiles)} or set unanimous to false"
        )

    def _sheets(self, rng: Random) -> Sheets:
        rows = self.params.weights or [[rng.expovariate(1.0) for _ in self.sizes] for _ in range(self.parties)]
        return tuple(
            tuple(
                draw_issue(rng, top, size) for top, size in zip(split(self.params.points, row), self.sizes, strict=True)
            )
            for row in rows
        )


def read_file(path: str) -> SheetFile:
    """The sheet file at `path`; ScenarioError says what is wrong with it."""
    try:
        return SheetFile.model_validate(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError as error:
        raise ScenarioError(f"sheet_file {path}: {error.strerror or error}") from error
    except (ValueError, ValidationError) as error:
        raise ScenarioError(f"sheet_file {path} is not a sheet file: {error}") from error


def split(points: int, weights: Any) -> list[int]:
    """`points` shared out by `weights` in whole numbers, the last fractions to the largest remainders; sums exactly."""
    shares = [points * w / sum(weights) for w in weights]
    parts = [int(share) for share in shares]
    order = sorted(range(len(shares)), key=lambda i: parts[i] - shares[i])
    for i in order[: points - sum(parts)]:
        parts[i] += 1
    return parts


def draw_issue(rng: Random, top: int, size: int) -> tuple[int, ...]:
    """Scores of one issue's options: the best is worth `top`, the worst nothing, the others something between."""
    scores = [top, 0, *(rng.randint(0, top) for _ in range(size - 2))]
    rng.shuffle(scores)
    return tuple(scores)


def quantile(scores: NDArray[np.int64], share: float) -> int:
    """The score that `share` of all deals fall short of, ties aside."""
    return int(np.sort(scores)[min(len(scores) - 1, math.floor(share * len(scores)))])


def options(issue: int, size: int) -> list[str]:
    """Names of an issue's options: A1, A2, ..."""
    return [f"{LETTERS[issue]}{o + 1}" for o in range(size)]


def private(sheet: tuple[tuple[int, ...], ...], minimum: int) -> dict[str, JSON]:
    """A party's card: its minimum and the score of every option."""
    scores = {name: sheet[i][o] for i, issue in enumerate(sheet) for o, name in enumerate(options(i, len(issue)))}
    return {"minimum": minimum, "scores": scores}


def as_sheets(lists: Any) -> Sheets:
    """Nested lists, as JSON has them, as nested tuples."""
    return tuple(tuple(tuple(map(int, issue)) for issue in sheet) for sheet in lists)


@lru_cache(maxsize=64)
def all_deals(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """(N, issues): the option numbers of every deal, the last issue changing fastest."""
    return np.indices(sizes).reshape(len(sizes), -1).T


@lru_cache(maxsize=256)
def score_table(sheets: Sheets) -> NDArray[np.int64]:
    """(parties, N): what every deal is worth to every party."""
    deals = all_deals(tuple(map(len, sheets[0])))
    return np.array([sum(np.asarray(issue)[deals[:, i]] for i, issue in enumerate(sheet)) for sheet in sheets])


@lru_cache(maxsize=256)
def front(sheets: Sheets) -> NDArray[np.int64]:
    """(parties, F): scores of the Pareto-efficient deals."""
    table = score_table(sheets)
    return table[:, welfare.pareto(table)]


def write_deal(sizes: tuple[int, ...], place: int) -> list[str]:
    """The deal at a position of `all_deals`, as option names."""
    return [f"{LETTERS[i]}{int(o) + 1}" for i, o in enumerate(all_deals(sizes)[place])]


def position(sizes: tuple[int, ...], deal: JSON) -> int | None:
    """Position in `all_deals` of a list of option names, one an issue and in order; None for anything else."""
    if not isinstance(deal, list) or len(deal) != len(sizes):
        return None
    place = 0
    for i, (name, size) in enumerate(zip(deal, sizes, strict=True)):
        names = options(i, size)
        if name not in names:
            return None
        place = place * size + names.index(name)
    return place


def passing(sheets: Sheets, minimums: tuple[int, ...], needed: int, veto: tuple[int, ...] = ()) -> NDArray[np.bool_]:
    """(N,): deals that give at least `needed` parties their minimum, all of `veto` among them."""
    happy = score_table(sheets) >= np.asarray(minimums)[:, None]
    return np.asarray((happy.sum(axis=0) >= needed) & happy[list(veto)].all(axis=0))


def truth(sheets: Sheets, minimums: tuple[int, ...]) -> dict[str, JSON]:
    """Sheets, minimums, and what enumeration says about them."""
    table, sizes = score_table(sheets), tuple(map(len, sheets[0]))
    found: dict[str, JSON] = {
        "sheets": [[list(issue) for issue in sheet] for sheet in sheets],
        "minimums": list(minimums),
        "deals": int(table.shape[1]),
        "unanimous": int(passing(sheets, minimums, len(sheets)).sum()),
    }
    goals: tuple[tuple[str, welfare.Objective], ...] = (
        ("maximin", "worst_then_total"),
        ("nash", "nash"),
        ("total", "total"),
    )
    for name, objective in goals:
        place = welfare.best(table, objective)
        found[name] = {"deal": write_deal(sizes, place), "scores": [int(s) for s in table[:, place]]}
    return found
