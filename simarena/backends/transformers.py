"""Local checkpoints through transformers: all live matches share one running batch, adapters side by side.

One thread owns the model; requests reach it through a queue and are answered on the event loop they came from.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from simarena import seeds, threads
from simarena.backends.base import DIGITS
from simarena.backends.engine_meter import EngineReport, Meter
from simarena.backends.engine_thread import Awaited
from simarena.errors import RequestFailed, RunFailed, SimArenaError
from simarena.records import JSON, Completion, Request, Usage

if TYPE_CHECKING:
    from simarena.backends.running_batch import Row


class TransformersOptions(BaseModel):
    """Options of the backend, as an agent file gives them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field(default="auto", description='"auto" takes a GPU where there is one.')
    dtype: Literal["auto", "float64", "float32", "bfloat16", "float16"] = Field(
        default="float32", description="float64 makes log-probabilities independent of the batch, for exact reruns."
    )
    max_batch: PositiveInt = Field(default=64, description="Most replies in the making at once.")
    prefill_tokens: PositiveInt = Field(default=4096, description="Most tokens, padding included, in one prefill.")
    prefix_mb: NonNegativeInt = Field(
        default=512, description="Memory for what was computed of conversations so far; 0 reads each prompt anew."
    )
    threads: NonNegativeInt = Field(default=0, description="CPU threads; 0: OMP_NUM_THREADS, else as measured.")
    price_prompt: float = Field(default=0.0, ge=0, description="Money per million prompt tokens, for budget.money.")
    price_completion: float = Field(default=0.0, ge=0, description="Money per million completion tokens.")


@dataclass(slots=True, eq=False, kw_only=True)
class Job(Awaited):
    """A request on its way through the engine."""

    request: Request
    prompt: list[int] = field(default_factory=list)
    rests: list[list[int]] = field(default_factory=list)
    """Continuations to score."""
    known: int = 0
    """Tokens of the prompt that were computed before."""

    @property
    def size(self) -> int:
        """Most tokens in a row."""
        return len(self.prompt) + max(map(len, self.rests), default=0)

    @property
    def conversation(self) -> Hashable:
        """What its prompt is the latest state of."""
        return self.request.key.rpartition("/")[0], self.request.adapter


class TransformersBackend:
    """Answers requests from one base checkpoint and any number of its LoRA adapters."""

    def __init__(self, model: str, adapters: Sequence[str] = (), **options: Any) -> None:
        """`model`: a checkpoint's folder; `adapters`: folders of all adapters that requests will name."""
        self.options = TransformersOptions(**options)
        self.engine = Engine(model, adapters, self.options)
        self._thread: threading.Thread | None = None

    async def generate(self, request: Request) -> Completion:
        """Sample a reply, or score the given continuations."""
        if self._thread is None and self.engine.failure is None:
            self._thread = threading.Thread(target=self.engine.run, name="transformers", daemon=True)
            self._thread.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Completion] = loop.create_future()
        self.engine.submit(Job(answer=answer, loop=loop, request=request))
        return await answer

    def reports(self) -> list[EngineReport]:
        """What the engine did so far."""
        return [self.engine.meter.report(self.engine.versions[None])]

    def timeline(self) -> list[JSON]:
        """Its trace events."""
        return self.engine.meter.timeline(self.engine.versions[None])

    async def aclose(self) -> None:
        """Stop the engine's thread; requests under way fail."""
        self.engine.stop()
        if self._thread is None:
            self.engine.run()  # never started: it ends at once, and says so to whoever comes later
        else:
            await asyncio.to_thread(self._thread.join)


