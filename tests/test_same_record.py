"""One match at a time or all at once: a language model leaves the same record, token for token."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from simarena.agents.base import Agent, ScriptedAgent
from simarena.agents.language import LanguageAgent
from simarena.backends.base import Backend
from simarena.backends.scripted import ScriptedBackend
from simarena.backends.transformers import TransformersBackend
from simarena.identity import new_match
from simarena.records import Match, Sampling
from simarena.rollout import rollout
from simarena.store import start_run
from tests.tiny import Tiny, build

CASES: dict[str, dict[str, Any]] = {
    "arena": {"mode": "duel", "m": 4, "judging": "likelihood", "task": "kks"},
    "roundtable": {"n": 3, "depth": 1, "task": "arithmetic"},
}


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """The tiny model with room for whole matches, whose prompts are long in tokens of single letters."""
    return build(tmp_path_factory.mktemp("roomy"), max_position_embeddings=8192)


SCRIPT = ScriptedAgent("script", "arena/table_skill", {"skill": 0.5})


def agents(tiny: Tiny, temperature: float) -> dict[str, Agent]:
    sampling = Sampling(temperature=temperature, max_tokens=12)
    files = {"base": None, "red": tiny.red, "blue": tiny.blue}
    return {"script": SCRIPT} | {
        name: LanguageAgent(
            name=name, backend="transformers", model=tiny.base, adapter=adapter, schema_style="brief", sampling=sampling
        )
        for name, adapter in files.items()
    }


def schedule(env: str, size: int) -> list[Match]:
    from simarena import envs

    seats, names = envs.make(env, **CASES[env]).possible_agents, ("base", "red", "blue")
    scripted = dict.fromkeys(("contestant_0", "contestant_1"), "script")  # answers that judges can weigh
    return [
        new_match(
            env,
            CASES[env],
            {seat: scripted.get(seat, names[(n + place) % 3]) for place, seat in enumerate(seats)},
            dict.fromkeys(("script", *names), ""),
            task_seed=n,
            seed=100 + n,
        )
        for n in range(size)
    ]


def record(
    tiny: Tiny, folder: Path, matches: list[Match], concurrency: int, temperature: float = 0.0, **options: Any
) -> dict[str, Any]:
    """Everything on record after playing `matches`."""

    async def play() -> dict[str, Any]:
        backend = TransformersBackend(tiny.base, [tiny.red, tiny.blue], device="cpu", **options)
        try:
            with start_run(folder, {"scenario_hash": "x"}) as run:
                players = agents(tiny, temperature)
                backends: dict[str, Backend] = {"transformers": backend, "scripted": ScriptedBackend(SCRIPT.answer)}
                report = await rollout(run, matches, players, backends, concurrency=concurrency)
                assert report.complete, report.summary()
                return dict(run.tables())
        finally:
            await backend.aclose()

    return asyncio.run(play())


@pytest.mark.parametrize("env", sorted(CASES))
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_concurrency_leaves_the_record_as_it_is(roomy: Tiny, tmp_path: Path, env: str, temperature: float) -> None:
    matches = schedule(env, 8)
    one = record(roomy, tmp_path / "one", matches, 1, temperature, dtype="float64", prefill_tokens=8192)
    many = record(roomy, tmp_path / "many", matches, 64, temperature, dtype="float64")
    asked = [completion for _, completion, _ in one["completions"].values()]
    assert any(completion["ids"] for completion in asked) or any(completion["scores"] for completion in asked)
    assert one == many
