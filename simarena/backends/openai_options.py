"""What an agent file may say about an OpenAI-compatible endpoint, and the secrets it names.

In: keyword options and environment variables. Out: checked options, and the secrets in a box that never shows them.
A secret is named by its environment variable; its value is read here and goes into request headers, nowhere else.
Knows no HTTP library: options can be checked where none is installed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from simarena.errors import MissingModel
from simarena.records import JSON

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=64)]
"""The name of an environment variable. The pattern also refuses most keys pasted here by mistake."""

SECRET_HEADERS = frozenset({"authorization", "api-key", "x-api-key", "proxy-authorization", "cookie"})
OWN_FIELDS = frozenset({"messages", "model", "stream", "n", "prompt"})


class OpenAIOptions(BaseModel):
    """The `backend` part of an agent file for `openai`. Times are in seconds."""

    # A value that fails its check may be a key in the wrong place: messages must not repeat it.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    base_url: str | None = None
    """Where the server listens, up to and with its version part, e.g. http://localhost:8000/v1."""
    base_urls: tuple[str, ...] = ()
    """Several replicas of one server instead of `base_url`; a seat stays on one of them for its prefix cache."""
    api_key_env: VariableName | None = None
    """Name of the environment variable that holds the key; None: no key is sent."""
    headers: dict[str, str] = {}
    """Further headers, none of them secret."""
    headers_env: dict[str, VariableName] = {}
    """Secret headers: header name -> name of the environment variable that holds its value."""
    timeout: PositiveFloat = 300.0
    """Limit of one attempt."""
    connect_timeout: PositiveFloat = 20.0
    """Limit for opening a connection."""
    deadline: PositiveFloat = 900.0
    """Limit of one call, from its first sending to its answer: attempts and waits together."""
    attempts: PositiveInt = 8
    """Failed attempts after which a call is given up. Rate limits do not count; only the deadline ends those."""
    backoff: PositiveFloat = 0.5
    """Widest wait after the first failure; doubles with each further one (full jitter: drawn from 0 to that)."""
    backoff_max: PositiveFloat = 60.0
    max_concurrency: PositiveInt = 512
    """Most requests in flight at one replica."""
    start_concurrency: PositiveInt = 16
    """Requests in flight at first; grows as they succeed, is halved when the server limits the rate."""
    breaker_failures: PositiveInt = 8
    """Failures in a row after which a replica is left alone for a while."""
    breaker_pause: PositiveFloat = 2.0
    """First such while; doubles up to `backoff_max` each time the one request sent after it fails too."""
    structured: Literal["auto", "json_schema", "guided", "none"] = "auto"
    """How answers are held to their schema; "auto" starts with json_schema and goes down where it is refused."""
    logprobs: bool = True
    """Ask for the log-probabilities of sampled tokens, where the server offers them."""
    token_ids: bool = True
    """Ask for token ids, where the server offers them (vLLM does)."""
    omit: tuple[str, ...] = ()
    """Request fields never sent, e.g. [temperature] for models that refuse it."""
    extra: dict[str, JSON] = {}
    """Further fields of the request body, e.g. {reasoning_effort: low}; they win over simarena's own."""
    proxy_from_env: bool = False
    """Obey HTTP_PROXY and its kin."""
    price_prompt: float = Field(0.0, ge=0)
    """Money per million prompt tokens; what a budget in money is counted by."""
    price_completion: float = Field(0.0, ge=0)
    """Money per million completion tokens."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if bool(self.base_url) == bool(self.base_urls):
            raise ValueError("give either base_url or base_urls, e.g. base_url: http://localhost:8000/v1")
        for url in self.urls:
            _check_url(url)
        if len(set(self.urls)) < len(self.urls):
            raise ValueError("base_urls names one replica twice; give each its own line")
        if secret := sorted(name for name in self.headers if name.lower() in SECRET_HEADERS):
            raise ValueError(f"header {secret[0]} is a secret: give the name of its variable under headers_env")
        if taken := sorted(OWN_FIELDS & {*self.extra, *self.omit}):
            raise ValueError(f"{taken[0]} is set by simarena itself; take it out of extra and omit")
        return self

    @property
    def urls(self) -> tuple[str, ...]:
        """All replicas, without trailing slashes."""
        return tuple(url.rstrip("/") for url in ((self.base_url,) if self.base_url else self.base_urls))


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.username or parts.password or "@" in parts.netloc:
        raise ValueError("a base_url holds a user or password: give them as a header by headers_env instead")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("a base_url is not an http(s) address; it looks like http://localhost:8000/v1")
    if parts.query or parts.fragment:
        raise ValueError("a base_url holds a query; leave off what follows '?' or '#' (keys go to headers_env)")


class Secrets:
    """Values read from the environment: they go into headers, and are struck out of every message."""

    __slots__ = ("_headers", "_pattern")

    def __init__(self, options: OpenAIOptions, environ: Mapping[str, str] = os.environ) -> None:
        """Raises MissingModel, naming the variable, where one is not set."""
        named = dict(options.headers_env)
        values = {header: _read(variable, environ) for header, variable in named.items()}
        if options.api_key_env:
            values["Authorization"] = f"Bearer {_read(options.api_key_env, environ)}"
        self._headers = values
        plain = sorted({value.removeprefix("Bearer ") for value in values.values()}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, plain))) if plain else None

    def headers(self) -> dict[str, str]:
        """The secret headers, for the connection alone."""
        return dict(self._headers)

    def redact(self, text: str) -> str:
        """`text` with every secret struck out."""
        return self._pattern.sub("[secret]", text) if self._pattern else text

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._headers))})"


def _read(variable: str, environ: Mapping[str, str]) -> str:
    value = environ.get(variable, "").strip()
    if not value:
        raise MissingModel(
            f"the openai backend looked for a key in the environment variable {variable} and found none; "
            f"set it (export {variable}=...) or name another one in the agent file"
        )
    if not value.isprintable() or not value.isascii():
        raise MissingModel(f"the environment variable {variable} holds characters no header can carry; set it again")
    return value
