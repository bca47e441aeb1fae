"""Who a roster entry is: an agent file's name, a policy's name, or an agent described in place.

In: entries. Out: members, and notes of what is wrong with them. Options of backends are checked by the models that the
registry names, which are light; no backend is opened here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from simarena import names, paths, yamlfile
from simarena.agents.spec import LanguageSpec, ScriptedSpec, load_agent
from simarena.errors import ScenarioError, SimArenaError
from simarena.identity import content_hash
from simarena.registry import OPTIONS, lookup, lookup_policy, policy_names

Spec = ScriptedSpec | LanguageSpec
Entry = str | ScriptedSpec | LanguageSpec

LONGEST_NAME = 60


@dataclass(frozen=True, slots=True)
class Member:
    """An agent by name, and what it was described as."""

    name: str
    spec: Spec
    folder: str = ""
    """Where its file lies; paths in it are looked for there first."""
    source: str = ""
    """The file, or "" for an agent described in place."""


def member(entry: Entry) -> Member:
    """Who a roster entry is. ScenarioError for an unknown name and for a file that is wrong.

    A name that is given, by a file's `name:` or its own, may be a file's; one that was made of a policy's or a model's
    name need not: whoever makes a path of it looks (`outputs.inside`).
    """
    if not isinstance(entry, str):
        return Member(entry.name or own_name(entry), entry)
    file = paths.find_agent(entry)
    if file is not None:
        spec = load_agent(file)
        return Member(spec.name or names.checked(file.stem, f"{file}:1:1: name"), spec, str(file.parent), str(file))
    if entry in policy_names():
        return Member(entry, ScriptedSpec(policy=entry))
    raise ScenarioError(unknown(entry))


def unknown(name: str) -> str:
    """What to say of a name that is neither an agent file's nor a policy's."""
    near = get_close_matches(name, [*paths.agent_names(), *policy_names()], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown agent or policy {name!r}{hint} (see: simarena list agents, simarena list policies)"


def own_name(spec: Spec) -> str:
    """A name for an agent that was given none: what it is, and what sets it apart."""
    if isinstance(spec, LanguageSpec):
        return Path(spec.adapter or spec.model).name
    given = ",".join(f"{key}={json.dumps(value)}" for key, value in sorted(spec.params.items())).replace('"', "")
    if len(given) > LONGEST_NAME or "|" in given:
        given = content_hash(spec.params, 6)
    return f"{spec.policy}({given})" if given else spec.policy


def examine_entry(entry: Entry, source: yamlfile.Source, place: yamlfile.Place, note: str = "") -> None:
    """Note what is wrong with an entry of a roster that stands at `place`."""
    try:
        found = member(entry)
    except SimArenaError as error:
        inside = "\n" in str(error) or ".yaml:" in str(error)
        source.error(place, f"the agent's file is wrong:\n  {indented(error)}" if inside else f"{error}{note}")
        return
    if not found.source:
        examine_spec(found.spec, source, place, note)
        return
    own = yamlfile.read(found.source)
    examine_spec(found.spec, own)
    if own.errors:
        source.error(place, "the agent's file is wrong:\n  " + "\n  ".join(own.errors))


def indented(error: Exception) -> str:
    """An error of several lines as part of another."""
    return str(error).replace("\n", "\n  ")


def examine_spec(spec: Spec, source: yamlfile.Source, at: yamlfile.Place = (), note: str = "") -> None:
    """Note what the agent's own model cannot see: the policy and its parameters, the backend's options."""
    if isinstance(spec, ScriptedSpec):
        try:
            source.model(lookup_policy(spec.policy).Params, spec.params, (*at, "params"), note)
        except SimArenaError:
            source.error((*at, "policy"), unknown(spec.policy).replace("agent or policy", "policy"))
    else:
        source.model(lookup(OPTIONS, "backend", spec.backend), spec.options, (*at, "options"), note)
