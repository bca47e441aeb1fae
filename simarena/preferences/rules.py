"""What the rules themselves say of an action: is the answer right, how good is the deal?

In: a turn on record. Out: its worth, 0..1 or in the rules' own unit, by the task's verifier. Deals the match's task
again, which is a function of parameters and seed; knows no judge and no model.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from simarena import envs
from simarena.preferences.played import Played
from simarena.records import JSON, Match, Trajectory, Turn
from simarena.tasks import scoresheets


class Dealt:
    """A match's environment with its task dealt, and nothing played."""

    def __init__(self, env: Any, task_seed: int) -> None:
        self.env = env
        self.task = env.deal(task_seed)
        self.family = env.family


def dealt(match: Match) -> Dealt:
    """The task of a match; matches of one task and one kind share it."""
    return _dealt(match.env, json.dumps(match.params, sort_keys=True), match.task_seed)


@lru_cache(maxsize=512)
def _dealt(env: str, params: str, task_seed: int) -> Dealt:
    return Dealt(envs.make(env, **json.loads(params)), task_seed)


def worth(played: Played, turn: Turn) -> float | None:
    """What the rules say an action is worth, more being better; None where they say nothing of it."""
    rule = RULES.get(played.match.env)
    return rule(played.record, turn, turn.fields) if rule and turn.fields else None


def wrong(record: Trajectory, turn: Turn) -> bool:
    """Whether an action could not be used, or is not wholly right by the rules."""
    if turn.outcome != "ok" or turn.fields is None:
        return True
    rule = RULES.get(record.match.env)
    value = rule(record, turn, turn.fields) if rule else None
    return value is not None and value < 1


def _answer(record: Trajectory, turn: Turn, fields: dict[str, JSON]) -> float | None:
    """Arena: 1 for a right answer, 0 for a wrong one."""
    if "answer" not in fields:
        return None
    if turn.phase == "answer" and (known := record.metrics.get(f"correct/{turn.seat}")) in (0.0, 1.0):
        return known
    here = dealt(record.match)
    return float(here.family.verify(here.task, fields["answer"]))


def _share(record: Trajectory, turn: Turn, fields: dict[str, JSON]) -> float | None:
    """Roundtable: share of the items that an answer gets right; in a discussion of one item, that item."""
    if "answer" not in fields:
        return None
    here = dealt(record.match)
    if not turn.phase.startswith("item ") or turn.phase.endswith("adjust"):
        return float(here.family.share(here.task, fields["answer"]))
    items = here.family.items(here.task)
    topics = list(dict.fromkeys(str(event.data["item"]) for event in record.events if event.kind == "topic"))
    item = topics[int(turn.phase.split()[1]) - 1]
    right = here.family.parse(here.task, here.task.truth["answer"])[items.index(item)]
    return float(fields["answer"] == right)


def _belief(record: Trajectory, turn: Turn, fields: dict[str, JSON]) -> float | None:
    """Debate: whether a judge's verdict, a belief or a choice names the right answer. Speeches have no truth."""
    truth = record.truth
    right = truth.get("answer") if isinstance(truth, dict) else None
    return float(fields["answer"] == right) if right is not None and "answer" in fields else None


def _deal(record: Trajectory, turn: Turn, fields: dict[str, JSON]) -> float | None:
    """Bargaining by score sheets: what all parties together get from the deal, as a share of all they could wish."""
    truth = record.truth
    if not fields.get("deal") or not isinstance(truth, dict) or "sheets" not in truth:
        return None
    sheets = scoresheets.as_sheets(truth["sheets"])
    if scoresheets.position(tuple(len(issue) for issue in sheets[0]), fields["deal"]) is None:
        return None
    chosen = [int(option[1:]) - 1 for option in fields["deal"]]  # "B2" is the second option of the second issue
    total = sum(issue[option] for sheet in sheets for issue, option in zip(sheet, chosen, strict=True))
    return total / sum(max(issue) for sheet in sheets for issue in sheet)


RULES: dict[str, Callable[[Trajectory, Turn, dict[str, JSON]], float | None]] = {
    "arena": _answer,
    "roundtable": _share,
    "debate": _belief,
    "bargain": _deal,
}
