"""Verify that a name's versions are the committed ones: none is missing, and each follows the one before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from metamlflow._looks import counted, grid_of, minute_text, one_line
from metamlflow.errors import IntegrityError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.layout import ARTIFACTS, manifest_key, name_of_versions_key
from metamlflow.format.manifests import decode_manifest, digest_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import VersionStatus, known_versions, list_names, list_versions, version_status
from metamlflow.store.transfer.scheduler import in_parallel

_HINT = "Restore this object from a copy of the store."
_NAMED = 100  # consecutive missing numbers that are reported one by one


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One version in a name's history.

    Attributes:
        version: its number.
        manifest_digest: the digest of its stored manifest; empty if the object is larger than a manifest can be.
        created_at: in UTC; None if the manifest cannot be read.
        created_by: who registered it; None if the manifest cannot be read.
        available: whether its bytes are present; False for a pruned or absent version.
    """

    version: int
    manifest_digest: str
    created_at: datetime | None
    created_by: str | None
    available: bool


@dataclass(frozen=True, slots=True)
class History:
    """The versions of a name, ascending. True in a condition if each of them follows the one before.

    Attributes:
        name: the name.
        versions: the versions that have a manifest.
        problems: the missing or altered versions, in the order of their numbers.
    """

    name: str
    versions: tuple[HistoryEntry, ...]
    problems: tuple[IntegrityError, ...]

    @property
    def ok(self) -> bool:
        """Whether no version is missing and none was altered after the next one was registered."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        pruned = sum(not entry.available for entry in self.versions)
        found = counted(len(self.versions), "version") + (f", {pruned:,} pruned" if pruned else "")
        problems = f"failed: {counted(len(self.problems), 'problem')}" if self.problems else "ok"
        return f"<History of {one_line(self.name)}: {found}, {problems}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                entry.version,
                "available" if entry.available else "pruned",
                minute_text(entry.created_at) if entry.created_at else "",
                entry.created_by or "",
                entry.manifest_digest,
            )
            for entry in self.versions
        ]
        page = grid_of(repr(self).strip("<>"), ("version", "state", "created", "by", "manifest"), rows)
        if not self.problems:
            return page
        return page + grid_of("Problems", ("what happened",), [(problem.message,) for problem in self.problems])

    def raise_if_failed(self) -> None:
        """Raise the first problem, if there is one."""
        if self.problems:
            raise self.problems[0]


def history_of(store: Store, name: ArtifactName) -> History:
    """Return a name's history: one listing, and two reads of each manifest.

    Raises:
        ArtifactNotFoundError: the name does not exist.
    """
    statuses = known_versions(store, name)

    def entry(status: VersionStatus) -> HistoryEntry | None:
        """Return the history's entry of one version, or None if the version is gone by now."""
        key = manifest_key(name, status.version)
        digest = ""
        try:
            data = with_retries(lambda: read_record(store.backend, key), store.clock)
            digest = digest_of(data)
            manifest = decode_manifest(data, key, name, status.version)
        except ObjectNotFoundError:
            return None
        except StoreFormatError:
            return HistoryEntry(status.version, digest, None, None, status.available)
        return HistoryEntry(status.version, digest, manifest.created_at, manifest.created_by, status.available)

    entries = tuple(found for found in in_parallel(entry, statuses) if found is not None)
    return History(str(name), entries, tuple(history_problems(store, name)))


def names_in_use(store: Store) -> list[ArtifactName]:
    """Return every name that has a record or a version, sorted: a name whose record was lost is included."""
    names = set(list_names(store))
    for info in with_retries(lambda: list(store.backend.list_objects(ARTIFACTS)), store.clock):
        if name := name_of_versions_key(info.key):
            names.add(ArtifactName(name))
    return sorted(names)


def history_problems(store: Store, name: ArtifactName) -> Iterator[IntegrityError]:
    """Yield the problems of a name's sequence of versions; each manifest is read once.

    An unreadable manifest is not reported here, except when it is too large; only its bytes count. Missing manifests
    cost no request, because a forged number close to the largest makes ten thousand million versions missing.
    """
    previous: str | None = None
    last = 0
    for version in sorted(status.version for status in list_versions(store, name)):
        if version > last + 1:
            previous = None
            yield from _gap(name, last + 1, version - 1)
        last = version
        key = manifest_key(name, version)
        try:
            data = with_retries(lambda key=key: read_record(store.backend, key), store.clock)  # type: ignore[misc]
        except ObjectNotFoundError:
            if version_status(store, name, version).info is None:
                last -= 1  # removed since the listing; if it was deleted, the gap before the next version shows it
                continue
            yield from _gap(name, version, version)
            previous = None
            continue
        except StoreFormatError as error:
            yield IntegrityError(
                f"{name}@{version} was altered: {error.message}",
                hint=_HINT,
                expected=f"the manifest of version {version}",
                actual="; ".join(error.problems),
                key=key,
            )
            previous = None
            continue
        try:
            said = decode_manifest(data, key, name, version).previous
        except StoreFormatError:
            said = None
        if said and previous and said != previous:
            before = manifest_key(name, version - 1)
            yield IntegrityError(
                f"{name}@{version - 1} was altered after {name}@{version} was registered ({before})",
                hint=_HINT,
                expected=said,
                actual=previous,
                key=before,
            )
        previous = digest_of(data)


def _gap(name: ArtifactName, first: int, last: int) -> Iterator[IntegrityError]:
    """Yield that the manifests of consecutive numbers are missing: one error for each of a few, or one for all."""
    if last - first < _NAMED:
        for version in range(first, last + 1):
            key = manifest_key(name, version)
            yield IntegrityError(
                f"{name}@{version} is missing: its manifest was deleted ({key})",
                hint=_HINT,
                expected=f"version {version}",
                actual="missing",
                key=key,
            )
        return
    key = manifest_key(name, last + 1)
    yield IntegrityError(
        f"{name}@{first:,} to {name}@{last:,} are missing: their manifests were deleted, or {key} is not a "
        "version that was registered",
        hint=f"{_HINT[:-1]}, or remove {key} if it was forged.",
        expected=f"versions {first} to {last}",
        actual="missing",
        key=key,
    )
