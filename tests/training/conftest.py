"""A learner and its planted preferences."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from simarena.training.arguments import Arguments
from simarena.training.data import Prepared, prepare
from simarena.training.policy import Learner, Policy, find_learner, load_policy
from simarena.training.trainer import Metrics, train
from tests.tiny import Tiny
from tests.training import planted

SMALL: dict[str, Any] = {"batch": 4, "learning_rate": 1e-2, "rank": 4, "checkpoint_every": 2, "decay": "constant"}


@pytest.fixture(scope="session")
def template() -> Any:
    return planted.chat()


@pytest.fixture
def learner(tiny: Tiny, tmp_path: Path) -> Callable[..., Learner]:
    """An agent of the tiny model: on its base, or on one of its adapters."""

    def find(adapter: str | None = None) -> Learner:
        where = f"model: {tiny.base}\n" + (f"adapter: {adapter}\n" if adapter else "")
        file = tmp_path / ("red.yaml" if adapter else "ann.yaml")
        file.write_text(f"backend: transformers\n{where}")
        return find_learner(str(file))

    return find


@pytest.fixture
def pairs(template: Any) -> Prepared:
    """Sixteen of them."""
    return prepare([planted.record(n, template=template) for n in range(16)], template, window=512)


Trained = tuple[Policy, list[Metrics]]


@pytest.fixture
def training(learner: Callable[..., Learner], pairs: Prepared, tmp_path: Path) -> Callable[..., Trained]:
    """Train the tiny agent; `steps` stops early, as a kill between two steps would."""

    def run(folder: str = "out", adapter: str | None = None, steps: int | None = None, **settings: Any) -> Trained:
        arguments = Arguments(**(SMALL | settings))
        policy = load_policy(
            learner(adapter), tune=arguments.tune, rank=arguments.rank, alpha=arguments.alpha, seed=arguments.seed
        )
        running = train(policy, pairs, arguments, tmp_path / folder)
        if steps is None:
            return policy, list(running)
        found = [next(running) for _ in range(steps)]
        running.close()
        return policy, found

    return run


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    """The trained parameters."""
    return {name: value.detach().clone() for name, value in policy.trained.items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    """Bit by bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
