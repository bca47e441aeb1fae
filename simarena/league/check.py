"""What is wrong with a league before anybody is seated: names nobody knows, parameters that do not fit, empty rules.

In: a scenario and the file it was read from. Out: errors noted there, each with its line. Plays nothing and loads no
weights. Losses bring torch, so it is asked for here alone; where it is not installed nobody could train, and what the
league says of training is left unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from simarena import yamlfile
from simarena.agents.members import Entry, member
from simarena.agents.spec import LanguageSpec
from simarena.errors import SimArenaError
from simarena.exams import families
from simarena.league_spec import Exam, League, Pairs, Training
from simarena.preferences.builders import BUILDERS, Builder
from simarena.preferences.filters import Filters
from simarena.records import JSON
from simarena.registry import ENVIRONMENTS, TASKS, lookup
from simarena.scenario import Cell, Scenario, parts_of
from simarena.scenario_check import examine_here, examine_named, examine_seat, known
from simarena.yamlfile import Source

FIXED = ("league", "sweep", "scale", "expect")
"""Keys of a scenario that are not played, and so cannot be otherwise in a league."""
NONE: Mapping[str, JSON] = {}
NOT_HERE = {"loss": "league.train.loss", "params": "league.train.params", "opponents": "league.train.rivals"}
"""Arguments of the trainer that a league gives it by other keys."""


def examine(scenario: Scenario, source: Source) -> None:
    """Note everything that is wrong with a scenario's league, where it says anything of one."""
    if scenario.league != League():
        examine_play(scenario, source)
        examine_training(scenario.league.train, source)


def examine_play(scenario: Scenario, source: Source) -> None:
    """Note what is wrong with all but the training."""
    league = scenario.league
    examine_pairs(league.pairs, source)
    examine_members(league, source)
    cell = changed_cell(scenario, ("league", "changes"), league.changes, source)
    if cell is None:
        return
    if league.branch and league.branch.role not in (*cell.roles, *cell.seats):
        hint = yamlfile.suggestion(league.branch.role, cell.roles)
        source.error(("league", "branch", "role"), f"nobody sits as {league.branch.role!r}{hint}")
    examine_exam(scenario, league.exam, source)
    unweighed = cell.scenario.env != "arena" or cell.params.get("weights") == "equal"
    if league.judge_weights != "equal" and unweighed:
        source.error(
            ("league", "judge_weights"),
            f"{league.judge_weights} needs an arena whose judges are weighted (params.weights: reputation)",
        )


def examine_pairs(pairs: Pairs, source: Source) -> None:
    """Note an unknown builder, and parameters or filters that do not fit."""
    at = ("league", "pairs")
    if known(source, (*at, "builder"), "builder", pairs.builder, BUILDERS):
        builder: Builder = lookup(BUILDERS, "builder", pairs.builder)
        source.model(builder.params, pairs.params, (*at, "params"))
    source.model(Filters, pairs.filters, (*at, "filters"))


def examine_members(league: League, source: Source) -> None:
    """Note members that nobody knows, that share a name, or none of whom could learn."""
    at, before, names = ("league", "members"), len(source.errors), dict[str, str]()
    for n, entry in enumerate(league.members):
        examine_seat(entry, source, (*at, n))
    if not league.members or len(source.errors) > before:
        return
    for n, entry in enumerate(league.members):
        examine_named(entry, source, (*at, n), names)
    if not any(map(can_learn, league.members)):
        source.error(at, f"no member can learn ({', '.join(names)}); enter agent files of local models")


def can_learn(entry: Entry) -> bool:
    """Whether the trainer can train it: a local model with an agent file."""
    spec = member(entry).spec
    return isinstance(entry, str) and isinstance(spec, LanguageSpec) and spec.backend != "openai"


def changed_cell(
    scenario: Scenario,
    at: yamlfile.Place,
    changes: Mapping[str, JSON],
    source: Source,
    before: Mapping[str, JSON] = NONE,
) -> Cell | None:
    """The first cell as `changes`, which stand at `at`, have it; None, and noted errors, where it cannot be."""
    errors = len(source.errors)
    for key in changes:
        if parts_of(key)[0] in FIXED:
            source.error((*at, key), "cannot be changed; change what is played")
    if len(source.errors) > errors:
        return None
    for key in changes:  # a value that is wrong is told where it stands: among the changes
        source.moved[parts_of(key)] = (*at, key)
    params = lookup(ENVIRONMENTS, "environment", scenario.env).Params
    return examine_here(scenario, params, {**scenario.cells()[0], **before, **changes}, source, {})


def examine_exam(scenario: Scenario, exam: Exam, source: Source) -> None:
    """Note changes that cannot be, a task that asks nothing, and families that are not played."""
    at = ("league", "exam")
    cell = changed_cell(scenario, (*at, "changes"), exam.changes or {}, source, scenario.league.changes)
    if cell is None:
        return
    task = cell.scenario.data
    try:
        played = families(lookup(TASKS, "task family", task.task)(**task.params))
    except SimArenaError as error:
        source.error(at, str(error))
        return
    for n, name in enumerate(exam.families):
        if name not in played:
            source.error((*at, "families", n), f"{name} not played here{yamlfile.suggestion(name, sorted(played))}")


def examine_training(train: Training, source: Source) -> None:
    """Note an unknown loss, parameters that it does not have, and arguments that are none of the trainer's."""
    if find_spec("torch") is None:
        return
    from simarena.training import losses
    from simarena.training.arguments import Arguments
    from simarena.training.trainer import TrainingError, agreed

    at, before = ("league", "train"), len(source.errors)
    for key in NOT_HERE.keys() & train.arguments.keys():
        source.error((*at, "arguments", key), f"is said elsewhere: set {NOT_HERE[key]}")
    arguments = source.model(Arguments, {**train.arguments, "loss": train.loss}, (*at, "arguments"))
    try:
        loss = losses.find(train.loss)
    except SimArenaError as error:
        source.error((*at, "loss"), str(error))
        return
    params = source.model(loss.Params, train.params, (*at, "params"))
    if arguments is None or params is None or len(source.errors) > before:
        return
    rivals = () if train.rivals == "none" else (train.rivals,)
    try:
        agreed(loss, params, arguments.model_copy(update={"opponents": rivals}))
    except TrainingError as error:
        source.error((*at, "loss"), str(error).replace("name them with opponents", f"set {NOT_HERE['opponents']}"))
