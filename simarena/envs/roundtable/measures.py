"""Measures of a roundtable: votes, accuracy and agreement by stage, who changed what beside whom, and why.

Pure functions over answers: an answer is a list with one value per item, "" where nothing was said.
Knows nothing of phases, seats' rules or views.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

Answers = dict[str, list[str]]
"""Solver -> one value per item."""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer as it was given."""

    seat: str
    stage: str
    """"initial", "round 1", "round 2", ..., "adjust", "final"."""
    values: dict[int, str]
    """Item -> value; all items, or the one under discussion."""
    explanation: str


@dataclass(frozen=True, slots=True)
class Change:
    """A solver's move from one value to another."""

    item: int
    value: str
    explanation: str


def plurality(votes: Sequence[str]) -> list[str]:
    """The most frequent values, in order of first mention; empty votes do not count. [] where nobody voted."""
    counts = Counter(vote for vote in votes if vote)
    top = max(counts.values(), default=0)
    return [value for value, count in counts.items() if count == top]


def settle(votes: Sequence[str], tie: Literal["undecided", "first", "random"], draw: random.Random) -> str:
    """The value that wins the vote; "" where none does."""
    top = plurality(votes)
    if len(top) < 2 or tie == "first":
        return top[0] if top else ""
    return draw.choice(top) if tie == "random" else ""


def most(votes: Sequence[str]) -> str:
    """The value of more than half of the voters; "" where there is none."""
    top = plurality(votes)
    return top[0] if top and 2 * votes.count(top[0]) > len(votes) else ""


def column(answers: Answers, item: int) -> list[str]:
    """All solvers' values of one item."""
    return [values[item] for values in answers.values()]


def share(values: Sequence[str], right: Sequence[str]) -> float:
    """Share of items that are right; no values at all are none right."""
    return sum(a == b for a, b in zip(values, right, strict=bool(values))) / len(right)


def agreement(answers: Answers) -> float:
    """Share of (pair of solvers, item) with equal answers; 1 for a single solver."""
    pairs = list(combinations(answers.values(), 2))
    if not pairs:
        return 1.0
    return sum(a == b != "" for one, other in pairs for a, b in zip(one, other, strict=True)) / (
        len(pairs) * len(pairs[0][0])
    )


def stages(said: Sequence[Said], solvers: Sequence[str], items: int, names: Sequence[str]) -> dict[str, Answers]:
    """For each stage in `names`, every solver's answer when it was over: item by item for rounds about items.

    Where a stage did not touch an item (skipped, or not reached) the value of the stage before stands.
    """
    current: Answers = {seat: [""] * items for seat in solvers}
    found: dict[str, dict[str, dict[int, str]]] = {name: {seat: {} for seat in solvers} for name in names}
    for word in said:
        for item, value in word.values.items():
            current[word.seat][item] = value
        if word.stage in found:
            found[word.stage][word.seat] |= word.values
    result: dict[str, Answers] = {}
    before: Answers = {seat: [""] * items for seat in solvers}
    for name in names:
        before = {seat: [found[name][seat].get(i, before[seat][i]) for i in range(items)] for seat in solvers}
        result[name] = before
    return result | {"end": current}


def by_stage(table: Mapping[str, Answers], right: Sequence[str]) -> dict[str, float]:
    """For each stage: mean item accuracy and solved share of solvers, accuracy of their majority, agreement."""
    result: dict[str, float] = {}
    for name, answers in table.items():
        key = name.replace(" ", "_")
        marks = [share(values, right) for values in answers.values()]
        top = [settle(column(answers, i), "undecided", random.Random(0)) for i in range(len(right))]
        result[f"{key}_accuracy"] = sum(marks) / len(marks)
        result[f"{key}_solved"] = sum(mark == 1 for mark in marks) / len(marks)
        result[f"{key}_majority_accuracy"] = share(top, right)
        result[f"{key}_majority_solved"] = float(top == list(right))
        result[f"{key}_agreement"] = agreement(answers)
    return result


def transitions(before: Answers, after: Answers, right: Sequence[str]) -> dict[str, float]:
    """Counts of (solver, item) by own answer before, majority before, own answer after.

    `right_with_wrong_majority_to_wrong` counts right answers, given up under a wrong majority. A split vote is no
    right majority.
    """
    words = {True: "right", False: "wrong"}
    keys = [f"{a}_with_{m}_majority_to_{b}" for a in words.values() for m in words.values() for b in words.values()]
    counts = dict.fromkeys(keys, 0.0)
    for i, truth in enumerate(right):
        top = plurality(column(before, i)) == [truth]
        for seat in before:
            was, now = before[seat][i] == truth, after[seat][i] == truth
            counts[f"{words[was]}_with_{words[top]}_majority_to_{words[now]}"] += 1
    return counts


def overturned(before: Answers, decision: Sequence[str], right: Sequence[str]) -> dict[str, float]:
    """Items on which more than half agreed on a wrong value, and how many of these the decision got right."""
    wrong = [i for i, truth in enumerate(right) if most(column(before, i)) not in ("", truth)]
    mended = sum(decision[i] == right[i] for i in wrong)
    counts = {"wrong_consensus": float(len(wrong)), "overturned": float(mended)}
    return counts | ({"overturn_rate": mended / len(wrong)} if wrong else {})


def changes(said: Sequence[Said]) -> list[Change]:
    """Every move of a solver from a value it had stated to another."""
    found: list[Change] = []
    for seat in dict.fromkeys(word.seat for word in said):
        current: dict[int, str] = {}
        for word in said:
            if word.seat == seat:
                found += [
                    Change(item, value, word.explanation)
                    for item, value in word.values.items()
                    if value and current.get(item, value) != value
                ]
                current |= {item: value for item, value in word.values.items() if value}
    return found


def justified(found: Sequence[Change], valid: Callable[[Change], bool] | None) -> dict[str, float]:
    """Number of changes and, where it can be checked, the share whose words are a valid deduction of the new value."""
    if valid is None:
        return {"changes": float(len(found))}
    good = sum(valid(change) for change in found)
    counts = {"changes": float(len(found)), "justified_changes": float(good)}
    return counts | ({"justified_share": good / len(found)} if found else {})


def gain(decision: Sequence[str], before: Answers, right: Sequence[str]) -> float:
    """Accuracy of the decision less that of the first answers' majority; a split vote is wrong."""
    first = [settle(column(before, i), "undecided", random.Random(0)) for i in range(len(right))]
    return share(decision, right) - share(first, right)


def baseline(
    votes: Sequence[Sequence[str]], top: Sequence[str], decision: Sequence[str], right: Sequence[str]
) -> dict[str, float]:
    """Independent samples beside the match: `votes` and their winner `top`, item by item."""
    single = [list(vote).count(truth) / len(vote) for vote, truth in zip(votes, right, strict=True)]
    return {
        "baseline_accuracy": share(top, right),
        "baseline_solved": float(list(top) == list(right)),
        "gain_over_baseline": share(decision, right) - share(top, right),
        "sample_accuracy": sum(single) / len(single),
    }
