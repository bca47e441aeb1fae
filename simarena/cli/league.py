"""The command that holds a league: rounds of play and training, a table for each, and what it came to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simarena.cli import output
from simarena.cli.output import number, share
from simarena.cli.play import AsJson, Concurrency, Name, Out, Quiet, Scale, Seats, Seed, Sets, loaded_scenario, settings
from simarena.cli.results import show_unusable

if TYPE_CHECKING:
    from simarena.exams import Marks
    from simarena.league.plan import Plan
    from simarena.league.rounds import Played
    from simarena.league_spec import Check


def league(
    scenario: Name,
    agents: Annotated[
        list[str] | None, typer.Option("--agents", metavar="AGENT...", help="Members; those of the scenario if nobody.")
    ] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="At most so many, instead of the scenario's.")] = None,
    scale: Scale = "",
    seat: Seats = None,
    set_: Sets = None,
    out: Out = None,
    concurrency: Concurrency = 64,
    seed: Seed = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Rounds of play, preferences, training and held-out exams. The same command again goes on where it stopped."""
    from simarena.league.check import examine
    from simarena.league.plan import plan
    from simarena.league.rounds import play
    from simarena.progress import stage
    from simarena.studies import label

    sets, how = [*(set_ or []), *([f"league.rounds={rounds}"] if rounds else [])], settings(concurrency, quiet)
    with stage("reading the scenario and drawing its exams", how.progress):
        loaded = loaded_scenario(scenario, scale, seat, sets, seed, examine)
        made = plan(loaded, scenario, agents or [])
    folder = out or Path("runs") / f"{label(scenario)}-league-{made.key[:6]}"
    found = play(made, folder, how, None if as_json else show_round)
    checks = checked(made, found)
    if as_json:
        output.say_json(league_json(found, checks))
    else:
        show_end(found, checks)
    tell = output.note if as_json else output.say
    if found.report is not None:
        output.note(found.report.summary())
        tell(f"league folder: {folder}")
        raise typer.Exit(found.report.exit_code or 1)
    tell(f"league folder: {folder}")
    raise typer.Exit(0 if all(each["passed"] for each in checks) else 1)


def is_league(folder: Path) -> bool:
    """Whether a league was begun in the folder."""
    from simarena.league import ABOUT

    return (folder / ABOUT).is_file()


def show_league(folder: Path, as_json: bool) -> None:
    """The rounds that a league has played so far."""
    from simarena.league import ABOUT, RECORD, steps

    found = [steps.read(path) for path in folder.glob(f"round-*/{RECORD}")]
    found.sort(key=lambda record: int(record["round"]))
    if as_json:
        output.say_json({"name": steps.read(folder / ABOUT)["name"], "rounds": found})
        return
    for record in found:
        show_round(record)
    output.note(f"a round's trainings: simarena show {folder}/round-N; one of them: .../round-N/agents/MEMBER")


def show_round(record: Mapping[str, Any]) -> None:
    """A round in a few lines: labels, lessons, and everyone's held-out accuracy before and after."""
    lessons = record["lessons"]
    dropped = ", ".join(f"{count} {reason}" for reason, count in lessons["dropped"].items())
    output.say(
        f"round {record['round']}: {record['matches']} matches, {lessons['kept']} preferences kept"
        + (f" ({dropped} dropped)" if dropped else "")
    )
    show_labels(lessons)
    show_unusable(record["unusable"])
    names = list(next(iter(record["accuracy"].values())))
    made = {version["member"]: version for version in record["versions"]}
    reputations = record["reputations"]
    ratings = {row["agent"]: row for row in record["ratings"]}
    rows = []
    for member, seated in record["seated"].items():
        version = made.get(member)
        before = version["parent"] if version else seated
        after = version["name"] if version else seated
        rating = ratings.get(before)
        rows.append(
            [
                after,
                *(changed(record["accuracy"][before][name], record["accuracy"][after][name]) for name in names),
                changed(fmean(record["accuracy"][before].values()), fmean(record["accuracy"][after].values())),
                number(rating["rating"], 0) if rating else "-",
                number(reputations[member]["value"], 1),
                str(lessons["pairs"].get(member, 0)),
                "-" if version is None else "kept" if version["kept"] else "rolled back",
            ]
        )
    output.table(["agent", *names, "mean", "rating", "reputation", "pairs", ""], rows, title="held-out accuracy")
    gain = record["gain"]
    output.say(
        f"tribe: {share(record['mean'])} ({points(gain)}); best member: {share(record['best'])}"
        + (f"; stopped: {record['stopped']}" if record["stopped"] else "")
    )
    output.say()


