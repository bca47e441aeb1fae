"""Checkpoints, tokenizers and adapters that try to run something: whoever runs it writes a canary file.

Each entry changes a copy of a good folder. `plays` says whether the rest of it may be used: what names code is passed
over where transformers knows the architecture itself, all else is refused.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from tests.tiny import CHAT

MODULES = ("modeling_own", "configuration_own", "tokenization_own", "processing_own", "own_library")
SHADOWS = ("json", "torch", "transformers", "sitecustomize", "jinja2", "numpy", "safetensors", "vllm")
"""Names that an import finds here first where the current folder is looked into."""
MAP = {
    "AutoConfig": "configuration_own.OwnConfig",
    "AutoModel": "modeling_own.OwnModel",
    "AutoModelForCausalLM": "modeling_own.OwnForCausalLM",
}
TOKENIZER_MAP = {"AutoTokenizer": ["tokenization_own.OwnTokenizer", "tokenization_own.OwnTokenizerFast"]}
PROCESSOR_MAP = {"AutoProcessor": "processing_own.OwnProcessor", "AutoImageProcessor": "processing_own.OwnImages"}
ESCAPES = {
    "globals": "{{ lipsum.__globals__['os'].system('touch CANARY') }}",
    "builtins": "{{ cycler.__init__.__globals__['__builtins__'].open('CANARY', 'w') }}",
    "classes": "{% for c in ''.__class__.__mro__[1].__subclasses__() %}{% if c.__name__ == 'Popen' %}"
    "{{ c(['touch', 'CANARY']) }}{% endif %}{% endfor %}",
    "attribute filter": "{{ (raise_exception|attr('__globals__'))['json'].codecs.builtins.open('CANARY', 'w') }}",
    "format": "{{ '{0.__class__.__init__.__globals__}'.format(messages) }}{% include 'CANARY' %}",
}
ENDLESS = {
    "loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "output": "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}",
    "text": "{{ 'a' * 10**11 }}",
    "padding": "{{ '%0999999999d' % 1 }}",
    "doubling": "{% set n = namespace(v='a') %}{% for i in range(99) %}{% set n.v = n.v + n.v %}{% endfor %}{{ n.v }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
}


class Payload:
    """What unpickling it runs."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.canary),)


@dataclass(frozen=True)
class Hostile:
    """A way to try it."""

    name: str
    change: Callable[[Path, Path], None]
    """What is done to a good folder: the folder, and the canary."""
    plays: bool


CHECKPOINTS: list[Hostile] = []
ADAPTERS: list[Hostile] = []


def among(
    kind: list[Hostile], *, plays: bool = False
) -> Callable[[Callable[[Path, Path], None]], Callable[[Path, Path], None]]:
    def enter(change: Callable[[Path, Path], None]) -> Callable[[Path, Path], None]:
        kind.append(Hostile(change.__name__.replace("_", " "), change, plays))
        return change

    return enter


def edit(path: Path, **changes: Any) -> None:
    """Change settings in a JSON file."""
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(known | changes))


def write_code(folder: Path, canary: Path, names: tuple[str, ...] = MODULES) -> None:
    """Modules that write the canary when they are imported, and have the classes that are looked for."""
    classes = [name.split(".")[1] for each in (MAP, PROCESSOR_MAP) for name in each.values()] + TOKENIZER_MAP[
        "AutoTokenizer"
    ]
    text = f"open({str(canary)!r}, 'w').close()\n"
    text += "".join(f"class {name.split('.')[-1]}: pass\n" for name in classes)
    for name in names:
        (folder / f"{name}.py").write_text(text)


def write_pickle(path: Path, canary: Path) -> None:
    """Weights that write the canary when they are unpickled."""
    path.write_bytes(pickle.dumps(Payload(canary)))


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@among(CHECKPOINTS, plays=True)
def own_classes_of_a_known_type(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP)


@among(CHECKPOINTS, plays=True)
def own_classes_from_a_hub(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map={key: f"someone/else--{value}" for key, value in MAP.items()})


