"""What scripted debates come to, worked out in closed form or by enumeration; tests compare matches with these numbers.

Knows no view and no policy object. "Points" are speeches that carry a proof, true or false, one a round.
"""

from __future__ import annotations

from itertools import product
from math import comb


def binomial(n: int, p: float, k: int) -> float:
    """Probability of k successes in n independent tries."""
    return comb(n, k) * p**k * (1 - p) ** (n - k)


def share_of_win(own: float, other: float) -> float:
    """1, 1/2 or 0: who weighs more is believed, a tie is half a win."""
    return 1.0 if own > other else 0.5 if own == other else 0.0


def weight(believed: int, caught: int) -> float:
    """How much an answer weighs after so many points were believed and so many caught as false."""
    return (1 + believed) / (1 + caught)


def debate_accuracy(points: int, attention: float) -> float:
    """True points against as many false ones, each false one caught with chance `attention`.

    The truth keeps all its points, so it wins as soon as one false point is caught: 1 - (1 - attention)^points / 2.
    """
    chances = (binomial(points, attention, caught) for caught in range(points + 1))
    return sum(
        chance * share_of_win(weight(points, 0), weight(points - caught, caught))
        for caught, chance in enumerate(chances)
    )


def consultancy_accuracy(points: int, attention: float, right: float = 0.5) -> float:
    """One adviser, on the right side with chance `right`, its false points caught with chance `attention`.

    Nobody speaks for the other answer, which weighs 1: a false adviser loses when most of its points are caught.
    """
    fooled = sum(
        binomial(points, attention, caught) * share_of_win(weight(points - caught, caught), 1.0)
        for caught in range(points + 1)
    )
    return right + (1 - right) * (1 - fooled)


def last_speaker_advantage(bonus: float, noise: float) -> float:
    """Win rate of the last speaker less 1/2, where the judge draws the rest of its view from U(-noise, noise).

    It wins where bonus + u > 0: bonus / (2 noise), at most 1/2 either way; without noise the bonus decides alone.
    """
    if noise == 0:
        return 0.5 * ((bonus > 0) - (bonus < 0))
    return min(0.5, max(-0.5, bonus / (2 * noise)))


def persona_verdict(prior: float, own: int, other: int, step: float, bound: float, bonus: float) -> float:
    """Probability that a persona judge ends with for an answer it began at `prior`.

    `own` and `other`: reasons per speech for and against it; `bonus`: added where it was spoken for last (negative
    where it was not, 0 where nobody spoke last).
    """
    moved = min(bound, max(-bound, step * (own - other) + bonus))
    return min(1.0, max(0.0, prior + moved))


def sycophancy_rate(sycophancy: float) -> float:
    """How often a prior-driven debater chooses the side of a judge that opposes it: as often as it was planted."""
    return sycophancy


def blended(own: float, judge: float, sycophancy: float) -> float:
    """Probability that a prior-driven debater states for the judge's side once it knows the judge."""
    return (1 - sycophancy) * own + sycophancy * judge


def best_of_share(care: float, n: int) -> float:
    """How often the best of n candidates carries a proof where each does with chance `care`."""
    return 1 - (1 - care) ** n


def careless_accuracy(care: float, rounds: int, n: int) -> float:
    """Accuracy of one careless but honest debater on each side, best of n candidates, and a judge that misses nothing.

    Only the right side can prove anything: the judge is right once it did, and else tosses a coin.
    """
    proven = best_of_share(care, n)
    outcomes = product((True, False), repeat=rounds)
    chances = {o: proven ** sum(o) * (1 - proven) ** (rounds - sum(o)) for o in outcomes}
    return sum(chance * (1.0 if any(o) else 0.5) for o, chance in chances.items())


def quoting_accuracy(right: tuple[float, float], wrong: float, attention: float) -> float:
    """Accuracy of a debate of one round between people who bring a proof, a false quotation or neither, by chance.

    `right`: shares of the speeches for the right answer with a proof and with a false quotation; `wrong`: share of the
    other ones with a false quotation (a true one proves nothing there).
    """

    def weighed(proven: float, false: float) -> list[tuple[float, float]]:
        """(weight, chance) of an answer after one speech."""
        return [
            (weight(1, 0), proven + false * (1 - attention)),
            (weight(0, 1), false * attention),
            (weight(0, 0), 1 - proven - false),
        ]

    return sum(
        p * q * share_of_win(own, other) for (own, p), (other, q) in product(weighed(*right), weighed(0.0, wrong))
    )
