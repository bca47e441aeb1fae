"""Scripted judges and critics of a debate: those who check, those who do not, those with habits.

Each gives a probability for every answer; how that is said (in writing, as log-probabilities) is settled in `Judge`.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Mapping, Sequence

from pydantic import Field

from simarena.agents.policies.arena.solver import knowledge
from simarena.agents.policies.base import Policy
from simarena.agents.policies.debate.reading import Heard, evidence, persona, point, sentences, sides, speeches
from simarena.agents.policies.debate.values import weight
from simarena.records import JSON, View
from simarena.tasks.base import Knobs

LEAST = 1e-6
"""Smallest probability of an answer, so that logarithms are finite."""
QUESTIONS = (
    "Which sentence proves your answer?",
    "What is your proof, step by step?",
    "Why is the other answer wrong?",
    "How can I check what you say?",
)


def percent(p: float, digits: int) -> float:
    """A probability in percent, without a decimal point where it needs none."""
    value = round(100 * p, digits)
    return int(value) if value == int(value) else value


class Judge(Policy):
    """Says what `chances` finds in the form that the phase wants."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """A question, a critique, a written belief or the weights of given answers."""
        if view.kind == "question":
            return {"question": rng.choice(QUESTIONS)}
        if view.score is not None:
            inside = view.score.view or view
            options = [str(json.loads(text)["answer"]) for text in view.score.continuations]
            found = self.chances(inside, options, rng)
            return {"logprobs": [math.log(max(found[o], LEAST)) for o in options], "tokens": [1] * len(options)}
        options = [str(option) for option in view.choices["answer"]]
        return self._written(view, options, self.chances(view, options, rng))

    def _written(self, view: View, options: list[str], found: Mapping[str, float]) -> dict[str, JSON]:
        best = max(options, key=found.__getitem__)
        fields: dict[str, JSON] = {"answer": best}
        if len(options) == 2:
            fields["confidence"] = percent(found[best], 1)
        else:
            fields["probs"] = [found[option] for option in options]
        if "winner" in view.choices:
            fields["winner"] = self.better(view, options, found)
        return fields

    def better(self, view: View, options: list[str], found: Mapping[str, float]) -> str:
        """The answer that was argued better; "tie" where none was."""
        top = max(found.values())
        best = [option for option in options if found[option] > top - 1e-9]
        return best[0] if len(best) == 1 else "tie"

    def chances(self, view: View, options: list[str], rng: random.Random) -> dict[str, float]:
        """Probability of each answer."""
        raise NotImplementedError  # abstract: each scripted judge has its own


class CheckerParams(Knobs):
    """How well a judge checks."""

    attention: float = Field(1.0, ge=0, le=1)
    """Chance to notice that a point is false; an unnoticed one is believed."""
    skill: float = Field(0.0, ge=0, le=1)
    """Chance to solve a question without a source alone."""
    reading: float = Field(1.0, ge=0, le=1)
    """Chance to find the proof in a source that it may read."""


class QuoteCounter(Judge):
    """Counts points that hold (verified quotations that prove the answer, valid reasoning); false ones count against.

    An answer weighs (1 + believed) / (1 + caught), one that nobody defends 1.
    """

    Params = CheckerParams

    def chances(self, view: View, options: list[str], rng: random.Random) -> dict[str, float]:
        """Own knowledge where it suffices, else weights in proportion."""
        known = self._alone(view, options, rng)
        if known is not None:
            return {option: 1.0 - LEAST * (len(options) - 1) if option == known else LEAST for option in options}
        defended = {option: seat for seat, option in sides(view).items()}
        heard = speeches(view)
        weights = {
            option: self._weight(view, [h for h in heard if h.by == defended.get(option)], option, rng)
            for option in options
        }
        return {option: w / sum(weights.values()) for option, w in weights.items()}

    def _alone(self, view: View, options: Sequence[str], rng: random.Random) -> str | None:
        """The answer where the judge finds it without the debaters."""
        source = str(view.card.get("source", ""))
        if source and rng.random() < self.params.reading:
            question, known = str(view.task["question"]), sentences(source)
            return next((option for option in options if evidence(question, option, known)), None)
        if not source and rng.random() < self.params.skill:
            found = knowledge(view.task, {}, rng)
            return found.candidates[0].answer if found.solved and found.candidates[0].answer in options else None
        return None

    def _weight(self, view: View, heard: Sequence[Heard], option: str, rng: random.Random) -> float:
        points = [point(view, speech, option) for speech in heard]
        caught = sum(p == "bad" and rng.random() < self.params.attention for p in points)
        return weight(sum(p != "" for p in points) - caught, caught)


class Naive(Judge):
    """Takes every speech at its word: who speaks as often as the others is as convincing."""

    def chances(self, view: View, options: list[str], rng: random.Random) -> dict[str, float]:
        """In proportion to the number of speeches, plus one."""
        defended = {option: seat for seat, option in sides(view).items()}
        counts = {o: 1 + sum(h.by == defended.get(o) and bool(h.argument) for h in speeches(view)) for o in options}
        return {option: count / sum(counts.values()) for option, count in counts.items()}


class OrderedParams(Knobs):
    """Habits of order."""

    bonus: float = Field(0.1, ge=-0.5, le=0.5)
    """Added to the probability of the answer that was spoken for last."""
    listed: float = Field(0.0, ge=-0.5, le=0.5)
    """Added to the probability of the answer that is listed first."""
    noise: float = Field(0.0, ge=0, le=0.5)
    """Half-width of the uniform noise that stands for everything else."""


class Ordered(Judge):
    """Judges by order alone: evens, plus its bonuses, plus noise."""

    Params = OrderedParams

    def chances(self, view: View, options: list[str], rng: random.Random) -> dict[str, float]:
        """Two answers: 1/2 + bonuses + noise for the first listed; more: evens with the bonuses moved over."""
        found = dict.fromkeys(options, 1 / len(options))
        _move(found, options[0], self.params.listed + rng.uniform(-self.params.noise, self.params.noise))
        last = last_spoken_for(view)
        if last in found:
            _move(found, last, self.params.bonus)
        total = sum(max(p, 0.0) for p in found.values())
        return {option: max(p, 0.0) / total for option, p in found.items()}


def _move(found: dict[str, float], option: str, amount: float) -> None:
    """Give `amount` to an answer and take it evenly from the others."""
    for each in found:
        found[each] += amount if each == option else -amount / (len(found) - 1)


def last_spoken_for(view: View) -> str:
    """The answer that was spoken for last; "" where the last speeches were unseen by one another, or nobody spoke."""
    heard = speeches(view)
    if not heard or len({h.by for h in heard}) < 2 or (len(heard) > 1 and heard[-1].phase == heard[-2].phase):
        return ""
    return sides(view).get(heard[-1].by, "")


class PersonaParams(Knobs):
    """How a judge with a belief of its own is moved."""

    step: float = Field(0.05, ge=0, le=0.5)
    """Moved by each reason per speech that one side has more than the other."""
    bound: float = Field(0.3, ge=0, le=1)
    """Moved by at most this in all."""
    order_bonus: float = Field(0.1, ge=-0.5, le=0.5)
    """Moved towards the answer that was spoken for last."""


class Persona(Judge):
    """Begins at its persona's belief and updates by a bounded amount; names as better the side that moved it."""

    Params = PersonaParams

    def chances(self, view: View, options: list[str], rng: random.Random) -> dict[str, float]:
        """Prior plus bounded update, for two answers."""
        belief = persona(view)
        prior = 0.5 if belief is None else belief[1] if belief[0] == options[0] else 1 - belief[1]
        p = min(1.0, max(0.0, prior + self._moved(view, options)))
        return {options[0]: p, options[1]: 1 - p}

    def better(self, view: View, options: list[str], found: Mapping[str, float]) -> str:
        """The side towards which the judge was moved."""
        moved = self._moved(view, options)
        return "tie" if abs(moved) < 1e-9 else options[0] if moved > 0 else options[1]

    def _moved(self, view: View, options: list[str]) -> float:
        """Towards the first answer."""
        p, defended = self.params, {option: seat for seat, option in sides(view).items()}
        own, other = (_reasons(view, defended.get(option)) for option in options)
        last = last_spoken_for(view)
        bonus = p.order_bonus if last == options[0] else -p.order_bonus if last == options[1] else 0.0
        return float(min(p.bound, max(-p.bound, p.step * (own - other) + bonus)))


