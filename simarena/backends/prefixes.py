"""What the model computed for each conversation so far, so that its next prompt is read from where it goes on.

Prompts only grow, hence the last prompt and reply of a conversation begin its next prompt. Knows tokens and tensors;
the least recently used conversation makes room for the latest.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from simarena.backends.kv_cache import Past


class Prefixes:
    """Conversation -> tokens and what was computed for them."""

    def __init__(self, limit: int) -> None:
        """`limit`: bytes to hold; 0: nothing is kept."""
        self.limit, self.size = limit, 0
        self._kept: OrderedDict[Hashable, tuple[list[int], Past]] = OrderedDict()

    def keep(self, conversation: Hashable, ids: list[int], past: Past) -> None:
        """Remember `past`, computed for `ids`, in place of what the conversation had."""
        if conversation in self._kept:
            self.size -= size_of(self._kept.pop(conversation)[1])
        self._kept[conversation] = ids, past
        self.size += size_of(past)
        while self.size > self.limit:
            _, (_, oldest) = self._kept.popitem(last=False)
            self.size -= size_of(oldest)

    def find(self, conversation: Hashable, prompt: Sequence[int]) -> Past | None:
        """What is known of the beginning of `prompt`; its last token is always left to be read."""
        if conversation not in self._kept:
            return None
        ids, past = self._kept[conversation]
        same = shared(ids, prompt[:-1])
        return [(key[:, :same], value[:, :same]) for key, value in past] if same else None


def size_of(past: Past) -> int:
    """Bytes."""
    return sum(tensor.numel() * tensor.element_size() for pair in past for tensor in pair)


def shared(one: Sequence[int], other: Sequence[int]) -> int:
    """How many leading tokens two sequences share."""
    size = min(len(one), len(other))
    if one[:size] == other[:size]:
        return size
    return next(n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
