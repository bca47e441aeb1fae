"""Other ways to look at a preference: as a pair, a list, single marks, a vector, one annotator's opinion, a tree.

Pure projections of the native record; each keeps the record's id, so that it can be traced back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

from simarena.preferences.record import Preference, Response


def pair(record: Preference) -> Preference:
    """The best and the worst response."""
    return replace(record, responses=(record.responses[0], record.responses[-1]))


def pairs(record: Preference) -> Iterator[Preference]:
    """Every two responses whose scores differ, each pair with its own magnitude."""
    for better, worse in combinations(record.responses, 2):
        if better.score > worse.score:
            yield replace(record, responses=(better, worse), magnitude=better.score - worse.score)


def ranked(record: Preference) -> list[tuple[Response, int]]:
    """Every response with its rank, from 0; equal scores share the better rank."""
    scores = [each.score for each in record.responses]
    return [(each, scores.index(each.score)) for each in record.responses]


def pointwise(record: Preference) -> Iterator[Preference]:
    """Every response alone, with its mark."""
    return (replace(record, responses=(each,), magnitude=each.score) for each in record.responses)


def vector(record: Preference) -> tuple[tuple[str, ...], list[list[float | None]]]:
    """Names of annotators and objectives, and for every response its marks in that order; None where it has none."""
    kinds = [
        (which, name)
        for which in ("scores", "objectives")
        for each in record.responses
        for name in getattr(each, which)
    ]
    names = list(dict.fromkeys(kinds))
    return tuple(name for _, name in names), [
        [getattr(each, which).get(name) for which, name in names] for each in record.responses
    ]


def cardinal(record: Preference) -> tuple[Response, Response, float]:
    """Best, worst, and how much better the one is than the other."""
    return record.responses[0], record.responses[-1], record.responses[0].score - record.responses[-1].score


def per_annotator(record: Preference) -> Iterator[tuple[str, float]]:
    """(annotator, by how much it preferred the best to the worst); below 0 where it disagrees with the label."""
    best, worst = record.responses[0].scores, record.responses[-1].scores
    return ((who, best[who] - worst[who]) for who in best if who in worst)


@dataclass(slots=True)
class Node:
    """Some tokens that follow their parent's."""

    ids: tuple[int, ...]
    own: tuple[bool, ...]
    """Per token: an agent sampled it, in one of the responses that pass here."""
    ends: list[tuple[str, int]] = field(default_factory=list)
    """(id of a record, place of a response in it) for every response that ends here."""
    children: list[Node] = field(default_factory=list)


def tree(records: Iterable[Preference]) -> list[Node]:
    """Records with tokens as prefix trees: what several prompts and responses begin with stands once."""
    root = Node((), ())
    for record in records:
        for place, response in enumerate(record.responses):
            if record.prompt_ids is not None and response.ids is not None and response.mask is not None:
                own = (False,) * len(record.prompt_ids) + response.mask
                _insert(root, record.prompt_ids + response.ids, own, (record.id, place))
    return root.children


def _insert(node: Node, ids: Sequence[int], own: Sequence[bool], end: tuple[str, int]) -> None:
    """Walk down along `ids`, splitting a node where they part from it."""
    while ids:
        below = next((child for child in node.children if child.ids[0] == ids[0]), None)
        if below is None:
            below = Node(tuple(ids), tuple(own))
            node.children.append(below)
        same = _common(below.ids, ids)
        mine = tuple(a or b for a, b in zip(below.own[:same], own[:same], strict=True))
        if same < len(below.ids):
            rest = Node(below.ids[same:], below.own[same:], below.ends, below.children)
            below.ids, below.own, below.ends, below.children = below.ids[:same], mine, [], [rest]
        below.own = mine
        node, ids, own = below, ids[same:], own[same:]
    node.ends.append(end)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    size = min(len(one), len(other))
    return next((n for n in range(size) if one[n] != other[n]), size)