def show_labels(lessons: Mapping[str, Any]) -> None:
    """Share of right labels by judge and family, before and after the filters."""
    live, used = lessons["live"], lessons["used"]
    if not live:
        output.say("labels: no decision of known truth with a winner")
        return
    families = list(live["panel"])
    rows = [
        [judge, *(rate(own.get(name)) for name in families), rate(used.get(judge, {}).get("all"))]
        for judge, own in live.items()
    ]
    output.table(["judge", *families, "of those kept"], rows, title="labels that are right, of known truth")


def rate(found: Mapping[str, Any] | None) -> str:
    """A share with its interval and what it was counted over."""
    if not found:
        return "-"
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}] of {found['known']}"


def changed(before: float, after: float) -> str:
    """Before and after."""
    return f"{after:.2f}" if before == after else f"{before:.2f} > {after:.2f}"


def points(gain: Mapping[str, float]) -> str:
    """A change in percentage points with its interval."""
    return f"{100 * gain['value']:+.1f} points, 95 %: {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}"


def show_end(found: Played, checks: list[dict[str, Any]]) -> None:
    """Before and after on questions that nothing was decided by, the checks, and who is there now."""
    from simarena.records import to_json

    if not found.after:
        return
    families = list(next(iter(found.before.values())))
    rows = [[found.state.seated[name], *cells(found.before[name], marks)] for name, marks in found.after.items()]
    output.table(["agent", *families, "mean"], rows, title="before > after, on questions that nothing was decided by")
    output.say(f"tribe: {points(to_json(found.gain))}; best member: {100 * found.best_gain:+.1f} points")
    for each in checks:
        output.say(f"  {'pass' if each['passed'] else 'FAIL'}  {number(each['value'])}  {each['said']}")
    output.say(f"seat them with: --agents {' '.join(found.files())}")


def cells(before: Marks, after: Marks) -> list[str]:
    """A member's accuracies with intervals, family by family, and their mean."""
    from simarena.exams import accuracy, overall

    found = []
    for name, marks in after.items():
        old, new = accuracy(before[name]), accuracy(marks)
        found.append(f"{old.value:.2f} > {new.value:.2f} [{new.low:.2f}, {new.high:.2f}]")
    return [*found, changed(overall([before]), overall([after]))]


def checked(plan: Plan, found: Played) -> list[dict[str, Any]]:
    """What the league was expected to come to; nothing before it is at its end."""
    if found.report is not None:
        return []
    return [check(each, found) for each in plan.league.expect]


def check(expected: Check, found: Played) -> dict[str, Any]:
    """One expectation; a measure that there is none of fails."""
    value = found.measure(expected.measure)
    low, high = expected.min, expected.max
    passed = value is not None and (low is None or value >= low) and (high is None or value <= high)
    ends = [f"{words} {end:g}" for words, end in (("at least", low), ("at most", high)) if end is not None]
    return {
        "measure": expected.measure,
        "value": value,
        "passed": passed,
        "said": f"{expected.measure}: {', '.join(ends)}",
    }


def league_json(found: Played, checks: list[dict[str, Any]]) -> dict[str, Any]:
    """A league for scripts."""
    ended = bool(found.after)
    return {
        "run": str(found.folder),
        "complete": found.report is None,
        "rounds": found.records,
        "before": {name: means(marks) for name, marks in found.before.items()},
        "after": {name: means(marks) for name, marks in found.after.items()},
        "gain": found.gain if ended else None,
        "best_gain": found.best_gain if ended else None,
        "agents": found.files(),
        "checks": checks,
    }


def means(marks: Marks) -> dict[str, float]:
    """Family -> accuracy."""
    return {name: fmean(each) for name, each in marks.items()}
