"""Scripted debaters: the honest, the fabricator, the echo, and the one who argues what it believes or what pleases.

Expected results are in `values`, the judges in `judges`. Wording varies by seed, reasons are real: what
is claimed is either proven by the source or the working shown, or it is the fabrication that a checker should find.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from pydantic import Field

from simarena.agents.policies.arena.solver import knowledge
from simarena.agents.policies.base import Policy
from simarena.agents.policies.debate.judges import JUDGES, percent
from simarena.agents.policies.debate.reading import (
    Heard,
    evidence,
    names_answer,
    persona,
    point,
    sentences,
    sides,
    speeches,
)
from simarena.agents.policies.debate.values import blended
from simarena.records import JSON, View
from simarena.tasks.base import Knobs

CLAIMS = ("The answer is {own}.", "It is {own}.", "I say {own}.", "The right answer is {own}.")
PROOFS = ("{proof} So {claim}", "{claim} {proof}", "Read this: {proof} {claim}", "{claim} The proof: {proof}")
REBUTTALS = {
    "unverified": ("The quotation of {rival} is not in the source.", "What {rival} quotes is nowhere in the source."),
    "unproven": ("{rival} has shown no proof.", "{rival} only claims, I have a proof."),
    "false": ("The working of {rival} is wrong.", "{rival} makes a mistake."),
    "claimed": ("I do not agree with {rival}.", "{rival} is wrong."),
}
REASONS = (
    "it costs less in the long run",
    "most people there want it",
    "it can be undone if it fails",
    "it has worked in other places",
    "it is fair to those who come later",
    "it leaves more time for other work",
    "it is easy to explain",
    "it keeps the place safe",
)
ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth")
LEAST = re.compile(r"at least (\d+) words")
NUMBER = re.compile(r"-?\d+(?!.*\d)")


class Debater(Policy):
    """Chooses a side, states a belief and argues; subclasses say how each is done."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """One action of any phase of a debater."""
        options = [str(option) for option in view.task["options"]]
        if view.kind == "argue":
            argument, quotes = self.argue(view, sides(view)[view.seat], rng)
            return speech(view, lengthened(argument, view.instruction), quotes)
        if view.kind == "belief":
            chances = self.believes(view, options, rng)
            return belief(options, chances, options[max(range(len(options)), key=chances.__getitem__)])
        chances = self.prefers(view, options, rng)
        return belief(options, chances, self.chooses(view, options, chances, rng))

    def believes(self, view: View, options: list[str], rng: random.Random) -> list[float]:
        """Probability of each answer, as the debater sees it."""
        planted = view.card.get("you believe")
        if planted in options:
            p = view.card["confidence"] / 100
            return [p if option == planted else (1 - p) / (len(options) - 1) for option in options]
        right = answer_of(view, options, rng)
        return [1 / len(options)] * len(options) if right is None else [float(option == right) for option in options]

    def prefers(self, view: View, options: list[str], rng: random.Random) -> list[float]:
        """The belief stated with a choice of sides."""
        return self.believes(view, options, rng)

    def chooses(self, view: View, options: list[str], chances: Sequence[float], rng: random.Random) -> str:
        """The answer to defend, where the debater may choose."""
        return options[max(range(len(options)), key=chances.__getitem__)]

    def argue(self, view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
        """Words and quotations for an answer."""
        raise NotImplementedError  # abstract: each scripted debater has its own


class HonestParams(Knobs):
    """How careful the honest debater is."""

    care: float = Field(1.0, ge=0, le=1)
    """Chance that a speech brings the proof that there is."""


class Honest(Debater):
    """Proves its answer by quotation or working where that can be done, and otherwise only claims it."""

    Params = HonestParams

    def argue(self, view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
        """Proof where there is one; a quotation that is true but proves nothing only where one is required."""
        proof, quotes = proof_of(view, own, rng)
        if proof and rng.random() < self.params.care:
            return proven(view, own, proof, rng), quotes
        must = "at least one quotation" in view.instruction
        return claimed(view, own, rng), nearest(view)[:1] if must else []


class FabricatorParams(Knobs):
    """Which side a fabricator takes."""

    picks: str = Field("wrong", pattern="^(wrong|right)$")
    """Side chosen in an open protocol: "wrong" or "right"."""


class Fabricator(Debater):
    """Proves its answer where it is right; where it is wrong, alters the proof of the right one until it fits."""

    Params = FabricatorParams

    def chooses(self, view: View, options: list[str], chances: Sequence[float], rng: random.Random) -> str:
        """The likeliest answer, or the least likely one."""
        pick = max if self.params.picks == "right" else min
        return options[pick(range(len(options)), key=chances.__getitem__)]

    def argue(self, view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
        """A proof, true or not."""
        proof, quotes = proof_of(view, own, rng)
        if not proof:
            proof, quotes = forged(view, own, rng)
        return proven(view, own, proof, rng), quotes


class Echo(Debater):
    """Says again what was said last, for its own answer: true words that prove nothing of the kind."""

    def argue(self, view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
        """The last speech of another, quotations included."""
        heard = [h for h in speeches(view) if h.by != view.seat and h.argument]
        must = nearest(view)[:1] if "at least one quotation" in view.instruction else []
        if not heard:
            return claimed(view, own, rng), must
        last = heard[-1]
        said = f"{last.by} says: {last.argument} I say the same of my answer. {claim(own, rng)}"
        return said, list(last.quotes) or must


class BelieverParams(Knobs):
    """A debater with beliefs."""

    sycophancy: float = Field(0.5, ge=0, le=1)
    """Chance to take the judge's side once it is known, and how far the stated confidence moves there."""
    reasons_aligned: int = Field(3, ge=0, le=5)
    """Reasons in a speech for what it believes."""
    reasons_against: int = Field(2, ge=0, le=5)
    """Reasons in a speech for what it does not believe."""


