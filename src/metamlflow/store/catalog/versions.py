"""List the versions of a name, and resolve references to one of them."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial

from metamlflow.backend import ListsAcrossPrefixes, ObjectInfo
from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import (
    AccessDeniedError,
    ArtifactNotFoundError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StoreFormatError,
)
from metamlflow.format.layout import (
    alias_of_key,
    aliases_prefix,
    every_alias_prefix,
    name_of_key,
    names_prefix,
    parse_alias_key,
    parse_hidden_key,
    versions_prefix,
)
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.records import decode_alias
from metamlflow.model.names import LATEST, ArtifactName, Reference, alias_problem
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import looked_again, with_retries
from metamlflow.store.catalog.statuses import (
    VersionStatus,
    check_available,
    erased_error,
    list_versions,
    load_manifest,
    merged,
    newest_live_among,
    page_of,
    pages,
    read_tomb,
    version_status,
)
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.scheduler import in_parallel

_PAGE = 100  # keys
_SHOWN = 10
_ACROSS = 16  # keys: the newest version with its states, and the keys after this name's
_SEARCHED = 10_000  # names that are compared with a mistyped one
_NEAR = 3  # suggestions


def known_versions(store: Store, name: ArtifactName) -> list[VersionStatus]:
    """Return all versions of a name, ascending; one listing.

    Raises:
        ArtifactNotFoundError: the name does not exist.
    """
    if not (found := list(list_versions(store, name))):
        raise not_found(store, name, None)
    return sorted(found, key=lambda status: status.version)


def newest_status(store: Store, name: ArtifactName) -> VersionStatus:
    """Return the newest version of a name, committed or not; number 0 if it has none. For writers.

    The same listing also detects that the store was emptied or recreated since this client opened it. If the backend
    can list across prefixes, the listing continues past this name's keys, which the marker's key follows. Otherwise the
    marker is read again if this client knows versions of the name and the listing shows none, or other objects.

    Raises:
        StoreNotFoundError: the store is gone.
        ConflictError: the store was replaced by another one.
        StoreFormatError: it was looked at again, and has a feature that this version of the library does not know.
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
            newest = list(itertools.islice(merged(name, own), 2))
            if len(own) < len(found) or len(found) < _ACROSS or len(newest) > 1:
                return newest[0] if newest else VersionStatus(0)
    first = page_of(store, prefix, "", _PAGE)
    if is_known and (not first or store.manifests.is_contradicted_by(first)):
        store.recheck(writing=True)
    rest = pages(store, prefix, 1000, after=first[-1].key) if len(first) == _PAGE else ()
    return next(merged(name, itertools.chain(first, rest)), VersionStatus(0))


def _listed_after(store: Store, backend: ListsAcrossPrefixes, after: str) -> list[ObjectInfo] | None:
    try:
        return with_retries(lambda: backend.list_after(after, _ACROSS), store.clock)
    except AccessDeniedError:  # these credentials may list only some prefixes
        return None


def list_names(store: Store, *, include_hidden: bool = False, prefix: str = "") -> Iterator[ArtifactName]:
    """Yield every name that is not hidden and begins with ``prefix``, in key order. One listing, below its last slash.

    A name may have no version yet.

    Args:
        store: the store.
        include_hidden: yield names too that were hidden from listings.
        prefix: how the names begin: ``fraud/`` for all of a folder of names.

    Raises:
        StoreNotFoundError: the listing is empty because the store is gone since this client opened it.
        ConflictError: the listing is empty, and the store was replaced by another one.
    """
    found = with_retries(lambda: list(store.backend.list_objects(names_prefix(prefix))), store.clock)
    if not found:
        store.recheck()
    records = [record for info in found if (record := parse_hidden_key(info.key))]
    newest: dict[str, int] = {}
    for name, number in records:
        newest[name] = max(number, newest.get(name, 0))
    for info in found:
        shown = name_of_key(info.key)
        if shown and shown.startswith(prefix) and (include_hidden or newest.get(shown, 0) % 2 == 0):
            yield ArtifactName(shown)


