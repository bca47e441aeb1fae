"""Preference records to decisions in tokens: what a trainer reads, checked row by row before any step.

In: records and the tokenizer of the agent that will learn. Out: decisions, and counts of what was left out and why.
Recorded ids and masks are used as they are; only a record without them is tokenised. Knows no model and no loss.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simarena.backends.template import ChatTemplate
from simarena.errors import SimArenaError
from simarena.identity import content_hash
from simarena.preferences.record import Preference, Response, from_line, to_line
from simarena.records import Message
from simarena.training.trie import Sequence as Tokens

SHOWN = 20
"""Refused rows that an error names one by one."""


class BadPairs(SimArenaError):
    """Records that nothing can be learnt from; the message names rows and reasons."""

    exit_code = 2


class Unfit(ValueError):
    """Why one record cannot be used."""

    def __init__(self, kind: str, said: str) -> None:
        super().__init__(said)
        self.kind = kind
        """The reason in two or three words, for counts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One decision as a trainer sees it; every tuple has one entry per response, best first."""

    row: int
    """Number of its line, from 1."""
    id: str
    sequences: tuple[Tokens, ...]
    """Prompt and response, with the own sampled tokens masked True."""
    turns: tuple[tuple[int, ...], ...]
    """Own turn of each masked token, from 0."""
    spans: tuple[tuple[float, ...] | None, ...]
    """Worth of the segment that each masked token belongs to; None where segments have no marks."""
    ratings: tuple[float, ...]
    """Aggregated marks."""
    labels: tuple[float | None, ...]
    """Truth of each response, where it is known."""
    votes: dict[str, float] = field(default_factory=dict)
    """Annotator -> 1 agrees that the first response beats the last, 0 says the reverse, .5 a tie."""
    weight: float = 1.0
    magnitude: float = 0.0
    side: tuple[str, str] = ("", "")
    """Match and seat: decisions of one side share prefixes."""

    @property
    def size(self) -> int:
        """Tokens of all its sequences, none shared."""
        return sum(len(each.ids) for each in self.sequences)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a file of preferences comes to."""

    decisions: tuple[Decision, ...]
    dropped: dict[str, int]
    """Reason -> rows left out."""
    digest: str
    """Hash of every record that is used."""


# ---- records ---------------------------------------------------------------------------------------------------------


def read_records(path: Path) -> Iterator[Preference | Unfit]:
    """The records of a file, one a line; where a line is none, why."""
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.strip():
                yield read_line(line)


def read_line(line: str) -> Preference | Unfit:
    """One record, or why it is none."""
    try:
        data = json.loads(line)
        if not isinstance(data, dict):
            return Unfit("no record", "is no JSON object")
        if odd := [name for name in ("prompt", "responses") if not isinstance(data.get(name, []), list)]:
            return Unfit("wrong type", f"{odd[0]}: {shortened(data[odd[0]])} is no list")
        return well_typed(from_line(data))
    except Unfit as error:
        return error
    except json.JSONDecodeError as error:
        return Unfit("no record", f"is not JSON: {error.msg} at character {error.colno}")
    except KeyError as error:
        return Unfit("no record", f"has no {error}; make pairs with: simarena pairs RUN (--format native)")
    except TypeError as error:
        return Unfit("unknown column", explained(str(error)))
    except (ValueError, AttributeError) as error:
        return Unfit("no record", f"is no preference: {error}")


def explained(error: str) -> str:
    """What a constructor says of a wrong key, in words of columns."""
    name = error.split("'")[1] if "'" in error else ""
    if "unexpected keyword" in error:
        return f"has an unknown column {name!r}; make pairs with: simarena pairs RUN"
    return f"is no preference: {error}"


def well_typed(record: Preference) -> Preference:
    """The record itself; Unfit where a column that a trainer reads holds what it cannot be."""
    number("weight", record.weight)
    number("magnitude", record.magnitude)
    whole_numbers("prompt_ids", record.prompt_ids)
    for n, response in enumerate(record.responses):
        of = f"of response {n}"
        number(f"score {of}", response.score)
        number(f"truth {of}", response.truth or 0.0)
        for name in ("scores", "objectives"):
            if not isinstance(marks := getattr(response, name), dict):
                raise Unfit("wrong type", f"{name} {of}: {shortened(marks)} is no object")
            for who, mark in marks.items():
                number(f"{name} {of}, {who}", mark)
        for name in ("ids", "mask", "turns"):
            whole_numbers(f"{name} {of}", getattr(response, name))
    return record


