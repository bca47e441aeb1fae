"""A view as messages for a language model: append-only, and safe against words that pose as structure.

Everything that another agent, a task file or a person wrote stands inside a JSON string on a line of its own: a
newline, a quotation mark or a forged "judge_0:" in it stays within the quotes. Role markers are the template's own
affair: the backend tokenises message contents without special tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from simarena.reading import clean
from simarena.records import Event, Message, View

SchemaStyle = Literal["full", "brief", "none"]

MANY = 6
"""A sketch names the values of a longer list by its first two and its last."""

REPLY_RULE = "Reply with one JSON object and nothing else."


def system(view: View, persona: str = "") -> Message:
    """The first message: role, rules, persona and the form of every reply."""
    parts = [view.brief.strip(), persona.strip(), REPLY_RULE]
    return Message("system", "\n".join(part for part in parts if part))


def turn(view: View, style: SchemaStyle = "full") -> Message:
    """What is new since the seat's last turn, and what to do now."""
    lines = [event_line(event) for event in view.events]
    lines.append(view.instruction.strip())
    lines.append(form(view.schema, style))
    return Message("user", "\n".join(line for line in lines if line))


def repair(error: str) -> Message:
    """Asks once more after a reply that could not be used."""
    return Message("user", f"That reply could not be used: {' '.join(clean(error).split())}. {REPLY_RULE}")


def event_line(event: Event) -> str:
    """One event on one line: who, what, and the content as JSON."""
    who = event.author or {"task": "task", "card": "your card"}.get(event.kind, f"note {event.kind}")
    return f"{who}: {clean(json.dumps(event.data, ensure_ascii=False))}"


def form(schema: dict[str, Any], style: SchemaStyle) -> str:
    """How the reply has to look: the JSON Schema itself, or a one-line sketch for models with little room."""
    if style == "none":
        return ""
    if style == "full":
        return "JSON Schema of the reply: " + json.dumps(schema, ensure_ascii=False, separators=(",", ":"))
    parts = (f'"{key}": {sketch(part, schema)}' for key, part in schema["properties"].items())
    return "Form: {" + ", ".join(parts) + "}"


def sketch(part: dict[str, Any], root: dict[str, Any]) -> str:
    """A schema in a few characters: `text`, `1-10`, `"A" or "B"`, `[text, ...]`."""
    if "$ref" in part:
        return sketch(root["$defs"][part["$ref"].rsplit("/", 1)[1]], root)
    if "enum" in part:
        values = [json.dumps(value, ensure_ascii=False) for value in part["enum"]]
        shown = values if len(values) <= MANY else [*values[:2], "...", values[-1]]
        return " or ".join(shown)
    if "anyOf" in part:
        return " or ".join(sketch(option, root) for option in part["anyOf"])
    kind = part.get("type")
    if kind == "array":
        return f"[{sketch(part.get('items', {}), root)}, ...]"
    if kind == "object":
        inner = (f'"{key}": {sketch(value, root)}' for key, value in part.get("properties", {}).items())
        return "{" + ", ".join(inner) + "}"
    if kind in ("integer", "number"):
        return f"{part['minimum']}-{part['maximum']}" if "minimum" in part and "maximum" in part else "number"
    return {"boolean": "true or false", "null": "null"}.get(str(kind), "text")


def opening(view: View, persona: str, style: SchemaStyle) -> list[Message]:
    """The messages of a seat's first turn."""
    return [system(view, persona), turn(view, style)]


def transcript(messages: Sequence[Message]) -> str:
    """Messages as plain text, for people."""
    return "\n\n".join(f"[{message.role}]\n{message.content}" for message in messages)
