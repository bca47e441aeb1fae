"""Agent files: what they may say, and the agent they describe. Strict; past `build` no room sees YAML.

Knows no backend: the options of one are checked by whoever opens it (`simarena.casting`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, NonNegativeInt, PositiveInt, Tag

from simarena import names, yamlfile
from simarena.agents.base import ScriptedAgent
from simarena.agents.language import LanguageAgent
from simarena.records import JSON, Sampling


def portable(name: str) -> str:
    """A name that was given; "" is none. ValueError, which pydantic places, where it could be no file's."""
    if name and (found := names.fault(name)):
        raise ValueError(f"{name!r} {found}")
    return name


AgentName = Annotated[str, AfterValidator(portable)]


class Strict(BaseModel):
    """A misspelt key is an error, not a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PromptOptions(Strict):
    """How a language agent is asked."""

    form: Literal["full", "brief", "none"] = Field(
        "full", description="How the reply's form is shown: the whole JSON Schema, a one-line sketch, or not at all."
    )


class ParseOptions(Strict):
    """How a language agent's replies are read."""

    repairs: NonNegativeInt = Field(1, description="How often an unusable reply is asked for again.")
    structured: bool = Field(True, description="Let the backend hold the model to the JSON Schema where it can.")


class SamplingOptions(Strict):
    """How tokens are drawn."""

    temperature: Annotated[float, Field(ge=0, le=5)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 1.0
    top_k: NonNegativeInt = 0
    max_tokens: PositiveInt = 512
    stop: tuple[str, ...] = ()


class ScriptedSpec(Strict):
    """A reference policy in a seat."""

    name: AgentName = Field("", description="What tables call it; the file's name where none is given.")
    backend: Literal["scripted"] = "scripted"
    policy: str = Field(description='A policy\'s name, e.g. "debate/honest".')
    params: dict[str, JSON] = Field(default_factory=dict, description="The policy's own parameters.")

    def build(self, name: str) -> ScriptedAgent:
        """The agent, called `name`."""
        return ScriptedAgent(name, self.policy, self.params)


class LanguageSpec(Strict):
    """A language model in a seat."""

    name: AgentName = Field("", description="What tables call it; the file's name where none is given.")
    backend: Literal["transformers", "openai", "vllm"]
    model: str = Field(description="Folder of a local checkpoint, or the name an endpoint knows the model by.")
    adapter: str | None = Field(None, description="Folder of a LoRA adapter in peft's format.")
    persona: str = Field("", description="Added to the system prompt.")
    prompt: PromptOptions = PromptOptions()
    sampling: SamplingOptions = SamplingOptions()
    parse: ParseOptions = ParseOptions()
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the backend itself (device, base_url, api_key_env, ...)."
    )

    def build(self, name: str, backend: str, model: str, adapter: str | None) -> LanguageAgent:
        """The agent, called `name`; `backend` is the key of the backend that answers it, the others are found paths."""
        return LanguageAgent(
            name=name,
            backend=backend,
            model=model,
            adapter=adapter,
            persona=self.persona,
            schema_style=self.prompt.form,
            structured=self.parse.structured,
            repairs=self.parse.repairs,
            sampling=Sampling(**self.sampling.model_dump()),
        )


def kind_of(data: Any) -> str:
    """Which kind of agent a mapping describes, by its backend, or else by what only one kind has."""
    if isinstance(data, str):
        return "name"
    if isinstance(data, (ScriptedSpec, LanguageSpec)):
        return "scripted" if isinstance(data, ScriptedSpec) else "language"
    if not isinstance(data, dict):
        return ""
    backend = data.get("backend")
    if backend == "scripted" or (backend is None and "model" not in data):
        return "scripted"
    return "language"


AgentSpec = Annotated[
    Annotated[ScriptedSpec, Tag("scripted")] | Annotated[LanguageSpec, Tag("language")],
    Discriminator(kind_of),
]
Seating = Annotated[
    Annotated[str, Tag("name")] | Annotated[ScriptedSpec, Tag("scripted")] | Annotated[LanguageSpec, Tag("language")],
    Discriminator(kind_of, custom_error_type="seating", custom_error_message="Input should be an agent's name or keys"),
]
"""An agent file's or policy's name, or an agent described in place."""


def read_agent(source: yamlfile.Source) -> ScriptedSpec | LanguageSpec | None:
    """The agent that a file describes; None and noted errors where it describes none."""
    if not isinstance(source.data, dict):
        source.error((), "holds no agent; write keys such as policy: debate/honest, or backend: and model:")
        return None
    if kind_of(source.data) == "scripted":
        return source.model(ScriptedSpec)
    return source.model(LanguageSpec)


def load_agent(path: str | Path) -> ScriptedSpec | LanguageSpec:
    """Read and check an agent file. ScenarioError holds every error."""
    source = yamlfile.read(path)
    spec = read_agent(source)
    source.check()
    assert spec is not None, "an agent that did not validate was reported by check()"
    return spec


def schema() -> dict[str, JSON]:
    """JSON Schema of agent files, for editors."""
    kinds: dict[str, type[BaseModel]] = {"ScriptedSpec": ScriptedSpec, "LanguageSpec": LanguageSpec}
    schemas = {name: kind.model_json_schema() for name, kind in kinds.items()}
    shared = {name: part for each in schemas.values() for name, part in each.pop("$defs", {}).items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Agent",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in kinds],
        "$defs": {**shared, **schemas},
    }
