"""Word sums whose first, intuitive answer is wrong: rates, ages, averages, doubling, fence posts and their like.

Both the right answer and the trap are computed. After the counter-intuitive arithmetic of Liang et al. 2023 (MAD).
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Literal, NamedTuple

from pydantic import Field

from simarena.seeds import rng
from simarena.tasks.answers import WHOLE_NUMBER, NumberFamily, mistakes, offered, plausible
from simarena.tasks.base import Knobs, Task
from simarena.tasks.wording import NAMES

Kind = Literal[
    "pair",
    "machines",
    "speed",
    "doubling",
    "ages",
    "posts",
    "cuts",
    "percent",
    "snail",
    "overtake",
    "groups",
    "siblings",
]


class Riddle(NamedTuple):
    """A word sum."""

    question: str
    answer: int
    trap: int
    """What comes to mind first; differs from the answer."""
    reason: str


class TrapMathParams(Knobs):
    """Knobs of the word sums."""

    kinds: tuple[Kind, ...] = ()
    """Which riddles may be asked; empty: all."""
    size: int = Field(2, ge=1, le=20)
    """How large the numbers are: at 1 nearly all have one or two digits, and each step widens the ranges."""
    options: int = Field(0, ge=0, le=6)
    """Answers to choose from, the trap among them; 0: an open question."""


class TrapMath(NumberFamily):
    """A bat and a ball cost 110 together; the bat costs 100 more than the ball. What does the ball cost?"""

    name = "trap_math"
    Params = TrapMathParams

    def generate(self, seed: int) -> Task:
        """A word sum with its answer, its trap and a line of working."""
        p: TrapMathParams = self.params
        random = rng("trap_math", seed)
        kind = random.choice(p.kinds or tuple(RIDDLES))
        riddle = RIDDLES[kind](random, p.size)
        answer, wrong = str(riddle.answer), plausible(random, riddle.answer, [riddle.trap])
        public = {
            "question": riddle.question,
            "options": offered(random, answer, wrong, p.options),
            "format": WHOLE_NUMBER,
        }
        truth = {"answer": answer, "trap": str(riddle.trap), "kind": kind, "reason": riddle.reason, "wrong": wrong}
        return Task(family=self.name, seed=seed, public=public, truth=truth)

    def wrong(self, task: Task, seed: int) -> str:
        """The trap in half of the cases, else another near miss."""
        random = rng(self.name, "wrong", task.seed, seed)
        trap: str = task.truth["trap"]
        others = [wrong for wrong in mistakes(task) if wrong != trap]
        return random.choice(others) if others and random.random() < 0.5 else trap


def pair(random: Random, size: int) -> Riddle:
    """Sum and difference; the trap takes the difference for one of the two."""
    small, gap = random.randint(1, 5 * size), 10 * random.randint(1, 5 * size)
    thing, other = random.choice((("bat", "ball"), ("pen", "cap"), ("cup", "spoon"), ("hat", "pin")))
    return Riddle(
        f"A {thing} and a {other} cost {2 * small + gap} together. The {thing} costs {gap} more than the {other}. "
        f"What does the {other} cost?",
        small,
        2 * small,
        f"{2 * small + gap} - {gap} = {2 * small}. {2 * small} / 2 = {small}.",
    )


def machines(random: Random, size: int) -> Riddle:
    """As many machines as parts: the time stays the same; the trap lets it grow."""
    few, minutes = random.sample(range(2, 5 * size + 5), 2)
    many = few * random.randint(2, 4 + size)
    many += few * (many == minutes)
    return Riddle(
        f"{few} machines make {few} parts in {minutes} minutes. "
        f"How many minutes do {many} machines need for {many} parts?",
        minutes,
        many,
        f"1 machine makes 1 part in {minutes} minutes, so {many} machines make {many} parts in {minutes} minutes.",
    )


def speed(random: Random, size: int) -> Riddle:
    """There and back at two speeds; the trap averages them."""
    # 2ab / (a + b) is whole for a = k m (m + n), b = k n (m + n), and so is the mean.
    one, two = random.sample(range(1, 4), 2)
    unit = 2 * random.randint(1, 2 * size)
    there, back = unit * one * (one + two), unit * two * (one + two)
    return Riddle(
        f"{random.choice(NAMES)} rides to town at {there} km per hour and back at {back} km per hour. "
        "What is the average speed of the whole ride?",
        2 * unit * one * two,
        (there + back) // 2,
        f"2 * {there} * {back} / ({there} + {back}) = {2 * unit * one * two}.",
    )


def doubling(random: Random, size: int) -> Riddle:
    """Half full is one step before full; the trap halves the time."""
    full = 2 * random.randint(2, 10 * size)
    thing, place = random.choice((("weed", "pond"), ("mould", "jar"), ("moss", "tub"), ("sand", "pit")))
    return Riddle(
        f"The {thing} in a {place} doubles every day. It fills the {place} on day {full}. "
        "On which day is it half full?",
        full - 1,
        full // 2,
        f"It doubles in a day, so half is one day before: {full} - 1 = {full - 1}.",
    )


def ages(random: Random, size: int) -> Riddle:
    """The difference of ages stays; the trap keeps the ratio."""
    older, younger = random.sample(NAMES, 2)
    half = random.randint(2, 4 + 2 * size)
    later = 2 * random.randint(half + 1, half + 10 * size)
    return Riddle(
        f"{older} is {2 * half} years old. {younger} is half as old. How old is {younger} when {older} is {later}?",
        later - half,
        later // 2,
        f"{2 * half} - {half} = {half}. {later} - {half} = {later - half}.",
    )


def posts(random: Random, size: int) -> Riddle:
    """One post more than gaps; the trap counts the gaps."""
    gaps, metres = random.randint(2, 6 * size + 4), random.randint(2, 5)
    return Riddle(
        f"A straight fence is {gaps * metres} m long. A post stands every {metres} m, and one at each end. "
        "How many posts?",
        gaps + 1,
        gaps,
        f"{gaps * metres} / {metres} = {gaps} gaps. {gaps} + 1 = {gaps + 1}.",
    )


def cuts(random: Random, size: int) -> Riddle:
    """One cut fewer than pieces; the trap counts the pieces."""
    pieces, minutes = random.randint(3, 5 * size + 4), random.randint(2, 4 + size)
    return Riddle(
        f"A log is cut into {pieces} pieces. Each cut takes {minutes} minutes. How many minutes in all?",
        (pieces - 1) * minutes,
        pieces * minutes,
        f"{pieces} pieces need {pieces - 1} cuts. {pieces - 1} * {minutes} = {(pieces - 1) * minutes}.",
    )


def percent(random: Random, size: int) -> Riddle:
    """Up and down by the same share loses; the trap is the old price."""
    price, share = 100 * random.randint(1, 2 * size), 10 * random.randint(1, 5)
    up = price * (100 + share) // 100
    down = up * (100 - share) // 100
    return Riddle(
        f"A price of {price} rises by {share} percent and then falls by {share} percent. What is it now?",
        down,
        price,
        f"{price} + {up - price} = {up}. {up} - {up - down} = {down}.",
    )


def snail(random: Random, size: int) -> Riddle:
    """The last climb is not undone; the trap divides by the daily gain."""
    # A slide of at least the gain, and a wall that is a multiple of it, keep the trap whole and off the answer.
    gain = random.randint(1, 2)
    slide, day = random.randint(gain, gain + size), random.randint(2, 4 + 4 * size)
    up, wall, start = slide + gain, (day + slide // gain) * gain, (day - 1) * gain
    return Riddle(
        f"A snail climbs {up} m each day and slides back {slide} m each night. "
        f"On which day does it reach the top of a wall of {wall} m?",
        day,
        wall // gain,
        f"After {day - 1} nights it is at {start} m. {start} + {up} = {start + up} reaches {wall} on day {day}.",
    )


def overtake(random: Random, size: int) -> Riddle:
    """Whoever overtakes the second is second; the trap moves one further."""
    place, runner = random.randint(2, 8 * size + 2), random.choice(NAMES)
    return Riddle(
        f"In a race {runner} overtakes the runner in place {place}. In which place is {runner} now?",
        place,
        place - 1,
        f"{runner} takes that runner's place: {place}.",
    )


def groups(random: Random, size: int) -> Riddle:
    """Groups of unequal size; the trap averages the two averages."""
    few, times, step = random.randint(1, 2 * size), random.choice((3, 5)), random.randint(1, 3 * size)
    low, many = random.randint(1, 10 * size), times * few
    high, answer = low + (times + 1) * step, low + times * step
    return Riddle(
        f"{few} {'child has' if few == 1 else 'children have'} {low} points each. "
        f"{many} others have {high} points each. What is the average of all?",
        answer,
        (low + high) // 2,
        f"({few} * {low} + {many} * {high}) / {few + many} = {answer}.",
    )


def siblings(random: Random, size: int) -> Riddle:
    """Brothers share their sisters; the trap gives every brother his own."""
    brothers, sisters = random.randint(2, 2 * size + 2), random.randint(1, size + 1)
    return Riddle(
        f"A family has {brothers} sons. Each son has {sisters} {'sister' if sisters == 1 else 'sisters'}. "
        "How many children are there?",
        brothers + sisters,
        brothers + brothers * sisters,
        f"The sons share their sisters: {brothers} + {sisters} = {brothers + sisters}.",
    )


RIDDLES: dict[Kind, Callable[[Random, int], Riddle]] = {
    "pair": pair,
    "machines": machines,
    "speed": speed,
    "doubling": doubling,
    "ages": ages,
    "posts": posts,
    "cuts": cuts,
    "percent": percent,
    "snail": snail,
    "overtake": overtake,
    "groups": groups,
    "siblings": siblings,
}
