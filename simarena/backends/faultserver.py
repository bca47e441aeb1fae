"""An OpenAI-compatible server on the loopback that answers by a plain function and fails by a plan.

It is the HTTP double of tests and benchmarks. A plan is a function of (identity of the request, how often it was seen)
and says which Fault to commit, so a seeded storm does the same to each request in any order of arrival. It counts what
it saw and what it answered in full. Token ids are the bytes of the text; `fake_logprob` gives each its log-probability.
Runs in a test's own loop (`async with FaultServer(...)`), or alone: python -m simarena.backends.faultserver
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from aiohttp import web

from simarena.records import JSON
from simarena.seeds import rng

Kind = Literal[
    "", "status", "hang", "cut", "half_body", "malformed", "wrong_schema", "empty_choices", "null_content", "length",
    "refusal", "too_long", "refuse_schema",
]  # fmt: skip
Manner = Literal["vllm", "plain", "openai"]
"""vllm: offers its extras; plain: ignores what it does not know; openai: refuses what it does not know."""

BROKEN: dict[str, str] = {
    "malformed": '{"choices": [{"message": {"content": "half',
    "wrong_schema": '{"outputs": ["another protocol"]}',
    "empty_choices": '{"model": "double", "choices": []}',
    "null_content": '{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}',
}
"""Bodies that are whole, under status 200, and no answer."""

EXTRAS = ("return_token_ids", "top_k", "repetition_penalty", "structured_outputs", "prompt_logprobs")
"""Body fields that OpenAI's own servers do not know."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What to do to one request; the default is to answer it."""

    kind: Kind = ""
    delay: float = 0.0
    """Seconds before anything is sent."""
    status: int = 500
    """For kind "status"."""
    headers: tuple[tuple[str, str], ...] = ()
    """For kind "status", e.g. (("Retry-After", "2"),)."""
    message: str = "the server was told to fail"
    code: str = ""


NO_FAULT = Fault()
Plan = Callable[[str, int], Fault]
"""(identity of a request, how often it was seen before) -> what to do."""


def script(*faults: Fault) -> Plan:
    """Each request meets these in turn, and is answered after the last."""
    return lambda _, seen: faults[seen] if seen < len(faults) else NO_FAULT


def storm(seed: int, faults: Sequence[Fault], share: float, most: int = 3) -> Plan:
    """Each sending of each request meets one of `faults` with probability `share`, at most `most` times a request."""

    def plan(identity: str, seen: int) -> Fault:
        draws = rng("storm", seed, identity, seen)
        return draws.choice(faults) if seen < most and draws.random() < share else NO_FAULT

    return plan


def identity_of(body: Mapping[str, JSON]) -> str:
    """The same for one question however it is put: its prompt and model, not the fields around them."""
    told = [body.get(name) for name in ("model", "messages", "prompt", "token_ids")]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def fake_logprob(token: int) -> float:
    """The log-probability of `token` after anything."""
    return -(token % 13 + 1) / 16  # exact in binary: sums can be compared with ==


