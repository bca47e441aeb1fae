"""Local checkpoints through transformers: all live matches share one running batch, adapters side by side.

One thread owns the model; requests reach it through a queue and are answered on the event loop they came from.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from simarena.errors import RequestFailed, RunFailed
from simarena.records import Completion, Request, Usage

if TYPE_CHECKING:
    from simarena.backends.running_batch import Row, RunningBatch


class TransformersOptions(BaseModel):
    """Options of the backend, as an agent file gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(default="auto", description='"auto" takes a GPU where there is one.')
    dtype: Literal["auto", "float64", "float32", "bfloat16", "float16"] = Field(
        default="float32", description="float64 makes log-probabilities independent of the batch, for exact reruns."
    )
    max_batch: PositiveInt = Field(default=64, description="Most replies in the making at once.")
    prefill_tokens: PositiveInt = Field(default=16384, description="Most tokens, padding included, in one prefill.")
    threads: NonNegativeInt = Field(default=0, description="CPU threads of torch; 0 leaves torch's own choice.")


@dataclass(slots=True)
class Job:
    """A request on its way through the engine."""

    request: Request
    answer: asyncio.Future[Completion]
    loop: asyncio.AbstractEventLoop
    prompt: list[int]

    def settle(self, result: Completion | Exception) -> None:
        """Hand the result to whoever waits for it, on its own loop; nobody may wait any more."""
        self.loop.call_soon_threadsafe(self._set, result)

    def _set(self, result: Completion | Exception) -> None:
        if self.answer.done():
            return
        if isinstance(result, Exception):
            self.answer.set_exception(result)
        else:
            self.answer.set_result(result)


class TransformersBackend:
    """Answers requests from one base checkpoint and any number of its LoRA adapters."""

    def __init__(self, model: str, adapters: Sequence[str] = (), **options: Any) -> None:
        """`model`: a checkpoint's folder; `adapters`: folders of all adapters that requests will name."""
        self.options = TransformersOptions(**options)
        self.engine = Engine(model, adapters, self.options)
        self._thread: threading.Thread | None = None

    async def generate(self, request: Request) -> Completion:
        """Sample a reply, or score the given continuations."""
        if self._thread is None:
            self._thread = threading.Thread(target=self.engine.run, name="transformers", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Completion] = loop.create_future()
        self.engine.submit(Job(request, answer, loop, []))
        return await answer

    async def aclose(self) -> None:
        """Stop the engine's thread; requests under way fail."""
        self.engine.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
            self._thread = None


