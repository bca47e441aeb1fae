"""Scripted solvers, moderators and supervisors for the roundtable; what they come to is in `expected`.

Each acts on its view alone. Solvers differ in how they answer first and in what discussion does to them.
"""

from __future__ import annotations

from random import Random
from typing import ClassVar, NamedTuple

from pydantic import Field

from simarena.agents.policies.base import Policy
from simarena.agents.policies.roundtable.problem import certain, deduction
from simarena.agents.policies.roundtable.sight import NONE, Sight
from simarena.records import JSON, View
from simarena.tasks.base import Knobs


class Thought(NamedTuple):
    """An answer and the words for it."""

    values: list[str]
    """One per item."""
    words: str = ""
    """"": a deduction or working, worked out when the answer is given."""


class SolverParams(Knobs):
    """What a solver can do."""

    accuracy: float = Field(0.8, ge=0, le=1)
    """Chance that an item of a first answer is right; mistakes are all alike."""


class Solver(Policy):
    """Independent: thinks for itself, and afresh, whenever it is asked; hears nobody."""

    Params: ClassVar[type[Knobs]] = SolverParams

    def act(self, view: View, rng: Random) -> dict[str, JSON]:
        """An answer, or an order of items."""
        if view.kind == "order":
            return {"order": self.order(view, rng)}
        sight = Sight(view)
        alone = view.kind in ("sample", "initial") or not (sight.mine or sight.heard)
        return self._say(sight, self.first(sight, rng) if alone else self.again(sight, rng))

    def first(self, sight: Sight, rng: Random) -> Thought:
        """The answer before anything was heard."""
        return Thought(sight.problem.draw(self.params.accuracy, rng))

    def again(self, sight: Sight, rng: Random) -> Thought:
        """The answer after something was heard."""
        return self.first(sight, rng)

    def order(self, view: View, rng: Random) -> list[str]:
        """In which order to discuss: as given."""
        return list(view.choices["order"])

    def confidence(self, sight: Sight) -> int:
        """How sure, 1-10: as often as it is right."""
        return min(10, max(1, round(10 * getattr(self.params, "accuracy", 1.0))))

    def _say(self, sight: Sight, thought: Thought) -> dict[str, JSON]:
        item, problem = sight.item, sight.problem
        fields: dict[str, JSON] = {
            "explanation": thought.words or problem.explain(thought.values, item),
            "answer": problem.write(thought.values) if item is None else thought.values[item],
        }
        if "confidence" in sight.view.schema["properties"]:
            fields["confidence"] = self.confidence(sight)
        if sight.view.kind == "discuss":
            fields |= self._sides(sight, thought.values)
        return fields

    @staticmethod
    def _sides(sight: Sight, values: list[str]) -> dict[str, JSON]:
        """With whom it agrees on what is discussed, and with whom not."""
        about = range(len(values)) if sight.item is None else [sight.item]
        sides: dict[bool, list[str]] = {True: [], False: []}
        for seat in sorted(sight.heard):
            said = sight.heard[seat]
            if all(i in said for i in about):
                sides[all(said[i] == values[i] for i in about)].append(seat)
        return {"agree": sides[True], "disagree": sides[False]}


class Keeper(Solver):
    """Stands by what it said, and thinks for itself where it said nothing. The base of those that discussion moves."""

    def again(self, sight: Sight, rng: Random) -> Thought:
        """What it said, perhaps moved by what it heard."""
        first = self.first(sight, rng).values
        own = [sight.mine.get(i, value) for i, value in enumerate(first)]
        moved = [self.move(sight, i, value, rng) for i, value in enumerate(own)]
        # Who has not spoken yet, and is not moved either, gives the reason of its own answer.
        return Thought(moved, self.words(sight, own, moved) if sight.mine or moved != own else "")

    def move(self, sight: Sight, item: int, value: str, rng: Random) -> str:
        """The value of an item after hearing the others."""
        return value

    def words(self, sight: Sight, own: list[str], moved: list[str]) -> str:
        """Why."""
        return f"I stay with {claim(sight, moved)}."


class Follower(Keeper):
    """Says what most say, itself included; stays with its own answer where there is no majority."""

    def move(self, sight: Sight, item: int, value: str, rng: Random) -> str:
        """The most frequent value."""
        top = sight.top(item)
        return top[0] if len(top) == 1 else value

    def words(self, sight: Sight, own: list[str], moved: list[str]) -> str:
        """That most say so, if they do."""
        about = range(len(moved)) if sight.item is None else [sight.item]
        if all(sight.top(i) == [moved[i]] for i in about):
            return f"Most say {claim(sight, moved)}."
        return f"There is no majority, so I stay with {claim(sight, moved)}."


