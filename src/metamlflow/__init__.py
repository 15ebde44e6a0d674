"""Versioned, immutable, verified machine-learning artifacts in nothing but an object store.

Start with :class:`MetaMLFlowClient`. Names are loaded when they are first used, so that the import is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact, Pointer
    from metamlflow.client import MetaMLFlowClient
    from metamlflow.data import Dataset
    from metamlflow.errors import MetaMLFlowError
    from metamlflow.migration import compare, migrate

__version__ = "0.1.0.dev0"
__all__ = ["Artifact", "Dataset", "MetaMLFlowClient", "MetaMLFlowError", "Pointer", "__version__", "compare", "migrate"]

_HOMES = {
    "Artifact": "metamlflow.artifacts",
    "Dataset": "metamlflow.data",
    "MetaMLFlowClient": "metamlflow.client",
    "MetaMLFlowError": "metamlflow.errors",
    "Pointer": "metamlflow.artifacts",
    "compare": "metamlflow.migration",
    "migrate": "metamlflow.migration",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