class Engine:
    """The model, and the loop that keeps it busy. All methods but `submit` and `stop` belong to its thread."""

    def __init__(self, where: str, adapters: Sequence[str], options: TransformersOptions) -> None:
        from simarena.backends.checkpoint import end_tokens, load
        from simarena.backends.template import ChatTemplate

        self.where, self.options = where, options
        self.names: dict[str, str] = {path: f"adapter_{i}" for i, path in enumerate(dict.fromkeys(adapters))}
        self.model, self.tokenizer, self.versions = load(where, self.names, options.device, options.dtype)
        self.template = ChatTemplate(self.tokenizer, where)
        self.ends = end_tokens(self.model, self.tokenizer)
        self.pad = self.tokenizer.pad_token_id or 0
        self.window = int(getattr(self.model.config, "max_position_embeddings", 1 << 20))
        self.failure: Exception | None = None
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: dict[int, Job] = {}

    def submit(self, job: Job) -> None:
        """Queue a job; it fails at once where the engine is gone."""
        if self.failure:
            job.settle(self.failure)
        else:
            self._queue.put(job)

    def stop(self) -> None:
        """End the loop after the present step."""
        self._queue.put(None)

    def run(self) -> None:
        """Serve until stopped; whatever breaks the engine is told to everybody who waits."""
        try:
            self._serve()
            self.failure = RunFailed(f"the transformers backend of {self.where} was closed")
        except Exception as error:
            self.failure = RunFailed(f"the transformers backend of {self.where} failed: {explained(error)}")
        for job in [*self._jobs.values(), *self._drained(block=False)]:
            if job is not None:
                job.settle(self.failure)

    def _serve(self) -> None:
        import torch

        from simarena.backends.running_batch import RunningBatch

        if self.options.threads:
            torch.set_num_threads(self.options.threads)
        batch = RunningBatch(self.model, self.pad, self.ends, self._stopped)
        waiting: list[Job] = []
        while True:
            for job in self._drained(block=not batch.rows and not waiting):
                if job is None:
                    return
                self._jobs[id(job)] = job
                waiting += self._encoded(job)
            self._score([job for job in waiting if job.request.score])
            waiting = self._admit(batch, [job for job in waiting if not job.request.score])
            for row in batch.step() if batch.rows else ():
                self._deliver(row)

    def _drained(self, block: bool) -> list[Job | None]:
        jobs = [self._queue.get()] if block else []
        while not self._queue.empty():
            jobs.append(self._queue.get())
        return jobs

    def _encoded(self, job: Job) -> list[Job]:
        """The job with its prompt in tokens; nothing where it is settled already."""
        request = job.request
        if request.adapter is not None and request.adapter not in self.names:
            self._settle(job, RequestFailed(f"adapter {request.adapter} is not loaded beside {self.where}"))
            return []
        job.prompt = self.template.encode(request.messages)
        if len(job.prompt) >= self.window:
            usage = Usage(prompt=len(job.prompt))
            self._settle(job, Completion(text="", finish="too_long", usage=usage, version=self._version(request)))
            return []
        return [job]

    def _admit(self, batch: RunningBatch, waiting: list[Job]) -> list[Job]:
        """Prefill what fits, longest first so that little is padding; what is left waits."""
        waiting = sorted(waiting, key=lambda job: -len(job.prompt))
        while waiting and len(batch.rows) < self.options.max_batch:
            width = len(waiting[0].prompt)
            room = min(self.options.max_batch - len(batch.rows), max(1, self.options.prefill_tokens // width))
            group, waiting = waiting[:room], waiting[room:]
            for row in batch.admit([self._row(job) for job in group]):
                self._deliver(row)
        return waiting

    def _row(self, job: Job) -> Row:
        import torch

        from simarena.backends.running_batch import BASE, Row

        sampling = job.request.sampling
        return Row(
            prompt=job.prompt,
            adapter=self.names[job.request.adapter] if job.request.adapter else BASE,
            limit=min(sampling.max_tokens, self.window - len(job.prompt)),
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            generator=torch.Generator().manual_seed(job.request.seed),
            owner=job,
        )

    def _stopped(self, row: Row) -> bool:
        stops = row.owner.request.sampling.stop
        return bool(stops) and any(stop in self._text(row.ids[-64:]) for stop in stops)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _deliver(self, row: Row) -> None:
        job, ended = row.owner, row.ids[-1] in self.ends
        text, stopped = self._text(row.ids[:-1] if ended else row.ids), False
        for stop in job.request.sampling.stop:
            head, found, _ = text.partition(stop)
            text, stopped = head, stopped or bool(found)
        completion = Completion(
            text=text,
            finish="stop" if ended or stopped else "length",
            prompt_ids=tuple(row.prompt),
            ids=tuple(row.ids),
            logprobs=tuple(round(x, 6) for x in row.logprobs),
            usage=Usage(prompt=len(row.prompt), completion=len(row.ids)),
            version=self._version(job.request),
        )
        self._settle(job, completion)

    def _score(self, jobs: list[Job]) -> None:
        """Answer scoring jobs, many rows to a forward."""
        from simarena.backends.running_batch import BASE, score

        rows = [(job, self.template.continuation(text)) for job in jobs for text in job.request.score]
        rows.sort(key=lambda row: -len(row[0].prompt) - len(row[1]))
        found: dict[tuple[int, tuple[int, ...]], float] = {}
        while rows:
            width = len(rows[0][0].prompt) + len(rows[0][1])
            room = max(1, self.options.prefill_tokens // width)
            group, rows = rows[:room], rows[room:]
            adapters = [self.names[job.request.adapter] if job.request.adapter else BASE for job, _ in group]
            sums = score(self.model, self.pad, [(job.prompt, rest) for job, rest in group], adapters)
            found |= {(id(job), tuple(rest)): total for (job, rest), total in zip(group, sums, strict=True)}
        for job in jobs:
            self._settle(job, self._scored(job, found))

    def _scored(self, job: Job, found: dict[tuple[int, tuple[int, ...]], float]) -> Completion:
        rests = [tuple(self.template.continuation(text)) for text in job.request.score]
        return Completion(
            text="",
            prompt_ids=tuple(job.prompt),
            scores=tuple((round(found[id(job), rest], 6), len(rest)) for rest in rests),
            usage=Usage(prompt=sum(len(job.prompt) + len(rest) for rest in rests)),
            version=self._version(job.request),
        )

    def _version(self, request: Request) -> str:
        return self.versions[request.adapter]

    def _settle(self, job: Job, result: Completion | Exception) -> None:
        self._jobs.pop(id(job), None)
        job.settle(result)


def explained(error: Exception) -> str:
    """An engine's failure with the next move, where there is one."""
    if "out of memory" in str(error).lower():
        return f"{error}; lower max_batch or prefill_tokens in the agent's options"
    return str(error) or type(error).__name__