class Contrarian(Keeper):
    """Never says what most of the others say."""

    def move(self, sight: Sight, item: int, value: str, rng: Random) -> str:
        """Its own value if the others do not share it; else another one."""
        others = sight.top(item, with_me=False)
        if value not in others:
            return value
        problem = sight.problem
        pool = [*problem.right[item : item + 1], *problem.wrong[item]]
        return rng.choice([other for other in pool if other not in others] or [value])

    def words(self, sight: Sight, own: list[str], moved: list[str]) -> str:
        """That it doubts the others."""
        return f"I doubt what the others say, so {claim(sight, moved)}."


class Verifier(Keeper):
    """Cannot always find the answer but knows it when it hears it: checks every claim, and takes up a valid one."""

    def move(self, sight: Sight, item: int, value: str, rng: Random) -> str:
        """The right value, once somebody has said it."""
        right = sight.problem.right[item : item + 1]
        said = any(said.get(item) in right for said in sight.heard.values())
        return right[0] if right and said else value

    def words(self, sight: Sight, own: list[str], moved: list[str]) -> str:
        """The deduction or the working that it has checked."""
        return sight.problem.explain(moved, sight.item)


class DeducerParams(Knobs):
    """How much a deducer can hold in mind."""

    statements: int = Field(0, ge=0, le=9)
    """Statements in one step of its reasoning about puzzles; 0: all of them."""


class Deducer(Solver):
    """Says what follows from the statements; guesses the rest. Other questions than puzzles it simply works out."""

    Params: ClassVar[type[Knobs]] = DeducerParams

    def first(self, sight: Sight, rng: Random) -> Thought:
        """What is certain, and a guess among what is possible."""
        return self._think(sight, rng, {})

    def again(self, sight: Sight, rng: Random) -> Thought:
        """The same; where it can but guess, it takes up what most say if that is possible, else keeps its guess."""
        own = dict(sight.mine)
        for i in range(len(sight.problem.items)):
            top = sight.top(i)
            if len(top) == 1:
                own[i] = top[0]
        return self._think(sight, rng, own)

    def _think(self, sight: Sight, rng: Random, likely: dict[int, str]) -> Thought:
        problem, puzzle = sight.problem, sight.problem.puzzle
        if puzzle is None:
            return Thought(problem.draw(1.0, rng))
        sure = self._sure(sight)
        values: list[str] = []
        for i, name in enumerate(problem.items):
            possible = puzzle.possible(name, (), sure)
            guess = likely[i] if likely.get(i) in possible else rng.choice(possible)
            values.append(sure.get(name, guess))
        return Thought(values, "" if len(sure) == len(values) else self._words(sight, sure, values))

    def _sure(self, sight: Sight) -> dict[str, str]:
        puzzle = sight.problem.puzzle
        assert puzzle is not None
        return certain(puzzle, self.params.statements or len(puzzle.people))

    @staticmethod
    def _words(sight: Sight, sure: dict[str, str], values: list[str]) -> str:
        """What is deduced, and what is guessed."""
        named = dict(zip(sight.problem.items, values, strict=True))
        if sight.item is not None:
            name = sight.problem.items[sight.item]
            named = {name: named[name]}
            if name in sure:
                return sight.problem.explain(values, sight.item)
        known = {name: role for name, role in named.items() if name in sure}
        guessed = ", ".join(f"{name} {role}" for name, role in named.items() if name not in sure)
        said = sight.problem.items if known else []
        return " ".join([deduction(said, known)] * bool(known) + [f"I guess {guessed}."])

    def confidence(self, sight: Sight) -> int:
        """10 where all is certain, less for each guess."""
        puzzle = sight.problem.puzzle
        if puzzle is None:
            return 10
        sure = self._sure(sight)
        names = sight.problem.items if sight.item is None else [sight.problem.items[sight.item]]
        return round(min(10 / len(puzzle.possible(name, (), sure)) for name in names))


class Hasty(Solver):
    """Says what comes to mind first: the trap of a word sum, a near miss of a puzzle. Always wrong."""

    Params: ClassVar[type[Knobs]] = Knobs

    def first(self, sight: Sight, rng: Random) -> Thought:
        """The trap."""
        return Thought(sight.problem.trap, f"It seems clear: {claim(sight, sight.problem.trap)}.")


class DebaterParams(Knobs):
    """Two sides."""

    first: float = Field(0.4, ge=0, le=1)
    """Chance that a first answer is right; else it is what comes to mind first."""
    second: float = Field(0.8, ge=0, le=1)
    """Chance that the negative side is right when it thinks for itself."""


