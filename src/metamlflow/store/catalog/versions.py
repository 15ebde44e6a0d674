"""List the versions of a name, and resolve references to one of them."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from metamlflow.backend import ListsAcrossPrefixes, ObjectInfo
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import (
    AccessDeniedError,
    ArtifactNotFoundError,
    ArtifactPrunedError,
    MetaMLFlowError,
    ObjectNotFoundError,
)
from metamlflow.format.layout import (
    NAMES,
    alias_of_key,
    aliases_prefix,
    every_alias_prefix,
    manifest_key,
    name_of_key,
    parse_alias_key,
    parse_version_key,
    state_key,
    version_prefix,
    versions_prefix,
)
from metamlflow.format.manifests import StoredManifest, decode_manifest
from metamlflow.format.records import decode_alias, decode_state
from metamlflow.model.names import LATEST, ArtifactName, Reference
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import looked_again, with_retries
from metamlflow.store.catalog.store import Store

_PAGE = 100  # keys: enough for the newest version and its states in one small response
_SHOWN = 10
_ACROSS = 16  # keys: the newest version with its states, and the keys after this name's
_SEARCHED = 10_000  # names or alias records that are compared with a mistyped one
_NEAR = 3  # suggestions


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """A version; ``state`` is the number of its newest state record, or 0 for none; ``info`` is its listed manifest.

    ``committed`` is False if a state record exists without its manifest: a migration is about to create the manifest.
    """

    version: int
    state: int = 0
    committed: bool = True
    info: ObjectInfo | None = field(default=None, compare=False)

    @property
    def available(self) -> bool:
        """Whether its bytes are present: odd state records take them away, even ones bring them back."""
        return self.state % 2 == 0


def list_versions(store: Store, name: ArtifactName) -> Iterator[VersionStatus]:
    """Yield the versions of a name, newest first, lazily: the first page has the newest, however many there are."""
    return (status for status in all_statuses(store, name) if status.committed)


def known_versions(store: Store, name: ArtifactName) -> list[VersionStatus]:
    """Return all versions of a name, ascending; one listing.

    Raises:
        ArtifactNotFoundError: the name does not exist.
    """
    if not (found := list(list_versions(store, name))):
        raise not_found(store, name, None)
    return sorted(found, key=lambda status: status.version)


def all_statuses(store: Store, name: ArtifactName) -> Iterator[VersionStatus]:
    """Yield the same as :func:`list_versions`, and the numbers that are not committed yet."""
    return _statuses(store, name, versions_prefix(name), page=_PAGE)


def newest_status(store: Store, name: ArtifactName) -> VersionStatus:
    """Return the newest version of a name, committed or not; number 0 if it has none. For writers.

    The same listing also detects that the store was emptied or recreated since this client opened it. If the backend
    can list across prefixes, the listing continues past this name's keys, which the marker's key follows. Otherwise the
    marker is read again if this client knows versions of the name and the listing shows none, or other objects.

    Raises:
        StoreNotFoundError: the store is gone.
        ConflictError: the store was replaced by another one.
    """
    prefix = versions_prefix(name)
    is_known = store.manifests.has_any_below(prefix)
    backend = store.backend
    # In a client's first call the marker is read at the same time.
    if isinstance(backend, ListsAcrossPrefixes) and store.is_open and not is_known:
        found = _listed_after(store, backend, prefix)
        if found is not None:
            store.note_listing(found)
            own = [info for info in found if info.key.startswith(prefix)]
            newest = list(itertools.islice(_merged(name, own), 2))
            if len(own) < len(found) or len(found) < _ACROSS or len(newest) > 1:
                return newest[0] if newest else VersionStatus(0)
    first = _page(store, prefix, "", _PAGE)
    if is_known and (not first or store.manifests.is_contradicted_by(first)):
        store.recheck()
    rest = _pages(store, prefix, 1000, after=first[-1].key) if len(first) == _PAGE else ()
    return next(_merged(name, itertools.chain(first, rest)), VersionStatus(0))


def _listed_after(store: Store, backend: ListsAcrossPrefixes, after: str) -> list[ObjectInfo] | None:
    try:
        return with_retries(lambda: backend.list_after(after, _ACROSS), store.clock)
    except AccessDeniedError:  # these credentials may list only some prefixes
        return None


def _statuses(store: Store, name: ArtifactName, prefix: str, *, page: int) -> Iterator[VersionStatus]:
    return _merged(name, _pages(store, prefix, page))


def _pages(store: Store, prefix: str, page: int, after: str = "") -> Iterator[ObjectInfo]:
    full = True
    while full:
        found = _page(store, prefix, after, page)
        yield from found
        full = len(found) == page
        after, page = found[-1].key if full else "", max(page, 1000)


def _merged(name: ArtifactName, infos: Iterable[ObjectInfo]) -> Iterator[VersionStatus]:
    """Combine a manifest and the state records that follow it in the listing into one status."""
    current: VersionStatus | None = None
    for info in infos:
        key = parse_version_key(name, info.key)
        if key is None:
            continue
        if current is not None and key.version == current.version:
            current = replace(current, state=max(key.state or 0, current.state))
            continue
        if current is not None:
            yield current
        committed = key.state is None
        current = VersionStatus(key.version, key.state or 0, committed, info if committed else None)
    if current is not None:
        yield current


def _page(store: Store, prefix: str, after: str, limit: int) -> list[ObjectInfo]:
    return with_retries(lambda: list(store.backend.list_objects(prefix, after=after, limit=limit)), store.clock)


def version_status(store: Store, name: ArtifactName, version: int) -> VersionStatus:
    """Return the state of one version. One listing of its few keys."""
    return next(_statuses(store, name, version_prefix(name, version), page=_PAGE), VersionStatus(version))


def list_names(store: Store) -> Iterator[ArtifactName]:
    """Yield every name, in key order. One listing. A name may have no version yet.

    Raises:
        StoreNotFoundError: the listing is empty because the store is gone since this client opened it.
        ConflictError: the listing is empty, and the store was replaced by another one.
    """
    found = with_retries(lambda: list(store.backend.list_objects(NAMES)), store.clock)
    if not found:
        store.recheck()
    for info in found:
        if name := name_of_key(info.key):
            yield ArtifactName(name)


def load_version(store: Store, name: ArtifactName, version: int) -> StoredManifest:
    """Return a version's manifest: one listing and one read, in parallel.

    Raises:
        ArtifactNotFoundError: the version does not exist; the error names the existing ones.
        ArtifactPrunedError: the version is pruned or absent.
    """
    with ThreadPool(1) as pool:
        listing = pool.submit(version_status, store, name, version)
        try:
            loaded = load_manifest(store, name, version)
        except ObjectNotFoundError:
            raise not_found(store, name, version) from None
        status = listing.result()
    check_available(store, name, status)
    return loaded


def load_manifest(store: Store, name: ArtifactName, version: int, *, seen: ObjectInfo | None = None) -> StoredManifest:
    """Read and check a manifest, whatever its state; use the cached one if its object is the one ``seen`` now."""
    store.check_features()
    key = manifest_key(name, version)
    if seen is not None and (held := store.manifests.get(key, seen)) is not None:
        return held
    data = with_retries(lambda: read_record(store.backend, key), store.clock)
    loaded = StoredManifest(decode_manifest(data, key, name, version), data)
    if seen is not None:
        store.manifests.keep(key, loaded, seen)
    return loaded


def load_reference(store: Store, reference: Reference) -> StoredManifest:
    """Return the manifest that a reference resolves to.

    Raises:
        ArtifactNotFoundError: the name, version or alias does not exist.
        ArtifactPrunedError: the version is pruned or absent.
        StoreNotFoundError: the store is gone.
    """
    name, version = reference.name, reference.version
    if isinstance(version, str) and version != LATEST:
        alias = version
        version = looked_again(lambda: _resolve_alias(store, name, alias), store.clock)
    if isinstance(version, int):
        return load_version(store, name, version)
    return looked_again(lambda: _load_newest(store, name), store.clock)


def known_version(store: Store, reference: Reference) -> VersionStatus:
    """Return the version that a reference stands for, pruned or not, without reading its manifest. One listing.

    An alias costs a listing and a read more. ``latest`` stands for a version that is neither pruned nor absent.

    Raises:
        ArtifactNotFoundError: the name, version or alias does not exist.
        ArtifactPrunedError: the latest is meant, and no version has its bytes.
        StoreNotFoundError: the store is gone.
    """
    name, version = reference.name, reference.version
    if version == LATEST:
        return looked_again(lambda: _newest_available(store, name), store.clock)
    if isinstance(version, str):
        alias = version
        version = looked_again(lambda: _resolve_alias(store, name, alias), store.clock)
    status = version_status(store, name, version)
    if status.info is None:
        raise not_found(store, name, version)
    return status


def _load_newest(store: Store, name: ArtifactName) -> StoredManifest:
    status = _newest_available(store, name)
    return load_manifest(store, name, status.version, seen=status.info)


def _newest_available(store: Store, name: ArtifactName) -> VersionStatus:
    newest: VersionStatus | None = None
    for status in list_versions(store, name):
        if status.available:
            return status
        newest = newest or status
    if newest is not None:
        check_available(store, name, newest)
    raise not_found(store, name, None)


def check_available(store: Store, name: ArtifactName, status: VersionStatus) -> None:
    """Raise ArtifactPrunedError if the version was pruned, or left out by a migration."""
    known = [status]

    def look() -> str | None:
        seen = known.pop() if known else version_status(store, name, status.version)
        if seen.available:
            return None
        key = state_key(name, seen.version, seen.state)
        return decode_state(with_retries(lambda: read_record(store.backend, key), store.clock), key)

    state = looked_again(look, store.clock)
    if state is None:
        return
    if state == "absent":
        why, remedy = "was left out when this store was migrated", "Migrate again with this version selected"
    else:
        why, remedy = "was pruned", "Restore it within half the store's grace"
    raise ArtifactPrunedError(
        f"{name}@{status.version} {why}: its bytes are not in this store",
        hint=f"{remedy}, or use another version.",
        name=name,
        version=status.version,
    )


def newest_alias_record(store: Store, name: ArtifactName, alias: str) -> tuple[int, int | None]:
    """Return the number of the newest record of an alias, and the version in it; 0 and None if it has no record.

    The newest record is listed first, except for foreign objects: the marker of a folder, a file of the desktop.
    """
    for info in _pages(store, aliases_prefix(name, alias), 1):
        if number := parse_alias_key(name, alias, info.key):
            return number, decode_alias(
                with_retries(partial(read_record, store.backend, info.key), store.clock), info.key
            )
    return 0, None


def _resolve_alias(store: Store, name: ArtifactName, alias: str) -> int:
    _, version = newest_alias_record(store, name, alias)
    if version is None:
        raise not_found(store, name, alias)
    return version


def not_found(store: Store, name: ArtifactName, version: int | str | None) -> ArtifactNotFoundError:
    """Return the error for a name or version that does not exist; it names the existing ones.

    Raises:
        StoreNotFoundError: the store is gone since this client opened it.
        ConflictError: the store was replaced by another one.
    """
    store.recheck()
    numbers = [status.version for status in list_versions(store, name)]
    if numbers and version is not None:
        newest = ", ".join(str(number) for number in numbers[:_SHOWN])
        more = f" and {len(numbers) - _SHOWN} older" if len(numbers) > _SHOWN else ""
        there = f"It has the version{'s' * (len(numbers) > 1)} {newest}{more}."
        near = _near_aliases(store, name, version) if isinstance(version, str) else []
        what = (
            f"{name!r} has no version {version}" if isinstance(version, int) else f"{name!r} has no alias {version!r}"
        )
        return ArtifactNotFoundError(
            what,
            hint=f"Did you mean {' or '.join(repr(alias) for alias in near)}? {there}" if near else there,
            name=name,
            version=version,
            suggestions=(*near, *(str(number) for number in numbers[:_SHOWN])),
        )
    known = [other for other in itertools.islice(list_names(store), _SEARCHED) if other != name]
    # A name that is a folder of names comes first: `shop` where `shop/orders` exists.
    near = [str(other) for other in known if other.startswith(f"{name}/")][:_NEAR] or _near(name, known)
    return ArtifactNotFoundError(
        f"there is no artifact {name!r} in {store.url}",
        hint=f"Did you mean {' or '.join(repr(n) for n in near)}? Names are case-sensitive."
        if near
        else "`list_artifacts()` or `metamlflow ls` shows what there is.",
        name=name,
        version=version,
        suggestions=tuple(near),
    )


def _near_aliases(store: Store, name: ArtifactName, alias: str) -> list[str]:
    """Return the aliases that may have been meant; none if the store cannot list them."""
    found: dict[str, str] = {}
    with suppress(MetaMLFlowError):
        for info in itertools.islice(store.backend.list_objects(every_alias_prefix(name)), _SEARCHED):
            if known := alias_of_key(name, info.key):
                found.setdefault(known, info.key)  # the newest record of an alias is listed first
        records = ((known, found[known]) for known in _near(alias, found))
        return [known for known, key in records if decode_alias(read_record(store.backend, key), key) is not None]
    return []


def _near(name: str, names: Iterable[str]) -> list[str]:
    folded: dict[str, str] = {}
    for known in names:
        folded.setdefault(known.casefold(), str(known))
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=_NEAR, cutoff=0.6)]
