"""What the artifacts of one client share, and what a refresh returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.publish.derive import Changes

if TYPE_CHECKING:
    from metamlflow.artifacts import Artifact


@dataclass(frozen=True, slots=True)
class Session:
    """What artifacts of one client share."""

    store: Store
    cache: FileCache
    events: str | None = None
    """Where OpenLineage events of runs go to: a path or a URL."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """What :meth:`Artifact.refresh` did. True in a condition if something had changed.

    Attributes:
        artifact: the version that has what is there now.
        changes: what was added, removed and modified since the version that was refreshed.
    """

    artifact: Artifact
    changes: Changes

    def __repr__(self) -> str:
        return f"<Refresh of {self.artifact.name}, now @{self.artifact.version}: {repr(self.changes)[10:-1]}>"

    def _repr_html_(self) -> str:
        return self.changes._repr_html_()

    def __bool__(self) -> bool:
        """Whether something had changed, so that a version was published."""
        return bool(self.changes)