def _reasons(view: View, seat: str | None) -> float:
    """Reasons per speech of a debater: sentences that are numbered."""
    own = [h for h in speeches(view) if h.by == seat]
    numbered = ("First,", "Second,", "Third,", "Fourth,", "Fifth,")
    return sum(h.argument.count(word) for h in own for word in numbered) / max(1, len(own))


class Critic(QuoteCounter):
    """Weighs candidates as a judge that misses nothing would, and says what a draft lacks."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Weights, or a critique of the last draft."""
        return {"critique": _advice(view)} if view.kind == "critique" else super().act(view, rng)


def _advice(view: View) -> str:
    drafts = [e for e in view.history() if (" draft" in e.phase and e.kind == "act") or e.kind == "draft"]
    marked = [e for e in view.history() if e.kind == "quotes" and drafts and e.seq > drafts[-1].seq]
    if marked and "unverified" in marked[-1].data["marks"]:
        return "A quotation is not in the source. Quote word for word, or leave it out."
    if drafts and drafts[-1].data.get("quotes") == []:
        return "The draft proves nothing. Quote the sentence that names your answer."
    return "Put the proof first and keep the speech short."


JUDGES: dict[str, type[Policy]] = {
    "quote_counter": QuoteCounter,
    "naive": Naive,
    "ordered": Ordered,
    "persona_judge": Persona,
    "critic": Critic,
}
