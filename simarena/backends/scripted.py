"""Answers with a plain function: the engine of offline play, and the double that tests put in a model's place."""

from __future__ import annotations

import json
from collections.abc import Callable

from simarena.records import Completion, Request

Reply = Callable[[Request], str | Completion]


class ScriptedBackend:
    """Turns `reply(request)` into a completion.

    Asked to score continuations, the function gives the fields of a scoring action as JSON text:
    {"logprobs": [...], "tokens": [...]}, one number per continuation.
    """

    def __init__(self, reply: Reply) -> None:
        self.reply = reply

    async def generate(self, request: Request) -> Completion:
        """The function's answer."""
        answer = self.reply(request)
        if isinstance(answer, Completion):
            return answer
        scores = weighed(answer, len(request.score)) if request.score else ()
        return Completion(text=answer, scores=scores, version=request.model)

    async def aclose(self) -> None:
        """Nothing is held."""


def weighed(text: str, size: int) -> tuple[tuple[float, int], ...]:
    """(log-probability, tokens) of `size` continuations as the text states them; () where it does not."""
    try:
        said = json.loads(text)
        pairs = zip(said["logprobs"], said["tokens"], strict=True)
        scores = tuple((float(logprob), int(tokens)) for logprob, tokens in pairs)
    except (ValueError, TypeError, KeyError):
        return ()
    return scores if len(scores) == size else ()