def number(name: str, value: Any) -> None:
    """Refuse what is no finite number."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise Unfit("wrong type", f"{name}: {shortened(value)} is no finite number")


def whole_numbers(name: str, values: Any) -> None:
    """Refuse what is neither missing nor a list of whole numbers."""
    if values is None:
        return
    if not isinstance(values, tuple):
        raise Unfit("wrong type", f"{name}: {shortened(values)} is no list")
    if odd := [each for each in values if not isinstance(each, int)]:
        raise Unfit("wrong type", f"{name}: {shortened(odd[0])} is no whole number")


def prepare(
    records: Iterable[Preference | Unfit], template: ChatTemplate, *, window: int, skip_bad: bool = False
) -> Prepared:
    """Every record as a decision. BadPairs names all that are wrong, unless `skip_bad` drops and counts them.

    `window` is the most tokens that the model can read.
    """
    decisions: list[Decision] = []
    wrong: list[tuple[int, Unfit]] = []
    used: list[str] = []
    for row, record in enumerate(records, 1):
        try:
            if isinstance(record, Unfit):
                raise record
            decisions.append(decision(row, record, template, window))
            used.append(content_hash(to_line(record)))
        except Unfit as error:
            wrong.append((row, error))
    if wrong and not skip_bad:
        raise BadPairs(told(wrong))
    counts = Counter(error.kind for _, error in wrong)
    if not decisions:
        why = f": {', '.join(f'{n} {kind}' for kind, n in counts.items())}" if counts else ""
        raise BadPairs(f"there is no pair to train on{why}; make pairs with: simarena pairs RUN")
    return Prepared(decisions=tuple(decisions), dropped=dict(counts), digest=content_hash(used))


def told(wrong: Sequence[tuple[int, Unfit]]) -> str:
    """Every refused row with its reason."""
    lines = [f"row {row}: {error}" for row, error in wrong[:SHOWN]]
    if len(wrong) > SHOWN:
        lines.append(f"... and {len(wrong) - SHOWN} more rows")
    return "\n".join([*lines, "nothing was trained; --skip-bad drops such rows and counts them"])


# ---- decisions -------------------------------------------------------------------------------------------------------


def decision(row: int, record: Preference, template: ChatTemplate, window: int) -> Decision:
    """One record in tokens; Unfit says why it cannot be one."""
    if not record.responses:
        raise Unfit("no responses", "has no response")
    prompt = checked_prompt(record, template)
    parts = [tokens_of(n, response, template) for n, response in enumerate(record.responses)]
    same_start(parts)
    longest = len(prompt) + max(len(ids) for ids, _, _ in parts)
    if longest > window:
        raise Unfit("too long", f"holds {longest} tokens, the model reads {window}")
    return Decision(
        row=row,
        id=record.id,
        sequences=tuple(Tokens(ids=(*prompt, *ids), mask=(*(False for _ in prompt), *mask)) for ids, mask, _ in parts),
        turns=tuple(tuple(turn for turn, own in zip(turns, mask, strict=True) if own) for _, mask, turns in parts),
        spans=tuple(map(spans_of, record.responses, parts)),
        ratings=tuple(response.score for response in record.responses),
        labels=tuple(response.truth for response in record.responses),
        votes=votes(record),
        weight=record.weight,
        magnitude=record.magnitude,
        side=(record.match, record.seat),
    )


Part = tuple[tuple[int, ...], tuple[bool, ...], tuple[int, ...]]
"""Ids, own-token mask and own turn per id, of one response."""


def checked_prompt(record: Preference, template: ChatTemplate) -> tuple[int, ...]:
    """The prompt's ids as they were sent; made of its words where the record has none."""
    if not record.prompt or record.prompt_ids == ():
        raise Unfit("no prompt", "has no prompt")
    if record.prompt_ids is None:
        if any(response.ids is not None for response in record.responses):
            raise Unfit("ids without prompt", "has ids of a response but none of its prompt")
        return tuple(template.encode(record.prompt))
    known_ids("prompt", record.prompt_ids, template)
    if not same_prompt(record.prompt_ids, template.encode(plain(record.prompt)), template):
        raise Unfit(
            "ids against text",
            "the prompt's ids do not spell its messages under this agent's tokenizer and template"
            + (f" (the pair was made with {record.model})" if record.model else ""),
        )
    return record.prompt_ids


def same_prompt(sent: Sequence[int], again: Sequence[int], template: ChatTemplate) -> bool:
    """Whether ids that were sent spell what the template writes now; a model may have split its own words oddly."""
    if worded(sent, template) == worded(again, template):
        return True
    # it may also have sampled a structural token within a reply, which its recorded words leave out
    return said(sent, template) == said(again, template) and (sent[0], sent[-1]) == (again[0], again[-1])


def plain(messages: Sequence[Message]) -> list[Message]:
    """The words alone."""
    return [Message(message.role, message.content) for message in messages]


def worded(ids: Sequence[int], template: ChatTemplate) -> str:
    """What ids spell, structure included."""
    return str(template.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def said(ids: Sequence[int], template: ChatTemplate) -> str:
    """What ids say, structure left out, as a backend reads a reply."""
    text = template.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)


