"""Fork matches at their turns: what would have happened, had somebody said something else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from simarena import envs
from simarena.errors import StoreError
from simarena.identity import content_hash
from simarena.records import Match, Trajectory, Turn
from simarena.store import Run


def branches(run: Run, match_id: str, turn: int, count: int) -> list[Match]:
    """`count` matches that begin with the first `turn` actions of a match that has ended, then go ways of their own.

    They share the parent's task, cards and unit; what its seats sample after the fork has new seeds. `rollout` plays
    them into the same run and takes what was said before the fork from the parent's record. The same call gives the
    same matches, so that a larger `count` only adds to them.
    """
    record = run.trajectory(match_id)
    if not 0 <= turn < len(record.turns):
        raise StoreError(f"match {match_id} has no turn {turn}; give one of 0 to {len(record.turns) - 1}")
    return [fork(record.match, turn, n) for n in range(count)]


def fork(parent: Match, turn: int, n: int, turns: int = 0) -> Match:
    """The `n`-th fork of a match at a turn; with `turns`, cut short once so many turns of its own are over."""
    if not turns:
        return replace(parent, id=content_hash(["fork", parent.id, turn, n]), parent=parent.id, turn=turn, asked_as="")
    params = {**parent.params, "max_turns": min(turn + turns, parent.params.get("max_turns") or turn + turns)}
    name = content_hash(["fork", parent.id, turn, n, turns])
    return replace(parent, id=name, params=params, parent=parent.id, turn=turn, asked_as="")


Wanted = Callable[[Trajectory, Turn], bool]


def everywhere(run: Run, wanted: Wanted, count: int, *, first: bool = False, turns: int = 0) -> Iterator[Match]:
    """`count` forks of every finished match at each turn that is `wanted`, or at the first such turn of each seat.

    Of turns that are taken unseen by one another only the first is forked: its forks have new ones of all the others
    as well, at the same observations. Only matches that are no forks themselves are forked, so that the same call on a
    run gives the same matches. `turns` as in `fork`.
    """
    for record in run.trajectories():
        if record.match.parent:
            continue
        unseen, seen = set[str]() if first else simultaneous(record.match), set[str]()
        for turn in record.turns:
            place = turn.seat if first else turn.phase if turn.phase in unseen else str(turn.n)
            if turn.calls and place not in seen and wanted(record, turn):
                seen.add(place)
                yield from (fork(record.match, turn.n, n, turns) for n in range(count))


def simultaneous(match: Match) -> set[str]:
    """Names of the phases in which nobody sees what the others do."""
    env = envs.make(match.env, **match.params)
    env.reset(seed=match.seed, options={"task_seed": match.task_seed})
    return {phase.name for phase in env.script() if phase.order == "simultaneous"}


def spoken_by(role: str, phase: str = "") -> Wanted:
    """Turns of a role, or of one seat, in phases whose names begin with `phase`; "" is every one."""

    def wanted(record: Trajectory, turn: Turn) -> bool:
        mine = not role or turn.seat == role or turn.seat.rsplit("_", 1)[0] == role
        return mine and turn.phase.startswith(phase)

    return wanted
