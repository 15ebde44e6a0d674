"""New places of classes that older releases pickled under another name; see docs/decisions/0020-old-pickles.md.

A pickle names classes by module. Later releases must read clients, artifacts and reports that were pickled, for
example by Dask or joblib; so a class that moves gets a line here.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from importlib.machinery import ModuleSpec

_STORE = "metamlflow.store"
_MOVED: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "metamlflow.sessions": {"Session": "metamlflow._session", "Refresh": "metamlflow.artifacts"},
        f"{_STORE}.ancestry": {"Walked": f"{_STORE}.lineage.walk:Subgraph"},
        f"{_STORE}.clock": dict.fromkeys(
            ("Clock", "elapsed_seconds", "new_record_id", "utc_now"), f"{_STORE}.catalog.clock"
        ),
        f"{_STORE}.comparing": {"Difference": f"{_STORE}.migrate.compare"},
        f"{_STORE}.deriving": {"Changes": f"{_STORE}.publish.derive"},
        f"{_STORE}.entries": {"Entries": f"{_STORE}.catalog.entries"},
        f"{_STORE}.findings": {
            **dict.fromkeys(("Verification", "VerifyReport"), f"{_STORE}.verify.report"),
            "Finding": "metamlflow.model.findings",
            "Unreadable": f"{_STORE}.verify.report:UnreadableVersion",
        },
        f"{_STORE}.history": dict.fromkeys(("History", "HistoryEntry"), f"{_STORE}.catalog.history"),
        f"{_STORE}.lakes": {"Lakes": f"{_STORE}.catalog.external:ExternalStores"},
        f"{_STORE}.migration_report": dict.fromkeys(("MigrationReport", "VersionReport"), f"{_STORE}.migrate.report"),
        f"{_STORE}.opening": {"Store": f"{_STORE}.catalog.store"},
        f"{_STORE}.progress": {"Progress": f"{_STORE}.transfer.progress"},
        f"{_STORE}.signing": {"Signature": f"{_STORE}.verify.signatures"},
        f"{_STORE}.versions": {"Loaded": "metamlflow.format.manifests:StoredManifest"},
    }
)


class _OldModules:
    """Finds the modules of older releases: each is empty, and imports a class from its new module."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004
        """Return the spec of the module if it is one of these."""
        return type(__spec__)(name, _OldModules) if name in _MOVED else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Return None, so that the interpreter makes an empty module."""

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Give the module a ``__getattr__`` that returns the classes of older releases."""
        homes = _MOVED[module.__name__]

        def moved(name: str) -> Any:
            if name not in homes:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            home, _, today = homes[name].partition(":")
            return getattr(import_module(home), today or name)

        module.__getattr__ = moved  # type: ignore[method-assign]


def find_old_modules() -> None:
    """Let pickles find the modules of older releases; existing modules take precedence."""
    sys.meta_path.append(_OldModules)


def fill_fields(instance: Any, state: list[Any]) -> None:
    """Set the fields of a frozen dataclass from its pickle; those that an older release did not have, as by default."""
    from dataclasses import fields  # 20 ms, which `import metamlflow` need not take

    for number, known in enumerate(fields(instance)):
        object.__setattr__(instance, known.name, state[number] if number < len(state) else known.default)
