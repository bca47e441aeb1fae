"""What the seats of a roundtable are told: short, plain, and the same from match to match."""

from __future__ import annotations

from simarena.envs.roundtable.rules import TIT_FOR_TAT, RoundtableParams

ALONE = "Solve the task alone. Give one short reason, then the full answer."
TALK = "Discuss. Give one short reason, then the full answer. Say with whom you agree and disagree."
PRIVATE = "Think again in private. Give one short reason, then the full answer."
FINAL = "This is your final answer. Give one short reason, then the full answer."
ORDER = "Say in which order to discuss: list all names, the first one first."
RULING = "Judge this round. Give a reason, the solver that is right or none, the answer, and whether to stop."
SETTLE = "The team could not agree. Give one short reason, then the full answer."
EXTRACT = "List the answers that were given. Then give one short reason and the right answer."

DECIDED = {
    "majority": "The most frequent answer wins.",
    "supervisor": "The answer of more than half wins; else the supervisor decides.",
    "moderator": "The moderator decides.",
    "judge_extract": "A judge decides at the end.",
}
LEVELS = (
    (0.25, "You are the negative side. Agree where the other side is right."),
    (0.5, "You are the negative side. Disagree where you have a reason."),
    (0.75, "You are the negative side. Disagree on most points."),
    (1.1, "You are the negative side. Never agree with the other side."),
)
"""Upper bounds of the level of disagreement, and what the negative side is told below each."""


def talk_about(item: str) -> str:
    """The instruction to discuss one item; "" stands for the one that was announced last."""
    about = item or "the one named last"
    return (
        f"Discuss {about} only. Give one short reason and the answer for {about}. Say with whom you agree and disagree."
    )


def negative(level: float) -> str:
    """What the negative side is told at this level of disagreement, 0..1."""
    return next(words for bound, words in LEVELS if level < bound)


def brief(params: RoundtableParams, seat: str, hears: list[str]) -> str:
    """Role and rules of a seat."""
    role = seat.rsplit("_", 1)[0]
    if role == "moderator":
        return f"You are {seat}. {params.n} solvers discuss one task. You judge who is right and give the right answer."
    if role == "supervisor":
        return f"You are {seat}. {params.n} solvers worked on one task. You give the right answer in the end."
    return " ".join(part for part in (_solver(params, seat, hears), DECIDED[params.decision]) if part)


def _solver(params: RoundtableParams, seat: str, hears: list[str]) -> str:
    if params.n == 1:
        return f"You are {seat}. You solve one task."
    parts = [f"You are {seat}, one of {params.n} solvers of one task."]
    if params.structure in ("ring", "star"):
        parts.append(f"You hear {', '.join(hears)}.")
    if params.structure == TIT_FOR_TAT:
        parts.append(negative(params.disagreement) if seat != "solver_0" else "You are the affirmative side.")
    if params.confidence_visible:
        parts.append("Your confidence is 1 to 10.")
    return " ".join(parts)
