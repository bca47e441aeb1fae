"""Names and descriptions to agents: who they are, what they stand for, and the backends that answer them.

In: roster entries. Out: a Cast. An agent is identified by the content of its file and of its weights, so that two
agents of one name never share a match. Backends are opened when a run begins and only for agents that sit in it; agents
of one base model, or of one endpoint, with the same options but for prices share one. Knows no scenario, match or run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from simarena.agents.base import Agent, ScriptedAgent
from simarena.agents.members import Entry, Member, Spec, member
from simarena.agents.spec import LanguageSpec, ScriptedSpec
from simarena.backends.base import Backend
from simarena.backends.checkpoint import checked_folder, digest
from simarena.backends.openai_options import OpenAIOptions, Secrets
from simarena.backends.scripted import ScriptedBackend
from simarena.backends.vllm_options import WITHOUT_GPU
from simarena.errors import MissingExtra, MissingModel, ScenarioError
from simarena.identity import content_hash
from simarena.ledger import Price
from simarena.records import JSON, Request
from simarena.registry import BACKENDS, lookup

COUNTED: dict[str, frozenset[str]] = {
    "transformers": frozenset({"dtype"}),
    "openai": frozenset({"base_url", "base_urls", "structured", "omit", "extra"}),
    "vllm": frozenset({"dtype", "max_model_len", "deterministic"}),
}
"""Backend options that may change an answer; the others (patience, speed, prices) may change while a run goes on."""

EXTRAS = {"transformers": "transformers", "openai": "http", "vllm": "vllm"}
MODULES = {
    "transformers": ("torch", "transformers", "safetensors", "jinja2", "peft"),
    "http": ("aiohttp", "tenacity"),
    "vllm": ("vllm", "transformers", "safetensors", "jinja2"),
}
"""Extra -> modules that it brings and its backend needs."""

LOCAL = ("transformers", "vllm")
"""Backends that load folders."""


# ---- paths and identities --------------------------------------------------------------------------------------------


def located(who: Member, value: str, what: str, config: str) -> str:
    """The folder that a local model's or adapter's name stands for, looked for beside the agent's file, then here."""
    candidates = list(dict.fromkeys([Path(who.folder) / value, Path(value)]))
    for folder in candidates:
        if (folder / config).is_file():
            checked_folder(str(folder), config)
            return nearest(folder)
    looked = ", ".join(str(folder.absolute()) for folder in candidates)
    raise MissingModel(
        f"agent {who.name}: no {what} {value!r} (a folder with {config}; looked for {looked}); {remedy(value)}"
    )


def nearest(folder: Path) -> str:
    """A path as seen from here where it lies below, so that records do not depend on where "here" is."""
    whole = Path(os.path.normpath(folder.absolute()))  # however it was written, so that it is known again
    with contextlib.suppress(ValueError):
        return str(whole.relative_to(Path.cwd()))
    return str(whole)


def remedy(value: str) -> str:
    """The command that would bring a missing model."""
    if value.startswith(("nano/", "agents/nano/")):
        return "make the shipped ones again with: make nano"
    if value.count("/") == 1 and not value.startswith((".", "/", "models/")):
        return f"fetch it with: hf download {value} --local-dir {value}"
    return "put it there or correct the path in the agent's file"


@dataclass(frozen=True, slots=True)
class Role:
    """An agent with its files found."""

    member: Member
    identity: str
    """Hash of what it is."""
    backend: str
    """Key of the backend that answers it."""
    model: str = ""
    adapter: str | None = None
    options: dict[str, JSON] = field(default_factory=dict)

    @property
    def price(self) -> Price:
        """What its tokens cost."""
        given = {key: float(self.options.get(f"price_{key}", 0.0)) for key in ("prompt", "completion")}
        return Price(**given)

    def agent(self) -> Agent:
        """The agent itself."""
        spec, name = self.member.spec, self.member.name
        if isinstance(spec, LanguageSpec):
            return spec.build(name, self.backend, self.model, self.adapter)
        try:
            return spec.build(name)
        except ValidationError as error:
            lines = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_url=False))
            raise ScenarioError(f"agent {name}: {spec.policy} does not take these parameters: {lines}") from error


