"""The loop of a league: play, look at the labels, learn, sit the exam, keep or go back.

In: a plan and a folder. Out: the folder, and what came of it. Every step's product is on disk, whole or not at all,
under `round-N/`; the same call takes only the steps that are missing. Prints nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from simarena import outputs, seeds
from simarena.branch import everywhere, spoken_by
from simarena.casting import Cast, engines_kept
from simarena.errors import StoreError
from simarena.exams import Estimate, Marks, gain, overall
from simarena.execution import Settings, budget_of, execute, notes
from simarena.league import ABOUT, RECORD, steps
from simarena.league import state as states
from simarena.league.learning import Learnt, Lesson
from simarena.league.lessons import Lessons, collect, shared_out, trust_of
from simarena.league.lineage import Version, entry, next_name, to_data
from simarena.league.matchmaking import Entrants, Rule, matches
from simarena.league.plan import Plan
from simarena.league.sitting import held
from simarena.league.state import State
from simarena.league_spec import Measure
from simarena.ledger import RunReport
from simarena.outputs import inside
from simarena.preferences.record import Preference, read_jsonl, to_line
from simarena.progress import stage
from simarena.records import JSON, Match, to_json
from simarena.store import Result as Row
from simarena.store import Run, open_run
from simarena.tournament.ratings import rate
from simarena.tournament.results import Result, result_of
from simarena.unusable import unusable
from simarena.weighing import light

LINEAGE, LESSONS = "lineage.json", "lessons.json"
Told = Callable[[Mapping[str, Any]], None]


class Unfinished(Exception):
    """Play stopped before its end."""

    def __init__(self, report: RunReport) -> None:
        super().__init__(report.summary())
        self.report = report


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A league as far as it came."""

    folder: Path
    state: State
    records: list[dict[str, Any]]
    """One a round."""
    before: dict[str, Marks]
    """Member -> marks in the final exam, before the first round."""
    after: dict[str, Marks]
    """The same of the versions that sit in the tribe at the end; {} where it has not come to that."""
    report: RunReport | None = None
    """Why it is not at its end; None: it is."""

    @property
    def gain(self) -> Estimate:
        """Change of the tribe's mean held-out accuracy, paired by question."""
        return gain([self.before[name] for name in self.after], list(self.after.values()))

    @property
    def best_gain(self) -> float:
        """Accuracy of the best member after, less that of the best member before."""
        return max(overall([m]) for m in self.after.values()) - max(overall([m]) for m in self.before.values())

    def measure(self, name: Measure) -> float | None:
        """A measure that a league's `expect` may name; None where there is nothing to take it from."""
        labels = [each["lessons"]["label_accuracy"] for each in self.records]
        known = [each for each in labels if each is not None]
        return {
            "gain": self.gain.value,
            "gain_low": self.gain.low,
            "best_gain": self.best_gain,
            "final": overall(list(self.after.values())),
            "label_accuracy": statistics.fmean(known) if known else None,
            "last_label_accuracy": known[-1] if known else None,
            "rounds": float(len(self.records)),
        }[name]

    def files(self) -> list[str]:
        """Agent files (or names) of the tribe as it is now."""
        seated = [self.state.version(name) for name in self.state.seated.values()]
        return [str(self.folder / each.file) if each.file else each.name for each in seated]


@engines_kept()  # else every exam, round and check would start its own
def play(plan: Plan, folder: Path, settings: Settings | None = None, told: Told | None = None) -> Played:
    """Play a league to its end, or as far as budget, failures and Ctrl-C let it; the same call goes on."""
    claim(plan, folder)
    settings = settings or Settings()
    state, records = states.beginning(list(plan.entries)), list[dict[str, Any]]()
    before = held(plan, folder, "final", state, list(state.seated.values()), settings.progress)
    first = held(plan, folder, "exams", state, list(before), settings.progress)
    state = states.begun(state, overall(list(first.values())))
    try:
        while len(records) < plan.league.rounds and not (records and records[-1]["stopped"]):
            number = len(records) + 1
            here = inside(folder, f"round-{number}")
            record = steps.done(here / RECORD, partial(one_round, plan, folder, here, number, state, settings))
            records.append(record)
            state = states.after(state, record)
            steps.put(folder / LINEAGE, to_data(state.versions, state.seated.values()))
            if told:
                told(record)
    except Unfinished as stop:
        return Played(folder=folder, state=state, records=records, before=before, after={}, report=stop.report)
    marks = held(plan, folder, "final", state, list(state.seated.values()), settings.progress)
    after = {member: marks[name] for member, name in state.seated.items()}
    return Played(folder=folder, state=state, records=records, before=before, after=after)


