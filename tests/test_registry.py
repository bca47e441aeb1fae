"""Names become objects when they are asked for; unknown ones are told with what is near."""

import ast
import subprocess
import sys

import pytest

from simarena import registry
from simarena.agents.policies.base import Policy
from simarena.backends.base import Backend
from simarena.envs.base import PhaseEnv
from simarena.errors import UnknownName
from simarena.registry import ENVIRONMENTS, POLICIES, TASKS, lookup, lookup_policy, policy_names
from simarena.tasks.base import Family


@pytest.mark.parametrize(("table", "base"), [(ENVIRONMENTS, PhaseEnv), (TASKS, Family)])
def test_every_name_leads_to_what_it_says(table, base):
    assert sorted(table) == list(table)
    for name in table:
        found = lookup(table, "thing", name)
        assert issubclass(found, base)
        assert found.name == name


def test_backends_that_need_no_extra_open():
    scripted = lookup(registry.BACKENDS, "backend", "scripted")(lambda request: "")
    assert hasattr(scripted, "generate")
    assert hasattr(scripted, "aclose")
    assert Backend


def test_every_policy_is_made_without_parameters():
    names = policy_names()
    assert len(names) == len(set(names))
    for name in names:
        assert isinstance(lookup_policy(name)(), Policy)
    assert {name.split("/")[0] for name in names} == set(POLICIES)


@pytest.mark.parametrize("name", ["debate/honst", "debatte/honest", "debate", "", "/", "debate/", "any/thing/else"])
def test_unknown_policies_are_told(name):
    with pytest.raises(UnknownName, match="unknown policy"):
        lookup_policy(name)


def test_unknown_names_say_what_is_near_and_what_is_known():
    with pytest.raises(UnknownName) as caught:
        lookup(ENVIRONMENTS, "environment", "debat")
    assert str(caught.value) == (
        "unknown environment 'debat'; did you mean 'debate'? (known: arena, bargain, debate, roundtable)"
    )
    assert caught.value.exit_code == 2
    with pytest.raises(UnknownName, match=r"'zzz' \(known"):
        lookup(ENVIRONMENTS, "environment", "zzz")


def test_the_registry_imports_nothing_before_it_is_asked():
    code = "import sys, simarena.registry; print([n for n in sys.modules if n.startswith('simarena.')])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert sorted(ast.literal_eval(done.stdout)) == ["simarena.errors", "simarena.registry"]
