"""The shipped debater finds its proof in the story often enough for preferences to have something to choose from."""

import asyncio
import json

import pytest

from analysis.nano import exam
from simarena import paths
from simarena.backends.transformers import TransformersBackend
from simarena.casting import Cast

pytestmark = [pytest.mark.nano, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

META = json.loads((paths.shipped("agents") / "nano" / "debater" / "meta.json").read_text())
STORY, SIZE = "eight_sentences", 60


@pytest.fixture(scope="module")
def marks():
    """What its speeches are worth on held-out stories."""
    agent = Cast(["nano-debater"]).agents()["nano-debater"]
    backend = TransformersBackend(agent.model, adapters=[agent.adapter])
    try:
        return exam.quoting(asyncio.run(exam.debated(agent, backend, exam.DEBATED[STORY], SIZE)))
    finally:
        asyncio.run(backend.aclose())


def test_it_quotes_truly_and_has_room_to_rise(marks):
    """Best-of-n prefers nothing among speeches that never quote, nor among those that always do."""
    assert 0.08 <= marks["right_verified"] <= 0.5
    assert marks["right_verified"] > marks["right_unverified"]
    assert marks["wrong_verified"] <= 0.03  # a true sentence for the wrong answer is about somebody else


def test_its_recorded_scores_are_those_of_the_weights(marks):
    for name in ("right_verified", "judge"):
        share = META["held_out"][STORY][name]
        assert abs(marks[name] - share) <= 4 * max(share * (1 - share), 0.05) ** 0.5 / SIZE**0.5
