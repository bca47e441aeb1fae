"""Chains of implications with distractors: does it follow, its opposite, or neither?

"If A then B. If B then not C. A. Is C true?" The answer is classical entailment, decided by `verdict`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from random import Random
from string import ascii_uppercase
from typing import NamedTuple

from pydantic import Field, model_validator

from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks.answers import ChoiceFamily
from simarena.tasks.base import Knobs, Task
from simarena.tasks.wording import listed


class Literal(NamedTuple):
    """A letter, or its negation."""

    letter: str
    holds: bool = True

    def __str__(self) -> str:
        return self.letter if self.holds else f"not {self.letter}"

    def negated(self) -> Literal:
        """The opposite."""
        return Literal(self.letter, not self.holds)


class Rule(NamedTuple):
    """If `given` then `then`."""

    given: Literal
    then: Literal

    def __str__(self) -> str:
        return f"If {self.given} then {self.then}."


class LogicChainParams(Knobs):
    """Knobs of the chains."""

    length: int = Field(3, ge=1, le=10)
    """Implications from the fact to the question."""
    distractors: int = Field(2, ge=0, le=10)
    """Further rules that do not change the answer."""
    negation: bool = True
    """Whether rules may hold "not"; without it nothing can be shown false, and "no" is no option."""
    unknown: bool = True
    """Whether some questions cannot be decided, with "unknown" as an option."""
    shuffled: bool = True
    """Whether the rules come in random order."""

    @model_validator(mode="after")
    def _two_answers(self) -> LogicChainParams:
        if not (self.negation or self.unknown):
            raise ValueError('with negation and unknown both off, "yes" is the only answer; switch one on')
        if self.length + 1 + self.distractors > len(ascii_uppercase):
            raise ValueError(f"length + distractors + 1 letters are needed, there are {len(ascii_uppercase)}")
        return self

    @property
    def answers(self) -> list[str]:
        """The options."""
        return ["yes"] + ["no"] * self.negation + ["unknown"] * self.unknown


class LogicChain(ChoiceFamily):
    """If A then B. If B then C. A is true. Is C true?"""

    name = "logic_chain"
    Params = LogicChainParams

    def generate(self, seed: int) -> Task:
        """Rules, one fact and a question; all answers are equally frequent."""
        p: LogicChainParams = self.params
        random = rng("logic_chain", seed)
        answer = random.choice(p.answers)
        letters = random.sample(ascii_uppercase, p.length + 1 + p.distractors)
        chain = _chain(random, letters[: p.length + 1], answer, p.negation)
        rules = [Rule(*link) for link in pairwise(chain)]
        reached = len(rules)
        if answer == "unknown":
            # One link is turned round: the usual mistake is to read it the other way all the same.
            reached = random.randrange(len(rules))
            rules[reached] = Rule(rules[reached].then, rules[reached].given)
        fact, asked = chain[0], chain[-1].letter
        rules += _distractors(random, chain, letters[p.length + 1 :], p.negation)
        if p.shuffled:
            random.shuffle(rules)
        public = {
            "question": f"{' '.join(map(str, rules))} {_fact(fact)} Is {asked} true?",
            "options": random.sample(p.answers, len(p.answers)),
            "format": " or ".join(p.answers),
        }
        structure: dict[str, JSON] = {
            "rules": [[str(rule.given), str(rule.then)] for rule in rules],
            "fact": str(fact),
            "asked": asked,
        }
        truth = {"answer": answer, "reason": _reason(chain, reached)}
        return Task(family=self.name, seed=seed, public=public, structure=structure, truth=truth)


def closure(start: Sequence[Literal], rules: Sequence[Rule]) -> set[Literal]:
    """All that follows step by step from `start`, rules read in both directions (contraposition)."""
    steps: dict[Literal, list[Literal]] = {}
    for given, then in rules:
        steps.setdefault(given, []).append(then)
        steps.setdefault(then.negated(), []).append(given.negated())
    found, waiting = set(start), list(start)
    while waiting:
        new = set(steps.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


def contradictory(literals: set[Literal]) -> bool:
    """Whether a letter and its negation are both there."""
    return any(literal.negated() in literals for literal in literals)


def entails(fact: Literal, rules: Sequence[Rule], claim: Literal) -> bool:
    """Whether `claim` holds in every model of `fact` and `rules`.

    Each rule is a clause of two literals, so assuming the opposite and following the rules finds any contradiction
    (unit propagation is complete for satisfiable two-literal clauses).
    """
    return contradictory(closure([fact, claim.negated()], rules))


def verdict(fact: Literal, rules: Sequence[Rule], asked: str) -> str:
    """Whether the letter `asked` must be true (yes), false (no) or neither (unknown), given consistent rules."""
    if entails(fact, rules, Literal(asked)):
        return "yes"
    return "no" if entails(fact, rules, Literal(asked, False)) else "unknown"


def read_rules(known: Mapping[str, JSON]) -> list[Rule]:
    """The rules of a task's structure."""
    return [Rule(read_literal(given), read_literal(then)) for given, then in known["rules"]]


def read_literal(text: str) -> Literal:
    """The literal written as "A" or "not A"."""
    return Literal(text[-1], not text.startswith("not "))


def _chain(random: Random, letters: list[str], answer: str, negation: bool) -> list[Literal]:
    signs = [not negation or random.random() < 0.6 for _ in letters]
    signs[-1] = {"yes": True, "no": False, "unknown": not negation or random.random() < 0.5}[answer]
    return [Literal(letter, sign) for letter, sign in zip(letters, signs, strict=True)]


def _distractors(random: Random, chain: list[Literal], spare: list[str], negation: bool) -> list[Rule]:
    """Rules that each bring a letter of their own.

    Whatever the others say, that letter can be set to make its rule true: no distractor changes what follows. The first
    points the wrong way, so that the sign at the asked letter is no hint.
    """
    rules: list[Rule] = []
    used = list(chain)
    for letter in spare:
        new = Literal(letter, not negation or random.random() < 0.6)
        old = random.choice(used)
        if not rules and negation:
            rules.append(Rule(new, chain[-1].negated()))
        else:
            old = Literal(old.letter, not negation or random.random() < 0.6)
            rules.append(Rule(new, old) if random.random() < 0.5 else Rule(old, new))
        used.append(new)
    return rules


def _fact(fact: Literal) -> str:
    return f"{fact.letter} is {'true' if fact.holds else 'false'}."


def _reason(chain: list[Literal], reached: int) -> str:
    """From the fact, rule by rule, as far as they lead: link number `reached` of the chain."""
    steps = [str(literal) for literal in chain[1 : reached + 1]]
    said = f"{chain[0]}, so {listed(steps)}" if steps else str(chain[0])
    return f"{said}." if reached == len(chain) - 1 else f"{said}, and that says nothing of {chain[-1].letter}."