def load_version(store: Store, name: ArtifactName, version: int) -> StoredManifest:
    """Return a version's manifest: one listing and one read, in parallel.

    Raises:
        ArtifactNotFoundError: the version does not exist; the error names the existing ones.
        ArtifactPrunedError: the version is pruned or absent.
        ArtifactErasedError: the version was erased.
    """
    with ThreadPool(1) as pool:
        listing = pool.submit(version_status, store, name, version)
        try:
            loaded = load_manifest(store, name, version)
        except ObjectNotFoundError:
            raise not_found(store, name, version) from None
        except StoreFormatError:
            if listing.result().erased:  # whatever lies there is no version any more
                check_available(store, name, listing.result())
            raise
        status = listing.result()
    check_available(store, name, status, loaded.digest)
    return loaded


def load_reference(store: Store, reference: Reference) -> StoredManifest:
    """Return the manifest that a reference resolves to.

    Raises:
        ArtifactNotFoundError: the name, version or alias does not exist.
        ArtifactPrunedError: the version is pruned or absent.
        ArtifactErasedError: the version was erased.
        StoreNotFoundError: the store is gone.
    """
    name, version = reference.name, reference.version
    if isinstance(version, str) and version != LATEST:
        alias = version
        version = looked_again(lambda: _resolve_alias(store, name, alias), store.clock)
    if isinstance(version, int):
        return load_version(store, name, version)
    return looked_again(lambda: _load_newest(store, name), store.clock)


def known_version(store: Store, reference: Reference) -> int:
    """Return the number of the version that a reference stands for, pruned or not. One listing.

    An alias costs a listing and a read more. ``latest`` stands for the newest live version, and costs a read.

    Raises:
        ArtifactNotFoundError: the name, version or alias does not exist.
        ArtifactPrunedError: the latest is meant, and no version has its bytes.
        ArtifactErasedError: the version was erased.
        StoreNotFoundError: the store is gone.
    """
    name, version = reference.name, reference.version
    if version == LATEST:
        return looked_again(lambda: _load_newest(store, name), store.clock).manifest.version
    if isinstance(version, str):
        alias = version
        version = looked_again(lambda: _resolve_alias(store, name, alias), store.clock)
    status = version_status(store, name, version)
    if status.erased:
        raise erased_error(read_tomb(store, name, version))
    if status.info is None:
        raise not_found(store, name, version)
    return version


def _load_newest(store: Store, name: ArtifactName) -> StoredManifest:
    doubtful: list[VersionStatus] = []
    newest: VersionStatus | None = None
    for status in list_versions(store, name):
        if status.available:
            return _newest_of(store, name, doubtful, status)
        newest = newest or status
        if not status.erased:
            doubtful.append(status)
    if live := newest_live_among(store, name, doubtful):
        return load_manifest(store, name, live.version, seen=live.info)
    if newest is not None:
        check_available(store, name, newest)
    raise not_found(store, name, None)


def _newest_of(
    store: Store, name: ArtifactName, doubtful: list[VersionStatus], certain: VersionStatus
) -> StoredManifest:
    """Return the newest that is live of versions with odd states, or the live version below them; in one round trip."""
    if not doubtful:
        return load_manifest(store, name, certain.version, seen=certain.info)
    with ThreadPool(1) as pool:
        loading = pool.submit(load_manifest, store, name, certain.version, seen=certain.info)
        if live := newest_live_among(store, name, doubtful):
            return load_manifest(store, name, live.version, seen=live.info)
        return loading.result()


def newest_alias_record(store: Store, name: ArtifactName, alias: str) -> tuple[int, int | None]:
    """Return the number of the newest record of an alias, and the version in it; 0 and None if it has no record.

    The newest record is listed first, except for foreign objects: the marker of a folder, a file of the desktop.
    """
    for info in pages(store, aliases_prefix(name, alias), 1):
        if number := parse_alias_key(name, alias, info.key):
            return number, _read_alias(store, info.key)
    return 0, None


def _read_alias(store: Store, key: str) -> int | None:
    return decode_alias(with_retries(partial(read_record, store.backend, key), store.clock), key)


def newest_alias_keys(store: Store, name: ArtifactName) -> dict[str, str]:
    """Return the keys of the newest records of all aliases of a name, removed ones too: one listing."""
    newest: dict[str, tuple[int, str]] = {}
    for info in pages(store, every_alias_prefix(name), 1000):
        alias = alias_of_key(name, info.key)
        if alias is not None and alias_problem(alias) is None:
            number = parse_alias_key(name, alias, info.key) or 0
            newest[alias] = max(newest.get(alias, (0, "")), (number, info.key))
    return {alias: key for alias, (_, key) in newest.items()}