def claim(plan: Plan, folder: Path) -> None:
    """Say in the folder which league it is of; StoreError where it is of another, OutputError where of none."""
    outputs.claim(folder, ABOUT)
    known = steps.done(folder / ABOUT, lambda: {"key": plan.key, "name": plan.name, "scenario": to_scenario(plan)})
    about = known if isinstance(known, dict) else {}
    if about.get("key") != plan.key:
        raise StoreError(
            f"{folder} holds another league ({about.get('name')}, other conditions or members); give another folder "
            "with --out"
        )


def to_scenario(plan: Plan) -> JSON:
    """The scenario as the league has it."""
    return plan.scenario.model_dump(mode="json")


# ---- a round ---------------------------------------------------------------------------------------------------------


def one_round(plan: Plan, folder: Path, here: Path, number: int, state: State, settings: Settings) -> dict[str, JSON]:
    """Play a round and learn from it; returns its record."""
    rows = played(plan, folder, here, number, state, settings)
    results = scored(plan, rows)
    with stage("labels and lessons", settings.progress):
        found = steps.done(here / LESSONS, lambda: prepared(plan, here, number, state))
    danger = unsafe(plan, found)
    learnt = {} if danger else learn(plan, folder, here, number, state, found, settings)
    made = [fresh(folder, state, number, member, file) for member, file in learnt.items()]
    grown = states.grown(state, made)
    examinees = [*state.seated.values(), *(each.name for each in made)]
    marks = held(plan, folder, "exams", grown, examinees, settings.progress)
    versions = [examined(plan, each, marks, found, learnt) for each in made]
    seated = {**state.seated, **{each.member: each.name for each in versions if each.kept}}
    mean = overall([marks[name] for name in seated.values()])
    return {
        "round": number,
        "matches": len(results),
        "unusable": to_json(unusable(rows)),
        "lessons": {key: value for key, value in found.items() if key != "trust"},
        "versions": [asdict(each) for each in versions],
        "seated": seated,
        "accuracy": {name: accuracies(marks[name]) for name in marks},
        "gain": to_json(gain([marks[n] for n in state.seated.values()], [marks[n] for n in seated.values()])),
        "mean": mean,
        "best": max(overall([marks[name]]) for name in seated.values()),
        "ratings": to_json(rate(results, agents=list(state.seated.values())).leaderboard),
        "reputations": states.fought(state, results),
        "trust": states.by_member(state, found["trust"]),
        "stopped": danger or states.stopped([*state.means, mean], plan.league.stop),
    }


def played(plan: Plan, folder: Path, here: Path, number: int, state: State, settings: Settings) -> list[Row]:
    """The round's matches, played, in the order of the schedule."""
    cast = casting(plan, folder, state)
    batch = schedule(plan, number, state, cast)
    parts = iter(("matches", "forks"))

    def missing(run: Run) -> list[Match]:
        """The matches that are missing, then the forks; those that fail are not asked again at once."""
        for part in parts:
            found, statuses = forks(plan, run) if part == "forks" else batch, run.statuses()
            if left := [match for match in found if statuses.get(match.id) != "done"]:
                return left
        return []

    about = notes("league", plan.name, plan.scenario, f"{plan.key}/{number}")
    report = execute(inside(here, "play"), about, cast, missing, budget=budget_of(plan.scenario), settings=settings)
    if not report.complete:
        raise Unfinished(report)
    with open_run(here / "play") as run:
        return [run.result(match.id) for match in batch]


def scored(plan: Plan, rows: Sequence[Row]) -> list[Result]:
    """Played matches as results; in an arena scores are the panel's margins."""
    rated = plan.table.rated
    graded = rated if plan.scenario.env == "arena" else []
    return [result_of(light(row, graded), rated) for row in rows]


def forks(plan: Plan, run: Run) -> list[Match]:
    """The forks of the round's matches, where the league has any: all of them, so that they share every batch."""
    how = plan.league.branch
    return list(everywhere(run, spoken_by(how.role, how.phase), how.n, turns=how.turns)) if how else []


def casting(plan: Plan, folder: Path, state: State) -> Cast:
    """Everyone who may sit in the round: the tribe, its past where that is met, and the scenario's own judges."""
    cast = Cast()
    past = [name for names in state.past.values() for name in names] if plan.league.opponents == "history" else []
    for name in dict.fromkeys([*state.seated.values(), *past]):
        cast.add(entry(state.version(name), folder, plan.entries))
    for agents in plan.scenario.judges.values():
        for each in agents if agents != "rest" else ():
            cast.add(each)
    return cast


def schedule(plan: Plan, number: int, state: State, cast: Cast) -> list[Match]:
    """The round's matches."""
    league, params = plan.league, plan.table.cell.params
    reputation = {state.seated[member]: each.value for member, each in state.reputations.items()}
    entrants = Entrants(present=list(state.seated.values()), past=state.past, reputation=reputation)
    rule = Rule(opponents=league.opponents, seed=plan.scenario.seed, round=number, repeats=league.repeats)
    start = float(params.get("start", 100.0))
    return matches(
        plan.table,
        entrants,
        rule,
        cast.identities(),
        league.matches,
        lambda family: states.weights(state, league.judge_weights, family, start),
    )


