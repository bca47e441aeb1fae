"""What vLLM is given is looked at before it starts: refusals name the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load_file
from transformers import LlamaForCausalLM

from simarena.backends import vllm_options
from simarena.backends.vllm import Plan, start_trouble
from simarena.backends.vllm_check import check_adapter, check_base, highest_rank, write_zero_adapter
from simarena.backends.vllm_options import VLLMOptions, environment
from simarena.backends.vllm_serve import Served
from simarena.errors import MissingModel
from tests.tiny import Tiny, adapt, build


def copied(where: str, to: Path) -> Path:
    shutil.copytree(where, to)
    return to


def edited(where: str, to: Path, **changes: object) -> str:
    """A copy of an adapter with other settings."""
    path = copied(where, to) / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return str(to)


def test_a_base_says_what_an_engine_needs(tiny: Tiny) -> None:
    base = check_base(tiny.base)
    assert base.version.startswith("base@")
    assert base.ends == {1}
    assert base.window == 512
    assert base.shapes["model.embed_tokens.weight"] == (320, 64)
    assert base.layers == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_a_base_without_tokenizer_template_or_safe_weights_is_refused_by_name(tiny: Tiny, tmp_path: Path) -> None:
    mute = copied(tiny.base, tmp_path / "mute")
    for file in mute.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(MissingModel, match="mute"):
        check_base(str(mute))
    silent = copied(tiny.base, tmp_path / "silent")
    (silent / "chat_template.jinja").unlink()
    with pytest.raises(MissingModel, match=r"silent has no chat template; add chat_template.jinja"):
        check_base(str(silent))
    pickled = copied(tiny.base, tmp_path / "pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(MissingModel, match=r"pickled holds only pytorch_model.bin, which would have to be unpickled"):
        check_base(str(pickled))
    cut = copied(tiny.base, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes(b"\x08")
    with pytest.raises(MissingModel, match=r"cannot read .*cut/model.safetensors"):
        check_base(str(cut))


def test_an_adapter_of_another_base_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    other = build(tmp_path / "other", hidden_size=96, num_attention_heads=3)
    base = check_base(tiny.base)
    with pytest.raises(MissingModel, match=r"other/red does not fit .*: model.layers.0.* wants .*, the base has \["):
        check_adapter(other.red, base)
    deeper = build(tmp_path / "deeper", num_hidden_layers=3)
    with pytest.raises(MissingModel, match=r"model.layers.2.* the base has no such layer; give the base that it was"):
        check_adapter(deeper.blue, base)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"bias": "all"}, "bias all"),
        ({"peft_type": "IA3"}, "peft_type IA3"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha_pattern"),
    ],
)
def test_what_vllm_would_pass_over_in_silence_is_refused(
    tiny: Tiny, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    folder = edited(tiny.red, tmp_path / "odd", **changes)
    with pytest.raises(MissingModel, match=rf"odd/adapter_config.json is not a (plain )?LoRA .*{told}.*; merge it"):
        check_adapter(folder, check_base(tiny.base))


def test_ranks(tiny: Tiny, tmp_path: Path) -> None:
    base = check_base(tiny.base)
    red, blue = check_adapter(tiny.red, base), check_adapter(tiny.blue, base)
    assert (red.rank, blue.rank) == (4, 6)
    assert highest_rank(VLLMOptions(), [red, blue]) == 16
    assert highest_rank(VLLMOptions(max_lora_rank=64), [red]) == 64
    wide = adapt(LlamaForCausalLM.from_pretrained(tiny.base), tmp_path / "wide", rank=20)
    found = check_adapter(str(wide), base)
    assert highest_rank(VLLMOptions(), [found]) == 32
    with pytest.raises(MissingModel, match=r"rank 20, the engine takes up to 16; raise max_lora_rank"):
        check_adapter(str(wide), base, 16)


def test_an_adapter_of_the_head_is_refused(tiny: Tiny, tmp_path: Path) -> None:
    untied = build(tmp_path / "untied", tie_word_embeddings=False)
    headed = adapt(LlamaForCausalLM.from_pretrained(untied.base), tmp_path / "headed", target_modules=["lm_head"])
    with pytest.raises(MissingModel, match=r"headed .*lm_head"):
        check_adapter(str(headed), check_base(untied.base))


def test_a_zero_adapter_fits_and_changes_nothing(tiny: Tiny, tmp_path: Path) -> None:
    base = check_base(tiny.base)
    zero = write_zero_adapter(tmp_path / "none", base)
    assert check_adapter(str(zero), base).rank == 1
    assert all(not np.any(matrix) for matrix in load_file(zero / "adapter_model.safetensors").values())


def test_options_are_checked() -> None:
    with pytest.raises(ValidationError, match=r"batch_tokens \(100\) is less than max_batch \(256\)"):
        VLLMOptions(batch_tokens=100)
    with pytest.raises(ValidationError, match="gpu_memory_utilization"):
        VLLMOptions(gpu_memory_utilization=0.5)  # type: ignore[call-arg]  # that is the test


@pytest.mark.parametrize("cpu", [True, False])
def test_an_engine_is_started_for_what_it_is_to_do(monkeypatch: pytest.MonkeyPatch, tiny: Tiny, cpu: bool) -> None:
    for module in ("vllm", "vllm_options", "vllm_serve"):
        monkeypatch.setattr(f"simarena.backends.{module}.on_processor", lambda: cpu)
    options = VLLMOptions(dtype="bfloat16", memory_share=0.7, tensor_parallel_size=2, max_model_len=4096)
    found = Plan(model="m", files=Path("m"), options=options, adapters=3, rank=32, layers=("q_proj",)).arguments()
    wanted = {"dtype": "bfloat16", "tensor_parallel_size": 2, "max_model_len": 4096, "max_loras": 3}
    assert found.items() >= wanted.items()
    assert ("enforce_eager" in found) is cpu
    assert found.get("gpu_memory_utilization") == (None if cpu else 0.7)
    assert ("TORCH_COMPILE_DISABLE" in environment(options)) is cpu
    assert environment(VLLMOptions(deterministic=True)).get("VLLM_BATCH_INVARIANT") == (None if cpu else "1")
    assert "VLLM_ENABLE_V1_MULTIPROCESSING" not in environment(VLLMOptions(replicas=2))
    assert not vllm_options.on_processor() or cpu


def test_a_server_is_started_for_the_same(tiny: Tiny) -> None:
    base = check_base(tiny.base)
    served = Served(base=base, adapters={"red@1": Path(tiny.red)}, options=VLLMOptions(replicas=2), rank=16, port=80)
    command = served.command(81)
    assert served.ports() == [80, 81]
    assert command[command.index("--host") + 1] == "127.0.0.1", "nobody else is to reach it"
    assert command[command.index("--served-model-name") + 1] == base.version
    assert command[command.index("--lora-modules") + 1] == f"red@1={Path(tiny.red).absolute()}"
    assert json.loads(command[command.index("--structured-outputs-config") + 1])["backend"] == "guidance"
    assert "--enable-lora" in command
    assert "--no-trust-remote-code" in command
    assert command[1:3] == ["-P", "-m"], "the current folder holds no modules for it"
    assert environment()["PYTHONSAFEPATH"] == "1", "nor for what it starts"
    places = [command.index("--lora-target-modules") + n for n in range(1, 8)]
    assert {command[place] for place in places} == base.layers


def test_no_room_for_the_cache_is_told_with_numbers_and_the_option() -> None:
    said = ValueError(
        "To serve at least one request with the model's max seq len (8192), (4.0 GiB KV cache is needed, which is "
        "larger than the available KV cache memory (0.5 GiB). Try increasing `gpu_memory_utilization`. See https://x"
    )
    told = start_trouble(said)
    assert "4.0 GiB" in told
    assert "0.5 GiB" in told
    assert "raise " in told
    assert "lower max_model_len in the agent's options" in told
    assert "https" not in told
    assert "\n" not in told


def test_checkpoints_are_of_a_kind_where_only_their_weights_differ(tmp_path: Path) -> None:
    one = check_base(build(tmp_path / "one").base)
    assert check_base(build(tmp_path / "other", seed=1).base).kind == one.kind
    assert check_base(build(tmp_path / "longer", max_position_embeddings=64).base).kind != one.kind, (
        "an engine keeps its"
    )
    renamed = Path(build(tmp_path / "renamed").base)
    template = renamed / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|end|>", "<|end|> "))
    assert check_base(str(renamed)).kind != one.kind
