"""What README.md and docs/ say works: Python blocks run, commands have the options they show, links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from simarena.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CALL = re.compile(r"\bsimarena ([a-z]+)\b((?:[^\n`#]|\n +)*)")
"""A command and its arguments, over lines that go on indented, up to a comment."""
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)")

WHOLE = {page: page.read_text(encoding="utf-8") for page in PAGES}
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def python_blocks() -> list[Any]:
    """Every Python block, named by its page and line."""
    return [
        pytest.param(block[2], id=f"{page.name}:{text.count(chr(10), 0, block.start()) + 1}")
        for page, text in WHOLE.items()
        for block in BLOCK.finditer(text)
        if block[1] == "python"
    ]


def code_of(text: str) -> str:
    """What stands in a page's blocks, but for Python, and between its backticks."""
    shown = [block[2] for block in BLOCK.finditer(text) if block[1] != "python"]
    return "\n".join([*shown, *re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))])


def anchors(text: str) -> set[str]:
    """The names by which a page's headings are linked to."""
    return {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)
    }


@pytest.mark.parametrize("code", python_blocks())
def test_a_python_block_runs_as_it_stands(code: str, tmp_path: Path) -> None:
    (tmp_path / "block.py").write_text(code, encoding="utf-8")
    done = subprocess.run([sys.executable, "block.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_have_the_options_they_are_shown_with(page: Path) -> None:
    for name, rest in CALL.findall(code_of(WHOLE[page])):
        assert name in COMMANDS, f"simarena {name}"
        known = {"--debug", "--help"}.union(*(option.opts + option.secondary_opts for option in COMMANDS[name].params))
        shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest))
        assert shown <= known, f"simarena {name}: {shown - known}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for path, anchor in LINK.findall(WHOLE[page]):
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), path
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), f"{path}#{anchor}"


def test_there_is_something_to_look_at() -> None:
    assert len(python_blocks()) >= 9
    assert len(CALL.findall(code_of(WHOLE[ROOT / "docs" / "cli.md"]))) > 10
    assert any(anchor for text in WHOLE.values() for _, anchor in LINK.findall(text))
