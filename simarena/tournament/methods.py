"""Further ways to rate, for fields that no single scale fits: each has a name, options, and gives a value an agent.

In: results. Out: agent -> value, best first. Knows no file and no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, ValidationError

from simarena.errors import ScenarioError
from simarena.records import JSON
from simarena.tournament import elo, nontransitive, reputation
from simarena.tournament.ratings import win_shares
from simarena.tournament.results import Result, compare


class Unoptioned(BaseModel):
    """A method without options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Invasion(Unoptioned):
    """Options of alpha-rank."""

    alpha: PositiveFloat = 100.0
    """How much a margin is worth to an invader."""
    population: Annotated[int, Field(ge=2)] = 50
    """Copies of the agent that is invaded."""


METHODS: dict[str, type[BaseModel]] = {
    "alpha_rank": Invasion,
    "elo": Unoptioned,
    "nash": Unoptioned,
    "reputation": reputation.Constants,
}
"""Name -> its options."""


def read_options(method: str, options: Mapping[str, JSON]) -> Any:
    """The options of one of `METHODS`; every wrong one is named in one ScenarioError."""
    try:
        return METHODS[method](**options)
    except ValidationError as error:
        lines = "; ".join(f"{e['loc'][0]}: {e['msg']} (got {e['input']!r})" for e in error.errors(include_url=False))
        known = ", ".join(METHODS[method].model_fields) or "none"
        raise ScenarioError(f"{method} does not take these options: {lines} (it knows {known})") from error


def rated_by(
    method: str, results: Sequence[Result], agents: Sequence[str], options: Mapping[str, JSON]
) -> dict[str, float]:
    """Agent -> value by one of `METHODS`, best first."""
    how = read_options(method, options)
    if method == "reputation":
        table = reputation.reputations(results, agents, how)
        found = {name: each.value for name, each in table.items()}
    else:
        data = compare(results, agents)
        shares = win_shares(data)
        margin = nontransitive.margins(shares)
        if method == "nash":
            column = nontransitive.nash(margin).weights
        elif method == "alpha_rank":
            column = nontransitive.alpha_rank(margin, how.alpha, how.population)
        else:
            column = elo.least_squares(shares)
        found = dict(zip(data.agents, np.asarray(column).tolist(), strict=True))
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
