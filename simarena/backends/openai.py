"""Any OpenAI-compatible endpoint as a backend: one request in, one completion or one classified failure out.

In: requests, and options from an agent file. Out: completions with all that the server offers (log-probs, token ids,
cached tokens). This file says what is asked and how it is read; `http_client` gets the answer. Knows no match: which
replica a seat stays at follows from the request's key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from simarena.backends import openai_score as scoring
from simarena.backends import openai_wire as wire
from simarena.backends.concurrency import gathered
from simarena.backends.openai_options import OpenAIOptions, Secrets
from simarena.errors import MissingExtra, RequestFailed, ScenarioError
from simarena.records import Completion, Request

if TYPE_CHECKING:
    from simarena.backends.http_client import Client

__all__ = ["OpenAIBackend", "OpenAIOptions"]

TOKENS_KEPT = 4096
"""Continuations whose tokens are remembered: a judge's options come again and again."""


class OpenAIBackend:
    """A server and its replicas, by the options of OpenAIOptions.

    Raises ScenarioError (an option is wrong), MissingModel (a key's variable is not set) or MissingExtra.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        wall: Callable[[], float] = time.time,
        **options: Any,
    ) -> None:
        self.options = _options(options)
        secrets = Secrets(self.options)
        self.client = _client(self.options, secrets, clock=clock, sleep=sleep, wall=wall)
        self._tokens: dict[tuple[str, str], scoring.Ids] = {}
        self._echo = False
        """Whether this server scores by the field of that name."""
        self._tokens_in = True
        """Whether this server may take token ids as they are, and so score behind its cache."""

    async def generate(self, request: Request) -> Completion:
        """Answer `request`, or score its continuations. Raises RequestFailed or RunFailed."""
        if request.score:
            return await self._score(request)
        return await self.client.ask(request.key, self._chat(request))

    async def aclose(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def __repr__(self) -> str:
        return f"OpenAIBackend({', '.join(self.options.urls)})"

    def _chat(self, request: Request) -> wire.Exchange[Completion]:
        held = request.schema is not None
        return wire.Exchange(
            "/chat/completions",
            body=lambda dialect: wire.chat_body(request, dialect, self.options),
            read=lambda body, dialect: wire.read_chat(body, dialect.held if held else ""),
            instead=_typed,
        )

    async def _score(self, request: Request) -> Completion:
        prompt = await self._tokenise(request, scoring.prompt_body(request))
        if isinstance(prompt, Completion):
            return prompt
        parts = [await self._continuation(request, text) for text in request.score]
        if self._tokens_in and (cached := await self._score_cached(request, prompt, parts)):
            return cached
        why = ""
        for echo in (True,) if self._echo else (False, True):
            found = await self.client.ask(request.key, _scores(request, prompt, parts, echo=echo))
            if isinstance(found, Completion):
                self._echo = echo and found.finish != "too_long"
                return found
            why = why or found
        raise self._no_scores(why)

    async def _score_cached(self, request: Request, prompt: scoring.Ids, parts: list[scoring.Ids]) -> Completion | None:
        """Each continuation behind what the server's prefix cache knows of the prompt; None: not here, or not now."""

        async def one(ids: scoring.Ids) -> scoring.Seen | Completion | str:
            return await self.client.ask(request.key, _cached(request, prompt, ids)) if ids else (0.0, 0)

        found = await gathered([one(ids) for ids in parts])
        self._tokens_in = NEVER not in found
        seen = [each for each in found if isinstance(each, tuple)]
        if len(seen) == len(found):
            return scoring.scored(request, prompt, parts, seen)
        return next((each for each in found if isinstance(each, Completion)), None)

    async def _continuation(self, request: Request, text: str) -> scoring.Ids:
        known = (wire.served_model(request), text)
        if known not in self._tokens:
            ids = await self._tokenise(request, scoring.continuation_body(request, text))
            if isinstance(ids, Completion):
                raise RequestFailed(f"a continuation of {len(text)} characters is too long to be scored; shorten it")
            if len(self._tokens) >= TOKENS_KEPT:
                del self._tokens[next(iter(self._tokens))]
            self._tokens[known] = ids
        return self._tokens[known]

    async def _tokenise(self, request: Request, body: dict[str, Any]) -> scoring.Ids | Completion:
        exchange: wire.Exchange[scoring.Ids | Completion | str] = wire.Exchange(
            "//tokenize",
            body=lambda _: body,
            read=lambda found, _: scoring.read_tokens(found),
            instead=_not_offered,
        )
        found = await self.client.ask(request.key, exchange)
        if isinstance(found, str):
            raise self._no_scores(found)
        return found

    def _no_scores(self, why: str) -> RequestFailed:
        return RequestFailed(
            f"{self.options.urls[0]} does not score given continuations ({why}); let this agent judge by options or "
            f"pointwise, or give it a vLLM server or the transformers backend"
        )


NEVER, NOT_NOW = "never", "not now"
"""A server does not take token ids; it did not tell of a continuation this time."""


def _cached(request: Request, prompt: scoring.Ids, ids: scoring.Ids) -> wire.Exchange[scoring.Seen | Completion | str]:
    def instead(error: wire.ServerError) -> Completion | str | None:
        if error.status in (403, 404, 405, 501):
            return NEVER
        # 500: vLLM 0.32 leaves what it found in its cache unwritten, and what stood there may be no number
        return _typed(error) or (NOT_NOW if error.status in (400, 422, 500) else None)

    return wire.Exchange(
        "//inference/v1/generate",
        body=lambda _: scoring.cached_body(request, prompt, ids),
        read=lambda body, _: scoring.read_cached(body, prompt, ids) or NOT_NOW,
        instead=instead,
    )


def _scores(
    request: Request, prompt: scoring.Ids, parts: list[scoring.Ids], *, echo: bool
) -> wire.Exchange[Completion | str]:
    silent = "it returns no log-probabilities of the prompt"
    return wire.Exchange(
        "/completions",
        body=lambda _: scoring.score_body(request, prompt, parts, echo=echo),
        read=lambda body, _: scoring.read_scores(body, prompt, parts) or silent,
        instead=_not_offered,
    )


def _typed(error: wire.ServerError) -> Completion | None:
    """The completion that an error stands for, if it is one: the prompt was too long, or the answer refused."""
    if error.status in (400, 413, 422) and wire.is_too_long(error):
        return Completion(text="", finish="too_long")
    if error.status in (400, 403) and error.code in wire.REFUSAL_CODES:
        return Completion(text="", finish="refusal")
    return None


def _not_offered(error: wire.ServerError) -> Completion | str | None:
    typed = _typed(error)
    if typed is None and error.status in (400, 404, 405, 422, 501):
        return f"{error.status}: {error.message}"
    return typed


def _options(options: dict[str, Any]) -> OpenAIOptions:
    try:
        return OpenAIOptions(**options)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        lines = [f"{'.'.join(map(str, item['loc'])) or 'backend'}: {item['msg']}" for item in found]
    raise ScenarioError("the options of the openai backend are wrong:\n  " + "\n  ".join(lines))


def _client(options: OpenAIOptions, secrets: Secrets, **times: Any) -> Client:
    try:
        from simarena.backends.http_client import Client
    except ImportError as error:
        raise MissingExtra("the openai backend", "http") from error
    return Client(options, secrets, **times)