class Engine:
    """The model, and the loop that keeps it busy. All methods but `submit` and `stop` belong to its thread."""

    def __init__(self, where: str, adapters: Sequence[str], options: TransformersOptions) -> None:
        from simarena.backends.checkpoint import load
        from simarena.backends.prefixes import Prefixes
        from simarena.backends.running_batch import Reader, RunningBatch
        from simarena.backends.template import ChatTemplate

        self.where, self.options = where, options
        found = load(where, adapters, options.device, options.dtype)
        self.tokenizer, self.versions, self.ends, self.window = (
            found.tokenizer,
            found.versions,
            found.ends,
            found.window,
        )
        self.template = ChatTemplate(self.tokenizer, where)
        self.reader = Reader(found.model, found.pad, found.adapters, self.template.markers() - self.ends)
        self.prefixes = Prefixes(options.prefix_mb << 20 if found.reusable else 0)
        self.batch = RunningBatch(self.reader, self.ends, self._stopped, options.max_batch, self.prefixes.limit > 0)
        self.threads = threads.choose(
            "transformers", options.max_batch, threads.width(found.model), options=options.threads
        )
        self.meter = Meter(options.max_batch)
        self.failure: Exception | None = None
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._jobs: set[Job] = set()

    def submit(self, job: Job) -> None:
        """Queue a job; it fails at once where the engine is gone."""
        self._queue.put(job)
        if self.failure:  # looked at after the job is in the queue, so that none falls between
            job.settle(self.failure)

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
        for job in [*self._jobs, *self._drained(block=False)]:
            if job is not None:
                job.settle(self.failure)

    def _serve(self) -> None:
        self.threads.apply()
        batch, waiting = self.batch, list[Job]()
        while True:
            waits = not batch.rows and not waiting
            jobs = self._drained(block=waits)
            if waits:
                self.meter.woke()
            for job in jobs:
                if job is None:
                    return
                self._jobs.add(job)
                waiting += self._encoded(job)
            waiting = self._step(self._wanted(waiting))

    def _step(self, waiting: list[Job]) -> list[Job]:
        """Score what is to be scored, let others join, and one more token for every row; those that still wait."""
        begin, live = self.meter.clock(), len(self._jobs)
        self._score([job for job in waiting if job.request.score])
        waiting = self._admit([job for job in waiting if not job.request.score])
        for row in self.batch.step() if self.batch.rows else ():
            self._deliver(row)
        if live:
            self.meter.stepped(begin, live)
        return waiting

    def _drained(self, block: bool) -> list[Job | None]:
        jobs = [self._queue.get()] if block else []
        while not self._queue.empty():
            jobs.append(self._queue.get())
        return jobs

    def _encoded(self, job: Job) -> list[Job]:
        """The job with its prompt in tokens; nothing where it is settled already."""
        request = job.request
        try:
            if request.adapter not in self.versions:
                raise RequestFailed(f"adapter {request.adapter} is not loaded beside {self.where}")
            job.prompt = self.template.encode(request.messages)
            job.rests = [self.template.continuation(text) for text in request.score]
        except SimArenaError as error:
            self._settle(job, RequestFailed(str(error)))
            return []
        if job.size + (not job.rests) > self.window:
            self._settle(job, self._completion(job, text="", finish="too_long"))
            return []
        return [job]

    def _wanted(self, waiting: list[Job]) -> list[Job]:
        """Forget the jobs that nobody waits for any more; those of `waiting` that are left."""
        gone = {job for job in self._jobs if job.answer.done()}
        self.batch.drop([row for row in self.batch.rows if row.owner in gone])
        self._jobs -= gone
        return [job for job in waiting if job not in gone]

    def _admit(self, waiting: list[Job]) -> list[Job]:
        """Let those who came first join while there is room, like lengths together; those who are left wait."""
        while waiting and (room := self.options.max_batch - len(self.batch.rows)):
            rows, waiting = [self._row(job) for job in waiting[:room]], waiting[room:]
            for group in packed(rows, [unread(row) for row in rows], self.options.prefill_tokens):
                for row in self.batch.admit(group):
                    self._deliver(row)
        return waiting

    def _row(self, job: Job) -> Row:
        from simarena.backends.running_batch import Row

        sampling, past = job.request.sampling, self.prefixes.find(job.conversation, job.prompt)
        job.known = past[0][0].shape[1] if past else 0
        return Row(
            prompt=job.prompt,
            limit=min(sampling.max_tokens, self.window - len(job.prompt)),
            adapter=job.request.adapter,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            chance=seeds.rng(job.request.seed),
            past=past,
            owner=job,
        )

    def _stopped(self, row: Row) -> bool:
        stops = row.owner.request.sampling.stop
        if not stops:
            return False
        tail = self._text(row.ids[-8 - max(len(stop.encode()) for stop in stops) :])
        return any(stop in tail for stop in stops)

    def _text(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _deliver(self, row: Row) -> None:
        job: Job = row.owner
        if row.past is not None:
            self.prefixes.keep(job.conversation, [*row.prompt, *row.ids[:-1]], row.past)
        ended = row.ids[-1] in self.ends
        whole = self._text(row.ids[:-1] if ended else row.ids)
        text = min((whole.partition(stop)[0] for stop in job.request.sampling.stop), key=len, default=whole)
        completion = self._completion(
            job,
            text=text,
            finish="stop" if ended or text != whole or self._stopped(row) else "length",
            ids=tuple(row.ids),
            logprobs=tuple(round(x, DIGITS) for x in row.logprobs),
        )
        self._settle(job, completion)

    def _score(self, jobs: list[Job]) -> None:
        """Answer scoring jobs, many rows to a forward."""
        for group in packed(jobs, [job.size * len(job.rests) for job in jobs], self.options.prefill_tokens):
            sums = self.reader.score([self._row(job) for job in group], [job.rests for job in group])
            for job, totals in zip(group, sums, strict=True):
                lengths = map(len, job.rests)
                scores = tuple((round(total, DIGITS), n) for total, n in zip(totals, lengths, strict=True))
                self._settle(job, self._completion(job, text="", scores=scores))

    def _completion(self, job: Job, **rest: Any) -> Completion:
        usage = Usage(prompt=len(job.prompt) + sum(map(len, job.rests)), completion=len(rest.get("ids", ())))
        if rest.get("finish") != "too_long":
            self.meter.answered(usage.prompt, job.known, usage.completion)
        return Completion(
            prompt_ids=tuple(job.prompt),
            usage=usage,
            version=self.versions[job.request.adapter],
            **rest,
        )

    def _settle(self, job: Job, result: Completion | Exception) -> None:
        self._jobs.discard(job)
        job.settle(result)


Packed = TypeVar("Packed")


def packed(items: Sequence[Packed], sizes: Sequence[int], limit: int) -> Iterator[list[Packed]]:
    """`items` in groups of like sizes, longest first; a group padded to its longest holds `limit` tokens at most."""
    order = sorted(range(len(items)), key=lambda place: -sizes[place])
    while order:
        room = max(1, limit // max(1, sizes[order[0]]))
        yield [items[place] for place in order[:room]]
        order = order[room:]


def unread(row: Row) -> int:
    """Tokens of a row's prompt that nothing is known of yet."""
    return len(row.prompt) - (row.past[0][0].shape[1] if row.past else 0)


def explained(error: Exception) -> str:
    """An engine's failure with the next move, where there is one."""
    if "out of memory" in str(error).lower() or isinstance(error, MemoryError):
        return f"{str(error) or 'out of memory'}; lower max_batch, prefill_tokens or prefix_mb in the agent's options"
    return str(error) or type(error).__name__
