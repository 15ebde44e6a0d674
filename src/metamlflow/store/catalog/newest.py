"""The newest version of every name, from one listing that passes over what nobody asks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from metamlflow.backend import ObjectInfo
from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import artifacts_prefix, name_of_artifact_key, parse_version_key, versions_prefix
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.statuses import VersionStatus, merged
from metamlflow.store.catalog.store import Store

_IDLE = 1_000  # keys that do not matter, one after the other: a page of a listing


@dataclass(slots=True)
class _Name:
    """What a listing has shown of one name so far: the objects of its newest version."""

    name: ArtifactName
    infos: list[ObjectInfo] = field(default_factory=list)
    version: int = 0
    is_settled: bool = False
    is_damaged: bool = False

    def add(self, info: ObjectInfo) -> None:
        """Take in the next object of the name; once its newest version is settled, nothing more matters."""
        if self.is_settled or self.is_damaged:
            return
        try:
            key = parse_version_key(self.name, info.key)
        except StoreFormatError:
            self.is_damaged = True
            return
        if key is None:
            return
        if key.version != self.version and self._newest_committed() is not None:
            self.is_settled = True
            return
        self.version = key.version
        self.infos.append(info)

    def newest(self) -> VersionStatus | None:
        """Return the newest version if it is certainly live, as a listing of this name would show it; else None."""
        found = None if self.is_damaged else self._newest_committed()
        return found if found is not None and found.available else None

    def _newest_committed(self) -> VersionStatus | None:
        return next((status for status in merged(self.name, self.infos) if status.committed), None)


def newest_of_each(store: Store, beginning: str = "") -> Iterator[tuple[ArtifactName, VersionStatus | None]]:
    """Yield each name that has records of versions, and its newest version if that is certainly live.

    At most the requests of a listing of ``artifacts/`` and two for each name that has thousands of records: behind many
    older versions, or claims, of a name the listing begins anew. None: whoever wants this name looks at it by itself.

    Args:
        store: the store.
        beginning: list only below the last slash of this text: all names that begin with it, and some others.
    """
    current: _Name | None = None
    after: str | None = ""
    while after is not None:
        begun, after, idle = after, None, 0
        for info in listed_in_order(store, artifacts_prefix(beginning), begun):
            if current is None or not info.key.startswith(versions_prefix(current.name)):
                text = name_of_artifact_key(info.key)
                if current is not None and text != current.name:
                    yield current.name, current.newest()
                    current, idle = None, 0
                if text is None:
                    continue
                current = current or _Name(ArtifactName(text))
            current.add(info)
            idle = idle + 1 if _next(info.key, current) != info.key else 0
            if idle == _IDLE:
                after = _next(info.key, current)
                break
    if current is not None:
        yield current.name, current.newest()


def _next(last: str, current: _Name) -> str:
    """Return the key behind which the next one that matters lies."""
    versions = versions_prefix(current.name)
    if last < versions:
        return versions[:-1]  # aliases, claims and notes lie before
    # The sign after the slash: so nothing below the prefix follows.
    return f"{versions[:-1]}0" if current.is_settled or current.is_damaged else last
