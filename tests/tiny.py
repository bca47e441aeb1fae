"""A language model too small to say anything: random weights, a real tokenizer and chat template, two adapters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PAD, END = "<|pad|>", "<|end|>"
ROLES = ("<|system|>", "<|user|>", "<|assistant|>")
CHAT = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXT = ["the tax moves money from those who burn to those who save", '{"text": "yes", "answer": [1, 2, 3]} system user']
RANKS = {"red": 4, "blue": 6}


@dataclass(frozen=True)
class Tiny:
    """Where the files are."""

    base: str
    red: str
    blue: str

    def model(self, dtype: torch.dtype = torch.float32) -> Any:
        """The base, as transformers loads it."""
        return LlamaForCausalLM.from_pretrained(self.base, dtype=dtype).eval()

    def adapted(self, adapter: str | None, dtype: torch.dtype = torch.float32) -> Any:
        """The base under one adapter, as peft computes it."""
        base = self.model(dtype)
        return base if adapter is None else PeftModel.from_pretrained(base, adapter).to(dtype).eval()


def tokenizer(chat: str | None = CHAT) -> Any:
    """Byte-level BPE with role tokens."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core.train_from_iterator(
        TEXT * 5,
        trainers.BpeTrainer(
            vocab_size=320, special_tokens=[PAD, END, *ROLES], initial_alphabet=alphabet, show_progress=False
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=list(ROLES),
        chat_template=chat,
        clean_up_tokenization_spaces=False,
    )


def config(**changes: Any) -> LlamaConfig:
    """Two layers, two heads of 32."""
    settings: dict[str, Any] = {
        "vocab_size": 320,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "intermediate_size": 96,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,  # so that it has opinions: random text, not one token for ever
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": None,
    }
    return LlamaConfig(**(settings | changes))


def build(folder: Path, seed: int = 0, **changes: Any) -> Tiny:
    """Write the base and its adapters."""
    torch.manual_seed(seed)
    base = LlamaForCausalLM(config(**changes))
    base.save_pretrained(folder / "base")
    tokenizer().save_pretrained(folder / "base")
    for name, rank in RANKS.items():
        adapt(base, folder / name, rank=rank)
        base = LlamaForCausalLM.from_pretrained(folder / "base")
    return Tiny(*(str(folder / name) for name in ("base", *RANKS)))


def adapt(base: Any, folder: Path, *, rank: int = 4, **settings: Any) -> Path:
    """Write an adapter of `base` with random weights; `base` is changed."""
    options = {"target_modules": "all-linear", "lora_alpha": 2 * rank} | settings
    model = get_peft_model(base, LoraConfig(r=rank, task_type="CAUSAL_LM", **options))
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder
