"""The model that learns: an agent's base with an adapter to train, or the whole of it; and how it is written down.

In: an agent's name or file. Out: a model with its trained parameters by name, and afterwards a folder that seats. An
agent that has an adapter goes on with it. Weights are safetensors; nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from simarena import outputs
from simarena.agents.members import Member, member
from simarena.agents.spec import LanguageSpec
from simarena.backends.checkpoint import READING, checked_folder, digest
from simarena.backends.lora import read_pairs
from simarena.backends.opening import open_adapter, open_config, open_model, open_tokenizer
from simarena.backends.template import ChatTemplate
from simarena.casting import role
from simarena.errors import MissingModel, ScenarioError

Tune = Literal["lora", "full"]
ADAPTER = "default"
MARK = "# Trained from "
"""How the agent files begin that are written here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learner:
    """Who learns: an agent with its files found."""

    member: Member
    base: Path
    """Folder of the base checkpoint."""
    adapter: Path | None
    """Folder of the adapter that it goes on with."""

    @property
    def version(self) -> str:
        """Base and adapter by name and digest, as a backend names them in what it answers."""
        base = f"{self.base.name}@{digest(self.base)}"
        return base if self.adapter is None else f"{base}+{self.adapter.name}@{digest(self.adapter)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A model that is about to learn."""

    model: Any
    """A transformers model, or peft's around it."""
    tune: Tune
    learner: Learner
    fresh: bool
    """Its adapter is new: until the first step it computes what its base does."""

    @property
    def trained(self) -> dict[str, nn.Parameter]:
        """Parameter name -> parameter, of those that learn."""
        return {name: value for name, value in self.model.named_parameters() if value.requires_grad}


def find_learner(agent: str) -> Learner:
    """The agent of that name or file. ScenarioError where it is none that could be trained."""
    who = member(agent)
    if not isinstance(who.spec, LanguageSpec) or who.spec.backend == "openai":
        raise ScenarioError(f"agent {who.name} has no weights here; train an agent with backend: transformers")
    found = role(Member(who.name, who.spec.model_copy(update={"backend": "transformers"}), who.folder, who.source))
    return Learner(member=who, base=Path(found.model), adapter=Path(found.adapter) if found.adapter else None)


def read_template(learner: Learner) -> tuple[ChatTemplate, int]:
    """The base's tokenizer with its chat template, and the most tokens that the base reads."""
    folder = checked_folder(str(learner.base), "config.json")
    config = open_config(folder)
    return ChatTemplate(open_tokenizer(folder), str(folder)), int(getattr(config, "max_position_embeddings", 1 << 20))


def load_policy(
    learner: Learner, *, tune: Tune = "lora", rank: int = 16, alpha: float = 32.0, dtype: str = "fp32", seed: int = 0
) -> Policy:
    """The learner's model. Dropout is off; a new adapter is drawn from `seed` and changes nothing yet."""
    folder = checked_folder(str(learner.base), "config.json")
    kind = torch.bfloat16 if dtype == "bf16" and tune == "lora" else torch.float32
    base = open_model(folder, kind)
    if tune == "full":
        model = base if learner.adapter is None else adapted(base, learner.adapter).merge_and_unload()
        model.requires_grad_(True)
    elif learner.adapter is not None:
        model = adapted(base, learner.adapter)
    else:
        model = new_adapter(base, rank, alpha, seed)
    model.eval()
    if torch.cuda.is_available():
        model.to("cuda")
    return Policy(model=model, tune=tune, learner=learner, fresh=learner.adapter is None)


