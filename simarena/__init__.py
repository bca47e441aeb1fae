"""simarena: scenario files become rated, resumable tournaments of language models, policies, learners and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simarena.envs import make, make_parallel, register_all

__version__ = "0.1.0"
__all__ = ["__version__", "make", "make_parallel", "register_all"]


def __getattr__(name: str) -> Any:
    """Load an environment maker when it is first asked for: importing simarena stays light."""
    if name in __all__:
        from simarena import envs

        return getattr(envs, name)
    raise AttributeError(f"module 'simarena' has no attribute {name!r}")
