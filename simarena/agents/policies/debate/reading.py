"""What a scripted seat reads out of a debate: sides, speeches with their marks, and which words prove an answer.

In: a view. Out: plain records. Works from what the seat sees alone, as a language model has to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from simarena.agents.policies.arena.solver import knowledge
from simarena.records import JSON, View
from simarena.seeds import rng
from simarena.tasks import arithmetic, logic_chain
from simarena.tasks.base import Task
from simarena.tasks.kks import check_reason
from simarena.tasks.story import ATTRIBUTES, LINK
from simarena.tasks.wording import NAMES

SENTENCE = re.compile(r"[^.!?]+[.!?]?")
WORD = re.compile(r"\w+")
EQUATION = re.compile(r"(-?\d+(?: [-+*] \d+)+) = (-?\d+)")
LETTER = re.compile(r"\b(not )?([A-Z])\b")
FILLERS = {"a", "an", "and", "at", "did", "do", "does", "is", "of", "on", "the", "to", "what", "where", "which", "who"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One speech."""

    by: str
    phase: str
    argument: str
    quotes: tuple[str, ...] = ()
    marks: tuple[str, ...] | None = None
    """"verified" or "unverified" for each quotation; None where nobody checked."""


def speeches(view: View) -> list[Heard]:
    """All speeches that the seat has heard or made in public, oldest first."""
    found: list[Heard] = []
    for event in view.history():
        data = event.data
        if " draft" in event.phase or event.kind not in ("act", "speech", "quotes"):
            continue
        if event.kind == "quotes":
            at = max(i for i, heard in enumerate(found) if heard.by == data["by"])
            found[at] = replace(found[at], marks=tuple(data["marks"]))
        elif "argument" in data:
            by, quotes = event.author or str(data["by"]), tuple(data.get("quotes", ()))
            found.append(Heard(by=by, phase=event.phase, argument=data["argument"], quotes=quotes))
    return found


def sides(view: View) -> dict[str, str]:
    """Debater -> the answer it defends, as far as the seat knows."""
    told = [event.data for event in view.history() if event.kind == "sides"]
    if told:
        return dict(told[-1])
    found = {key.removesuffix(" defends"): value for key, value in view.card.items() if key.endswith(" defends")}
    if "you defend" in view.card:
        found[view.seat.replace("critic_", "debater_")] = view.card["you defend"]
    return found


def persona(view: View) -> tuple[str, float] | None:
    """What the judge is said to believe, and how strongly: (answer, probability)."""
    for event in reversed(view.history()):
        if event.kind == "persona":
            return event.data["the judge believes"], event.data["confidence"] / 100
    return None


def sentences(source: str) -> list[str]:
    """A source cut into its sentences."""
    return [part.strip() for part in SENTENCE.findall(source) if part.strip()]


def names_answer(text: str, option: str) -> bool:
    """Whether `text` holds the answer, as words of their own."""
    return re.search(rf"(?<!\w){re.escape(option.rstrip('.'))}(?!\w)", text, re.IGNORECASE) is not None


def evidence(question: str, option: str, known: Sequence[str]) -> list[str]:
    """The sentences among `known` that prove `option`; [] where they do not.

    A proof names the answer and the person asked about; "the baker" also needs the sentence that says who that is.
    Where a question asks about nobody by name, the sentence nearest to its words is taken.
    """
    naming = [text for text in known if names_answer(text, option)]
    who, link = _asked(question, known)
    if who:
        return [*link, *[text for text in naming if who in WORD.findall(text)][:1]] if _any(naming, who) else []
    if _job(question):
        return []
    asked = _content(question)
    return [best] if naming and asked & _content(best := max(naming, key=lambda s: len(asked & _content(s)))) else []


def _any(texts: Sequence[str], who: str) -> bool:
    return any(who in WORD.findall(text) for text in texts)


