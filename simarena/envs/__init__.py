"""Environments: pure PettingZoo games, and the ways to make one."""

from __future__ import annotations

from typing import Any

from simarena.registry import ENVIRONMENTS, lookup


def make(name: str, *, compact: bool = False, **params: Any) -> Any:
    """An AEC environment by name. With `compact`, actions and observations are numbers (see `envs.compact`)."""
    env = lookup(ENVIRONMENTS, "environment", name)(**params)
    if not compact:
        return env
    from simarena.envs.compact import Compact

    return Compact(env)


def make_parallel(name: str, *, compact: bool = False, **params: Any) -> Any:
    """The Parallel view of an environment whose phases are all simultaneous under these parameters."""
    from simarena.envs.parallel import ParallelView

    return ParallelView(make(name, compact=compact, **params))


def register_all() -> None:
    """Enter every environment in PettingZoo's own registries, as `simarena/<name>-v0`."""
    import pettingzoo

    for name in ENVIRONMENTS:
        key = f"simarena/{name}-v0"
        if key not in pettingzoo.aec_registry:
            pettingzoo.register("aec", key, "simarena.envs:make", kwargs={"name": name})
            pettingzoo.register("parallel", key, "simarena.envs:make_parallel", kwargs={"name": name})