# ---- lessons ---------------------------------------------------------------------------------------------------------


def prepared(plan: Plan, here: Path, number: int, state: State) -> dict[str, JSON]:
    """Write every member's preferences down; returns what they are worth."""
    with open_run(here / "play") as run:
        found = collect(run, plan.league.pairs)
    able = {version: member for version, member in state.members.items() if member in plan.learners}
    limit = plan.league.pairs.limit
    shares = shared_out(found.kept, plan.league.learn_from, able, limit, seeds.derive(plan.scenario.seed, number))
    for member, records in shares.items():
        lines = (steps.line(to_line(record)) for record in records)
        outputs.write(inside(here, "pairs", f"{member}.jsonl"), "".join(lines), own=True)
    return {
        **found.about(),
        "pairs": {member: len(each) for member, each in shares.items()},
        "trust": trusted(plan, found),
    }


def trusted(plan: Plan, found: Lessons) -> JSON:
    """RE-PO's trust, where the league goes by it."""
    return trust_of(found.votes) if plan.league.judge_weights == "reliability" else {}


def unsafe(plan: Plan, found: Mapping[str, Any]) -> str:
    """Why nothing must be learnt from this round; "": it may be."""
    least, share = plan.league.guards.label_accuracy, found["label_accuracy"]
    if share is None or found["known"] < plan.league.guards.known or share >= least:
        return ""
    return f"{100 * share:.0f} % of {found['known']} labels of known truth are right, {100 * least:.0f} % are wanted"


def learn(
    plan: Plan, folder: Path, here: Path, number: int, state: State, found: Mapping[str, Any], settings: Settings
) -> dict[str, dict[str, JSON]]:
    """Member -> what came of its lesson, of those who had one."""
    done = {}
    for member, count in found["pairs"].items():
        if count:
            path = inside(here, "learnt", f"{member}.json")
            done[member] = steps.done(path, partial(taught, plan, folder, here, number, state, member, settings))
    return done


def taught(
    plan: Plan, folder: Path, here: Path, number: int, state: State, member: str, settings: Settings
) -> dict[str, JSON]:
    """Give one member its lesson."""
    version = state.version(state.seated[member])
    with stage(f"training {member}", settings.progress) as shown:
        lesson = Lesson(
            agent=str(entry(version, folder, plan.entries)),
            member=member,
            version=str(number),
            folder=inside(here, "agents", member),
            records=pairs_of(here, member),
            how=plan.league.train,
            seed=seeds.derive(plan.scenario.seed, number, member) % 2**31,
            rivals=tuple(rivals(plan, folder, state, member)),
            source={"run": str(here / "play"), "league": plan.name, "round": number},
            report=shown.say,
        )
        made: Learnt = plan.learn(lesson)
    return {"file": str(made.file.relative_to(folder)), **made.about}


def pairs_of(here: Path, member: str) -> list[Preference]:
    """What a member learns from in a round."""
    with inside(here, "pairs", f"{member}.jsonl").open(encoding="utf-8", errors="surrogatepass") as file:
        return list(read_jsonl(file))


def rivals(plan: Plan, folder: Path, state: State, member: str) -> list[str]:
    """Whom a loss of games compares a member with, as agent names or files."""
    how, own = plan.league.train, state.seated[member]
    names = {
        "none": [],
        "tribe": [name for name in state.seated.values() if name != own],
        "history": state.past[own] or [own],
    }[how.rivals]
    return [str(entry(state.version(name), folder, plan.entries)) for name in names[: how.most_rivals]]


# ---- versions --------------------------------------------------------------------------------------------------------


def fresh(folder: Path, state: State, number: int, member: str, made: Mapping[str, Any]) -> Version:
    """A version that has just been made."""
    return Version(
        name=next_name(member, number), member=member, round=number, parent=state.seated[member], file=made["file"]
    )


def examined(
    plan: Plan, version: Version, marks: Mapping[str, Marks], found: Mapping[str, Any], learnt: Mapping[str, Any]
) -> Version:
    """The version with what is known of it, kept or rolled back."""
    before, after = overall([marks[version.parent]]), overall([marks[version.name]])
    limit = plan.league.guards.roll_back
    about = {
        "pairs": found["pairs"][version.member],
        "accuracy": after,
        "before": before,
        **{key: learnt[version.member].get(key) for key in ("steps", "scores", "check")},
    }
    kept = limit == "never" or before - after <= limit
    return Version(**{**asdict(version), "kept": kept, "about": about})


def accuracies(marks: Marks) -> dict[str, float]:
    """Family -> share of right answers."""
    return {family: statistics.fmean(each) for family, each in marks.items()}