def role(who: Member) -> Role:
    """Find an agent's files and name its backend. MissingModel where they are not there."""
    spec = who.spec
    if isinstance(spec, ScriptedSpec):
        return Role(who, content_hash(spec.model_dump(mode="json", exclude={"name"})), "scripted")
    options = dict(spec.options)
    content = spec.model_dump(mode="json", exclude={"name", "options"})
    content["options"] = {key: value for key, value in options.items() if key in COUNTED[spec.backend]}
    model, adapter, shared = spec.model, spec.adapter, ""
    if spec.backend in LOCAL:
        model = shared = located(who, spec.model, "checkpoint", "config.json")
        content["model"] = digest(Path(model))
        if spec.adapter is not None:
            adapter = located(who, spec.adapter, "adapter", "adapter_config.json")
            content["adapter"] = digest(Path(adapter))
    priceless = {name: value for name, value in options.items() if not name.startswith("price_")}
    key = f"{spec.backend}/{content_hash(priceless, 8)}/{content_hash(shared, 8)}"
    return Role(who, content_hash(content), key, model, adapter, options)


# ---- engines that outlive a cast -----------------------------------------------------------------------------------


class Growing(Backend, Protocol):
    """A backend that takes new weights while it runs."""

    async def add_adapter(self, where: str) -> str:
        """Load the adapter in a folder; its version."""
        ...

    async def reload(self, where: str) -> str:
        """Take the weights of a checkpoint in place of its own; their version."""
        ...

    def takes(self, where: str) -> bool:
        """Whether it can."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Engines by the key of what they have loaded, the last used last, and the keys that open casts play with."""

    engines: dict[str, Growing] = field(default_factory=dict)
    busy: Counter[str] = field(default_factory=Counter)


KEPT: ContextVar[Kept | None] = ContextVar("KEPT", default=None)
ROOM = 8
"""Adapters that a kept engine has room for in one batch, at least: there will be more than there are now."""


@contextlib.contextmanager
def engines_kept() -> Iterator[None]:
    """Within the block, vLLM's engines stay open from one cast to the next, which brings its weights to them."""
    kept = Kept()
    token = KEPT.set(kept)
    try:
        yield
    finally:
        KEPT.reset(token)
        for backend in kept.engines.values():
            asyncio.run(backend.aclose())


# ---- the cast --------------------------------------------------------------------------------------------------------


