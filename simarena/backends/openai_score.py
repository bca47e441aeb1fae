"""Scoring of given continuations over HTTP, as data: bodies out, log-probabilities in. Pure; knows no connection.

vLLM tokenises prompt and continuation apart (`/tokenize`, at the server's root), so that a continuation's tokens do not
depend on what stands before it. Then either its `/inference/v1/generate` reads each continuation behind what its prefix
cache knows of the prompt, where the server offers that, or `/completions` reads all of it anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from simarena.backends.base import DIGITS
from simarena.backends.openai_wire import Unreadable, all_ints, messages_of, read_object, served_model, usage_of
from simarena.records import JSON, Completion, Request, Usage

Ids = tuple[int, ...]
Seen = tuple[float, int]
"""Log-probability of a continuation, and how many tokens of prompt and continuation were in the server's cache."""


def prompt_body(request: Request) -> dict[str, JSON]:
    """The body of POST /tokenize for the prompt, as far as the point where the model would speak."""
    return {"model": served_model(request), "messages": messages_of(request), "add_generation_prompt": True}


def continuation_body(request: Request, text: str) -> dict[str, JSON]:
    """The body of POST /tokenize for one continuation."""
    return {"model": served_model(request), "prompt": text, "add_special_tokens": False}


def read_tokens(body: bytes) -> Ids:
    """The token ids in an answer of /tokenize. Raises Unreadable."""
    tokens = read_object(body).get("tokens")
    if not isinstance(tokens, list) or not all_ints(tokens):
        raise Unreadable("the answer holds no list of tokens")
    return tuple(tokens)


def cached_body(request: Request, prompt: Ids, ids: Ids) -> dict[str, JSON]:
    """The body of POST /inference/v1/generate that reads one continuation and lets the prompt come from the cache."""
    params = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
    return {
        "model": served_model(request),
        "token_ids": [*prompt, *ids],
        "sampling_params": params | {"skip_reading_prefix_cache": False},
    }


def read_cached(body: bytes, prompt: Ids, ids: Ids) -> Seen | None:
    """What the answer to `cached_body` says of `ids`; None where the cache reached into them: those it leaves out."""
    answer = read_object(body)
    listed, cached = answer.get("prompt_logprobs"), usage_of(answer.get("usage")).cached
    if not isinstance(listed, list) or len(listed) != len(prompt) + len(ids) or cached >= len(prompt):
        return None
    found = [_of(entry, token) for entry, token in zip(listed[len(prompt) :], ids, strict=True)]
    if any(type(value) not in (int, float) for value in found):
        return None
    return float(sum(found)), cached


def scored(request: Request, prompt: Ids, continuations: Sequence[Ids], found: Sequence[Seen]) -> Completion:
    """The completion of several continuations, each read by itself."""
    sums = tuple((round(total, DIGITS), len(ids)) for (total, _), ids in zip(found, continuations, strict=True))
    usage = Usage(prompt=_sent(prompt, continuations), cached=sum(cached for _, cached in found))
    return Completion(text="", scores=sums, prompt_ids=prompt, usage=usage, version=served_model(request))


def _sent(prompt: Ids, continuations: Sequence[Ids]) -> int:
    return sum(len(prompt) + len(ids) for ids in continuations)


def score_body(request: Request, prompt: Ids, continuations: Sequence[Ids], *, echo: bool) -> dict[str, JSON]:
    """The body of POST /completions that scores `continuations`; `echo`: by the older field of that name."""
    body: dict[str, JSON] = {
        "model": served_model(request),
        "prompt": [[*prompt, *ids] for ids in continuations],
        "max_tokens": 1,  # the fewest that every server takes; what is sampled is thrown away
        "temperature": 0.0,
    }
    return body | ({"echo": True, "logprobs": 1} if echo else {"prompt_logprobs": 1})


def read_scores(body: bytes, prompt: Ids, continuations: Sequence[Ids]) -> Completion | None:
    """(sum of log-probs, tokens) of each continuation; None: the server answered without log-probs of the prompt.

    Raises Unreadable where the answer does not fit the question.
    """
    answer = read_object(body)
    choices = answer.get("choices")
    if not isinstance(choices, list) or len(choices) != len(continuations):
        raise Unreadable(f"asked for {len(continuations)} scores, the answer holds another number")
    scores = []
    for ids, choice in zip(continuations, sorted(choices, key=_index), strict=True):
        found = _prompt_logprobs(choice, (*prompt, *ids))
        if found is None:
            return None
        scores.append((round(float(sum(found[len(prompt) :])), DIGITS), len(ids)))
    usage = Usage(prompt=_sent(prompt, continuations), cached=usage_of(answer.get("usage")).cached)
    version = str(answer.get("model") or "")
    return Completion(text="", scores=tuple(scores), prompt_ids=prompt, usage=usage, version=version)


def _index(choice: JSON) -> int:
    index = choice.get("index") if isinstance(choice, dict) else None
    if type(index) is not int:
        raise Unreadable("a choice has no index")
    return index


def _prompt_logprobs(choice: dict[str, JSON], ids: Ids) -> list[float] | None:
    """Log-probability of each of `ids`; 0 for the first, which nothing stands before."""
    listed = choice.get("prompt_logprobs")
    echoed = choice.get("logprobs")
    if isinstance(listed, list) and len(listed) >= len(ids):
        found = [_of(entry, token) for entry, token in zip(listed, ids, strict=False)]
    elif isinstance(echoed, dict) and len(echoed.get("token_logprobs") or ()) >= len(ids):
        found = list(echoed["token_logprobs"][: len(ids)])
    else:
        return None
    if any(type(value) not in (int, float) for value in found[1:]):
        return None
    return [0.0, *map(float, found[1:])]


def _of(entry: JSON, token: int) -> JSON:
    stated = entry.get(str(token)) if isinstance(entry, dict) else None
    return stated.get("logprob") if isinstance(stated, dict) else None
