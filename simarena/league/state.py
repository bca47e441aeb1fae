"""Where a league stands: who sits in the tribe, what everyone's word counts, and how it went so far.

A state is a function of the rounds' records; it is never written itself. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from simarena.league.lessons import Trust, weights_of
from simarena.league.lineage import Version, ancestors
from simarena.league_spec import Stop, Weights
from simarena.records import JSON
from simarena.tournament import reputation
from simarena.tournament.reputation import Constants, Reputation
from simarena.tournament.results import Result

DIGITS = 6
"""Decimals of a weight, so that machines agree on a match's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A league between two rounds."""

    versions: tuple[Version, ...]
    """All that ever were, in the order of their making."""
    seated: Mapping[str, str]
    """Member -> its version in the tribe."""
    reputations: Mapping[str, Reputation]
    """Member -> SPARTA's reputation."""
    trust: Trust = field(default_factory=dict)
    """Family -> judge (member, or a judge's own name) -> RE-PO's trust."""
    means: tuple[float, ...] = ()
    """The tribe's held-out accuracy: before the first round, and after each."""

    @property
    def members(self) -> dict[str, str]:
        """Version -> member, of all versions."""
        return {each.name: each.member for each in self.versions}

    @property
    def past(self) -> dict[str, list[str]]:
        """Seated version -> its earlier versions, nearest first."""
        return {name: ancestors(self.versions, name) for name in self.seated.values()}

    def version(self, name: str) -> Version:
        """The version of that name."""
        return next(each for each in self.versions if each.name == name)


def beginning(members: Sequence[str]) -> State:
    """Before the first round."""
    return State(
        versions=tuple(Version(name=name, member=name, round=0) for name in members),
        seated={name: name for name in members},
        reputations=reputation.newcomers(members, Constants()),
    )


def begun(state: State, mean: float) -> State:
    """With the tribe's held-out accuracy before the first round."""
    return replace(state, means=(mean,))


def grown(state: State, versions: Sequence[Version]) -> State:
    """With versions that nobody has decided on yet."""
    return replace(state, versions=(*state.versions, *versions))


def after(state: State, record: Mapping[str, Any]) -> State:
    """The state that a round's record leaves."""
    return replace(
        state,
        versions=(*state.versions, *(Version(**each) for each in record["versions"])),
        seated=dict(record["seated"]),
        reputations={
            name: Reputation(each["value"], tuple(each["changes"]), each["duels"])
            for name, each in record["reputations"].items()
        },
        trust=record["trust"],
        means=(*state.means, record["mean"]),
    )


def weights(state: State, kind: Weights, family: str, start: float) -> dict[str, float]:
    """Agent -> what its word counts as a judge in a family; {}: all alike, as before anything is known."""
    if kind == "equal" or len(state.means) < 2:
        return {}
    if kind == "reputation":
        earned = {state.seated[name]: each.value for name, each in state.reputations.items()}
    else:
        earned = {
            state.seated.get(who, who): value for who, value in weights_of(state.trust.get(family, {}), start).items()
        }
    return {name: round(value, DIGITS) for name, value in earned.items()}


def fought(state: State, results: Sequence[Result]) -> dict[str, JSON]:
    """Everyone's reputation after a round's duels between members; scores are the panel's margins."""
    known = state.members
    now = set(state.seated.values())
    table = reputation.settled(state.reputations)
    for result in results:
        if not result.decided:
            continue
        if len(result.agents) == 2 and set(result.agents) <= now and result.agents[0] != result.agents[1]:
            one, other = (known[name] for name in result.agents)
            table = reputation.duel(table, one, other, (result.scores[0], result.scores[1]), Constants())
    return {name: asdict(each) for name, each in sorted(table.items())}


def by_member(state: State, trust: Trust) -> Trust:
    """Trust under the names of members, for their next versions; judges from outside keep theirs."""
    known = state.members
    return {family: {known.get(who, who): value for who, value in judges.items()} for family, judges in trust.items()}


def stopped(means: Sequence[float], stop: Stop) -> str:
    """Why no further round is played; "": go on. `means` as in State, the present round's last."""
    if not stop.patience or len(means) <= stop.patience:
        return ""
    best_before = max(means[: -stop.patience])
    if max(means[-stop.patience :]) - best_before > stop.gain:
        return ""
    return f"held-out accuracy has not risen by more than {stop.gain:g} in {stop.patience} rounds"
