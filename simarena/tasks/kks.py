"""Knight / knave / spy puzzles with exactly one solution, and a deducer over them.

Knights tell the truth, knaves lie, spies do either; everybody makes one statement. Statements are drawn until
enumeration leaves a single assignment. Protocol after the controlled study of multi-agent debate (ControlMAD).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import combinations
from random import Random
from typing import Any, Literal, NamedTuple

from pydantic import Field, model_validator

from simarena.errors import ScenarioError
from simarena.records import JSON
from simarena.seeds import rng
from simarena.tasks import kks_logic as logic
from simarena.tasks.answers import offered
from simarena.tasks.base import Knobs, QuestionFamily, Task
from simarena.tasks.kks_logic import KINDS, ROLES, Kind, Statement, Worlds
from simarena.tasks.wording import NAMES, listed, squash

SIMPLE: tuple[Kind, ...] = ("knights", "knaves", "spies", "same_role", "different_role")
"""The templates that need no thought about other people's truthfulness."""
MAX_DRAWS = 20_000
"""About 1 draw in 50 is kept at nine persons, 1 in 10 at three; templates that never get there give up here."""
LONGEST = 4_000
PAIR = re.compile(r"(.+?)(?:\s*[:=]\s*|\s+is\s+(?:an?\s+|the\s+)?|\s+)(knight|knave|spy)")
STEP = re.compile(r"from (.+?): (.+)")