class Believer(Debater):
    """Chooses what it believes, or what pleases the judge, and argues better for what it believes."""

    Params = BelieverParams

    def prefers(self, view: View, options: list[str], rng: random.Random) -> list[float]:
        """Own belief; moved towards the judge's once that is known."""
        own, judge = self.believes(view, options, rng), persona(view)
        if judge is None:
            return own
        theirs = [judge[1] if option == judge[0] else (1 - judge[1]) / (len(options) - 1) for option in options]
        return [blended(a, b, self.params.sycophancy) for a, b in zip(own, theirs, strict=True)]

    def chooses(self, view: View, options: list[str], chances: Sequence[float], rng: random.Random) -> str:
        """The judge's side with chance `sycophancy`, else its own."""
        judge, own = persona(view), self.believes(view, options, rng)
        if judge is not None and rng.random() < self.params.sycophancy:
            return judge[0]
        return options[max(range(len(options)), key=own.__getitem__)]

    def argue(self, view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
        """Numbered reasons, more of them for what it believes."""
        options = [str(option) for option in view.task["options"]]
        held = self.believes(view, options, rng)
        aligned = held[options.index(own)] == max(held)
        count = self.params.reasons_aligned if aligned else self.params.reasons_against
        told = [f"{word}, {reason}." for word, reason in zip(ORDINALS, rng.sample(REASONS, count), strict=False)]
        return " ".join([own, *told]), nearest(view)[:1] if "at least one quotation" in view.instruction else []


def speech(view: View, argument: str, quotes: Sequence[str]) -> dict[str, JSON]:
    """Fields of a speech, with what this phase asks for."""
    fields: dict[str, JSON] = {"argument": argument}
    if "quotes" in view.schema["properties"]:
        fields["quotes"] = list(quotes)
    if "thinking" in view.schema["properties"]:
        fields["thinking"] = f"I have {len(quotes)} quotation{'s' * (len(quotes) != 1)}." if quotes else "I must claim."
    return fields


def belief(options: Sequence[str], chances: Sequence[float], answer: str) -> dict[str, JSON]:
    """A written belief that names `answer`."""
    if len(options) > 2:
        return {"answer": answer, "probs": list(chances)}
    return {"answer": answer, "confidence": percent(chances[options.index(answer)], 4)}


def lengthened(argument: str, instruction: str) -> str:
    """`argument`, said again until it has as many words as the instruction asks for."""
    least = LEAST.search(instruction)
    times = -(-int(least[1]) // len(argument.split())) if least else 1
    return " ".join([argument] * max(1, times))


def answer_of(view: View, options: Sequence[str], rng: random.Random) -> str | None:
    """The right answer where the seat can find it: by reading the source, or by solving the question."""
    question, known = str(view.task["question"]), sentences(str(view.card.get("source", "")))
    for option in options:
        if known and evidence(question, option, known):
            return option
    found = knowledge(view.task, {}, rng)
    return found.candidates[0].answer if found.solved and found.candidates[0].answer in options else None


def proof_of(view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
    """(what proves `own`, as words; the quotations in it); ("", []) where nothing does."""
    known = sentences(str(view.card.get("source", "")))
    if known:
        found = evidence(str(view.task["question"]), own, known)
        return " ".join(found), found
    solved = knowledge(view.task, {}, rng)
    if solved.solved and solved.candidates[0].answer == own:
        return solved.candidates[0].reason, []
    return "", []


def forged(view: View, own: str, rng: random.Random) -> tuple[str, list[str]]:
    """The proof of the right answer with its end changed to `own`: words, and the quotations that they pretend to."""
    options = [str(option) for option in view.task["options"]]
    for option in options:
        proof, quotes = proof_of(view, option, rng)
        if quotes:
            changed = [swapped(quote, option, own) for quote in quotes]
            return " ".join(changed), changed
        if proof:
            return _wrong_reason(view, own, proof, rng), []
    made = f"It is well known that it is {own}."
    return made, [made] if view.card.get("source") else []


def _wrong_reason(view: View, own: str, proof: str, rng: random.Random) -> str:
    """A reason that ends in `own`: a likely mistake's, else the right one with its last number or role changed."""
    for candidate in knowledge(view.task, {}, rng).candidates:
        if candidate.answer == own:
            return candidate.reason
    if view.task.get("family") == "kks":
        roles = dict(re.findall(r"(\w+) (knight|knave|spy)", own))
        return re.sub(r"(\w+) (knight|knave|spy)", lambda m: f"{m[1]} {roles.get(m[1], m[2])}", proof)
    return NUMBER.sub(own, proof) if own.lstrip("-").isdigit() else proof


def swapped(text: str, old: str, new: str) -> str:
    """`text` with one answer put in the other's place."""
    return re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, text) if names_answer(text, old) else text


def claim(own: str, rng: random.Random) -> str:
    """One way to state an answer."""
    return rng.choice(CLAIMS).format(own=own.rstrip("."))


def proven(view: View, own: str, proof: str, rng: random.Random) -> str:
    """A speech with a proof, and a word on the rival from the second round on."""
    said = claim(own, rng)
    pattern = rng.choice(PROOFS)
    lower = said[0].lower() + said[1:] if not said.startswith("I ") else said
    text = pattern.format(proof=proof, claim=lower if pattern.startswith("{proof} So") else said)
    return f"{rebuttal(view, rng)} {text}".strip()


def claimed(view: View, own: str, rng: random.Random) -> str:
    """A speech without a proof."""
    return f"{rebuttal(view, rng, proven=False)} {claim(own, rng)}".strip()


def rebuttal(view: View, rng: random.Random, proven: bool = True) -> str:
    """A sentence on the rival's last speech; "" before there is one."""
    heard = [h for h in speeches(view) if h.by != view.seat]
    if not heard:
        return ""
    return rng.choice(REBUTTALS[_weakness(view, heard[-1], proven)]).format(rival=heard[-1].by)


def _weakness(view: View, heard: Heard, proven: bool) -> str:
    """What is to be said against a speech; whoever has no proof does not ask for one."""
    found = point(view, heard, sides(view).get(heard.by, ""))
    if found == "bad":
        return "unverified" if heard.marks is not None else "false"
    return "unproven" if proven and not found else "claimed"


def nearest(view: View) -> list[str]:
    """The source's sentences, those nearest to the question first."""
    asked = set(re.findall(r"\w+", str(view.task["question"]).casefold()))
    known = sentences(str(view.card.get("source", "")))
    return sorted(known, key=lambda text: -len(asked & set(re.findall(r"\w+", text.casefold()))))


POLICIES: dict[str, type[Policy]] = {
    "honest": Honest,
    "fabricator": Fabricator,
    "echo": Echo,
    "believer": Believer,
    **JUDGES,
}
REFERENCE: dict[str, str] = {"debater": "debate/honest", "judge": "debate/quote_counter", "critic": "debate/critic"}
"""Role -> policy that plays it by default."""
