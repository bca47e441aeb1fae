"""What is wrong with a league before anybody is seated: names nobody knows, parameters that do not fit, empty rules.

In: a scenario and the file it was read from. Out: errors noted there, each with its line. Loads no weights; what is
measured in a match, and who acts when, is asked of one whose actions are drawn at random. Losses bring torch, so it is
asked for here alone; where it is not installed nobody could train, and what the league says of training is left unread.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec

from simarena import envs, seeds, yamlfile
from simarena.agents.members import Entry, member
from simarena.agents.spec import LanguageSpec
from simarena.envs.base import PhaseEnv
from simarena.errors import SimArenaError
from simarena.exams import families
from simarena.league_spec import Branch, Exam, League, Pairs, Training
from simarena.preferences.builders import BUILDERS, Builder
from simarena.preferences.filters import Filters
from simarena.records import JSON
from simarena.registry import ENVIRONMENTS, TASKS, lookup, lookup_policy
from simarena.scenario import Cell, Scenario, parts_of
from simarena.scenario_check import examine_here, examine_named, examine_seat, known
from simarena.yamlfile import Source

FIXED = ("league", "sweep", "scale", "expect")
"""Keys of a scenario that are not played, and so cannot be otherwise in a league."""
NONE: Mapping[str, JSON] = {}
SEATED = ("role", "affected")
"""Parameters of builders that name a role or a seat."""
FORKED = ("branch", "segment", "hindsight")
"""Builders that find something in forked matches only."""
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
    if league.branch:
        examine_branch(league.branch, cell, source)
    elif league.pairs.builder in FORKED:
        place = ("league", "pairs", "builder")
        source.error(
            place, f"{league.pairs.builder} reads forked matches, and none are forked; say where: league.branch"
        )
    for name in SEATED:
        if role := league.pairs.params.get(name):
            seated(str(role), cell, source, ("league", "pairs", "params", name))
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


def examine_branch(branch: Branch, cell: Cell, source: Source) -> None:
    """Note a role that nobody has, and phases in which it never acts."""
    at = ("league", "branch")
    if not seated(branch.role, cell, source, (*at, "role")) or not branch.phase:
        return
    seats = cell.roles.get(branch.role, [branch.role])
    own = dict.fromkeys(phase.name for phase in rehearsed(cell).script() if set(seats) & set(phase.actors))
    if not any(name.startswith(branch.phase) for name in own):
        hint = yamlfile.suggestion(branch.phase, own)
        source.error((*at, "phase"), f"{branch.role} acts in no phase whose name begins with {branch.phase!r}{hint}")


def seated(role: str, cell: Cell, source: Source, place: yamlfile.Place) -> bool:
    """Whether there is such a role or seat; an error is noted where not."""
    if role in (*cell.roles, *cell.seats):
        return True
    source.error(place, f"nobody sits as {role!r}{yamlfile.suggestion(role, cell.roles)}")
    return False


def rehearsed(cell: Cell) -> PhaseEnv:
    """A match of the cell at its end, every action drawn at random."""
    env: PhaseEnv = envs.make(cell.scenario.env, **cell.params)
    env.reset(seed=0, options={"task_seed": 0})
    policy, rng = lookup_policy("any/random")(), seeds.rng("rehearsal")
    while env.to_move:
        env.step(policy.act(env.view(env.agent_selection), rng))
    return env


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
    """Note changes that cannot be, a task that asks nothing, families that are not played, and an unknown measure."""
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
    if exam.metric and exam.metric not in (found := rehearsed(cell).metrics()):
        source.error((*at, "metric"), f"unknown measure {exam.metric!r}{yamlfile.suggestion(exam.metric, found)}")


def examine_training(train: Training, source: Source) -> None:
    """Note an unknown loss, parameters that it does not have, and arguments that are none of the trainer's."""
    if find_spec("torch") is None:
        return
    from simarena.training import losses
    from simarena.training.arguments import Arguments
    from simarena.training.trainer import TrainingError, agreed, known_reference

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
    try:
        known_reference(arguments.reference)
    except TrainingError as error:
        source.error((*at, "arguments", "reference"), str(error).removeprefix("reference: "))
        return
    rivals = () if train.rivals == "none" else (train.rivals,)
    try:
        agreed(loss, params, arguments.model_copy(update={"opponents": rivals}))
    except TrainingError as error:
        source.error((*at, "loss"), str(error).replace("name them with opponents", f"set {NOT_HERE['opponents']}"))
