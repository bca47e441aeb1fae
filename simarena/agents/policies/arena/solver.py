"""What a scripted contestant knows: the right answer with its reason, and the mistakes that are likely, with theirs.

In: the public part of a task (words and structure) and the seat's card. Out: candidate answers, the right one first.
Solved from what every seat may read; a question that nobody can solve so (a file's) gives its options, unordered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

from simarena.agents.policies.arena import riddles
from simarena.records import JSON
from simarena.tasks import arithmetic, logic_chain, skills
from simarena.tasks.kks import Puzzle
from simarena.tasks.story import ATTRIBUTES, LINK
from simarena.tasks.wording import listed

LAST_NUMBER = re.compile(r"-?\d+(?!.*\d)")


class Candidate(NamedTuple):
    """An answer and what may be said for it."""

    answer: str
    reason: str


class Knowledge(NamedTuple):
    """What there is to know about a question."""

    solved: bool
    """Whether the first candidate is known to be right."""
    candidates: list[Candidate]
    """All different; at least one."""


Known = Mapping[str, JSON]


def knowledge(task: Known, card: Known, rng: Random) -> Knowledge:
    """The right answer to `task` and likely mistakes, in random order among themselves."""
    solver = SOLVERS.get(str(task.get("family", "")))
    found = solver(task, card, rng) if solver else None
    if found is not None:
        offered = task.get("options") or [each.answer for each in found]
        return Knowledge(True, [found[0], *(each for each in found[1:] if each.answer in offered)])
    options = [str(option) for option in task.get("options", [])] or ["unknown"]
    return Knowledge(False, [Candidate(option, "It is a guess.") for option in rng.sample(options, len(options))])


def kks(task: Known, card: Known, rng: Random) -> list[Candidate]:
    """Deduction step by step; a mistake gets single roles wrong in the same steps."""
    puzzle = Puzzle.read(task)
    roles = puzzle.deduce()
    steps = puzzle.derivation()
    rows = [dict(zip(puzzle.people, row, strict=True)) for row in puzzle.near_misses(rng)]
    return [_kks(steps, row) for row in ({name: roles[name] for name in puzzle.people}, *rows)]


def _kks(steps: list[tuple[tuple[str, ...], dict[str, str]]], roles: dict[str, str]) -> Candidate:
    parts = [
        f"From {listed(said) or 'the numbers'}: {_pairs({who: roles[who] for who in found})}." for said, found in steps
    ]
    return Candidate(_pairs(roles), " ".join(parts))


def _pairs(roles: dict[str, str]) -> str:
    return ", ".join(f"{name} {role}" for name, role in roles.items())


def sums(task: Known, card: Known, rng: Random) -> list[Candidate]:
    """The working; a mistake ends in another number."""
    numbers, signs = list(task["numbers"]), str(task["signs"])
    right, working = arithmetic.value(numbers, signs), arithmetic.working(numbers, signs)
    return _numbers(right, working, arithmetic.slips(rng, numbers, signs), rng)


def _numbers(right: int, working: str, slips: list[int], rng: Random) -> list[Candidate]:
    near = [right + step for step in rng.sample((1, -1, 10, -10, 2, -2), 6)]
    wrong = [str(number) for number in dict.fromkeys([*slips, *near]) if number != right]
    return [Candidate(str(right), working), *(Candidate(each, LAST_NUMBER.sub(each, working)) for each in wrong)]


def chain(task: Known, card: Known, rng: Random) -> list[Candidate]:
    """Follow the rules from the fact as far as they lead; a mistake takes a wrong last step, or stops too early."""
    fact, asked = logic_chain.read_literal(task["fact"]), str(task["asked"])
    rules = logic_chain.read_rules({"rules": task["rules"]})
    right = logic_chain.verdict(fact, rules, asked)
    steps = _path(fact, rules, asked)
    reasons = {
        "yes": f"{fact}, so {listed([*steps, asked])}.",
        "no": f"{fact}, so {listed([*steps, f'not {asked}'])}.",
        "unknown": f"{fact}{', so ' + listed(steps) if steps else ''}, and that says nothing of {asked}.",
    }
    options = [str(option) for option in task["options"]]
    others = [option for option in rng.sample(options, len(options)) if option != right]
    return [Candidate(option, reasons[option]) for option in (right, *others)]


def _path(fact: logic_chain.Literal, rules: list[logic_chain.Rule], asked: str) -> list[str]:
    """What follows on the shortest way from `fact` to the letter `asked`, both left out; all of it if there is none."""
    ways: dict[logic_chain.Literal, list[str]] = {fact: []}
    waiting = [fact]
    for here in waiting:
        if here.letter == asked:
            return ways[here][:-1]
        for given, then in rules:
            for a, b in ((given, then), (then.negated(), given.negated())):
                if a == here and b not in ways:
                    ways[b] = [*ways[here], str(b)]
                    waiting.append(b)
    return [str(literal) for literal in waiting[1:]]


def small_sum(task: Known, card: Known, rng: Random) -> list[Candidate]:
    """A question of the skill table; a mistake answers another topic's question, or is one off."""
    topic, numbers = task["topic"], list(task["numbers"])
    right = skills.result(topic, numbers)
    slips = [skills.result(name, numbers) for name in rng.sample(skills.TOPICS, len(skills.TOPICS))]
    return _numbers(right, f"The {topic} is {right}.", slips, rng)


def story(task: Known, card: Known, rng: Random) -> list[Candidate] | None:
    """State the fact that answers; None for who has not read the story. A mistake names another option."""
    facts = _facts(str(card.get("story", "")))
    found = _asked(str(task["question"]), facts)
    if found is None:
        return None
    options = [str(option) for option in task["options"]]
    others = [option for option in rng.sample(options, len(options)) if option != found.what]
    plainly = ATTRIBUTES[found.attribute].told[0]
    return [Candidate(option, plainly.format(who=found.who, what=option)) for option in (found.what, *others)]


class Told(NamedTuple):
    """A fact as a story tells it."""

    who: str
    attribute: str
    what: str


def _facts(text: str) -> list[Told]:
    found = []
    for sentence in re.findall(r"[^.]+\.", text):
        for name, attribute in ATTRIBUTES.items():
            for told in attribute.told:
                pattern = re.escape(told).replace(r"\{who\}", r"(?P<who>\w+)").replace(r"\{what\}", r"(?P<what>\w+)")
                if match := re.fullmatch(pattern, sentence.strip()):
                    found.append(Told(match["who"], name, match["what"]))
    return found


def _asked(question: str, facts: list[Told]) -> Told | None:
    """The fact that answers `question`."""
    for name, attribute in ATTRIBUTES.items():
        if match := re.fullmatch(re.escape(attribute.question).replace(r"\{who\}", "(.+)"), question):
            who = match[1]
            if who.startswith("the "):
                who = next((fact.who for fact in facts if (fact.attribute, f"the {fact.what}") == (LINK, who)), "")
            return next((fact for fact in facts if (fact.who, fact.attribute) == (who, name)), None)
    return None


def riddle(task: Known, card: Known, rng: Random) -> list[Candidate] | None:
    """Recognise the riddle by its words and work it out; the first mistake is the trap. None for a new riddle."""
    found = riddles.work(str(task["question"]))
    return None if found is None else _numbers(found.answer, found.working, [found.trap], rng)


SOLVERS: dict[str, Callable[[Known, Known, Random], list[Candidate] | None]] = {
    "arithmetic": sums,
    "kks": kks,
    "logic_chain": chain,
    "skills": small_sum,
    "story": story,
    "trap_math": riddle,
}
