"""The OpenAI-compatible protocol as data: request bodies out, completions in. Pure; knows no connection.

Fields beyond OpenAI's own are vLLM's: `structured_outputs`, `return_token_ids`, `top_k`, `repetition_penalty`,
`prompt_logprobs`, and its `/tokenize`. What a server refuses is left off by lowering its `Dialect`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, Literal, NamedTuple, TypeVar

from simarena.backends.base import DIGITS
from simarena.backends.openai_options import OpenAIOptions
from simarena.records import JSON, Completion, Request, Usage

T = TypeVar("T")

Held = Literal["json_schema", "guided", ""]
LADDER: tuple[Held, ...] = ("json_schema", "guided", "")
"""Ways to hold an answer to its schema, best first."""

SCHEMA_WORDS = re.compile(r"response_format|json.?schema|structured|guided|grammar|schema", re.IGNORECASE)
UNKNOWN_WORDS = re.compile(
    r"unrecogni[sz]ed|unknown|unexpected|unsupported|not supported|not permitted|not allowed|extra (?:inputs|fields)",
    re.IGNORECASE,
)
TOO_LONG_WORDS = re.compile(
    r"context.?(?:length|window|size)|maximum (?:input|prompt|model) length|prompt is too long|input is too long"
    r"|reduce the length|max_tokens must be at least 1, got -",
    re.IGNORECASE,
)
REFUSAL_CODES = frozenset({"content_filter", "content_policy_violation"})
QUOTA_CODES = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one endpoint has been found to accept."""

    held: Held = "json_schema"
    dropped: frozenset[str] = frozenset()
    """Optional fields that it refuses."""
    length_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    """OpenAI's reasoning models take the second, most servers only the first."""

    def meet(self, other: Dialect) -> Dialect:
        """The lower of both in everything."""
        return Dialect(
            held=max(self.held, other.held, key=LADDER.index),
            dropped=self.dropped | other.dropped,
            length_field=max(self.length_field, other.length_field, key=("max_tokens", "max_completion_tokens").index),
        )


class ServerError(NamedTuple):
    """What a server said in place of an answer."""

    status: int
    code: str
    message: str
    param: str = ""

    @property
    def text(self) -> str:
        """All of it, for matching."""
        return f"{self.code} {self.param} {self.message}"


class Unreadable(Exception):
    """A 200 whose body is not an answer; asking again may help."""


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """One kind of question to a server."""

    path: str
    """Below the base URL; "//x" is x beside its version part."""
    body: Callable[[Dialect], Mapping[str, JSON]]
    read: Callable[[bytes, Dialect], T]
    """Reads the body of a 200; raises Unreadable."""
    instead: Callable[[ServerError], T | None]
    """The result that an error amounts to, if it is one (a prompt that is too long, a refusal)."""


def first_dialect(options: OpenAIOptions) -> Dialect:
    """Where an endpoint starts: all that the options allow."""
    dropped = {"return_token_ids"} if not options.token_ids else set()
    dropped |= {"logprobs"} if not options.logprobs else set()
    meant = {"auto": "json_schema", "none": ""}
    held: Held = meant.get(options.structured, options.structured)  # type: ignore[assignment]  # all others are Held
    return Dialect(held=held, dropped=frozenset(dropped))


def optional_fields(request: Request) -> dict[str, JSON]:
    """Fields that a server may lack without changing what is asked of it."""
    fields: dict[str, JSON] = {"logprobs": True, "return_token_ids": True, "seed": request.seed}
    # Off, and said so: vLLM otherwise takes the model's own generation_config.json.
    return fields | ({} if request.sampling.top_k else {"top_k": 0}) | {"repetition_penalty": 1.0}


def served_model(request: Request) -> str:
    """The model's name on the server; vLLM serves an adapter as a model of its own."""
    return request.adapter or request.model


