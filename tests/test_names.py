"""Names that may become files': what they may be on every system, and where they are checked."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simarena.agents.members import member
from simarena.agents.spec import ScriptedSpec
from simarena.errors import ScenarioError
from simarena.names import LONGEST, checked, distinct, fault
from simarena.registry import policy_names


@pytest.mark.parametrize(
    "name", ["ann", "nano-a@1", "Ann B. C", "naïve", "日本", "a,b=c", "x" * LONGEST, "-", "@", "~"]
)
def test_names_that_a_file_may_have(name: str) -> None:
    assert fault(name) == ""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is empty"),
        ("..", "begins or ends with '.'"),
        (".hidden", "begins or ends with '.'"),
        ("end.", "begins or ends with '.'"),
        (" ", "begins or ends with ' '"),
        ("end ", "begins or ends with ' '"),
        ("../x", "holds '/'"),
        ("/x", "holds '/'"),
        ("a\\b", r"holds '\\\\'"),
        ("c:", "holds ':'"),
        ("a*", r"holds '\*'"),
        ("a\0b", r"holds '\\x00'"),
        ("a\nb", r"holds '\\n'"),
        ("a\u202eb", r"holds '\\u202e'"),
        ("a\ud800", r"holds '\\ud800'"),
        ("nai\u0308ve", "NFC"),
        ("CON", "device on Windows"),
        ("aux.txt", "device on Windows"),
        ("lpt1", "device on Windows"),
        ("x" * (LONGEST + 1), f"has {LONGEST + 1} bytes"),
        ("é" * 61, "has 122 bytes"),
    ],
)
def test_names_that_no_file_may_have_everywhere(name: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=f"^--name: .*{said}"):
        checked(name, "--name")


@given(st.text(max_size=LONGEST + 5))
def test_a_name_without_fault_is_one_entry_of_its_folder(name: str) -> None:
    if fault(name) == "":
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, name).write_text("")
            assert [path.name for path in Path(folder).iterdir()] == [name]


def test_names_that_differ_in_capitals_alone_are_refused_together() -> None:
    distinct(["ann", "bob"], "members")
    with pytest.raises(ScenarioError, match=r"^members: 'Ann' and 'ann' would be one file"):
        distinct(["Ann", "bob", "ann"], "members")


def test_an_agent_file_s_own_name_and_the_one_it_gives_are_checked(tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text("policy: debate/honest\nname: ../../x\n")
    with pytest.raises(ScenarioError, match=r"odd\.yaml:2:1: name: '\.\./\.\./x' holds '/'"):
        member(str(tmp_path / "odd.yaml"))
    (tmp_path / "a:b.yaml").write_text("policy: debate/honest\n")
    with pytest.raises(ScenarioError, match=r"a:b\.yaml:1:1: name: 'a:b' holds ':'"):
        member(str(tmp_path / "a:b.yaml"))
    (tmp_path / "a:b.yaml").write_text("policy: debate/honest\nname: ab\n")
    assert member(str(tmp_path / "a:b.yaml")).name == "ab"


def test_names_that_nobody_gave_stay_as_they_are() -> None:
    assert {member(name).name for name in policy_names()} == set(policy_names())
    assert member(ScriptedSpec(policy="debate/quote_counter", params={"attention": 0.5})).name == (
        "debate/quote_counter(attention=0.5)"
    )
