"""Policies that can sit in any seat of any environment."""

from __future__ import annotations

import random
from typing import Any

from simarena.agents.policies.base import Policy
from simarena.records import JSON, View

WORDS = ["stone", "river", "lamp", "green", "seven", "quiet", "bread", "window", "north", "paper"]


class Random(Policy):
    """Draws every field at random from its JSON Schema: the floor that any other policy has to beat."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """One random action; well formed, not always legal."""
        if view.score is not None:
            size = len(view.score.continuations)
            return {"logprobs": [-10 * rng.random() for _ in range(size)], "tokens": [1] * size}
        schema = view.schema
        return {key: draw(part, schema, rng) for key, part in schema["properties"].items()}


def draw(part: dict[str, Any], root: dict[str, Any], rng: random.Random) -> JSON:
    """A random value that satisfies the schema `part`; `root` holds its definitions."""
    if "$ref" in part:
        return draw(root["$defs"][part["$ref"].rsplit("/", 1)[1]], root, rng)
    if "enum" in part:
        return rng.choice(part["enum"])
    if "const" in part:
        return part["const"]
    if "anyOf" in part:
        return draw(rng.choice(part["anyOf"]), root, rng)
    return _draw_type(part, root, rng)


def _draw_type(part: dict[str, Any], root: dict[str, Any], rng: random.Random) -> JSON:
    kind = part.get("type", "string")
    if kind == "object":
        return {key: draw(inner, root, rng) for key, inner in part.get("properties", {}).items()}
    if kind == "array":
        low = part.get("minItems", 0)
        size = rng.randint(low, part.get("maxItems", low + 2))
        return [draw(part["items"], root, rng) for _ in range(size)]
    if kind in ("integer", "number"):
        low, high = part.get("minimum", 0), part.get("maximum", part.get("minimum", 0) + 10)
        return rng.randint(int(low), int(high)) if kind == "integer" else rng.uniform(low, high)
    return {"boolean": rng.random() < 0.5, "null": None}.get(kind, " ".join(rng.sample(WORDS, 3)))


class Silent(Policy):
    """Never says anything that can be read: every turn takes the phase's default."""

    def act(self, view: View, rng: random.Random) -> dict[str, JSON]:
        """Nothing."""
        return {}


POLICIES: dict[str, type[Policy]] = {"random": Random, "silent": Silent}
