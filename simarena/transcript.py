"""A match as lines to read: who said what in which phase, what became of it, and the truth at the end.

In: a trajectory, and for its prompts the requests and answers. Out: lines of text. Everything that could move a
terminal's cursor, colour or reorder a line is written out as an escape. Knows no run folder and no terminal.
"""

from __future__ import annotations

import json
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

from simarena.errors import UnknownName
from simarena.records import JSON, Completion, Event, Request, Trajectory

WIDTH = 110
KEPT = "\n\t"
UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
FINE = ("ok", "")


def plain(text: str) -> str:
    """`text` with control characters, bidirectional marks and the like written out as escapes."""
    if text.isprintable():
        return text
    return "".join(
        c if c in KEPT or unicodedata.category(c) not in UNSEEN else c.encode("unicode_escape").decode() for c in text
    )


def transcript(record: Trajectory, seat: str = "") -> Iterator[str]:
    """The whole match; with `seat`, only what that seat could see."""
    if seat and seat not in record.match.seats:
        raise UnknownName("seat", seat, record.match.seats)
    yield from heading(record, seat)
    outcomes = outcomes_of(record)
    phase = ""
    for event in merged(record.events) if not seat else record.events:
        own = bool(event.author) and event.author == seat
        if seat and event.audience is not None and seat not in event.audience and not own:
            continue
        if event.phase != phase:
            phase = event.phase
            yield f"\n── {plain(phase)} " + "─" * max(3, WIDTH - len(phase) - 4)
        yield from told(record, event, outcomes, seat)
    if not seat:
        yield from ending(record)


def merged(events: Sequence[Event]) -> Iterator[Event]:
    """The events, those that tell several seats the same thing one after another as one."""
    last: Event | None = None
    for event in events:
        again = (
            last is not None
            and not event.author
            and event._replace(seq=0, audience=()) == last._replace(seq=0, audience=())
        )
        if again and last is not None and last.audience is not None and event.audience is not None:
            last = last._replace(audience=(*last.audience, *event.audience))
            continue
        if last is not None:
            yield last
        last = event
    if last is not None:
        yield last


def heading(record: Trajectory, seat: str) -> Iterator[str]:
    """What was played, and who sat where."""
    match = record.match
    yield f"{match.env}, match {match.id} ({record.status}), task {match.task_seed}" + (
        f", as {seat} saw it" if seat else ""
    )
    if match.cell:
        yield from field_lines("cell", match.cell, "")
    if match.parent:
        yield f"forked from {match.parent} at turn {match.turn}"
    if not seat:
        yield plain("seats: " + ", ".join(f"{place} {name}" for place, name in match.seats.items()))


def outcomes_of(record: Trajectory) -> dict[tuple[str, str], list[tuple[int, str, str]]]:
    """(phase, seat) -> number, outcome and error of its turns, in order."""
    found: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for turn in record.turns:
        found.setdefault((turn.phase, turn.seat), []).append((turn.n, turn.outcome, turn.error))
    return found


def told(
    record: Trajectory, event: Event, outcomes: dict[tuple[str, str], list[tuple[int, str, str]]], seat: str
) -> Iterator[str]:
    """One event."""
    if event.kind == "outcome":  # told beside the action it belongs to
        return
    if event.author and event.kind in ("act", "probe"):
        agent = record.match.seats[event.author]
        turns = outcomes.get((event.phase, event.author))
        n, outcome, error = turns.pop(0) if turns else (-1, "", "")
        number = f"{n:>3}  " if n >= 0 else "     "
        name = event.author if seat else f"{event.author} ({agent})"
        yield plain(f"{number}{name}{heard(event)}")
        if outcome not in FINE and (not seat or seat == event.author):
            yield plain(f"     !! {outcome}{': ' + error if error else ''}")
    else:
        kind = event.kind if not event.author else f"{event.author}, {event.kind}"
        yield plain(f"     {kind}{heard(event)}")
    for key, value in event.data.items():
        yield from field_lines(key, value, " " * 9)


def heard(event: Event) -> str:
    """Who saw an event, where not everybody did."""
    if event.audience is None:
        return ""
    others = [seat for seat in event.audience if seat != event.author]
    if not event.audience:
        return " [on record only]"
    return f" [to {', '.join(others)}]" if others else " [to itself]"


def field_lines(key: str, value: JSON, indent: str) -> Iterator[str]:
    """A field, its text folded to the width."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    first, *rest = plain(f"{key}: {text}").split("\n")
    yield from textwrap.wrap(first, WIDTH, initial_indent=indent, subsequent_indent=indent + "    ") or [indent]
    for line in rest:
        yield from textwrap.wrap(line, WIDTH, initial_indent=indent + "    ", subsequent_indent=indent + "    ") or [""]


def ending(record: Trajectory) -> Iterator[str]:
    """What no seat sees: truth, returns, measures."""
    title = "truth, returns, measures"
    yield f"\n── {title} " + "─" * max(3, WIDTH - len(title) - 4)
    if record.error:
        yield plain(f"     failed: {record.error}")
    truth = record.truth if isinstance(record.truth, dict) else {"truth": record.truth}
    for key, value in truth.items():
        yield from field_lines(key, value, " " * 5)
    yield ""
    for seat, name in record.match.seats.items():
        counts = record.outcomes.get(seat, {})
        bad = ", ".join(f"{n} {outcome}" for outcome, n in counts.items() if outcome != "ok")
        turns = f"{sum(counts.values())} turns" + (f" ({bad})" if bad else "")
        yield plain(f"     {seat} ({name}): return {record.returns.get(seat, 0.0):.4g}, {turns}")
    if record.metrics:
        yield ""
        measures = ", ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
        yield from field_lines("measures", measures, " " * 5)


def prompts(requests: Mapping[str, Request], answers: Mapping[str, Completion], seat: str = "") -> Iterator[str]:
    """Every question to a model as it was sent, and its answer as it came; of one seat where given.

    Later prompts of a seat repeat the earlier ones, so that only what is new is shown.
    """
    shown: dict[str, int] = {}
    for key, request in requests.items():
        place = key.split("/")[-2]
        if seat and place != seat:
            continue
        yield f"\n── {plain(key)} · {plain(request.agent)} " + "─" * 20
        start = shown.get(place, 0)
        new = request.messages[start if start < len(request.messages) else 0 :]
        for message in new:
            yield from labelled(message.role, message.content)
        shown[place] = len(request.messages)
        answer = answers[key]
        for text, (logprob, tokens) in zip(request.score, answer.scores, strict=False):
            yield from labelled("weighed", f"{text}  ({logprob:.3f} nats, {tokens} tokens)")
        if not request.score:
            yield from labelled(f"reply [{answer.finish}]", answer.text)


def labelled(label: str, text: str) -> Iterator[str]:
    """A text under a label, each line folded and indented."""
    yield f"{plain(label)}:"
    for line in plain(text).split("\n"):
        yield from textwrap.wrap(line, WIDTH, initial_indent="    ", subsequent_indent="    ") or [""]