def _resolve_alias(store: Store, name: ArtifactName, alias: str) -> int:
    _, version = newest_alias_record(store, name, alias)
    if version is None:
        raise not_found(store, name, alias)
    return version


def not_found(store: Store, name: ArtifactName, version: int | str | None) -> ArtifactNotFoundError:
    """Return the error for a name or version that does not exist; it names the existing ones.

    Raises:
        ArtifactErasedError: the version did exist, and was erased.
        StoreNotFoundError: the store is gone since this client opened it.
        ConflictError: the store was replaced by another one.
    """
    store.recheck()
    statuses = list(list_versions(store, name))
    for status in statuses:
        if status.version == version and status.erased:
            check_available(store, name, status)
    numbers = [status.version for status in statuses if not status.erased]
    if numbers and version is not None:
        newest = ", ".join(str(number) for number in numbers[:_SHOWN])
        more = f" and {len(numbers) - _SHOWN} older" if len(numbers) > _SHOWN else ""
        there = f"the version{'s' * (len(numbers) > 1)} {newest}{more}"
        near, aliases = _alike_aliases(store, name, version) if isinstance(version, str) else ([], [])
        if aliases:
            there = f"the alias{'es' * (len(aliases) > 1)} {', '.join(map(repr, aliases))}, and {there}"
        what = (
            f"{name!r} has no version {version}" if isinstance(version, int) else f"{name!r} has no alias {version!r}"
        )
        meant = f"Did you mean {' or '.join(repr(alias) for alias in near)}? " if near else ""
        others = [alias for alias in aliases if alias not in near]
        return ArtifactNotFoundError(
            what,
            hint=f"{meant}It has {there}.",
            name=name,
            version=version,
            suggestions=(*near, *others, *(str(number) for number in numbers[:_SHOWN])),
        )
    known = [other for other in itertools.islice(list_names(store), _SEARCHED) if other != name]
    # A name that is a folder of names comes first: `shop` where `shop/orders` exists.
    near = [str(other) for other in known if other.startswith(f"{name}/")][:_NEAR]
    near = near or _near(name, known) or _below_similar(name, known)
    return ArtifactNotFoundError(
        f"there is no artifact {name!r} in {store.url}",
        hint=f"Did you mean {' or '.join(repr(n) for n in near)}? Names are case-sensitive."
        if near
        else "`list_artifacts()` or `metamlflow ls` shows what there is.",
        name=name,
        version=version,
        suggestions=tuple(near),
    )


def _alike_aliases(store: Store, name: ArtifactName, alias: str) -> tuple[list[str], list[str]]:
    """Return the aliases that may have been meant, and some of those that there are, sorted.

    Both are empty if the store cannot list them. A damaged record does not hide the others.
    """
    with suppress(MetaMLFlowError):
        found = newest_alias_keys(store, name)
        near = _near(alias, found)
        others = (known for known in sorted(found) if known not in near)
        wanted = [*near, *itertools.islice(others, _SHOWN)]

        def stands(known: str) -> bool:
            try:
                return _read_alias(store, found[known]) is not None
            except MetaMLFlowError:
                return False

        live = {known for known, is_so in zip(wanted, in_parallel(stands, wanted), strict=True) if is_so}
        return [known for known in near if known in live], sorted(live)[:_SHOWN]
    return [], []


def _below_similar(name: str, names: Sequence[str]) -> list[str]:
    """Return names below a folder with a similar name: `fraud/model` for `frad`."""
    segments = name.count("/") + 1
    folders = {other: "/".join(other.split("/")[:segments]) for other in names}
    similar = _near(name, folders.values())
    return [str(other) for other in names if folders[other] in similar][:_NEAR]


def _near(name: str, names: Iterable[str]) -> list[str]:
    folded: dict[str, str] = {}
    for known in names:
        folded.setdefault(known.casefold(), str(known))
    return [folded[match] for match in difflib.get_close_matches(name.casefold(), folded, n=_NEAR, cutoff=0.6)]
