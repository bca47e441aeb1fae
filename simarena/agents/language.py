"""A language model in a seat: prompt, ask, read, one repair, declared default."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from simarena import seeds
from simarena.agents import prompt
from simarena.agents.base import Ask
from simarena.records import Action, Completion, Event, Message, Reading, Request, Sampling, Score, View

TOO_LONG = "the prompt is longer than the model can read"


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageAgent:
    """A model, an adapter, a persona and the way it is asked."""

    name: str
    backend: str
    model: str
    adapter: str | None = None
    persona: str = ""
    schema_style: prompt.SchemaStyle = "full"
    """How the reply's form is shown in the prompt."""
    structured: bool = True
    """Hand the JSON Schema to the backend, which holds the model to it where it can."""
    repairs: int = 1
    """How often an unusable reply is asked for again."""
    sampling: Sampling = field(default_factory=Sampling)

    def sit(self, seat: str, key: str, seed: int) -> LanguageSitting:
        """A fresh sitting."""
        return LanguageSitting(self, seat, key, seed)


@dataclass(slots=True)
class LanguageSitting:
    """A conversation that only grows: each prompt extends the last one by its reply and what happened since."""

    agent: LanguageAgent
    seat: str
    key: str
    seed: int
    messages: list[Message] = field(default_factory=list)
    unread: tuple[Event, ...] = ()
    """Shown in positions that were weighed, which leave no trace in the conversation; the next turn tells them."""
    asked: int = 0

    async def act(self, view: View, ask: Ask) -> Action:
        """Take a turn; a probe leaves no trace in the conversation."""
        if view.score is not None:
            return await self._weigh(view, view.score, ask)
        messages = self._extended(view)
        for attempt in range(self.agent.repairs + 1):
            completion = await ask(self._request(messages, schema=view.schema))
            messages = [*messages, Message("assistant", completion.text, completion.ids)]
            found = self._read(view, completion)
            if found.fields is not None or completion.finish in ("too_long", "refusal"):
                break
            if attempt < self.agent.repairs:
                messages = [*messages, prompt.repair(found.error)]
        if not view.probe:
            self.messages, self.unread = messages, ()
        outcome = "repaired" if found.fields is not None and attempt else found.outcome
        return Action(found.fields, outcome, found.error)

    def _extended(self, view: View) -> list[Message]:
        style = self.agent.schema_style
        if self.unread:
            view = replace(view, events=self.unread + view.events)
        if not self.messages:
            return prompt.opening(view, self.agent.persona, style)
        return [*self.messages, prompt.turn(view, style)]

    def _request(self, messages: list[Message], **rest: Any) -> Request:
        n, self.asked = self.asked, self.asked + 1
        schema = rest.pop("schema", None)
        return Request(
            key=f"{self.key}/{n}",
            agent=self.agent.name,
            model=self.agent.model,
            adapter=self.agent.adapter,
            messages=tuple(messages),
            sampling=self.agent.sampling,
            seed=seeds.derive(self.seed, self.seat, n),
            schema=schema if self.agent.structured else None,
            **rest,
        )

    @staticmethod
    def _read(view: View, completion: Completion) -> Reading:
        """What the reply says; a reply cut by a length limit that cannot be read is `truncated`."""
        if completion.finish == "too_long":
            return Reading(None, "truncated", TOO_LONG)
        if completion.finish == "refusal":
            return Reading(None, "malformed", "the model refused to answer")
        found = view.read(completion.text)
        if found.fields is None and completion.finish == "length":
            return Reading(None, "truncated", "the reply was cut at its length limit; write less")
        return found

    async def _weigh(self, view: View, score: Score, ask: Ask) -> Action:
        """Log-probabilities of given replies, at this seat's own position or at one described by `score.view`."""
        messages = (
            self._extended(view)
            if score.view is None
            else prompt.opening(score.view, self.agent.persona, self.agent.schema_style)
        )
        if not view.probe:
            self.unread += view.events
        completion = await ask(self._request(messages, score=score.continuations))
        if completion.finish == "too_long":
            return Action(None, "truncated", TOO_LONG)
        logprobs, tokens = [s for s, _ in completion.scores], [n for _, n in completion.scores]
        if len(logprobs) != len(score.continuations):
            return Action(None, "malformed", "the backend gave no log-probabilities")
        return Action({"logprobs": logprobs, "tokens": tokens})
