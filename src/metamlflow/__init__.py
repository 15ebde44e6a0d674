"""Versioned, immutable, verified machine-learning artifacts in nothing but an object store.

Start with :class:`MetaMLFlowClient`; all errors and warnings are here too. Names are loaded on first use, so that the
import is cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from metamlflow._moved import find_old_modules

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact, Pointer
    from metamlflow.client import MetaMLFlowClient
    from metamlflow.data import Dataset
    from metamlflow.errors import (
        AccessDeniedError,
        AddressNotFoundError,
        AliasMovedError,
        AlreadyExistsError,
        ArtifactErasedError,
        ArtifactNotFoundError,
        ArtifactPrunedError,
        ConflictError,
        DamagedRecordWarning,
        DestinationExistsError,
        EvidenceUnavailableError,
        FolderAddressError,
        IntegrityError,
        InvalidInputError,
        InvalidMetadataError,
        InvalidNameError,
        InvalidPathError,
        LineageWarning,
        MetaMLFlowError,
        MissingDependencyError,
        NotFoundError,
        ObjectNotFoundError,
        OutcomeUnknownError,
        PointerDriftError,
        PointerPolicyError,
        ReadOnlyError,
        RunNotFoundError,
        SignatureError,
        SourceChangedError,
        SourceNotFoundError,
        StaleMetadataError,
        StaleMetadataWarning,
        StorageError,
        StorageFullError,
        StorageUnavailableError,
        StoreFormatError,
        StoreNotFoundError,
        UnsupportedSourceError,
        UnsupportedStoreError,
        UntrustedContentError,
        UnverifiedReadWarning,
    )
    from metamlflow.migration import compare, migrate

__version__ = "0.1.0.dev0"
__all__ = [
    "AccessDeniedError",
    "AddressNotFoundError",
    "AliasMovedError",
    "AlreadyExistsError",
    "Artifact",
    "ArtifactErasedError",
    "ArtifactNotFoundError",
    "ArtifactPrunedError",
    "ConflictError",
    "DamagedRecordWarning",
    "Dataset",
    "DestinationExistsError",
    "EvidenceUnavailableError",
    "FolderAddressError",
    "IntegrityError",
    "InvalidInputError",
    "InvalidMetadataError",
    "InvalidNameError",
    "InvalidPathError",
    "LineageWarning",
    "MetaMLFlowClient",
    "MetaMLFlowError",
    "MissingDependencyError",
    "NotFoundError",
    "ObjectNotFoundError",
    "OutcomeUnknownError",
    "Pointer",
    "PointerDriftError",
    "PointerPolicyError",
    "ReadOnlyError",
    "RunNotFoundError",
    "SignatureError",
    "SourceChangedError",
    "SourceNotFoundError",
    "StaleMetadataError",
    "StaleMetadataWarning",
    "StorageError",
    "StorageFullError",
    "StorageUnavailableError",
    "StoreFormatError",
    "StoreNotFoundError",
    "UnsupportedSourceError",
    "UnsupportedStoreError",
    "UntrustedContentError",
    "UnverifiedReadWarning",
    "__version__",
    "compare",
    "migrate",
]

_HOMES = {
    "Artifact": "metamlflow.artifacts",
    "Dataset": "metamlflow.data",
    "MetaMLFlowClient": "metamlflow.client",
    "Pointer": "metamlflow.artifacts",
    "compare": "metamlflow.migration",
    "migrate": "metamlflow.migration",
}
"""The module that defines a public name, unless the name is an error."""
_MODULES = frozenset(
    {"artifacts", "backend", "client", "data", "errors", "filesystem", "lineage", "migration", "runs", "types"}
)
"""Modules that ``import metamlflow`` gives as attributes, such as ``metamlflow.errors``; loaded on first use."""


find_old_modules()


def __getattr__(name: str) -> Any:
    if name not in __all__ and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    return getattr(import_module(_HOMES.get(name, "metamlflow.errors")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
