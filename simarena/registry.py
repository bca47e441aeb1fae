"""Names to import paths: nothing is imported until it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from simarena.errors import UnknownName

ENVIRONMENTS: dict[str, str] = {
    "arena": "simarena.envs.arena.env:Arena",
    "bargain": "simarena.envs.bargain.env:Bargain",
    "debate": "simarena.envs.debate.env:Debate",
    "roundtable": "simarena.envs.roundtable.env:Roundtable",
}

TASKS: dict[str, str] = {
    "arithmetic": "simarena.tasks.arithmetic:Arithmetic",
    "beliefs": "simarena.tasks.beliefs:Beliefs",
    "kks": "simarena.tasks.kks:KnightKnaveSpy",
    "logic_chain": "simarena.tasks.logic_chain:LogicChain",
    "matrix": "simarena.tasks.matrix:MatrixGame",
    "measures": "simarena.tasks.measures:Measures",
    "mixed": "simarena.tasks.mixture:Mixture",
    "questions": "simarena.tasks.questions:QuestionFile",
    "scoresheets": "simarena.tasks.scoresheets:ScoreSheets",
    "skills": "simarena.tasks.skills:SkillTable",
    "story": "simarena.tasks.story:Story",
    "trap_math": "simarena.tasks.trap_math:TrapMath",
}

POLICIES: dict[str, str] = {
    "any": "simarena.agents.policies.anywhere",
    "arena": "simarena.agents.policies.arena.policies",
    "bargain": "simarena.agents.policies.bargain.policies",
    "debate": "simarena.agents.policies.debate.policies",
    "roundtable": "simarena.agents.policies.roundtable.policies",
}
"""First part of a policy's name -> module whose POLICIES table holds the second part, as in "debate/honest"."""

BACKENDS: dict[str, str] = {
    "openai": "simarena.backends.openai:OpenAIBackend",
    "scripted": "simarena.backends.scripted:ScriptedBackend",
    "transformers": "simarena.backends.transformers:TransformersBackend",
    "vllm": "simarena.backends.vllm_backend:VLLMBackend",
}

OPTIONS: dict[str, str] = {
    "openai": "simarena.backends.openai_options:OpenAIOptions",
    "transformers": "simarena.backends.transformers:TransformersOptions",
    "vllm": "simarena.backends.vllm_options:VLLMOptions",
}
"""Backend -> model of the options that an agent file may give it."""


def lookup(table: Mapping[str, str], kind: str, name: str) -> Any:
    """The object that `name` stands for in `table`; UnknownName with a suggestion otherwise."""
    if name not in table:
        raise UnknownName(kind, name, table)
    module, attribute = table[name].split(":")
    return getattr(import_module(module), attribute)


def lookup_policy(name: str) -> Any:
    """The policy class called "<environment>/<policy>"."""
    group, _, rest = name.partition("/")
    if group not in POLICIES:
        raise UnknownName("policy", name, policy_names())
    table = import_module(POLICIES[group]).POLICIES
    if rest not in table:
        raise UnknownName("policy", name, policy_names())
    return table[rest]


def policy_names() -> list[str]:
    """Every scripted policy that ships."""
    return sorted(f"{group}/{name}" for group, path in POLICIES.items() for name in import_module(path).POLICIES)