class KKSParams(Knobs):
    """Knobs of the puzzles."""

    n: int = Field(3, ge=3, le=9)
    """Persons."""
    spies: int = Field(1, ge=0)
    """How many of them are spies; always told."""
    knights: int | None = Field(None, ge=0)
    """How many are knights, where that is told too (an easier puzzle); None: not fixed and not told."""
    templates: Literal["simple", "all"] | tuple[Kind, ...] = "simple"
    """Which of the 15 statement templates may be used."""
    largest: int = Field(0, ge=0)
    """Persons that one statement names at most; 0: any number."""
    names: Literal["fixed", "drawn"] = "fixed"
    """fixed: always the first n of the list; drawn: n names of it at random."""
    options: int = Field(0, ge=0, le=6)
    """Assignments to choose from; 0: an open question."""

    @model_validator(mode="after")
    def _possible(self) -> KKSParams:
        if self.spies + (self.knights or 0) > self.n:
            raise ValueError(f"{self.spies} spies and {self.knights} knights are more than n={self.n} persons")
        if len(logic.worlds(self.n, self.spies, self.knights).table) < max(2, self.options):
            raise ValueError("too few assignments of roles are possible to ask a question; change spies or knights")
        if not any(logic.can_say(kind, 0, self.n, self.kinds, self.most) for kind in self.kinds):
            raise ValueError("the first speaker can use none of these templates; add one about roles, or raise largest")
        return self

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The templates by name."""
        if isinstance(self.templates, tuple):
            return self.templates
        return SIMPLE if self.templates == "simple" else KINDS

    @property
    def most(self) -> int:
        """Persons that one statement names at most."""
        return self.largest or self.n


class Puzzle(NamedTuple):
    """A puzzle as anybody can read it from what is known of a task; statements are named by who made them."""

    people: tuple[str, ...]
    statements: tuple[Statement, ...]
    space: Worlds
    masks: tuple[int, ...]
    """For each statement, the assignments that it allows."""

    @classmethod
    def read(cls, known: Mapping[str, JSON]) -> Puzzle:
        """The puzzle of a task's structure (`task.structure`, `task.known`)."""
        people = tuple(known["people"])
        statements = tuple(_from_json(entry, people) for entry in known["statements"])
        space = logic.worlds(len(people), known["spies"], known["knights"])
        return cls(people, statements, space, tuple(logic.constraints(statements, space)))

    def left(self, said: Iterable[str] | None = None, known: Mapping[str, str] | None = None) -> int:
        """The assignments that remain, given the statements of the speakers `said` (None: all) and `known` roles."""
        masks = self.masks if said is None else [self.masks[self.people.index(name)] for name in said]
        left = logic.solutions(masks, self.space)
        for name, role in (known or {}).items():
            left &= self.space.has[role][self.people.index(name)]
        return left

    def deduce(self, said: Iterable[str] | None = None, known: Mapping[str, str] | None = None) -> dict[str, str]:
        """The roles that are certain, given some statements and some known roles; none where these contradict."""
        return {self.people[i]: role for i, role in logic.forced(self.left(said, known), self.space).items()}

    def follows(
        self, person: str, role: str, said: Iterable[str] | None = None, known: Mapping[str, str] | None = None
    ) -> bool:
        """Whether it is certain that `person` has `role`, given some statements and some known roles."""
        return self.deduce(said, known).get(person) == role

    def possible(
        self, person: str, said: Iterable[str] | None = None, known: Mapping[str, str] | None = None
    ) -> list[str]:
        """The roles that `person` may still have, given some statements and some known roles."""
        left, i = self.left(said, known), self.people.index(person)
        return [role for role in ROLES if left & self.space.has[role][i]]

    def derivation(self) -> list[tuple[tuple[str, ...], dict[str, str]]]:
        """Steps (speakers relied on, roles that follow from them and from the steps before), fewest speakers first."""
        steps: list[tuple[tuple[str, ...], dict[str, str]]] = []
        known: dict[str, str] = {}
        while len(known) < len(self.people):
            said, found = self._step(known)
            steps.append((said, {name: role for name, role in found.items() if name not in known}))
            known = found
        return steps

    def _step(self, known: dict[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
        for size in range(len(self.people) + 1):
            for said in combinations(self.people, size):
                found = self.deduce(said, known)
                if len(found) > len(known):
                    return said, found
        raise AssertionError("a puzzle with one solution always yields another role")

    def near_misses(self, rng: Random) -> list[tuple[str, ...]]:
        """Wrong assignments, those that break the fewest statements first, in random order among equals."""
        right = self.left()
        every = self.space.every
        found: list[tuple[str, ...]] = []
        for kept in range(len(self.masks), -1, -1):
            group = logic.exactly(self.masks, kept, every) & ~right
            rows = [row for bit, row in enumerate(self.space.table) if group >> bit & 1]
            rng.shuffle(rows)
            found += rows
            if len(found) >= 8:
                break
        return found


class KnightKnaveSpy(QuestionFamily):
    """Who is a knight, a knave, a spy? One item per person."""

    name = "kks"
    Params = KKSParams

    def generate(self, seed: int) -> Task:
        """A puzzle with exactly one solution; ScenarioError where the templates allow none."""
        p: KKSParams = self.params
        random = rng("kks", seed)
        people = NAMES[: p.n] if p.names == "fixed" else tuple(sorted(random.sample(NAMES, p.n)))
        statements = self._statements(random)
        structure: dict[str, JSON] = {
            "people": list(people),
            "spies": p.spies,
            "knights": p.knights,
            "statements": [
                {"speaker": who, **_to_json(said, people)} for who, said in zip(people, statements, strict=True)
            ],
        }
        puzzle = Puzzle.read(structure)
        roles = puzzle.deduce()
        answer = _write(people, roles.values())
        misses = [_write(people, row) for row in puzzle.near_misses(random)[: p.options]]
        public: dict[str, JSON] = {
            "question": _question(people, statements, p),
            "options": offered(random, answer, misses, p.options),
            "format": "name and role of each in the order given, separated by commas",
        }
        truth = {"answer": answer, "roles": roles, "reason": _reason(puzzle)}
        return Task(family=self.name, seed=seed, public=public, structure=structure, truth=truth)

    def _statements(self, random: Random) -> list[Statement]:
        p: KKSParams = self.params
        space = logic.worlds(p.n, p.spies, p.knights)
        for _ in range(MAX_DRAWS):
            statements = _draw(random, p, space)
            if statements:
                return statements
        raise ScenarioError(
            f"kks: {MAX_DRAWS} draws gave no puzzle with one solution (n={p.n}, templates={list(p.kinds)}); "
            "allow more templates or a greater `largest`"
        )

    def items(self, task: Task) -> list[str]:
        """The persons, in order of speaking."""
        return list(task.structure["people"])

    def values(self, task: Task, item: str) -> list[str]:
        """The three roles."""
        return list(ROLES)

    def parse(self, task: Task, answer: JSON) -> list[str] | None:
        """Each person's role; every person once, in any order, e.g. "Bob knave, Ann: knight, cal is a spy"."""
        if not isinstance(answer, str) or len(answer) > LONGEST:
            return None
        found = _pairs(answer)
        people = [squash(name) for name in task.structure["people"]]
        if found is None or sorted(found) != sorted(people):
            return None
        return [found[name] for name in people]

    def write(self, task: Task, values: list[str]) -> str:
        """E.g. "Ann knight, Bob knave, Cal spy"."""
        return _write(task.structure["people"], values)

    def wrong(self, task: Task, seed: int) -> str:
        """An assignment that breaks as few statements as a wrong one can; one of the options where there are any."""
        random = rng("kks wrong", task.seed, seed)
        options: list[str] = [option for option in task.public["options"] if option != task.truth["answer"]]
        if options:
            return random.choice(options)
        puzzle = Puzzle.read(task.structure)
        return _write(puzzle.people, puzzle.near_misses(random)[0])


def check_reason(task: Task, reason: JSON) -> float:
    """Share of the steps stated in `reason` that are valid deductions; 0 where it states none.

    A step reads "From Ann and Cal: Bob knave, Cal spy." and may use the roles that valid steps before it gave.
    """
    if not isinstance(reason, str) or len(reason) > LONGEST:
        return 0.0
    puzzle = Puzzle.read(task.structure)
    by_name = {squash(name): name for name in puzzle.people}
    steps = [found for part in re.split(r"[.;\n]", reason) if (found := STEP.fullmatch(squash(part)))]
    known: dict[str, str] = {}
    valid = 0
    for step in steps:
        said = [] if step[1] == "the numbers" else [by_name.get(name) for name in re.split(r",\s*| and ", step[1])]
        claims = _pairs(step[2])
        if claims is None or None in said or not claims.keys() <= by_name.keys():
            continue
        named = {by_name[name]: role for name, role in claims.items()}
        certain = puzzle.deduce([name for name in said if name], known)
        if named.items() <= certain.items():
            valid += 1
            known |= named
    return valid / len(steps) if steps else 0.0


def _draw(random: Random, p: KKSParams, space: Worlds) -> list[Statement] | None:
    """One draw of a statement for each person; None unless it leaves exactly one assignment."""
    statements: list[Statement] = []
    said: list[int] = []
    left = space.every
    for speaker in range(p.n):
        statement = logic.draw(random, speaker, p.n, p.kinds, p.most)
        statements.append(statement)
        said.append(logic.meaning(statement, said, space))
        left &= logic.allowed(speaker, said[-1], space)
        if not left:
            return None
    return statements if left.bit_count() == 1 else None


def _pairs(text: str) -> dict[str, str] | None:
    """Name -> role, names squashed; None where a part is no pair or a name comes twice."""
    parts = [squash(part) for part in re.split(r"[,;\n]", text.strip().rstrip("."))]
    found = [PAIR.fullmatch(part.removeprefix("and ")) for part in parts]
    pairs = {match[1]: match[2] for match in found if match}
    return pairs if len(pairs) == len(parts) else None


def _write(people: Iterable[str], roles: Iterable[str]) -> str:
    return ", ".join(f"{name} {role}" for name, role in zip(people, roles, strict=True))


def _reason(puzzle: Puzzle) -> str:
    return " ".join(
        f"From {listed(said) or 'the numbers'}: {_write(found, found.values())}." for said, found in puzzle.derivation()
    )


def _to_json(statement: Statement, people: tuple[str, ...]) -> dict[str, JSON]:
    return {
        "kind": statement.kind,
        "people": [people[i] for i in statement.people],
        "count": statement.number,
        "of": statement.of,
        "parts": [_to_json(part, people) for part in statement.parts],
        "text": text_of(statement, people),
    }


def _from_json(entry: Mapping[str, Any], people: tuple[str, ...]) -> Statement:
    about = tuple(people.index(name) for name in entry["people"])
    parts = tuple(_from_json(part, people) for part in entry["parts"])
    return Statement(entry["kind"], about, entry["count"], entry["of"], parts)


def _question(people: tuple[str, ...], statements: list[Statement], p: KKSParams) -> str:
    spies = "no spy" if p.spies == 0 else _number(p.spies, "spy")
    told = f"{spies} and {_number(p.knights, 'knight')}" if p.knights is not None else spies
    says = " ".join(f"{who} says: {text_of(said, people)}" for who, said in zip(people, statements, strict=True))
    return (
        f"{listed(people)} are knights, knaves or spies. Knights tell the truth, knaves lie, spies do either. "
        f"There {'is' if p.spies < 2 else 'are'} {told}. {says} What is each?"
    )


def _number(count: int, role: str) -> str:
    return f"{count} {role if count == 1 else _plural(role)}"


def _plural(role: str) -> str:
    return "spies" if role == "spy" else f"{role}s"


def text_of(statement: Statement, people: tuple[str, ...]) -> str:
    """The statement as one short sentence; everybody is named, the speaker too."""
    text = _clause(statement, people)
    return f"{text[0].upper()}{text[1:]}."


def _clause(statement: Statement, people: tuple[str, ...]) -> str:
    kind, about, number, of, parts = statement
    if kind == "one_of_two":
        return f"exactly 1 of these is true: (1) {_clause(parts[0], people)}; (2) {_clause(parts[1], people)}"
    who, every = listed([people[i] for i in about]), "all " if len(about) > 2 else ""
    if kind in logic.COUNTED:
        return _count_clause(who, len(about), number, logic.COUNTED[kind])
    if kind in ("truths", "lies"):
        word = "true" if kind == "truths" else "false"
        if len(about) == 1:
            return f"what {who} says is {word}"
        return f"of what {who} say, exactly {number} {'is' if number == 1 else 'are'} {word}"
    return {
        "same_role": f"{who} {every}have the same role",
        "different_role": f"{who} have different roles",
        "mixed_roles": f"{who} do not all have the same role",
        "same_truth": f"what {who} say is all true or all false",
        "different_truth": f"of what {who} say, one is true and one is false",
        "even_role": f"the number of {_plural(of)} among {who} is even",
        "odd_role": f"the number of {_plural(of)} among {who} is odd",
        "even_truth": f"of what {who} say, an even number are {of}",
        "odd_truth": f"of what {who} say, an odd number are {of}",
    }[kind]


def _count_clause(who: str, size: int, count: int, role: str) -> str:
    if size == 1:
        return f"{who} is a {role}"
    if count == size:
        return f"{who} are {'both' if size == 2 else 'all'} {_plural(role)}"
    return f"exactly {count} of {who} {f'is a {role}' if count == 1 else f'are {_plural(role)}'}"
