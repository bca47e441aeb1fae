"""Agent files: what they may say, and the agent they describe. Strict; past `build` no room sees YAML."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from simarena.agents.base import Agent, ScriptedAgent
from simarena.agents.language import LanguageAgent
from simarena.records import JSON, Sampling


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

    name: str = ""
    backend: Literal["scripted"] = "scripted"
    policy: str = Field(description='A policy\'s name, e.g. "debate/honest".')
    params: dict[str, JSON] = Field(default_factory=dict, description="The policy's own parameters.")

    def build(self) -> Agent:
        """The agent."""
        return ScriptedAgent(self.name or self.policy, self.policy, self.params)


class LanguageSpec(Strict):
    """A language model in a seat."""

    name: str = ""
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

    def build(self) -> Agent:
        """The agent."""
        return LanguageAgent(
            name=self.name,
            backend=self.backend,
            model=self.model,
            adapter=self.adapter,
            persona=self.persona,
            schema_style=self.prompt.form,
            structured=self.parse.structured,
            repairs=self.parse.repairs,
            sampling=Sampling(**self.sampling.model_dump()),
        )


AgentSpec = ScriptedSpec | LanguageSpec
