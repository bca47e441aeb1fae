"""What a bargainer can read from its view: its own sheet, and what lies on the table.

In: a View of `bargain`. Knows no policy.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import product

from simarena.records import JSON, View
from simarena.tasks.measures import NONE, Amendment


@lru_cache(maxsize=16)
def all_deals(options: tuple[tuple[str, ...], ...]) -> list[list[str]]:
    """Every deal over these options."""
    return [list(deal) for deal in product(*options)]


@dataclass(frozen=True)
class Sheet:
    """A party's own card."""

    options: tuple[tuple[str, ...], ...]
    """Names of each issue's options."""
    scores: dict[str, int]
    minimum: int

    def worth(self, deal: list[str]) -> int:
        """Points of a deal; 0 for none."""
        return sum(self.scores[name] for name in deal)

    @cached_property
    def best(self) -> int:
        """Points of the favourite."""
        return self.worth(self.favourite())

    def favourite(self) -> list[str]:
        """The deal it likes best."""
        return [max(names, key=self.scores.__getitem__) for names in self.options]

    def worth_at_least(self, points: float) -> list[list[str]]:
        """All deals worth `points` or more; the favourite alone where none is."""
        return [deal for deal in all_deals(self.options) if self.worth(deal) >= points] or [self.favourite()]


@dataclass
class Table:
    """What has been said and posted, as far as the view shows it."""

    options: tuple[tuple[str, ...], ...] = ()
    deals: list[tuple[str, list[str]]] = field(default_factory=list)
    """(author, deal) of the recent messages that named one, oldest first."""
    own: str = ""
    """The seat that looks."""
    offer: list[str] = field(default_factory=list)
    """The final offer; [] before it was made."""
    package: list[str] = field(default_factory=list)
    posted: bool = False
    """Whether a package was posted."""
    amendments: list[Amendment] = field(default_factory=list)
    """Asked for since the package was posted, as far as this seat heard."""

    @property
    def deal(self) -> list[str]:
        """The deal on the table; [] where none is."""
        return self.deals[-1][1] if self.deals else []

    @cached_property
    def others(self) -> list[list[str]]:
        """The last deal of each other party that the window shows, for each time that it was named."""
        return [deal for author, deal in self.deals if author != self.own]

    def share(self, name: str) -> float:
        """How often others named an option of late, 0..1."""
        return sum(name in deal for deal in self.others) / max(1, len(self.others))

    @cached_property
    def shares(self) -> dict[str, float]:
        """`share` of every option."""
        return {name: self.share(name) for names in self.options for name in names}

    def support(self, deal: list[str]) -> float:
        """Sum of its options' shares."""
        return sum(self.shares[name] for name in deal)

    def last_deal(self, seat: str) -> list[str]:
        """What a party named last; [] where the window shows nothing."""
        return next((deal for author, deal in reversed(self.deals) if author == seat), [])

    def mover(self, name: str) -> str:
        """The other party that named an option last; "" for nobody."""
        return next((author for author, deal in reversed(self.deals) if author != self.own and name in deal), "")

    def popular(self) -> list[str]:
        """Of each issue the option most often named; the first of equals."""
        return [max(names, key=self.share) for names in self.options]


def read_options(view: View) -> tuple[tuple[str, ...], ...]:
    """Names of each issue's options; () in package bargaining."""
    return tuple(tuple(names) for names in view.task.get("issues", {}).values())


def read_sheet(view: View) -> Sheet:
    """The seat's own card."""
    return Sheet(read_options(view), view.card["scores"], view.card["minimum"])


def read_table(view: View) -> Table:
    """What the seat may know of the talks."""
    table = Table(read_options(view), own=view.seat)
    for event in view.history():
        _take(table, event.kind, event.author, event.data)
    return table


def _take(table: Table, kind: str, author: str, data: dict[str, JSON]) -> None:
    if kind == "act" and data.get("deal"):
        table.deals.append((author, data["deal"]))
    elif kind == "offer":
        table.offer = data["deal"]
    elif kind == "package":
        table.package, table.posted, table.amendments = data["package"], True, []
    elif kind == "objection" and (data["add"], data["drop"]) != (NONE, NONE):
        table.amendments.append(Amendment(data["add"], data["drop"]))
