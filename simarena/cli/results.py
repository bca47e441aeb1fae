"""How studies and ratings print, and what of them JSON holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simarena.cli import output
from simarena.cli.output import interval
from simarena.records import to_json

if TYPE_CHECKING:
    from simarena.scenario import Scenario
    from simarena.studies import Study
    from simarena.summary import CellRow
    from simarena.tournament.ratings import Ratings, Row
    from simarena.unusable import Unusable


MOST_COLUMNS = 8
"""Cells that stand side by side."""


def show_study(scenario: Scenario, study: Study) -> None:
    """Measures by cell, and returns by agent."""
    from simarena.summary import coordinate

    rows = study.cells
    names = [name for name in scenario.metrics if any(name in row.metrics for row in rows)]
    names = names or sorted({name for row in rows for name in row.metrics})
    axes = list(scenario.sweep)
    heads = [", ".join(coordinate(row.cell[axis]) for axis in axes) or "all" for row in rows]
    grid(
        " x ".join(axes) or "measure",
        heads,
        [
            *([name, *(interval(row.metrics.get(name)) for row in rows)] for name in names),
            ["invalid turns", *(output.share(row.invalid_rate) for row in rows)],
            ["matches", *map(matches_of, rows)],
        ],
    )
    agents = sorted({agent for row in rows for agent in row.returns})
    if agents:
        grid("return", heads, [[name, *(interval(row.returns.get(name)) for row in rows)] for name in agents])
    show_unusable(to_json(study.unusable))


def matches_of(row: CellRow) -> str:
    """How many matches a cell has, and what is wrong with some."""
    wrong = {"failed": row.failed, "decided by no judge": row.undecided}
    words = ", ".join(f"{count} {what}" for what, count in wrong.items() if count)
    return f"{row.matches} ({words})" if words else str(row.matches)


def show_unusable(found: Mapping[str, Any]) -> None:
    """Whose replies could not be used, and which verdicts are missing (`Unusable` as JSON); warnings go to stderr."""
    from simarena.unusable import ORDERS

    for group in ("role", "agent"):
        shares = found[f"{group}s"].items()
        each = ", ".join(f"{name} {output.share(one['share'])} of {one['of']}" for name, one in shares)
        output.say(f"unusable turns by {group}: {each or 'none was taken'}")
    judges = found["judges"]
    if judges:
        orders = [order for order in ORDERS if any(order in judge["orders"] for judge in judges.values())]
        rows = [
            [agent, str(judge["missed"]["of"]), *map(share_of, [judge["missed"], *map(judge["orders"].get, orders)])]
            for agent, judge in judges.items()
        ]
        output.table(["judge", "verdicts asked for", "not given", *(ORDERS[order] for order in orders)], rows)
    for warning in found["warnings"]:
        output.note(f"warning: {warning}")


def share_of(found: Mapping[str, Any] | None) -> str:
    """A share in a table; "-" for none."""
    return "-" if found is None else output.share(found["share"])


def grid(corner: str, heads: list[str], rows: list[list[str]]) -> None:
    """A table with a column per cell; with a line per cell where there are more than fit side by side."""
    if len(heads) <= MOST_COLUMNS:
        output.table([corner, *heads], rows)
    else:
        turned = [[head, *(row[n] for row in rows)] for n, head in enumerate(heads, start=1)]
        output.table([corner, *(row[0] for row in rows)], turned)


def study_json(study: Study) -> dict[str, Any]:
    """A played scenario for a script."""
    from simarena.records import to_json

    cells: list[CellRow] = study.cells
    replies = to_json(study.unusable)
    return {"run": str(study.folder), "report": to_json(study.report), "cells": to_json(cells), "unusable": replies}


Cells = list[tuple[dict[str, Any], "Ratings"]]
"""(coordinates, ratings) of each cell."""


def show_ratings(ratings: Ratings, replies: Unusable, cells: Cells | None = None) -> None:
    """The leaderboard, what one number cannot say, and ratings by cell where there are several."""
    sure = f"{100 * ratings.confidence:g} %"
    output.table(
        ["agent", "rating", f"{sure} interval", "rank", "score", "matches", "invalid"],
        [rating_row(row) for row in ratings.leaderboard],
    )
    effect = ratings.seat_effect
    if effect is not None:
        reach = f" ({sure}: {output.number(effect.low, 0)} to {output.number(effect.high, 0)})"
        output.say(f"seat {effect.seat}: worth {output.number(effect.points, 0)} points{reach}")
    undecided = f", decided by no judge: {ratings.undecided} of {ratings.matches}" if ratings.undecided else ""
    ties = output.share(ratings.tie_rate) if ratings.undecided < ratings.matches else "nothing to tell from"
    output.say(f"ties: {ties}{undecided}")
    show_unusable(to_json(replies))
    for cycle in ratings.cycles:
        output.say(f"no single scale fits: {' beats '.join([*cycle, cycle[0]])}")
    if len(ratings.components) > 1:
        groups = "; ".join(", ".join(group) for group in ratings.components)
        output.say(f"ratings compare within these groups only, for they never met: {groups}")
    if cells:
        show_cells([row.agent for row in ratings.leaderboard], cells)


def show_cells(agents: list[str], cells: Cells) -> None:
    """A column a cell: ratings with intervals, in the order of the leaderboard."""
    from simarena.summary import coordinate

    boards = [{row.agent: row for row in ratings.leaderboard} for _, ratings in cells]
    rows = [[name, *(reach(board[name]) if name in board else "-" for board in boards)] for name in agents]
    rows.append(["ties", *(output.share(ratings.tie_rate) for _, ratings in cells)])
    rows.append(["invalid turns", *(output.share(ratings.invalid_rate) for _, ratings in cells)])
    if any(ratings.undecided for _, ratings in cells):
        rows.append(["decided by no judge", *(str(ratings.undecided) for _, ratings in cells)])
    rows.append(["matches", *(str(ratings.matches) for _, ratings in cells)])
    heads = [", ".join(map(coordinate, cell.values())) or "all" for cell, _ in cells]
    output.say()
    grid(" x ".join(cells[0][0]), heads, rows)


def reach(row: Row) -> str:
    """A rating with its interval."""
    known = row.low is not None and row.high is not None
    return f"{row.rating:.0f} ({row.low:.0f} to {row.high:.0f})" if known else f"{row.rating:.0f}"


def rating_row(row: Row) -> list[str]:
    """An agent's line."""
    known = row.low is not None and row.high is not None
    return [
        row.agent,
        f"{row.rating:.0f}",
        f"{row.low:.0f} to {row.high:.0f}" if known else "-",
        str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low} to {row.rank_high}",
        output.number(row.score),
        str(row.matches),
        output.share(row.invalid_rate),
    ]


def ratings_json(ratings: Ratings, replies: Unusable, cells: Cells | None = None) -> dict[str, Any]:
    """Ratings for a script; with `cells` those of each cell beside them."""
    found: dict[str, Any] = {**to_json(ratings), "unusable": to_json(replies)}
    by_cell = [{"cell": cell, **to_json(each)} for cell, each in cells or ()]
    return found if cells is None else {**found, "cells": by_cell}
