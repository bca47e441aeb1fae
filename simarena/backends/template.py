"""Messages to token ids: a model's own chat template, with nothing that was said able to become structure.

The template is rendered with a placeholder for each message's content, so only its skeleton is tokenised with special
tokens; contents are tokenised without. What the model itself sampled goes back in as the ids it sampled, after the very
tokens that asked for it, so that a prompt extends the last one token for token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from simarena.backends.rendering import BoundError, RenderError, render
from simarena.errors import MissingModel
from simarena.records import Message

MARK = re.compile("\ue000(\\d+)\ue001")
SAMPLE = ("system", "user", "assistant", "user")
Pieces = list[tuple[int, ...]]


class ChatTemplate:
    """The chat template of a Hugging Face tokenizer."""

    def __init__(self, tokenizer: Any, where: str) -> None:
        if not getattr(tokenizer, "chat_template", None):
            raise MissingModel(f"{where} has no chat template; add chat_template.jinja to the model's folder")
        try:
            self.text: str = tokenizer.get_chat_template()
        except ValueError as error:
            raise MissingModel(f"{where} has several chat templates and none that is the default") from error
        self.tokenizer = tokenizer
        self.where = where
        self.special = special_ids(tokenizer)
        """Tokens that no content may hold."""
        forms = [re.escape(text) for text in self.special.values()]
        self._cuts = re.compile(rf"(?=({'|'.join(forms)}))" if forms else r"(?!)")
        self._skeleton = lru_cache(1024)(self._pieces)
        self._content = lru_cache(8192)(self._encode_content)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Prompt ids, up to and including the marker after which the assistant writes."""
        pieces = self._skeleton(tuple(message.role for message in messages))
        ids = list(pieces[0])
        for message, after in zip(messages, pieces[1:], strict=True):
            ids += self._content(message.content) if message.ids is None else message.ids
            closed = message.ids and after and message.ids[-1] == after[0]
            ids += after[1:] if closed else after
        return ids

    def continuation(self, text: str) -> list[int]:
        """Ids of a text as the assistant would have written it."""
        return list(self._content(text))

    def markers(self) -> frozenset[int]:
        """The special tokens that give a prompt its structure."""
        return frozenset(i for piece in self._skeleton(SAMPLE) for i in piece if i in self.special)

    def _encode_content(self, text: str) -> tuple[int, ...]:
        text = text.encode(errors="replace").decode()  # a lone surrogate is no text
        ids = self._plain(text)
        if self.special.keys().isdisjoint(ids):
            return ids
        # an added token that the tokenizer does not call special: cut within, it is spelt out
        return tuple(i for part in self._parts(text) for i in self._plain(part))

    def _parts(self, text: str) -> Iterator[str]:
        begin = 0
        for found in self._cuts.finditer(text):
            yield text[begin : found.start() + 1]
            begin = found.start() + 1
        yield text[begin:]

    def _plain(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])

    def _pieces(self, roles: tuple[str, ...]) -> Pieces:
        """Token ids of the template's text before, between and after the contents.

        Before an assistant's message stands what asked for it, even where the template words it differently later.
        """
        pieces = self._rendered(roles)
        for place, role in enumerate(roles):
            if role == "assistant" and place:
                pieces[place] = self._skeleton(roles[:place])[-1]
        return pieces

    def _rendered(self, roles: tuple[str, ...]) -> Pieces:
        marked = [{"role": role, "content": f"\ue000{place}\ue001"} for place, role in enumerate(roles)]
        parts, error = self._apply(marked, len(roles))
        if parts is None and roles[0] == "system" and len(roles) > 1:  # no system role: the first user says it
            joined = {"role": "user", "content": f"{marked[0]['content']}\n\n{marked[1]['content']}"}
            parts, _ = self._apply([joined, *marked[2:]], len(roles))
        if parts is None:
            raise MissingModel(
                f"the chat template of {self.where} cannot write messages of roles {list(roles)}: {error}"
            )
        return [tuple(self.tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts]

    def _apply(self, marked: list[dict[str, str]], size: int) -> tuple[list[str] | None, str]:
        """The rendered text around the `size` contents; None and the reason where the template does not say all."""
        try:
            text = render(self.text, marked, self.tokenizer.special_tokens_map)
        except BoundError as error:
            raise MissingModel(f"the chat template of {self.where} {error}; give the model another") from error
        except RenderError as error:
            return None, str(error)
        parts = MARK.split(text)
        if [int(place) for place in parts[1::2]] != list(range(size)):
            return None, "some are dropped or come in another order"
        return parts[::2], ""


def special_ids(tokenizer: Any) -> dict[int, str]:
    """Id -> text of every added token that is more than white space."""
    return {i: str(token) for i, token in tokenizer.added_tokens_decoder.items() if str(token).strip()}
