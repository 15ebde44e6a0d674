"""Verify that a name's versions are the committed ones: none is missing, and each follows the one before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import zip_longest
from typing import Any, Literal

from metamlflow._looks import counted, grid_of, minute_text, one_line
from metamlflow.errors import IntegrityError, ObjectNotFoundError, StoreFormatError
from metamlflow.format.layout import ARTIFACTS, manifest_key, name_of_versions_key
from metamlflow.format.manifests import decode_manifest, digest_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import read_if_listed, with_retries
from metamlflow.store.catalog.statuses import VersionStatus, is_listed, list_versions, live_or_damaged, read_tomb
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import known_versions, list_names
from metamlflow.store.transfer.scheduler import in_parallel

_HINT = "Restore this object from a copy of the store."
_NAMED = 100  # consecutive missing numbers that are reported one by one


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One version in a name's history.

    Attributes:
        version: its number.
        manifest_digest: the digest of its stored manifest; empty if the object is larger than a manifest can be. Of an
            erased version what its record says; empty if that is damaged.
        created_at: in UTC; None if the manifest cannot be read, or is erased.
        created_by: who registered it; None if the manifest cannot be read, or is erased.
        available: whether its bytes are present; False for a pruned, absent or erased version, and where that cannot be
            told.
        erased: whether it was erased for good.
    """

    version: int
    manifest_digest: str
    created_at: datetime | None
    created_by: str | None
    available: bool
    erased: bool = False

    def __setstate__(self, state: list[Any]) -> None:
        # A pickle of an earlier release has no `erased`.
        for attribute, value in zip_longest(self.__slots__, state, fillvalue=False):
            object.__setattr__(self, str(attribute), value)

    @property
    def state(self) -> str:
        """``available``, ``pruned`` (also if a migration left it out) or ``erased``."""
        return "erased" if self.erased else "available" if self.available else "pruned"


@dataclass(frozen=True, slots=True)
class History:
    """The versions of a name, ascending. True in a condition if each of them follows the one before.

    Attributes:
        name: the name.
        versions: the versions that have a manifest, and those that were erased.
        problems: the missing or altered versions, in the order of their numbers; then those whose state cannot be told.
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
        found = counted(len(self.versions), "version")
        for state in ("pruned", "erased"):
            if count := sum(entry.state == state for entry in self.versions):
                found += f", {count:,} {state}"
        problems = f"failed: {counted(len(self.problems), 'problem')}" if self.problems else "ok"
        return f"<History of {one_line(self.name)}: {found}, {problems}>"

    def _repr_html_(self) -> str:
        rows = [
            (
                entry.version,
                entry.state,
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
    live, damaged = live_or_damaged(store, name, statuses)
    available = {status.version for status in live}

    def entry(status: VersionStatus) -> HistoryEntry | None:
        """Return the history's entry of one version, or None if the version is gone by now."""
        if status.erased:
            digest = _erased_digest(store, name, status.version)
            return HistoryEntry(status.version, digest, None, None, available=False, erased=True)
        key = manifest_key(name, status.version)
        digest = ""
        try:
            data = read_if_listed(
                key,
                lambda: with_retries(lambda: read_record(store.backend, key), store.clock),
                partial(is_listed, store, name, status.version),
                store.clock,
            )
            if data is None:
                return None
            digest = digest_of(data)
            manifest = decode_manifest(data, key, name, status.version)
        except IntegrityError:  # the problems tell it
            return None
        except StoreFormatError:
            return HistoryEntry(status.version, digest, None, None, status.version in available)
        is_available = status.version in available
        return HistoryEntry(status.version, digest, manifest.created_at, manifest.created_by, is_available)

    entries = tuple(found for found in in_parallel(entry, statuses) if found is not None)
    states = (_altered(name, version, error) for version, error in sorted(damaged.items()))
    return History(str(name), entries, (*history_problems(store, name), *states))


def names_in_use(store: Store) -> list[ArtifactName]:
    """Return every name that has a record or a version, sorted: a name whose record was lost is included."""
    names = set(list_names(store, include_hidden=True))
    for info in with_retries(lambda: list(store.backend.list_objects(ARTIFACTS)), store.clock):
        if name := name_of_versions_key(info.key):
            names.add(ArtifactName(name))
    return sorted(names)


def _erased_digest(store: Store, name: ArtifactName, version: int) -> str:
    try:
        return read_tomb(store, name, version).manifest_digest
    except (StoreFormatError, ObjectNotFoundError):
        return ""


SequenceProblem = Literal["missing", "altered", "buried"]