class Cast:
    """Everyone who may sit in a run, by name."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.roles: dict[str, Role] = {}
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> str:
        """Enter an agent; returns its name. ScenarioError where another agent has it."""
        return self.enter(member(entry))

    def enter(self, who: Member) -> str:
        """Like `add`, for one that is known."""
        found, known = role(who), self.roles.get(who.name)
        if known is None:
            self.roles[who.name] = found
        elif known.identity != found.identity:
            raise ScenarioError(f"two different agents are called {who.name!r}; give each a name of its own")
        return who.name

    @property
    def loads(self) -> bool:
        """Whether weights are to be read before anybody can play."""
        return any(each.backend.startswith(LOCAL) for each in self.roles.values())

    def agents(self) -> dict[str, Agent]:
        """Name -> agent."""
        return {name: each.agent() for name, each in self.roles.items()}

    def identities(self) -> dict[str, str]:
        """Name -> hash of what the name stands for."""
        return {name: each.identity for name, each in self.roles.items()}

    def prices(self) -> dict[str, Price]:
        """Name -> price, of those whose answers cost money."""
        return {name: each.price for name, each in self.roles.items() if each.price != Price()}

    def described(self) -> dict[str, JSON]:
        """Name -> what it takes to cast it again, as JSON."""
        return {
            name: {
                "identity": each.identity,
                "folder": each.member.folder,
                "spec": each.member.spec.model_dump(mode="json"),
            }
            for name, each in self.roles.items()
        }

    def check(self) -> None:
        """Look for what opening the backends would miss: extras and keys. MissingExtra, MissingModel."""
        for each in self.roles.values():
            spec = each.member.spec
            if isinstance(spec, ScriptedSpec):
                continue
            extra = EXTRAS[spec.backend]
            if any(importlib.util.find_spec(module) is None for module in MODULES[extra]):
                more = WITHOUT_GPU if extra == "vllm" else ""
                raise MissingExtra(f"agent {each.member.name} (backend {spec.backend})", extra, more)
            if spec.backend == "openai":
                Secrets(OpenAIOptions(**each.options))

    @contextlib.asynccontextmanager
    async def backends(self, agents: Mapping[str, Agent]) -> AsyncIterator[dict[str, Backend]]:
        """Open a backend for every key that agents name; all are closed at the end."""
        opened: dict[str, Backend] = {}
        try:
            for key in dict.fromkeys(each.backend for each in self.roles.values()):
                opened[key] = scripted(agents) if key == "scripted" else await self._kept(key) or self._open(key)
            yield opened
        finally:
            kept = KEPT.get() or Kept()
            for key, backend in opened.items():
                if key in kept.engines:
                    kept.busy[key] -= 1
                else:
                    await backend.aclose()

    async def _kept(self, key: str) -> Backend | None:
        """An engine that stays open, with the adapters of this cast; None where engines are not kept."""
        kept = KEPT.get()
        if kept is None or not key.startswith("vllm/"):
            return None
        found = kept.engines.pop(key, None) or await self._taken_over(key, kept)
        engine: Growing = found or self._open(key, ROOM)  # type: ignore[assignment] # vLLM grows
        kept.engines[key] = engine
        for adapter in self._adapters(key):
            await engine.add_adapter(adapter)
        kept.busy[key] += 1
        return engine

    async def _taken_over(self, key: str, kept: Kept) -> Growing | None:
        """The engine of a model that nobody plays now, with the weights of `key`: else each trained version of a whole
        model would start one more."""
        mine = {each.backend: each.model for each in self.roles.values()}
        alike = [each for each in kept.engines if each.rpartition("/")[0] == key.rpartition("/")[0]]
        for other in alike:
            if other not in mine and not kept.busy[other] and kept.engines[other].takes(mine[key]):
                await kept.engines[other].reload(mine[key])
                return kept.engines.pop(other)
        return None

    def _adapters(self, key: str) -> list[str]:
        return list(dict.fromkeys(r.adapter for r in self.roles.values() if r.backend == key and r.adapter is not None))

    def _open(self, key: str, room: int = 0) -> Backend:
        """The backend of all roles that share `key`; `room`: adapters that vLLM is to have room for, at least."""
        sharing = [each for each in self.roles.values() if each.backend == key]
        kind = lookup(BACKENDS, "backend", key.partition("/")[0])
        if key.startswith("openai/"):
            made: Backend = kind(**sharing[0].options)
        else:
            adapters, options = self._adapters(key), sharing[0].options
            more = {"max_adapters": max(room, len(adapters))} if room and "max_adapters" not in options else {}
            made = kind(sharing[0].model, adapters=adapters, **options, **more)
        return made


def described_member(name: str, data: Mapping[str, JSON]) -> Member:
    """The member that `Cast.described` wrote down."""
    spec = data["spec"]
    kind: type[Spec] = ScriptedSpec if spec["backend"] == "scripted" else LanguageSpec
    return Member(name, kind.model_validate({**spec, "name": ""}), data["folder"])  # it has its name, whatever that is


def scripted(agents: Mapping[str, Agent]) -> Backend:
    """One backend for all scripted agents: each request is answered by the agent that makes it."""

    def reply(request: Request) -> str:
        agent = agents[request.agent]
        assert isinstance(agent, ScriptedAgent), "only scripted agents name the scripted backend"
        return agent.answer(request)

    return ScriptedBackend(reply)