class FaultServer:
    """The server; `url` is set once it has started, on a free port."""

    def __init__(
        self,
        reply: Callable[[Mapping[str, JSON]], str] = lambda body: "ok",
        plan: Plan | None = None,
        *,
        manner: Manner = "vllm",
        refuses: tuple[str, ...] = (),
        key: str = "",
        capacity: int = 0,
    ) -> None:
        self.reply, self.plan, self.manner = reply, plan or script(), manner
        self.refuses = refuses + (EXTRAS if manner == "openai" else ())
        """Body fields that it answers with a 400 naming them."""
        self.key = key
        """The key that it wants; "": none."""
        self.capacity = capacity
        """Requests at once beyond which it answers 429; 0: any number."""
        self.url = ""
        self.seen: Counter[str] = Counter()
        """Identity -> times it arrived."""
        self.answered: Counter[str] = Counter()
        """Identity -> times it was answered with a 200 that was sent whole and right."""
        self.met: Counter[str] = Counter()
        """Kind of fault -> times it was committed."""
        self.bodies: list[dict[str, JSON]] = []
        self.keep_bodies = True
        self.in_flight = self.peak = 0
        self._runner: web.AppRunner | None = None
        self._stopping = asyncio.Event()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._serve)
        app.router.add_post("/v1/completions", self._serve)
        app.router.add_post("/tokenize", self._serve)
        app.router.add_post("/inference/v1/generate", self._serve)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, backlog=2048)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            body = json.loads(await request.read())
            return await self._answer(request, body)
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.Request, body: dict[str, JSON]) -> web.StreamResponse:
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            sent = request.headers.get("Authorization", "")  # repeated, as careless servers do
            return _error(401, f"Incorrect API key provided: {sent}", code="invalid_api_key")
        if self.capacity and self.in_flight > self.capacity:
            self.met["capacity"] += 1
            return _error(429, "too many requests at once")
        identity = identity_of(body)
        fault = self.plan(identity, self.seen[identity])
        self.seen[identity] += 1
        if self.keep_bodies:
            self.bodies.append(body)
        if fault != NO_FAULT:
            self.met[f"{fault.kind}{fault.status if fault.kind == 'status' else ''}" or "delay"] += 1
            failed = await self._commit(request, body, fault)
            if failed is not None:
                return failed
        response = self._respond(request.path, body, fault)
        if response.status == 200:
            self.answered[identity] += 1
        return response

    async def _commit(self, request: web.Request, body: dict[str, JSON], fault: Fault) -> web.StreamResponse | None:
        """What `fault` makes of the request; None: an answer after all."""
        if fault.delay:
            await self._pause(fault.delay)
        if fault.kind in BROKEN:
            return web.Response(text=BROKEN[fault.kind], content_type="application/json")
        match fault.kind:
            case "status":
                return _error(fault.status, fault.message, code=fault.code, headers=dict(fault.headers))
            case "hang":
                await self._pause(None)
                return _error(503, "the server stops")
            case "cut":
                _hang_up(request)
                return web.Response()
            case "half_body":
                return await self._half(request, body)
            case "too_long":
                words = "This model's maximum context length is 8 tokens. Please reduce the length of the messages."
                return _error(400, words, code="context_length_exceeded")
            case "refuse_schema" if "response_format" in body or "structured_outputs" in body:
                return _error(400, "response_format of type json_schema is not supported", param="response_format")
        return None

    async def _pause(self, seconds: float | None) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _half(self, request: web.Request, body: dict[str, JSON]) -> web.StreamResponse:
        whole = json.dumps(chat_answer(body, self.reply(body), self.manner)).encode()
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(whole)
        await response.prepare(request)
        await response.write(whole[: len(whole) // 2])
        _hang_up(request)
        return response

    def _respond(self, path: str, body: dict[str, JSON], fault: Fault) -> web.Response:
        if unknown := [name for name in self.refuses if name in body]:
            return _error(400, f"Unrecognized request arguments supplied: {', '.join(unknown)}")
        if path == "/tokenize":
            return web.json_response({"tokens": tokens_of(body)}) if self.manner == "vllm" else _error(404, "Not Found")
        if path == "/inference/v1/generate":
            return web.json_response(cached_answer(body)) if self.manner == "vllm" else _error(404, "Not Found")
        if path == "/v1/completions":
            return web.json_response(score_answer(body, self.manner))
        finish = fault.kind if fault.kind in ("length", "refusal") else "stop"
        return web.json_response(chat_answer(body, self.reply(body), self.manner, finish))


def chat_answer(body: Mapping[str, JSON], text: str, manner: Manner, finish: str = "stop") -> dict[str, JSON]:
    """A whole answer of /chat/completions."""
    ids = list(text.encode())
    message: dict[str, JSON] = {"role": "assistant", "content": text}
    if finish == "refusal":
        message, finish = {"role": "assistant", "content": None, "refusal": "I will not say that."}, "stop"
    choice: dict[str, JSON] = {"index": 0, "message": message, "finish_reason": finish}
    prompt = sum(len(str(part.get("content"))) for part in body["messages"])
    answer: dict[str, JSON] = {"id": "c", "object": "chat.completion", "model": body["model"], "choices": [choice]}
    answer["usage"] = {"prompt_tokens": prompt, "completion_tokens": len(ids)}
    if manner == "vllm":
        answer["usage"]["prompt_tokens_details"] = {"cached_tokens": prompt // 2}
        if body.get("return_token_ids"):
            choice["token_ids"], answer["prompt_token_ids"] = ids, tokens_of(body)
    if body.get("logprobs") and manner != "plain":
        choice["logprobs"] = {"content": [{"token": chr(t), "logprob": fake_logprob(t)} for t in ids]}
    return answer


def tokens_of(body: Mapping[str, JSON]) -> list[int]:
    """An answer of /tokenize: the bytes of a text, or of a chat rendered in the plainest way."""
    if "messages" not in body:
        return list(str(body["prompt"]).encode())
    return list("".join(f"[{part['role']}]{part['content']}" for part in body["messages"]).encode() + b"[assistant]")


def cached_answer(body: Mapping[str, JSON]) -> dict[str, JSON]:
    """An answer of /inference/v1/generate: 16 tokens come from the cache, and what is said of them is void."""
    ids = body["token_ids"]
    known = min(16, len(ids) - 1)
    void = {"-7": {"logprob": 1e-41, "rank": 0}}
    listed = [None, *(void for _ in ids[1:known]), *({str(t): {"logprob": fake_logprob(t)}} for t in ids[known:])]
    usage = {"prompt_tokens": len(ids), "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": known}}
    return {"model": body["model"], "prompt_logprobs": listed, "usage": usage}


def score_answer(body: Mapping[str, JSON], manner: Manner) -> dict[str, JSON]:
    """A whole answer of /completions with the log-probabilities of its prompts, as far as it offers them."""
    choices = []
    for index, ids in enumerate(body["prompt"]):
        choice: dict[str, JSON] = {"index": index, "text": "", "finish_reason": "length"}
        if manner == "vllm" and body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = [None, *({str(t): {"logprob": fake_logprob(t), "rank": 1}} for t in ids[1:])]
        elif manner == "vllm" and body.get("echo"):
            choice["logprobs"] = {"token_logprobs": [None, *map(fake_logprob, ids[1:]), -1.0]}
        choices.append(choice)
    return {"model": body["model"], "choices": choices}


def _error(
    status: int, message: str, *, code: str = "", param: str = "", headers: Mapping[str, str] | None = None
) -> web.Response:
    error = {"message": message, "type": "error", "code": code or status, "param": param or None}
    return web.json_response({"error": error}, status=status, headers=headers)


def _hang_up(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _serve_alone() -> None:
    server = FaultServer()
    server.keep_bodies = False
    async with server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the parent closes the pipe


if __name__ == "__main__":
    asyncio.run(_serve_alone())