def known_ids(what: str, ids: Sequence[int], template: ChatTemplate) -> None:
    """Refuse ids that the tokenizer does not have."""
    size = len(template.tokenizer)
    odd = next((i for i in ids if not 0 <= i < size), None)
    if odd is not None:
        raise Unfit("other tokenizer", f"{what} holds id {odd}; this agent's tokenizer has {size} tokens")


def tokens_of(n: int, response: Response, template: ChatTemplate) -> Part:
    """One response in tokens, checked against its words."""
    name = f"response {n}"
    if response.ids is None:
        return written(name, response, template)
    mask, turns = response.mask, response.turns
    if mask is None or len(mask) != len(response.ids):
        raise Unfit("mask of another length", f"{name} has {len(response.ids)} ids and {len(mask or ())} marks")
    if not any(mask):
        raise Unfit("empty mask", f"{name} has no own token that could carry loss")
    known_ids(name, response.ids, template)
    turns = turns if turns is not None else tuple(0 if own else -1 for own in mask)
    if len(turns) != len(mask) or any((turn >= 0) != own for turn, own in zip(turns, mask, strict=True)):
        raise Unfit("turns against mask", f"{name} counts own turns where it has no own tokens")
    spelt(name, response, turns, template)
    return response.ids, mask, turns


def spelt(name: str, response: Response, turns: Sequence[int], template: ChatTemplate) -> None:
    """Refuse a response whose own ids do not say its own words, turn by turn."""
    own = [message.content for message in response.messages[::2]]
    for turn, words in enumerate(own):
        ids = [i for i, at in zip(response.ids or (), turns, strict=True) if at == turn]
        found = said(ids, template)
        if not found.startswith(words) or (words == "" and found != ""):
            raise Unfit(
                "ids against text",
                f"{name}, turn {turn}: its ids say {shortened(found)}, its words {shortened(words)}; "
                "another tokenizer or template made them",
            )


def shortened(value: Any) -> str:
    """A value as an error shows it."""
    if not isinstance(value, str):
        return str(value)[:40]
    return repr(value if len(value) <= 40 else value[:37] + "...")


def written(name: str, response: Response, template: ChatTemplate) -> Part:
    """A response that was recorded in words only, as the agent's own template would have it written."""
    if len(response.messages) != 1:
        raise Unfit("words only", f"{name} has several turns but no ids")
    ids = template.continuation(response.messages[0].content)
    if not ids:
        raise Unfit("empty mask", f"{name} says nothing")
    end = template.tokenizer.eos_token_id
    ids = ids if end is None else [*ids, end]
    return tuple(ids), (True,) * len(ids), (0,) * len(ids)


def same_start(parts: Sequence[Part]) -> None:
    """Refuse responses that were shown different words before their first own token."""
    leads = {ids[: mask.index(True)] for ids, mask, _ in parts}
    if len(leads) > 1:
        raise Unfit("no common prefix", "its responses do not share their prompt: different words come before them")


def spans_of(response: Response, part: Part) -> tuple[float, ...] | None:
    """What each own token's turn is worth, where `objectives` marks turns: {"turn 0": 1.0, "turn 1": 0.2}."""
    _, mask, turns = part
    worth = {turn: response.objectives.get(f"turn {turn}") for turn in set(turns) if turn >= 0}
    known = {turn: value for turn, value in worth.items() if value is not None}
    if len(known) < len(worth):
        return None
    return tuple(known[turn] for turn, own in zip(turns, mask, strict=True) if own)


def votes(record: Preference) -> dict[str, float]:
    """Annotator -> whether they put the first response before the last.

    An annotator is a judge within a task family: nobody is to be trusted everywhere alike.
    """
    first, last = record.responses[0].scores, record.responses[-1].scores
    if len(record.responses) < 2:
        return {}
    family = f"|{record.family}" if record.family else ""
    return {f"{who}{family}": (1 + sign(first[who] - last[who])) / 2 for who in sorted(first.keys() & last.keys())}


def sign(value: float) -> int:
    """-1, 0 or 1."""
    return (value > 0) - (value < 0)


def annotators(decisions: Sequence[Decision]) -> list[str]:
    """Everyone who marked anything, sorted."""
    return sorted({who for each in decisions for who in each.votes})


def summary(prepared: Prepared) -> dict[str, Any]:
    """Counts for people and for the story of an adapter."""
    sizes = [len(s.ids) for each in prepared.decisions for s in each.sequences]
    return {
        "pairs": len(prepared.decisions),
        "dropped": prepared.dropped,
        "sequences": len(sizes),
        "tokens": sum(sizes),
        "longest": max(sizes),
        "sha256": prepared.digest,
    }
