"""Commands that read a run folder, or play on from it: rate, replay, branch, show, export."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.play import AsJson, Concurrency, Quiet, changed, finish, settings
from simarena.cli.results import ratings_json, show_ratings
from simarena.errors import UnknownName

if TYPE_CHECKING:
    from simarena.casting import Cast
    from simarena.records import JSON, Match
    from simarena.store import Result, Run

WIDEST = 80
"""Characters of an error in a list of matches."""

Force = Annotated[bool, typer.Option("--force", help="Replace files that this command did not write.")]
Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


def rate(
    run: Folder,
    where: Annotated[
        list[str] | None, typer.Option("--where", metavar="AXIS=VALUE", help="Only these cells of the sweep. Repeats.")
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", metavar="AXIS", help="Ratings for each value of an axis too. Repeats.")
    ] = None,
    method: Annotated[str, typer.Option(help="A further column: reputation, nash, alpha_rank or elo.")] = "",
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="A constant of the method. Repeats.")
    ] = None,
    confidence: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of all intervals.")] = 0.95,
    as_json: AsJson = False,
) -> None:
    """Ratings of everyone on the roster, with intervals, from what a run holds."""
    from simarena.store import open_run
    from simarena.tournament.methods import METHODS, rated_by, read_options
    from simarena.tournament.ratings import rate as fitted
    from simarena.tournament.results import by_cell
    from simarena.tournament_run import history, rows_of
    from simarena.unusable import unusable

    options = dict(changed(text, "--option") for text in option or [])
    if method and method not in METHODS:
        raise UnknownName("method", method, METHODS)
    if options and not method:
        raise typer.BadParameter("is a constant of a --method, and none is given", param_hint="--option")
    if method:
        read_options(method, options)
    with open_run(run) as opened:
        where_ = chosen_cells(opened, where or [], by or [])
        results = history(opened, where=where_)
        graded = history(opened, where=where_, grades=True) if method == "reputation" else results
        replies = unusable(rows_of(opened, results))
    if not results:
        output.note(f"{run} holds no finished match to rate" + (" in these cells" if where else ""))
        raise typer.Exit(1)
    ratings = fitted(results, confidence=confidence)
    meetings = [result for result in results if len(result.agents) > 1]
    cells = [(cell, fitted(some, confidence=confidence)) for cell, some in by_cell(meetings, by)] if by else None
    agents = [row.agent for row in ratings.leaderboard]
    further = rated_by(method, graded, agents, options) if method else {}
    if as_json:
        output.say_json(
            {"run": str(run), **ratings_json(ratings, replies, cells), **({method: further} if method else {})}
        )
        return
    show_ratings(ratings, replies, cells)
    if further:
        output.table(["agent", method], [[name, output.number(value)] for name, value in further.items()])


def chosen_cells(run: Run, where: list[str], by: list[str]) -> dict[str, JSON]:
    """Axis -> value as asked for; UnknownName where the run was swept along no such axis, or has no such value."""
    from simarena.summary import coordinate, same

    cells = dict(changed(text, "--where") for text in where)
    played = [match.cell for match in run.matches()] if cells or by else []
    for axis in (*cells, *by):
        if all(axis not in cell for cell in played):
            raise UnknownName(
                "sweep axis", axis, {axis for cell in played for axis in cell} or ["none: nothing varies"]
            )
    for axis, value in cells.items():
        if not any(same(cell.get(axis), value) for cell in played):
            raise UnknownName(f"value of {axis}", coordinate(value), {coordinate(cell[axis]) for cell in played})
    return cells


def replay(
    run: Folder,
    match: Annotated[str, typer.Argument(metavar="[MATCH]", help="One match only.")] = "",
    agents: Annotated[
        bool, typer.Option("--agents", help="Seat the agents again too: are the same prompts still built?")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Play finished matches again from their record and compare every state; exit code 1 where one differs."""
    import asyncio

    from simarena.replay import reenact
    from simarena.replay import replay as again
    from simarena.store import open_run

    with open_run(run) as opened:
        statuses = opened.statuses()
        ids = [opened.find(match)] if match else [name for name, status in statuses.items() if status != "open"]
        seated = recast(opened).agents() if agents else None
        found = [
            again(opened, name)
            if seated is None or statuses[name] == "failed"
            else asyncio.run(reenact(opened, name, seated))
            for name in ids
        ]
    different = [each for each in found if not each.same]
    if as_json:
        output.say_json({"run": str(run), "matches": len(found), "same": len(found) - len(different), "found": found})
    else:
        for each in different:
            output.say(f"match {each.match}: {each.difference}")
        turns = sum(each.turns for each in found)
        output.say(
            f"{len(found) - len(different)} of {len(found)} matches replayed as recorded, {turns} turns compared"
        )
    if different:
        raise typer.Exit(1)