def new_adapter(base: Any, rank: int, alpha: float, seed: int) -> Any:
    """The base with an adapter on every linear layer; B = 0, so that it computes what the base does."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    return get_peft_model(base, config)


def adapted(base: Any, folder: Path) -> Any:
    """The base with the adapter in `folder`, to be trained on. MissingModel where it does not fit."""
    fitting(base, folder)
    return open_adapter(base, folder)


def fitting(base: nn.Module, folder: Path) -> None:
    """Refuse an adapter that is no plain LoRA, or of another base."""
    checked_folder(str(folder), "adapter_config.json")
    modules = dict(base.named_modules())
    for module, (a, b) in read_pairs(folder).items():
        weight = getattr(modules.get(module), "weight", None)
        if weight is None or sorted((b.shape[0], a.shape[1])) != sorted(weight.shape):
            shape = "no such layer" if weight is None else str(list(weight.shape))
            raise MissingModel(
                f"adapter {folder} does not fit its base: {module} wants {b.shape[0]} x {a.shape[1]}, the base has "
                f"{shape}; give the base that it was trained on"
            )


# ---- writing ---------------------------------------------------------------------------------------------------------


def write(policy: Policy, tensors: Mapping[str, Tensor], folder: Path, meta: Mapping[str, Any]) -> Path:
    """Write the trained agent to `folder` (named NAME@VERSION) and the file that seats it beside it; returns that file.

    `tensors` are the whole trained parameters, on the CPU. The folder appears complete or not at all, and last of all:
    where it is, the agent can be seated.
    """
    from safetensors import SafetensorError

    with outputs.explained(folder, SafetensorError), outputs.writing_folder(folder) as scratch:
        if policy.tune == "lora":
            write_adapter(policy, tensors, scratch, folder)
        else:
            write_model(policy, tensors, scratch)
        (scratch / "meta.json").write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return write_agent(policy, folder)


def write_adapter(policy: Policy, tensors: Mapping[str, Tensor], scratch: Path, folder: Path) -> None:
    """The adapter in peft's format; its base is named relative to where it will lie."""
    from safetensors.torch import save_file

    named = {name.replace(f".{ADAPTER}.", "."): value.contiguous() for name, value in tensors.items()}
    save_file(named, scratch / "adapter_model.safetensors", metadata={"format": "pt"})
    config = policy.model.peft_config[ADAPTER]
    config.base_model_name_or_path = os.path.relpath(policy.learner.base, folder)
    config.inference_mode = True
    config.save_pretrained(str(scratch))


def write_model(policy: Policy, tensors: Mapping[str, Tensor], scratch: Path) -> None:
    """The whole model as a checkpoint of its own, tokenizer and template included."""
    from safetensors.torch import save_file

    base = policy.learner.base
    for name in {path.name for path in base.glob("*config.json")} | {n for n in READING if (base / n).is_file()}:
        shutil.copy(base / name, scratch / name)
    save_file({n: v.contiguous() for n, v in tensors.items()}, scratch / "model.safetensors", metadata={"format": "pt"})


def write_agent(policy: Policy, folder: Path) -> Path:
    """The agent file that seats what was trained, beside its folder."""
    import yaml

    spec = policy.learner.member.spec
    assert isinstance(spec, LanguageSpec), "find_learner has seen to it"
    said = spec.model_dump(mode="json", exclude_defaults=True, exclude={"name", "model", "adapter"})
    said["sampling"] = spec.sampling.model_dump(mode="json", exclude_defaults=True)
    where = {"model": f"./{folder.name}"}
    if policy.tune == "lora":
        where = {"model": os.path.relpath(policy.learner.base, folder.parent), "adapter": f"./{folder.name}"}
    text = yaml.safe_dump({"backend": "transformers", **where, **said}, sort_keys=False, allow_unicode=True)
    path = file_of(folder)
    story = f"{MARK}{policy.learner.member.name}; its story is in {folder.name}/meta.json.\n"
    outputs.write(path, story + text, own=outputs.begins(path, MARK))
    return path


def file_of(folder: Path) -> Path:
    """The agent file beside a trained agent's folder."""
    return folder.with_name(f"{folder.name}.yaml")


def refuse_taken(folder: Path) -> None:
    """OutputError where `write` would find somebody else's folder or file in its way."""
    outputs.refuse_taken(folder)
    outputs.refuse(file_of(folder), own=outputs.begins(file_of(folder), MARK))
