"""Requests on vLLM in this process: all live matches, judges included, share one continuous batch.

In: requests. Out: completions with the very token ids and their log-probabilities. `engine_thread` owns the engine and
`vllm` starts it; this file says what it is asked, how its outputs are read, and how it gets new weights.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from simarena import seeds
from simarena.backends.base import DIGITS
from simarena.backends.concurrency import gathered
from simarena.backends.engine_meter import EngineReport
from simarena.backends.engine_thread import Call, EngineThread, Part, Refused
from simarena.backends.openai_wire import close
from simarena.backends.template import ChatTemplate
from simarena.backends.vllm import Plan, lora, repacked
from simarena.backends.vllm_check import Adapter, Base, check_adapter, check_base, highest_rank, write_zero_adapter
from simarena.backends.vllm_options import VLLMOptions, on_processor, prepare
from simarena.errors import BackendError, RequestFailed, SimArenaError
from simarena.records import JSON, Completion, Request, Sampling, Usage

NEVER = -1e9
"""Added to the logit of a token that no reply may hold."""


class VLLMBackend:
    """Answers requests from one base checkpoint and any number of its LoRA adapters."""

    def __init__(self, model: str, adapters: Sequence[str] = (), **options: Any) -> None:
        """`model`: a checkpoint's folder; `adapters`: folders of adapters that requests will name; more can come later.

        Raises MissingExtra, MissingModel (a folder that vLLM cannot load) or BackendError (the engine does not start).
        """
        self.options = VLLMOptions(**options)
        prepare(self.options)
        self.base: Base = check_base(model)
        found = {where: check_adapter(where, self.base, self.options.max_lora_rank) for where in adapters}
        self.rank = highest_rank(self.options, list(found.values()))
        self.template = ChatTemplate(self.base.tokenizer, model)
        self.barred = dict.fromkeys(sorted(self.template.markers() - self.base.ends), NEVER)
        self.version = self.base.version
        self._adapters: dict[str, tuple[Adapter, Any]] = {}
        self._numbers = 0
        self._scratch = tempfile.TemporaryDirectory(prefix="simarena-vllm-")
        room = self.options.max_adapters if self.options.max_adapters is not None else len(found)
        self.zero = self._zero() if room and on_processor() else None
        self.room = room + (self.zero is not None)
        self.engines = self._started()
        for where, adapter in found.items():
            self._enter(where, adapter)

    def _started(self) -> list[EngineThread]:
        """The replicas, each with GPUs of its own."""
        engines: list[EngineThread] = []
        try:
            while len(engines) < self.options.replicas:
                engines.append(EngineThread(self._plan(len(engines))))
        except BaseException:
            for engine in engines:
                engine.stop()
            raise
        return engines

    def _plan(self, n: int) -> Plan:
        """What replica `n` is started with."""
        size, count = self.options.tensor_parallel_size, self.options.replicas
        devices = ",".join(str(n * size + i) for i in range(size)) if count > 1 and not on_processor() else ""
        return Plan(
            model=str(self.base.folder.absolute()),
            files=self.base.files,
            options=self.options,
            adapters=self.room,
            rank=self.rank,
            layers=tuple(sorted(self.base.layers)),
            window=self.window,
            width=self.base.width,
            devices=devices,
        )

    @property
    def window(self) -> int:
        """Most tokens of prompt and reply together."""
        return self.options.max_model_len or self.base.window

    # ---- requests ----

    async def generate(self, request: Request) -> Completion:
        """Sample a reply, or score the given continuations. Raises RequestFailed or RunFailed."""
        adapter, version = self._known(request.adapter)
        try:
            prompt = self.template.encode(request.messages)
            rests = [self.template.continuation(text) for text in request.score]
        except SimArenaError as error:
            raise RequestFailed(str(error)) from error
        if len(prompt) + max(map(len, rests), default=0) >= self.window:
            return Completion(
                text="", finish="too_long", prompt_ids=tuple(prompt), usage=Usage(prompt=len(prompt)), version=version
            )
        engine = self.engine(request.key)
        if request.score:
            return await self._score(engine, prompt, rests, adapter, version)
        return await self._reply(engine, prompt, request, adapter, version)

    def engine(self, key: str) -> EngineThread:
        """The replica of a seat: always the same one, so that its prefix cache hits."""
        if len(self.engines) == 1:
            return self.engines[0]
        seat = key.rpartition("/")[0] or key
        return max(self.engines, key=lambda engine: seeds.derive(seat, self.engines.index(engine)))

    async def _reply(
        self, engine: EngineThread, prompt: list[int], request: Request, adapter: Any, version: str
    ) -> Completion:
        params = self._params(prompt, request)
        held = {} if request.schema is None else {"schema": close(request.schema)}
        try:
            output = await self._ask(engine, prompt, params | held, adapter)
        except Refused:
            if not held:
                raise
            held = {}  # a schema beyond the engine costs nobody an answer; the reply is read like any other
            output = await self._ask(engine, prompt, params, adapter)
        found = output.outputs[0]
        ids, sampling = list(found.token_ids), request.sampling
        ended = bool(ids) and ids[-1] in self.base.ends
        whole = self._text(ids[:-1] if ended else ids)
        text = min((whole.partition(stop)[0] for stop in sampling.stop), key=len, default=whole)
        return Completion(
            text=text,
            finish="length" if found.finish_reason == "length" else "stop",
            prompt_ids=tuple(prompt),
            ids=tuple(ids),
            logprobs=tuple(round(value, DIGITS) for value in chosen(found.logprobs, ids)),
            usage=Usage(prompt=len(prompt), cached=output.num_cached_tokens or 0, completion=len(ids)),
            version=version,
            how="guided" if held else "",
        )

    def _params(self, prompt: list[int], request: Request) -> dict[str, Any]:
        sampling: Sampling = request.sampling
        return {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_tokens": min(sampling.max_tokens, self.window - len(prompt)),
            "seed": request.seed,
            "logprobs": 0,
            "stop": list(sampling.stop),
            "stop_token_ids": sorted(self.base.ends),
            "logit_bias": self.barred or None,
            "detokenize": bool(sampling.stop),  # text is made here, once, at the end
        }

    def _text(self, ids: Sequence[int]) -> str:
        decode = self.base.tokenizer.decode
        return str(decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    async def _score(
        self, engine: EngineThread, prompt: list[int], rests: list[list[int]], adapter: Any, version: str
    ) -> Completion:
        """All continuations at once: they share the prompt through the prefix cache."""
        found = await gathered([self._read(engine, prompt, rest, adapter) for rest in rests])
        sent = sum(len(prompt) + len(rest) for rest in rests)
        return Completion(
            text="",
            prompt_ids=tuple(prompt),
            scores=tuple(
                (round(sum(values), DIGITS), len(rest)) for (values, _), rest in zip(found, rests, strict=True)
            ),
            usage=Usage(prompt=sent, cached=sum(cached for _, cached in found)),
            version=version,
        )

    async def logprobs(
        self, prompt: Sequence[int], rest: Sequence[int], adapter: str | None = None
    ) -> tuple[float, ...]:
        """Log-probability of each token of `rest` after `prompt`, in nats: what new weights are checked by."""
        values, _ = await self._read(self.engines[0], list(prompt), list(rest), self._known(adapter)[0])
        return tuple(values)

    async def _read(
        self, engine: EngineThread, prompt: list[int], rest: list[int], adapter: Any
    ) -> tuple[list[float], int]:
        """Log-probabilities of `rest`, and how many tokens were in the prefix cache.

        vLLM gives none of those that it finds in its cache; the prompt's are not needed, so the cache is used, and
        where it reached into `rest` itself (it was read before) the engine is asked again without it.
        """
        if not rest:
            return [], 0
        params = {"max_tokens": 1, "temperature": 0.0, "prompt_logprobs": 0, "detokenize": False}
        output = await self._ask(engine, prompt + rest, params | {"skip_reading_prefix_cache": False}, adapter)
        cached = output.num_cached_tokens or 0
        if cached >= len(prompt):
            output = await self._ask(engine, prompt + rest, params | {"skip_reading_prefix_cache": True}, adapter)
            cached = 0
        return chosen(output.prompt_logprobs, prompt + rest)[len(prompt) :], cached

    async def _ask(self, engine: EngineThread, prompt: list[int], params: dict[str, Any], adapter: Any) -> Any:
        """The engine's output; a wait that is given up is given up in the engine too."""
        loop = asyncio.get_running_loop()
        part = Part(loop.create_future(), loop, prompt=prompt, params=params, adapter=adapter)
        engine.submit(part)
        try:
            return await part.answer
        except asyncio.CancelledError:
            engine.abort(part)
            raise

    # ---- weights ----

    def _known(self, where: str | None) -> tuple[Any, str]:
        """An adapter as the engine wants it, and what answers; None: the base."""
        if where is None:
            return self.zero, self.version
        if where not in self._adapters:
            raise RequestFailed(f"adapter {where} is not loaded beside {self.base.folder}")
        adapter, loaded = self._adapters[where]
        return loaded, f"{self.version}+{adapter.version}"

    def _enter(self, where: str, adapter: Adapter) -> Any:
        self._numbers += 1
        loaded = lora(adapter.version, self._numbers, adapter.folder)
        self._adapters[where] = (adapter, loaded)
        return loaded

    def _zero(self) -> Any:
        self._numbers += 1
        return lora("none", self._numbers, write_zero_adapter(Path(self._scratch.name) / "none", self.base))

    async def add_adapter(self, where: str) -> str:
        """Load one more adapter, or a known folder's new weights; requests may name it from now on. Its version.

        Raises MissingModel where it does not fit, BackendError where the engine was started for no adapters.
        """
        adapter = check_adapter(where, self.base, self.rank)
        known = self._adapters.get(where)
        if known and known[0].version == adapter.version:
            return adapter.version
        if not self.room:
            raise BackendError(f"the engine of {self.base.folder} takes no adapters; set max_adapters in the options")
        loaded = lora(adapter.version, self._numbers + 1, adapter.folder)
        await gathered([self._call(engine, lambda made: made.add_lora(loaded), alone=False) for engine in self.engines])
        self._numbers += 1
        self._adapters[where] = (adapter, loaded)
        return adapter.version

    async def reload(self, where: str) -> str:
        """Take the weights of another checkpoint of the same model, without a restart. Its version.

        What is under way is answered by the old weights first; what comes later waits for the new ones.
        """
        fresh = check_base(where)
        if fresh.kind != self.base.kind:
            raise BackendError(f"{where} has other layers or words than {self.base.folder}; open a backend for it")

        def work(engine: Any) -> None:
            engine.collective_rpc("reload_weights", kwargs={"weights_path": str(fresh.files.absolute())})
            if on_processor():
                engine.apply_model(repacked)
            if not engine.reset_prefix_cache():
                raise BackendError(f"the prefix cache still holds what the old weights of {self.base.folder} read")

        await gathered([self._call(engine, work, alone=True) for engine in self.engines])
        self.base, self.version = fresh, fresh.version
        for n, engine in enumerate(self.engines):  # one that dies starts again with what it has now
            engine.maker = self._plan(n)
        return fresh.version

    def takes(self, where: str) -> bool:
        """Whether `reload` would take the checkpoint in a folder. MissingModel where there is none."""
        return check_base(where).kind == self.base.kind

    async def _call(self, engine: EngineThread, work: Callable[[Any], Any], *, alone: bool) -> Any:
        loop = asyncio.get_running_loop()
        call = Call(loop.create_future(), loop, work=work, alone=alone)
        engine.submit(call)
        return await call.answer

    # ---- the end ----

    def reports(self) -> list[EngineReport]:
        """What each engine did so far."""
        note = "" if self.repeatable else "answers may depend on the batch; deterministic: true makes them repeatable"
        return [engine.meter.report(self._called(n), note) for n, engine in enumerate(self.engines)]

    def timeline(self) -> list[JSON]:
        """Trace events of all engines."""
        return [event for n, each in enumerate(self.engines) for event in each.meter.timeline(self._called(n), n)]

    def _called(self, n: int) -> str:
        return self.version + (f" ({n + 1} of {len(self.engines)})" if len(self.engines) > 1 else "")

    @property
    def repeatable(self) -> bool:
        """Whether an answer is the same in any batch."""
        return on_processor() or self.options.deterministic

    async def aclose(self) -> None:
        """Stop the engines; requests under way fail."""
        await asyncio.gather(*(asyncio.to_thread(engine.stop) for engine in self.engines))
        self._scratch.cleanup()


def chosen(logprobs: Any, ids: Sequence[int]) -> list[float]:
    """The log-probability of each of `ids` in vLLM's flat lists, where it stands first at its position; 0 for none."""
    starts, ends, values = logprobs.start_indices, logprobs.end_indices, logprobs.logprobs
    found = [values[begin] if end > begin else 0.0 for begin, end in zip(starts, ends, strict=True)]
    assert len(found) == len(ids), "vLLM gives a log-probability for every token"
    return found
