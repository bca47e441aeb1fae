"""A tribe whose judges differ in noise: weights from learnt reliability label duels better than SPARTA's reputation.

Ten agents; one judges with noise that its skill does not (or does, turned round) tell. Panels grade 1 to 10; both
methods see the same grades and no truth, and label each round's duels with what they know at its end.
"""

import math

import numpy as np
import pytest
import torch

from simarena.tournament.reputation import Constants, contestants, duel, newcomers, settled, verdict
from simarena.training.reliability import estimate, grade_weights

NAMES = [f"m{n}" for n in range(10)]
SKILL = dict(zip(NAMES, np.linspace(-1.2, 1.2, 10), strict=True))
ROUNDS, DUELS, SEEDS = 4, 150, range(3)
FALLING = dict(zip(NAMES, np.linspace(3.2, 0.8, 10), strict=True))
RISING = dict(zip(NAMES, np.linspace(0.8, 3.2, 10), strict=True))


def panel(draw, noise, pair, quality):
    """Grades by everybody else, as a scale of 1 to 10 has them."""
    judges = [name for name in NAMES if name not in pair]
    return {name: np.clip(np.round(5.5 + 1.5 * quality + noise[name] * draw.normal(size=2)), 1, 10) for name in judges}


def votes(panels):
    """[B, 10] as `estimate` reads them: 1 for the first, 0 for the second, NaN for a tie or no seat on the panel."""

    def one(grades, name):
        first, second = grades.get(name, (0, 0))
        return math.nan if first == second else float(first > second)

    return torch.tensor([[one(grades, name) for name in NAMES] for grades in panels])


def share_right(panels, truths, weights):
    """Of duels labelled as they were; an exact tie counts half."""
    gaps = [sum(weights[name] * (a - b) for name, (a, b) in grades.items()) for grades in panels]
    return np.mean([0.5 if gap == 0 else float((gap > 0) == first) for gap, first in zip(gaps, truths, strict=True)])


def played(seed, noise):
    """Accuracy of equal weights, of SPARTA's and of RE-PO's, over all rounds."""
    draw, constants = np.random.default_rng(seed), Constants()
    table, found = newcomers(NAMES, constants), []
    for turn in range(ROUNDS):
        panels, truths = [], []
        for number in range(DUELS):
            pair = contestants(table, turn * DUELS + number, constants, seed)
            quality = np.array([SKILL[name] for name in pair]) + draw.normal(size=2)
            panels.append(panel(draw, noise, pair, quality))
            truths.append(bool(quality[0] > quality[1]))
            first, second = verdict(table, panels[-1], constants)
            table = duel(table, *pair, (first, second), constants)
        trust = dict(zip(NAMES, estimate(votes(panels)).tolist(), strict=True))
        reputation = {name: table[name].value for name in NAMES}
        weights = (dict.fromkeys(NAMES, 1.0), reputation, grade_weights(trust, NAMES))
        found.append([share_right(panels, truths, each) for each in weights])
        table = settled(table)
    return np.mean(found, axis=0)


@pytest.mark.parametrize("noise", [FALLING, RISING], ids=["good writers judge well", "good writers judge badly"])
def test_reliability_labels_better_than_reputation(noise):
    equal, sparta, repo = np.mean([played(seed, noise) for seed in SEEDS], axis=0)
    assert repo > sparta + 0.01
    assert repo > equal + 0.01