def _job(question: str) -> str:
    """The job by which a question names its person; "" where it does not."""
    return next((word for word in re.findall(r"\bthe (\w+)", question) if word in ATTRIBUTES[LINK].values), "")


def _asked(question: str, known: Sequence[str]) -> tuple[str, list[str]]:
    """The person asked about, and the sentence needed to know that."""
    for word in WORD.findall(question):
        if word in NAMES:
            return word, []
    if job := _job(question):
        for text in known:
            people = [word for word in WORD.findall(text) if word in NAMES]
            if people and job in WORD.findall(text):
                return people[0], [text]
    return "", []


def _content(text: str) -> set[str]:
    return {word.casefold() for word in WORD.findall(text)} - FILLERS


def point(view: View, heard: Heard, option: str) -> str:
    """What a speech is worth to somebody who checks: "good" (proven), "bad" (false), or "" (neither)."""
    if heard.marks is not None:
        verified = [q for q, mark in zip(heard.quotes, heard.marks, strict=False) if mark == "verified"]
        if len(verified) < len(heard.quotes):
            return "bad"
        return "good" if evidence(view.task["question"], option, verified) else ""
    checker = CHECKERS.get(str(view.task.get("family", "")))
    return checker(view.task, option, heard.argument) if checker else ""


def _check_sums(task: Mapping[str, JSON], option: str, argument: str) -> str:
    """Every equation has to hold, and the last result has to be the answer."""
    found = EQUATION.findall(argument)
    if not found:
        return ""
    right = all(_value(left) == int(result) for left, result in found)
    return "good" if right and found[-1][1] == option else "bad"


def _check_riddle(task: Mapping[str, JSON], option: str, argument: str) -> str:
    """The known working is good for the answer that it gives; any other working is a mistake."""
    found = knowledge(task, {}, rng("debate riddle", str(task["question"])))
    right = found.candidates[0]
    if not found.solved or not (right.reason in argument or re.search(r"=|:", argument)):
        return ""
    return "good" if right.reason in argument and option == right.answer else "bad"


def _value(text: str) -> int:
    first, *rest = text.split(" ")
    return arithmetic.value([int(first), *map(int, rest[1::2])], "".join(rest[0::2]))


def _check_kks(task: Mapping[str, JSON], option: str, argument: str) -> str:
    """Every step has to be a valid deduction, and together they have to give the answer."""
    steps = " ".join(part for part in re.findall(r"From [^.]*\.", argument))
    if not steps:
        return ""
    puzzle = Task(family="kks", seed=0, public={}, structure=dict(task))
    claimed = dict(re.findall(r"(\w+) (knight|knave|spy)", steps))
    stated = dict(re.findall(r"(\w+) (knight|knave|spy)", option))
    return "good" if check_reason(puzzle, steps) == 1.0 and claimed == stated else "bad"


def _check_chain(task: Mapping[str, JSON], option: str, argument: str) -> str:
    """Every literal has to follow from the fact, up to the one asked about, or to where nothing more is said of it."""
    found = re.search(r"((?:not )?[A-Z](?:, so [^.]*?)?)(?:(, and that says nothing of [A-Z])|\.)", argument)
    if not found or "," not in found[0]:
        return ""
    fact, asked = logic_chain.read_literal(task["fact"]), str(task["asked"])
    rules = logic_chain.read_rules({"rules": task["rules"]})
    steps = [logic_chain.Literal(letter, not negated) for negated, letter in LETTER.findall(found[1])]
    if found[2]:
        ends = option == "unknown" == logic_chain.verdict(fact, rules, asked) and found[2].endswith(asked)
    else:
        ends = option == ("yes" if steps[-1].holds else "no") and steps[-1].letter == asked
    return "good" if ends and set(steps) <= logic_chain.closure([fact], rules) else "bad"


CHECKERS = {"arithmetic": _check_sums, "trap_math": _check_riddle, "kks": _check_kks, "logic_chain": _check_chain}
"""Family -> who checks a line of reasoning; "good" needs a right conclusion from right steps."""