def recast(run: Run) -> Cast:
    """Everyone who ever sat in a run, as the run knows them. ScenarioError where somebody changed since."""
    from simarena.casting import Cast, described_member
    from simarena.errors import StoreError
    from simarena.execution import AGENT

    cast = Cast()
    for key, data in run.meta.items():
        if key.startswith(AGENT):
            name = cast.enter(described_member(key.removeprefix(AGENT), data))
            if cast.roles[name].identity != data["identity"]:
                raise StoreError(
                    f"agent {name!r} changed (its weights) since {run.folder} was played; play with it in a new run"
                )
    return cast


def branch(
    run: Folder,
    match: Annotated[str, typer.Argument(metavar="[MATCH]", help="A match's id, or the beginning of it.")] = "",
    turn: Annotated[
        int | None, typer.Argument(min=0, metavar="[TURN]", help="Turns that are kept: 0 is the beginning.")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=1, help="How many forks; a larger number adds to earlier ones.")] = 1,
    every: Annotated[
        str, typer.Option("--every", metavar="ROLE", help="Instead of MATCH TURN: all matches at each turn of a role.")
    ] = "",
    phase: Annotated[str, typer.Option(help="With --every: only phases whose names begin so.")] = "",
    bad: Annotated[
        bool, typer.Option("--bad", help="With --every: only each seat's first turn that was unusable or wrong.")
    ] = False,
    turns: Annotated[
        int, typer.Option(min=0, help="With --every: a fork ends after so many turns of its own; 0: at its end.")
    ] = 0,
    concurrency: Concurrency = 64,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Fork a match at a turn and play it on: what would have happened, had somebody said something else."""
    from simarena.branch import branches
    from simarena.execution import AGENT, execute
    from simarena.store import open_run

    if bool(match) == bool(every) or bool(match) != (turn is not None):
        raise typer.BadParameter("give either MATCH and TURN, or --every ROLE")
    with open_run(run) as opened:
        parent = opened.find(match) if match else ""
        forks = branches(opened, parent, turn or 0, n) if match else forks_of(opened, every, phase, bad, n, turns)
        if not forks:
            output.note(f"{run} holds no such turn of {every!r} to fork at")
            raise typer.Exit(1)
        cast = recast(opened)
        sitting = {name for fork in forks for name in fork.seats.values()}
        cast.roles = {name: role for name, role in cast.roles.items() if name in sitting}
        about = {key: value for key, value in opened.meta.items() if not key.startswith(AGENT)}
    rounds = iter([forks])
    report = execute(run, about, cast, lambda _: next(rounds, ()), settings=settings(concurrency, quiet), extend=True)
    with open_run(run) as opened:
        results = {result.match.id: result for result in opened.results()}
    family = [results[name] for name in (parent, *(fork.id for fork in forks)) if name in results]
    if as_json:
        parents = {"parent": family[0], "forks": family[1:]} if match else {"forks": family}
        output.say_json({"run": str(run), "report": report, **parents})
    elif match:
        compare_forks(family)
    finish(report, run, family[-1].match.id, as_json)


def forks_of(run: Run, role: str, phase: str, bad: bool, n: int, turns: int) -> list[Match]:
    """Forks of every match of a run at the turns of a role."""
    from simarena.branch import everywhere, spoken_by

    said = spoken_by(role, phase)
    if not bad:
        return list(everywhere(run, said, n, turns=turns))
    from simarena.preferences.rules import wrong

    return list(
        everywhere(run, lambda record, turn: said(record, turn) and wrong(record, turn), n, first=True, turns=turns)
    )


def compare_forks(family: list[Result]) -> None:
    """A match beside its forks."""
    heads = ["parent", *(f"fork {n}" for n in range(len(family) - 1))]
    names = list(dict.fromkeys(name for result in family for name in result.metrics))
    rows = [["match", *(result.match.id for result in family)]]
    rows += [
        [f"return {seat}", *(output.number(result.returns.get(seat)) for result in family)]
        for seat in family[0].match.seats
    ]
    rows += [[name, *(output.number(result.metrics.get(name)) for result in family)] for name in names]
    output.table(["", *heads], rows)


def show(
    run: Folder,
    match: Annotated[str, typer.Argument(metavar="[MATCH]", help="Which match; without it all are listed.")] = "",
    seat: Annotated[str, typer.Option(help="Only what this seat could see.")] = "",
    prompts: Annotated[
        bool, typer.Option("--prompts", help="What models were sent, and their replies as they came.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """A match to read: who said what in which phase, verdicts, and the truth at the end; or a training, or a league."""
    from simarena.cli.league import is_league, show_league
    from simarena.cli.train import show_training, show_trainings
    from simarena.records import to_json
    from simarena.store import open_run
    from simarena.training.journal import is_training, trainings
    from simarena.transcript import prompts as asked
    from simarena.transcript import transcript

    if is_training(run):
        show_training(run, as_json)
        return
    if lessons := trainings(run):
        show_trainings(lessons, as_json)
        return
    if is_league(run):
        show_league(run, as_json)
        return
    with open_run(run) as opened:
        if not match:
            list_matches(opened, as_json)
            return
        name = opened.find(match)
        record = opened.trajectory(name)
        if as_json:
            output.say_json(to_json(record))
            return
        for line in transcript(record, seat):
            sys.stdout.write(line + "\n")
        if prompts:
            answers = {key: answer.completion for key, answer in opened.answers(name).items()}
            for line in asked(opened.requests(name), answers, seat):
                sys.stdout.write(line + "\n")


def list_matches(run: Run, as_json: bool) -> None:
    """Every match of a run, one line each."""
    from simarena.summary import coordinate

    results = list(run.results())
    if as_json:
        output.say_json([row_json(result) for result in results])
        return
    rated = run.meta["rated"]
    axes = list(dict.fromkeys(axis for result in results for axis in result.match.cell))
    rows = []
    for result in results:
        seats = [seat for seat in result.match.seats if seat.rsplit("_", 1)[0] in rated] or list(result.match.seats)
        played = result.status == "done"
        sat = ", ".join(
            result.match.seats[s] + (f" {output.number(result.returns.get(s), 2)}" if played else "") for s in seats
        )
        sat += f": {result.error}"[:WIDEST] if result.error else ""
        where = [coordinate(result.match.cell.get(axis)) for axis in axes]
        forked = f", fork of {result.match.parent}" if result.match.parent else ""
        rows.append([result.match.id, result.status + forked, str(result.match.task_seed), *where, sat])
    output.table(["match", "status", "task", *axes, "agents and returns"], rows, left=len(axes) + 4)
    output.note(f"open one with: simarena show {run.folder} MATCH")


def row_json(result: Result) -> dict[str, Any]:
    """A match without its words."""
    from simarena.records import to_json

    found: dict[str, Any] = to_json(result)
    return found


def export(
    run: Folder,
    out: Annotated[str, typer.Option(help='The file to write, JSON lines, one match a line; "-" is stdout.')],
    completions: Annotated[bool, typer.Option(help="With everything that was asked and answered.")] = True,
    force: Force = False,
) -> None:
    """A run as JSON lines, for whatever reads JSON."""
    from simarena import outputs
    from simarena.export import export_jsonl
    from simarena.store import open_run

    with open_run(run) as opened:
        if out == "-":
            export_jsonl(opened, sys.stdout, completions=completions)
            return
        with outputs.writing(Path(out), own=force, inputs=[run]) as file:
            count = export_jsonl(opened, file, completions=completions)
    output.note(f"{count} matches written to {out}")
