"""Messages to token ids: a model's own chat template, with nothing that was said able to become structure.

The template is rendered with a placeholder for each message's content, so only its skeleton is tokenised with special
tokens; contents are tokenised without. What the model itself sampled goes back in as the ids it sampled, so that a
prompt extends the last one token for token.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from simarena.errors import MissingModel
from simarena.records import Message

MARK = re.compile("\ue000(\\d+)\ue001")


class ChatTemplate:
    """The chat template of a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any, where: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise MissingModel(f"{where} has no chat template; add chat_template.jinja to the model's folder")
        self.tokenizer = tokenizer
        self.where = where
        self._skeleton = lru_cache(1024)(self._render)
        self._content = lru_cache(8192)(self._encode_content)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Prompt ids, up to and including the marker after which the assistant writes."""
        pieces = self._skeleton(tuple(message.role for message in messages))
        ids = list(pieces[0])
        for message, after in zip(messages, pieces[1:], strict=True):
            said = list(message.ids) if message.ids is not None else list(self._content(message.content))
            ids += said
            closed = message.ids and after and said and said[-1] == after[0]
            ids += after[1:] if closed else after
        return ids

    def continuation(self, text: str) -> list[int]:
        """Ids of a text as the assistant would have written it."""
        return list(self._content(text))

    def _encode_content(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _render(self, roles: tuple[str, ...]) -> list[tuple[int, ...]]:
        """Token ids of the template's text before, between and after the contents."""
        marked = [{"role": role, "content": f"\ue000{i}\ue001"} for i, role in enumerate(roles)]
        text = self._apply(marked)
        parts = MARK.split(text)
        if [int(i) for i in parts[1::2]] != list(range(len(roles))):
            raise MissingModel(f"the chat template of {self.where} drops or reorders messages of roles {list(roles)}")
        return [tuple(self.tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts[::2]]

    def _apply(self, marked: list[dict[str, str]]) -> str:
        """The rendered text; where a template knows no system role, the first user message carries its content."""
        from jinja2 import TemplateError

        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": True}
        try:
            return str(self.tokenizer.apply_chat_template(marked, **options))
        except TemplateError:
            if marked[0]["role"] != "system" or len(marked) < 2:
                raise
            joined = {"role": "user", "content": f"{marked[0]['content']}\n\n{marked[1]['content']}"}
            return str(self.tokenizer.apply_chat_template([joined, *marked[2:]], **options))
