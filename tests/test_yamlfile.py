"""YAML read strictly: where each value stands, and what is refused."""

from __future__ import annotations

import contextlib
import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from simarena import yamlfile
from simarena.errors import ScenarioError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int = 1


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["apple", "pear"] = "apple"
    inner: Inner = Inner()
    many: list[Inner] = []


def errors(text: str) -> list[str]:
    source = yamlfile.parse(text, "f.yaml")
    source.model(Outer)
    return sorted(source.errors)


def test_every_value_knows_its_line_and_column() -> None:
    source = yamlfile.parse("a: 1\nb:\n  - x\n  - {c: 2}\n")
    assert source.data == {"a": 1, "b": ["x", {"c": 2}]}
    assert source.lines[("a",)] == (1, 1)
    assert source.lines[("b", 0)] == (3, 5)
    assert source.lines[("b", 1, "c")] == (4, 6)


def test_all_errors_are_told_at_once_each_in_its_place() -> None:
    kind, sise, size = errors("kind: aple\ninner: {sise: 2}\nmany:\n  - {size: 1}\n  - {size: x}\n")
    assert re.fullmatch(r"f.yaml:1:1: kind: .+ \(got 'aple'\); did you mean 'apple'\?", kind)
    assert sise == "f.yaml:2:9: inner.sise: unknown key; did you mean 'size'?"
    assert re.fullmatch(r"f.yaml:5:6: many.1.size: .+ \(got 'x'\)", size)


def test_a_key_given_twice_is_an_error() -> None:
    assert errors("kind: pear\nkind: apple\n") == ["f.yaml:2:1: kind: is given twice"]


def test_errors_of_values_from_outside_name_where_they_came_from() -> None:
    source = yamlfile.parse("kind: pear\n", "f.yaml")
    source.elsewhere[("inner",)] = "--set inner=3"
    source.error(("inner", "size"), "is wrong")
    source.moved[("kind",)] = ("sweep", "kind", 1)
    source.error(("kind",), "is wrong", " (note)")
    assert source.errors == ["--set inner=3: inner.size: is wrong", "f.yaml:1:1: sweep.kind.1: is wrong"]


def test_inputs_that_may_be_secret_are_not_repeated() -> None:
    class Secretive(BaseModel):
        model_config = ConfigDict(hide_input_in_errors=True)
        name: int

    source = yamlfile.parse("name: sk-12345")
    source.model(Secretive)
    assert source.errors
    assert "sk-12345" not in source.errors[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1", "is not YAML"),
        ("a: 'x", "is not YAML"),
        ("[" * 150 + "]" * 150, "1:101: file: is nested deeper than 100 levels"),
        ("[" * 5000, r"file: is (not YAML|nested deeper)"),
        ("a: &x [*x]", "more values"),
        (
            "a: &a [1,1]\n"
            + "".join(
                f"{n}: &{n} [*{o},*{o}]\n" for o, n in zip("abcdefghijklmnopqr", "bcdefghijklmnopqrs", strict=True)
            ),
            "more values",
        ),
    ],
)
def test_what_is_no_plain_yaml_is_refused(text: str, told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        yamlfile.parse(text)


def test_tags_make_no_objects() -> None:
    source = yamlfile.parse("a: !!python/object/apply:os.system ['true']\nb: !!python/name:os.system\nc: 2020-01-01")
    assert source.data == {"a": ["true"], "b": None, "c": "2020-01-01"}
    assert any("b: is no plain value" in error for error in source.errors)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ScenarioError):
        source = yamlfile.parse(text)
        source.model(Outer)
        source.check()


def test_a_file_that_is_none_is_told(tmp_path: object) -> None:
    with pytest.raises(ScenarioError, match=r"x\.yaml: cannot be read: ."):
        yamlfile.read(f"{tmp_path}/x.yaml")
    with open(f"{tmp_path}/x.yaml", "wb") as file:
        file.write(b"\xff\xfe")
    with pytest.raises(ScenarioError, match="no UTF-8"):
        yamlfile.read(f"{tmp_path}/x.yaml")