def chat_body(request: Request, dialect: Dialect, options: OpenAIOptions) -> dict[str, JSON]:
    """The body of POST /chat/completions for `request`."""
    sampling = request.sampling
    body: dict[str, JSON] = {
        "model": served_model(request),
        "messages": messages_of(request),
        dialect.length_field: sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
    }
    body |= {name: value for name, value in optional_fields(request).items() if name not in dialect.dropped}
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if sampling.stop:
        body["stop"] = list(sampling.stop)
    if request.schema is not None:
        body |= held_to(request.schema, dialect.held)
    for name in options.omit:
        body.pop(name, None)
    return body | options.extra


def messages_of(request: Request) -> list[JSON]:
    """The prompt as chat messages."""
    return [{"role": message.role, "content": message.content} for message in request.messages]


def held_to(schema: dict[str, JSON], held: Held) -> dict[str, JSON]:
    """The fields that hold an answer to `schema`."""
    if held == "json_schema":
        closed = close(schema)
        return {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": closed, "strict": is_strict(closed)},
            }
        }
    return {"structured_outputs": {"json": close(schema)}} if held == "guided" else {}


def close(schema: JSON) -> JSON:
    """`schema` with every object limited to its stated properties: else a model may add keys without end."""
    if isinstance(schema, list):
        return [close(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value if key in ("enum", "const", "default") else close(value) for key, value in schema.items()}
    if _is_object(closed):
        closed.setdefault("additionalProperties", False)
    return closed


def is_strict(schema: JSON) -> bool:
    """Whether OpenAI's strict mode takes `schema`: all objects closed, all their properties required."""
    if isinstance(schema, list):
        return all(map(is_strict, schema))
    if not isinstance(schema, dict):
        return True
    if _is_object(schema) or schema.get("type") == "object":
        required, stated = schema.get("required", []), schema.get("properties", {})
        if schema.get("additionalProperties") is not False or set(required) != set(stated):
            return False
    return all(is_strict(value) for key, value in schema.items() if key not in ("enum", "const", "default"))


def _is_object(schema: Mapping[str, JSON]) -> bool:
    # A field may itself be called "properties"; then its schema stands there, which has no "type": "object" beside it.
    return isinstance(schema.get("properties"), dict) and schema.get("type") == "object"


def lower(dialect: Dialect, sent: Mapping[str, JSON], error: ServerError, *, proven: bool) -> Dialect | None:
    """The dialect to try after `error` answered `sent`; None: the refusal is not about what can be left off.

    `proven`: the endpoint has accepted this dialect before, so an error that names no field is about something else.
    """
    if dialect.length_field in sent and "max_completion_tokens" in error.text and dialect.length_field == "max_tokens":
        return replace(dialect, length_field="max_completion_tokens")
    optional = {name for name in ("logprobs", "return_token_ids", "seed", "repetition_penalty") if name in sent}
    optional |= {"top_k"} if sent.get("top_k") == 0 else set()
    named = {name for name in optional if name in error.text}
    if named:
        return replace(dialect, dropped=dialect.dropped | named)
    if has_schema(sent) and SCHEMA_WORDS.search(error.text):
        return replace(dialect, held=LADDER[LADDER.index(dialect.held) + 1]) if dialect.held else None
    if not proven and optional and UNKNOWN_WORDS.search(error.text):
        return replace(dialect, dropped=dialect.dropped | optional)
    return None


def has_schema(sent: Mapping[str, JSON]) -> bool:
    """Whether a body holds its answer to a schema."""
    return "response_format" in sent or "structured_outputs" in sent


def server_error(status: int, body: bytes) -> ServerError:
    """The error in `body`, in OpenAI's shape, in vLLM's older flat one, or as plain text."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ServerError(status, "", _short(body.decode("utf-8", "replace")))
    error = found.get("error", found) if isinstance(found, dict) else found
    if not isinstance(error, dict):
        return ServerError(status, "", _short(str(error)))
    message = error.get("message") or error.get("detail") or json.dumps(error)
    return ServerError(
        status, str(error.get("code") or error.get("type") or ""), _short(str(message)), str(error.get("param") or "")
    )


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 500 else text[:500] + "…"


def is_too_long(error: ServerError) -> bool:
    """Whether the prompt did not fit the model."""
    return error.status == 413 or bool(TOO_LONG_WORDS.search(error.text))


def read_chat(body: bytes, held: Held) -> Completion:
    """The completion in the body of a 200. Raises Unreadable where there is none."""
    answer = read_object(body)
    choice = _first_choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Unreadable("the first choice holds no message")
    finish = choice.get("finish_reason")
    if finish in ("error", "abort"):
        raise Unreadable(f"the server broke the answer off (finish_reason {finish!r})")
    refusal = message.get("refusal")
    refused = bool(refusal) or finish in ("content_filter", "refusal")
    ids, logprobs = _ids(choice.get("token_ids")), _logprobs(choice.get("logprobs"))
    if ids is not None and logprobs is not None and len(ids) != len(logprobs):
        logprobs = None  # one of them left tokens out: no telling which
    return Completion(
        text=_utf8(str(refusal)) if refusal else _content(message, finish, refused),
        finish="refusal" if refused else "length" if finish in ("length", "max_tokens") else "stop",
        prompt_ids=_ids(answer.get("prompt_token_ids", choice.get("prompt_token_ids"))),
        ids=ids,
        logprobs=logprobs,
        usage=usage_of(answer.get("usage"), ids),
        version=_version(answer),
        how=held,
    )


def read_object(body: bytes) -> dict[str, JSON]:
    """`body` as a JSON object. Raises Unreadable."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Unreadable("the body is not JSON") from error
    if not isinstance(answer, dict):
        raise Unreadable("the body is not a JSON object")
    if answer.get("error") and not answer.get("choices"):
        raise Unreadable(f"an error under status 200: {server_error(200, body).message}")
    return answer


def _first_choice(answer: Mapping[str, JSON]) -> dict[str, JSON]:
    choices = answer.get("choices")
    if not isinstance(choices, list):
        raise Unreadable("the answer has no list of choices")
    if not choices:
        raise Unreadable("the list of choices is empty")
    if not isinstance(choices[0], dict):
        raise Unreadable("the first choice is not an object")
    return choices[0]


def _content(message: Mapping[str, JSON], finish: JSON, refused: bool) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return _utf8(content)
    if isinstance(content, list):
        return _utf8("".join(str(part.get("text", "")) for part in content if isinstance(part, dict)))
    # A reasoning model may spend all its tokens on thought: then null is its answer, not a fault of the server's.
    thought = message.get("reasoning") or message.get("reasoning_content")
    if content is None and (refused or thought or finish in ("length", "max_tokens")):
        return ""
    raise Unreadable("the message holds no content")


def _utf8(text: str) -> str:
    """`text` with lone surrogates, which JSON can spell and no file can hold, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _ids(value: JSON) -> tuple[int, ...] | None:
    return tuple(value) if isinstance(value, list) and all_ints(value) else None


def all_ints(values: list[JSON]) -> bool:
    """Whether `values` holds whole numbers alone, by their sum: 10 microseconds for 1,600 of them, type by type 40."""
    try:
        return type(sum(values)) is int
    except TypeError:
        return False


def _logprobs(value: JSON) -> tuple[float, ...] | None:
    content = value.get("content") if isinstance(value, dict) else None
    if not isinstance(content, list):
        return None
    try:
        return tuple(round(float(token["logprob"]), DIGITS) for token in content)
    except (TypeError, KeyError, ValueError):
        return None


def usage_of(value: JSON, ids: tuple[int, ...] | None = None) -> Usage:
    """Tokens that an answer says were read and written; `ids`: what was written, where that is known."""
    usage = value if isinstance(value, dict) else {}
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    completion = usage.get("completion_tokens")
    return Usage(
        prompt=_count(usage.get("prompt_tokens")),
        cached=_count(cached),
        completion=len(ids) if completion is None and ids is not None else _count(completion),
    )


def _count(value: JSON) -> int:
    return value if type(value) is int and value >= 0 else 0


def _version(answer: Mapping[str, JSON]) -> str:
    model, fingerprint = answer.get("model"), answer.get("system_fingerprint")
    return "@".join(str(part) for part in (model, fingerprint) if part)