class Debater(Keeper):
    """Affirmative: states its first thought and stands by it. Negative: disagrees as often as it is told to."""

    Params: ClassVar[type[Knobs]] = DebaterParams

    def first(self, sight: Sight, rng: Random) -> Thought:
        """The right answer, or what comes to mind first."""
        if rng.random() < self.params.first:
            return Thought(sight.problem.draw(1.0, rng))
        return Hasty().first(sight, rng)

    def again(self, sight: Sight, rng: Random) -> Thought:
        """The negative side's first word disagrees or agrees; any later word stands by the one before."""
        level, heard = sight.view.card.get("disagreement"), sight.heard.get("solver_0", {})
        if sight.mine or level is None or len(heard) < len(sight.problem.items):
            return super().again(sight, rng)
        if rng.random() < level:
            return Thought(sight.problem.draw(self.params.second, rng))
        values = [heard[i] for i in range(len(heard))]
        return Thought(values, f"I agree: {claim(sight, values)}.")


class JudgeParams(Knobs):
    """How well somebody judges."""

    accuracy: float = Field(0.9, ge=0, le=1)
    """Chance of seeing which answer is right, where one is."""
    patience: int = Field(2, ge=1)
    """Moderator: rounds that it hears before it rules on sides that do not agree."""


class Moderator(Policy):
    """Stops when all sides agree or its patience is over; sees the right side with its accuracy, if there is one."""

    Params: ClassVar[type[Knobs]] = JudgeParams

    def act(self, view: View, rng: Random) -> dict[str, JSON]:
        """A ruling."""
        sight = Sight(view)
        sides = [seat for seat, said in sorted(sight.heard.items()) if len(said) == len(sight.problem.items)]
        if not sides:
            return {"reason": "Nobody has answered yet.", "side": NONE, "answer": NONE, "stop": False}
        answers = {seat: [sight.heard[seat][i] for i in range(len(sight.problem.items))] for seat in sides}
        agreed = len({tuple(values) for values in answers.values()}) == 1
        side = sides[0] if agreed else self._pick(sight, answers, rng)
        done = agreed or int(view.phase.split()[1]) >= self.params.patience
        why = "All sides agree" if agreed else f"{side} is right" if done else f"I lean to {side}"
        answer = sight.problem.write(answers[side])
        return {"reason": f"{why}: {answer}.", "side": side, "answer": answer, "stop": done}

    def _pick(self, sight: Sight, answers: dict[str, list[str]], rng: Random) -> str:
        right = [seat for seat, values in answers.items() if values == sight.problem.right]
        wrong = [seat for seat in answers if seat not in right]
        return (right if right and (not wrong or rng.random() < self.params.accuracy) else wrong)[0]


class Supervisor(Policy):
    """Settles what has no majority by its own answer, or picks among the answers that were given."""

    Params: ClassVar[type[Knobs]] = JudgeParams

    def act(self, view: View, rng: Random) -> dict[str, JSON]:
        """The answer, and for a judge the candidates first."""
        sight = Sight(view)
        if view.kind != "extract":
            values = sight.problem.draw(self.params.accuracy, rng)
            return {"explanation": sight.problem.explain(values), "answer": sight.problem.write(values)}
        voices = sight.voices()
        right = [voice for voice in voices if sight.problem.right and voice == sight.problem.write(sight.problem.right)]
        wrong = [voice for voice in voices if voice not in right]
        picked = [*(right if right and rng.random() < self.params.accuracy else wrong), *right, NONE][0]
        return {"candidates": voices, "explanation": self._why(sight, picked), "answer": picked}

    @staticmethod
    def _why(sight: Sight, picked: str) -> str:
        right = sight.problem.right
        if right and picked == sight.problem.write(right):
            return sight.problem.explain(right)
        return f"It seems that {picked} is right."


def claim(sight: Sight, values: list[str]) -> str:
    """What is claimed, in words: of the item at hand, or as a whole."""
    if sight.item is None:
        return sight.problem.write(values)
    return f"{sight.problem.items[sight.item]} {values[sight.item]}".strip()


POLICIES: dict[str, type[Policy]] = {
    "contrarian": Contrarian,
    "debater": Debater,
    "deducer": Deducer,
    "follower": Follower,
    "hasty": Hasty,
    "moderator": Moderator,
    "solver": Solver,
    "stubborn": Keeper,
    "supervisor": Supervisor,
    "verifier": Verifier,
}
REFERENCE: dict[str, str] = {
    "solver": "roundtable/solver",
    "moderator": "roundtable/moderator",
    "supervisor": "roundtable/supervisor",
}
