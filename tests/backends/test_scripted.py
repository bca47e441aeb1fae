"""A plain function as a backend."""

from __future__ import annotations

import asyncio

import pytest

from simarena.backends.scripted import ScriptedBackend
from simarena.records import Completion, Request


def ask(reply: object, **rest: object) -> Completion:
    return asyncio.run(ScriptedBackend(reply).generate(Request(key="m/s/0", agent="a", model="policy", **rest)))


def test_text_becomes_a_completion() -> None:
    assert ask(lambda request: f"I am {request.agent}") == Completion(text="I am a", version="policy")


def test_a_completion_is_passed_on() -> None:
    given = Completion(text="x", finish="length")
    assert ask(lambda _: given) is given


def test_scores_are_read_from_the_fields_of_a_scoring_action() -> None:
    text = '{"logprobs": [-1.5, -2], "tokens": [3, 4]}'
    assert ask(lambda _: text, score=("yes", "no")).scores == ((-1.5, 3), (-2.0, 4))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"logprobs": [1], "tokens": [1]}', '{"logprobs": [1, 2]}'])
def test_what_is_no_score_gives_none(text: str) -> None:
    assert ask(lambda _: text, score=("yes", "no")).scores == ()