@dataclass(frozen=True, slots=True)
class Link:
    """What one version says of the sequence.

    Attributes:
        version: its number.
        digest: of its manifest, or what its tomb says of that; None if it is not known.
        previous: the digest that it holds of the version before; None if it is not known.
        failure: why its record cannot be read at all, if that is to be told.
        is_lost: whether a listing shows the version, and its manifest does not exist.
        is_buried: whether it was erased, and a manifest lies there that should not any more.
    """

    version: int
    digest: str | None = None
    previous: str | None = None
    failure: StoreFormatError | None = None
    is_lost: bool = False
    is_buried: bool = False


def history_problems(store: Store, name: ArtifactName) -> Iterator[IntegrityError]:
    """Yield the problems of a name's sequence of versions; each manifest is read once.

    An unreadable manifest is not reported here, except when it is too large; only its bytes count. An erased version
    takes part by what its record repeats of its manifest.
    """
    listed = sorted(list_versions(store, name), key=lambda status: status.version)
    links = (link for status in listed if (link := _link_of(store, name, status)) is not None)
    return (problem for _, problem in sequence_problems(name, links))


def sequence_problems(name: ArtifactName, links: Iterable[Link]) -> Iterator[tuple[SequenceProblem, IntegrityError]]:
    """Yield what is wrong with a sequence of versions, given in the order of their numbers. No request.

    Missing manifests cost nothing, because a forged number close to the largest makes ten thousand million versions
    missing.
    """
    digest: str | None = None
    last = 0
    for link in links:
        version = link.version
        if version > last + 1:
            digest = None
            for gap in _gap(name, last + 1, version - 1):
                yield "missing", gap
        last = version
        if link.is_lost:
            for gap in _gap(name, version, version):
                yield "missing", gap
        if link.failure is not None:
            yield "altered", _altered(name, version, link.failure)
        if link.previous and digest and link.previous != digest:
            yield "altered", _contradicted(name, version - 1, link.previous, digest)
        digest = link.digest
        if link.is_buried:
            yield "buried", _buried(name, version)


def _link_of(store: Store, name: ArtifactName, status: VersionStatus) -> Link | None:
    """Return what a listed version says; None if it was removed since the listing.

    If it was deleted, the gap before the next version shows that.
    """
    is_buried = status.erased and status.info is not None and not _is_to_be_deleted(store, status)
    try:
        digest, previous = _digests_of(store, name, status)
    except ObjectNotFoundError:
        if not is_listed(store, name, status.version):
            return None
        return Link(status.version, is_lost=True, is_buried=is_buried)
    except StoreFormatError as error:
        return Link(status.version, failure=error, is_buried=is_buried)
    return Link(status.version, digest, previous, is_buried=is_buried)


def _is_to_be_deleted(store: Store, status: VersionStatus) -> bool:
    """Return whether the manifest is the one that was erased, and there is time left to delete it.

    Where listings are in no order that is done half a grace after the tomb was created, by an erasure that is run again
    or by a collection, and those have the other half for it. A manifest that was written after the tomb is another one.
    """
    manifest, tomb = status.info, status.tomb_info
    if manifest is None or tomb is None or manifest.modified >= tomb.modified:
        return False
    return (tomb.observed or store.clock.now()) < tomb.modified + store.marker().grace


def _digests_of(store: Store, name: ArtifactName, status: VersionStatus) -> tuple[str, str | None]:
    key = manifest_key(name, status.version)
    data: bytes | None = None
    if not status.erased:
        with suppress(ObjectNotFoundError):
            data = with_retries(lambda: read_record(store.backend, key), store.clock)
    if data is None:
        tomb = read_tomb(store, name, status.version)  # also if it was erased since the listing
        return tomb.manifest_digest, tomb.known_previous
    try:
        previous = decode_manifest(data, key, name, status.version).previous
    except StoreFormatError:
        previous = None
    return digest_of(data), previous


def _altered(name: ArtifactName, version: int, error: StoreFormatError) -> IntegrityError:
    return IntegrityError(
        f"{name}@{version} was altered: {error.message}",
        hint=_HINT,
        expected=f"the manifest of version {version}",
        actual="; ".join(error.problems),
        key=error.key or manifest_key(name, version),
    )


def _contradicted(name: ArtifactName, version: int, said: str, found: str) -> IntegrityError:
    key = manifest_key(name, version)
    return IntegrityError(
        f"{name}@{version} was altered after {name}@{version + 1} was registered ({key})",
        hint=_HINT,
        expected=said,
        actual=found,
        key=key,
    )


def _buried(name: ArtifactName, version: int) -> IntegrityError:
    """Return the problem of a manifest that lies where a version was erased: nobody reads it, but it is still there."""
    key = manifest_key(name, version)
    return IntegrityError(
        f"{name}@{version} was erased, but a manifest lies there ({key})",
        hint="It is no version, and nobody reads it. Erase the version again (`metamlflow erase`), or collect garbage "
        "(`metamlflow gc`): the erasure was cut off, or a writer that had been paused created it afterwards.",
        expected="missing",
        actual="a manifest",
        key=key,
    )


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