@among(CHECKPOINTS, plays=True)
def own_classes_of_a_part(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", parts=[{"part_config": {"auto_map": MAP}}])


@among(CHECKPOINTS)
def own_classes_of_an_unknown_type(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP, model_type="own", architectures=["OwnForCausalLM"])


@among(CHECKPOINTS)
def own_classes_of_no_type(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP, model_type=None)


@among(CHECKPOINTS)
def own_classes_of_a_type_that_is_no_name(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP, model_type=["llama"])


@among(CHECKPOINTS)
def own_classes_of_a_type_without_words(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP, model_type="vit", architectures=["ViTModel"])


@among(CHECKPOINTS)
def own_architecture_of_a_known_type(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP, architectures=["OwnForCausalLM"])


@among(CHECKPOINTS, plays=True)
def settings_that_ask_for_trust(folder: Path, canary: Path) -> None:
    for name in ("config.json", "tokenizer_config.json", "generation_config.json"):
        edit(folder / name, trust_remote_code=True, auto_map=MAP | TOKENIZER_MAP)


@among(CHECKPOINTS, plays=True)
def own_generation(folder: Path, canary: Path) -> None:
    edit(folder / "generation_config.json", custom_generate="custom_generate")
    (folder / "custom_generate").mkdir()
    write_code(folder / "custom_generate", canary, ("generate",))


@among(CHECKPOINTS, plays=True)
def attention_from_a_hub(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", attn_implementation="someone/kernel", _attn_implementation="someone/kernel:call")


@among(CHECKPOINTS, plays=True)
def attention_of_parts_from_a_hub(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", _attn_implementation_internal={"": "sdpa", "part": "paged|someone/kernel@main"})


@among(CHECKPOINTS, plays=True)
def experts_from_a_hub(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", experts_implementation="someone/kernel")


@among(CHECKPOINTS, plays=True)
def quantization_of_its_own(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", quantization_config={"quant_method": "own_library", "auto_map": MAP})


@among(CHECKPOINTS, plays=True)
def processors_of_its_own(folder: Path, canary: Path) -> None:
    for name in ("processor_config.json", "preprocessor_config.json", "video_preprocessor_config.json"):
        edit(folder / name, auto_map=PROCESSOR_MAP, processor_class="OwnProcessor")


@among(CHECKPOINTS, plays=True)
def modules_of_sentence_transformers(folder: Path, canary: Path) -> None:
    module = {"idx": 0, "name": "0", "path": "", "type": "own_library.OwnModel"}
    (folder / "modules.json").write_text(json.dumps([module]))
    edit(folder / "sentence_bert_config.json", auto_map=MAP)


@among(CHECKPOINTS, plays=True)
def settings_of_another_format(folder: Path, canary: Path) -> None:
    edit(folder / "params.json", auto_map=MAP, model_type="own")
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")


@among(CHECKPOINTS, plays=True)
def names_of_modules(folder: Path, canary: Path) -> None:
    write_code(folder, canary, SHADOWS)


@among(CHECKPOINTS, plays=True)
def pickles_beside_the_weights(folder: Path, canary: Path) -> None:
    for name in ("pytorch_model.bin", "model.pt", "model.ckpt", "vocab.pkl", "scheduler.pth", "tokenizer.pickle"):
        write_pickle(folder / name, canary)


@among(CHECKPOINTS)
def pickles_in_place_of_the_weights(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_pickle(folder / "pytorch_model.bin", canary)


@among(CHECKPOINTS)
def a_pickle_that_is_called_safetensors(folder: Path, canary: Path) -> None:
    write_pickle(folder / "model.safetensors", canary)


@among(CHECKPOINTS)
def a_zip_that_is_called_safetensors(folder: Path, canary: Path) -> None:
    torch.save({"weights": Payload(canary)}, folder / "model.safetensors")


@among(CHECKPOINTS)
def a_link_to_a_pickle(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    write_pickle(folder / "pytorch_model.bin", canary)
    (folder / "model.safetensors").symlink_to("pytorch_model.bin")


def sharded(folder: Path, second: str) -> None:
    """The weights in two files, the second of that name."""
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    save_file(weights, folder / "model-1.safetensors", metadata={"format": "pt"})
    places = {name: second if name.endswith("norm.weight") else "model-1.safetensors" for name in weights}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


@among(CHECKPOINTS)
def a_shard_that_is_pickled(folder: Path, canary: Path) -> None:
    sharded(folder, "pytorch_model-2.bin")
    write_pickle(folder / "pytorch_model-2.bin", canary)


@among(CHECKPOINTS)
def a_shard_elsewhere(folder: Path, canary: Path) -> None:
    sharded(folder, "../elsewhere.safetensors")
    write_pickle(folder.parent / "elsewhere.safetensors", canary)


@among(CHECKPOINTS)
def pickles_that_are_called_for(folder: Path, canary: Path) -> None:
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "other.safetensors"):
        write_pickle(folder / name, canary)
    edit(folder / "config.json", transformers_weights="pytorch_model.bin")


@among(CHECKPOINTS)
def an_adapter_beside_it(folder: Path, canary: Path) -> None:
    edit(folder / "adapter_config.json", peft_type="LORA", auto_mapping={"parent_library": "own_library"})
    write_pickle(folder / "adapter_model.bin", canary)


@among(CHECKPOINTS)
def settings_that_are_a_list(folder: Path, canary: Path) -> None:
    (folder / "config.json").write_text(json.dumps([{"auto_map": MAP}]))


@among(CHECKPOINTS)
def settings_that_are_deep(folder: Path, canary: Path) -> None:
    (folder / "config.json").write_text('{"a":' * 900 + json.dumps({"auto_map": MAP}) + "}" * 900)


@among(CHECKPOINTS)
def settings_with_a_number_that_is_long(folder: Path, canary: Path) -> None:
    (folder / "config.json").write_text('{"auto_map": {}, "vocab_size": ' + "9" * 9999 + "}")


@among(CHECKPOINTS)
def settings_that_are_no_text(folder: Path, canary: Path) -> None:
    write_pickle(folder / "config.json", canary)


# ---- tokenizers ------------------------------------------------------------------------------------------------------


@among(CHECKPOINTS, plays=True)
def own_tokenizer_of_a_known_class(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP)


@among(CHECKPOINTS, plays=True)
def own_tokenizer_as_older_files_have_it(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP["AutoTokenizer"])


@among(CHECKPOINTS)
def own_tokenizer_of_its_own_class(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP, tokenizer_class="OwnTokenizer")


@among(CHECKPOINTS)
def own_tokenizer_of_a_class_in_config(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", tokenizer_class="OwnTokenizer")
    edit(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP, tokenizer_class=None)


@among(CHECKPOINTS)
def a_tokenizer_that_is_a_model(folder: Path, canary: Path) -> None:
    edit(folder / "config.json", auto_map=MAP)
    edit(folder / "tokenizer_config.json", tokenizer_class="AutoModelForCausalLM")


@among(CHECKPOINTS)
def a_tokenizer_that_unpickles(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", tokenizer_class="RagRetriever")
    edit(folder / "config.json", index_name="legacy", index_path=str(folder))
    write_pickle(folder / "hf_bert_base.hnswSQ8_correct_phi_128.c_index.index_meta.dpr", canary)


@among(CHECKPOINTS)
def a_tokenizer_that_is_no_name(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", tokenizer_class={"module": "own_library"})


@among(CHECKPOINTS)
def a_pickled_vocabulary(folder: Path, canary: Path) -> None:
    (folder / "tokenizer.json").unlink()
    write_pickle(folder / "vocab.pkl", canary)
    write_pickle(folder / "tokenizer.model", canary)
    write_pickle(folder / "vocab.bin", canary)


@among(CHECKPOINTS)
def a_tokenizer_file_that_is_a_pickle(folder: Path, canary: Path) -> None:
    write_pickle(folder / "tokenizer.json", canary)


@among(CHECKPOINTS)
def added_tokens_that_are_odd(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", added_tokens_decoder={"own_library": {"__class__": "own_library.Own"}})


# ---- chat templates --------------------------------------------------------------------------------------------------


def written(text: str, *, named: bool = False) -> Callable[[Path, Path], None]:
    """A checkpoint with a template; `named`: among several, in its settings."""

    def change(folder: Path, canary: Path) -> None:
        template = text.replace("CANARY", str(canary)) + CHAT
        (folder / "chat_template.jinja").write_text(template)
        if named:
            (folder / "chat_template.jinja").unlink()
            edit(folder / "tokenizer_config.json", chat_template=[{"name": "default", "template": template}])

    return change


CHECKPOINTS += [Hostile(f"template: {name}", written(text), False) for name, text in (ESCAPES | ENDLESS).items()]
CHECKPOINTS.append(Hostile("template: among several", written(ESCAPES["globals"], named=True), False))


# ---- adapters --------------------------------------------------------------------------------------------------------


@among(ADAPTERS, plays=True)
def a_library_to_import(folder: Path, canary: Path) -> None:
    mapping = {"parent_library": "own_library", "base_model_class": "OwnModel"}
    edit(folder / "adapter_config.json", auto_mapping=mapping, task_type=None)


@among(ADAPTERS)
def a_parallel_library_to_import(folder: Path, canary: Path) -> None:
    edit(folder / "adapter_config.json", megatron_config={"tensor_model_parallel_size": 1}, megatron_core="own_library")


@among(ADAPTERS)
def a_beginning_from_a_pickle(folder: Path, canary: Path) -> None:
    write_pickle(folder / "cache.pt", canary)
    corda = {"cache_file": str(folder / "cache.pt"), "covariance_file": str(folder / "cache.pt")}
    edit(folder / "adapter_config.json", init_lora_weights="corda", corda_config=corda)


@among(ADAPTERS)
def gradients_from_a_pickle(folder: Path, canary: Path) -> None:
    write_pickle(folder / "cache.pt", canary)
    given = {"cache_file": str(folder / "cache.pt")}
    edit(folder / "adapter_config.json", init_lora_weights="lora_ga", lora_ga_config=given)


@among(ADAPTERS)
def a_beginning_that_changes_the_base(folder: Path, canary: Path) -> None:
    edit(folder / "adapter_config.json", init_lora_weights="pissa")


@among(ADAPTERS)
def another_kind(folder: Path, canary: Path) -> None:
    edit(folder / "adapter_config.json", peft_type="XLORA", adapters={"0": "someone/else"})


@among(ADAPTERS)
def prompts_from_a_pickle(folder: Path, canary: Path) -> None:
    write_pickle(folder / "prompt.bin", canary)
    edit(
        folder / "adapter_config.json",
        peft_type="MULTITASK_PROMPT_TUNING",
        prompt_tuning_init="EXACT_SOURCE_TASK",
        prompt_tuning_init_state_dict_path=str(folder / "prompt.bin"),
    )


@among(ADAPTERS)
def a_rank_that_is_no_number(folder: Path, canary: Path) -> None:
    edit(folder / "adapter_config.json", r={"__reduce__": "own_library"})


@among(ADAPTERS)
def a_setting_that_nobody_knows(folder: Path, canary: Path) -> None:
    edit(folder / "adapter_config.json", own_module="own_library.Own")


@among(ADAPTERS)
def a_list_of_settings(folder: Path, canary: Path) -> None:
    (folder / "adapter_config.json").write_text(json.dumps([{"auto_mapping": {"parent_library": "own_library"}}]))


@among(ADAPTERS, plays=True)
def a_base_elsewhere(folder: Path, canary: Path) -> None:
    other = folder.parent / "elsewhere"
    other.mkdir()
    edit(other / "config.json", auto_map=MAP, model_type="own")
    write_code(other, canary)
    edit(folder / "adapter_config.json", base_model_name_or_path=str(other), revision="own_library")


@among(ADAPTERS, plays=True)
def a_tokenizer_and_code_beside_it(folder: Path, canary: Path) -> None:
    edit(folder / "tokenizer_config.json", auto_map=TOKENIZER_MAP, tokenizer_class="OwnTokenizer")
    edit(folder / "config.json", auto_map=MAP, model_type="own")


@among(ADAPTERS, plays=True)
def pickles_beside_the_adapter(folder: Path, canary: Path) -> None:
    for name in ("adapter_model.bin", "adapter_model.pt", "optimizer.pt", "training_args.bin", "new_embeddings.bin"):
        write_pickle(folder / name, canary)


@among(ADAPTERS)
def pickles_in_place_of_the_adapter(folder: Path, canary: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    write_pickle(folder / "adapter_model.bin", canary)


@among(ADAPTERS)
def a_pickled_adapter_beside_other_weights(folder: Path, canary: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "other.safetensors")
    write_pickle(folder / "adapter_model.bin", canary)


@among(ADAPTERS)
def an_adapter_that_is_a_pickle(folder: Path, canary: Path) -> None:
    write_pickle(folder / "adapter_model.safetensors", canary)


# ---- folders ---------------------------------------------------------------------------------------------------------


def changed(good: str, folder: Path, canary: Path, ways: Iterable[Hostile]) -> Path:
    """A copy of a good folder with the code that it would run, changed in those ways."""
    shutil.copytree(good, folder)
    write_code(folder, canary)
    for each in ways:
        each.change(folder, canary)
    return folder


def passed_over(ways: Iterable[Hostile]) -> list[Hostile]:
    """Those that leave a folder usable: it can have them all at once."""
    return [each for each in ways if each.plays]
