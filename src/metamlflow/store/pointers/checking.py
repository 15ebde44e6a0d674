"""Verify pointed data: by a listing of the prefix, by one HEAD per object, or by reading every byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from metamlflow.backend.external import ObjectMeta
from metamlflow.errors import MetaMLFlowError, ObjectNotFoundError
from metamlflow.model.findings import Finding, Level
from metamlflow.model.manifests import Manifest
from metamlflow.model.pointers import Pointed, PointerEntry
from metamlflow.model.uris import WEB, split_uri
from metamlflow.store.catalog.external import seen_as
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.pointers.listings import Standing, in_order, name_order
from metamlflow.store.pointers.reading import copy_pointer, drifted_since
from metamlflow.store.pointers.registering import fixed_prefix
from metamlflow.store.transfer.digests import checkable

_FEW = 8  # entries; up to this many HEAD requests cost no more than a listing may


@dataclass(frozen=True, slots=True)
class Listed:
    """The object that a listing showed for an entry: the registered version, or the current object of that name.

    A missing object is ``certain`` only if the listing began at its start, because some servers cannot begin a listing
    at an arbitrary name. An object that the listing omits or shows as changed is checked by HEAD until the listing's
    standing is good.
    """

    found: ObjectMeta | None
    standing: Standing
    certain: bool = True


class Listings:
    """The results of listing the places that a version points to, queried in the order of its entries.

    Each listing is read page by page as the entries are queried. If a listing fails, it gives no results: each object
    is then checked on its own, and each failure is reported for its own object.

    Args:
        store: the store whose external stores are listed.
        manifest: the manifest of the version.
        level: the requested verification level.
        from_start: whether the queries begin with the first entry; otherwise each listing begins shortly before the
            first entry queried.
    """

    def __init__(self, store: Store, manifest: Manifest, level: Level, *, from_start: bool) -> None:
        self._merges = {
            place.path: None if place.kind == "object" else _Merge(store, place, from_start=from_start)
            for place in store.relocations.pointed(manifest.pointed)
        }
        self._usable = level != "full" and manifest.files > _FEW

    def of(self, entry: PointerEntry) -> Listed | None:
        """Return the listing's result for an entry; None if no listing tells it."""
        merge = _deepest(self._merges, entry.path) if self._usable else None
        return merge.listed(entry) if merge else None


def _deepest(merges: Mapping[str, _Merge | None], path: str) -> _Merge | None:
    """Return the listing of the innermost place that contains a path; places may be nested."""
    while path and path not in merges:
        path = path.rpartition("/")[0]
    return merges.get(path)


class _Merge:
    """The listing of one place, queried by ascending names."""

    def __init__(self, store: Store, place: Pointed, *, from_start: bool) -> None:
        self._store = store
        self._root, name = split_uri(place.uri)
        self._prefix = fixed_prefix(name) if place.kind == "glob" else name
        self._found: Iterator[ObjectMeta] | None = None
        self._next: ObjectMeta | None = None
        # A listing of web files is ordered by their escaped names, and sends a request for each object anyway.
        self._usable = self._root.partition("://")[0] not in WEB
        self._from_start = from_start
        self._standing = Standing()
        self._last = b""

    def listed(self, entry: PointerEntry) -> Listed | None:
        """Return the listing's result for an entry's object; None if the listing cannot tell."""
        root, name = split_uri(entry.uri)
        rises = name_order(name) > self._last
        if not self._usable or not rises or root != self._root or not name.startswith(self._prefix):
            return None
        self._last = name_order(name)
        try:
            return self._advance(entry, name)
        except MetaMLFlowError:
            self._usable = False
            return None

    def _advance(self, entry: PointerEntry, name: str) -> Listed:
        if self._found is None:
            external, _ = self._store.external.external_of(entry.uri)
            # The registered version of an object may no longer be its newest version.
            after = "" if self._from_start else _before(name, self._prefix)
            found = external.list_objects(self._prefix, after=after, older=True)
            self._found = in_order(found, f"{self._root}/{self._prefix}", older=True)
            self._next = next(self._found, None)
        while self._next is not None and name_order(self._next.name) < self._last:
            self._next = next(self._found, None)
        best: ObjectMeta | None = None
        while self._next is not None and self._next.name == name:
            seen, self._next = self._next, next(self._found, None)
            if (entry.version is not None and seen.version == entry.version) or (seen.current and best is None):
                best = seen
        return Listed(best, self._standing, certain=self._from_start)


def _before(name: str, prefix: str) -> str:
    """Return a name shortly before this one, where a listing can begin."""
    end = name[-1:]
    if len(name) <= len(prefix) or not " " < end < "\x7f":
        return ""
    return name[:-1] + chr(ord(end) - 1)


def check_look(
    store: Store, entry: PointerEntry, shown: Listed | None, level: Level, before_look: Callable[[], None]
) -> Finding | None:
    """Compare an object with its registered state: from a listing if that is enough, otherwise with one request.

    Args:
        store: the store whose external store holds the object.
        entry: the registered state.
        shown: the listing's result for the object; None if no listing covers it.
        level: the requested verification level.
        before_look: called before a request is sent.

    Raises:
        PointerDriftError: the object has changed or is gone.
    """
    known = seen_as(entry)
    if shown is None or _tells_too_little(shown, known, level):
        before_look()
        found = _look(store, entry)
        if shown is not None and _is_bad(known, shown.found):
            shown.standing.note(agrees=_is_bad(known, found))
    else:
        found = shown.found
    if found is None or known.difference(found):
        raise drifted_since(entry, found)
    return _compare_digests(entry, found) if level == "checksum" else None


def _is_bad(known: ObjectMeta, found: ObjectMeta | None) -> bool:
    return found is None or known.difference(found) is not None


def _tells_too_little(shown: Listed, known: ObjectMeta, level: Level) -> bool:
    if _is_bad(known, shown.found):
        return not shown.standing.is_believed or (shown.found is None and not shown.certain)
    return level == "checksum" and shown.found is not None and not shown.found.held


def _look(store: Store, entry: PointerEntry) -> ObjectMeta | None:
    external, name = store.external.external_of(entry.uri)
    try:
        return with_retries(lambda: external.head(name, entry.version), store.clock)
    except ObjectNotFoundError:
        pass
    try:
        return with_retries(lambda: external.head(name), store.clock) if entry.version else None
    except ObjectNotFoundError:
        return None


def _compare_digests(entry: PointerEntry, found: ObjectMeta) -> Finding | None:
    recorded = entry.evidence.digests
    both = sorted(set(recorded) & set(found.held))
    for name in both:
        if recorded[name] != found.held[name]:
            expected, actual = f"{name}:{recorded[name]}", f"{name}:{found.held[name]}"
            return Finding(entry.path, "modified", entry.uri, expected, actual)
    if both:
        return None
    expected = ", ".join(sorted(recorded)) or "a digest; its evidence is stat"
    actual = "the server holds no digest of these" if recorded else "none; strengthen it, or use level stat"
    return Finding(entry.path, "unverifiable", entry.uri, expected, actual)


def check_content(store: Store, entry: PointerEntry, on_bytes: Callable[[int], None]) -> Finding | None:
    """Read an object completely, on condition that it is the registered object, and compare it with its evidence.

    If the evidence has no digest of the content, the check only proves that the same object can be read completely.

    Raises:
        PointerDriftError: the object has changed or is gone.
    """
    copy_pointer(store, entry, None, on_bytes)
    digest = entry.evidence.digest()
    if digest is None or checkable(entry):
        return None
    actual = "the package that computes it is missing: pip install 'metamlflow[crt]'"
    return Finding(entry.path, "unverifiable", entry.uri, ":".join(digest), actual)
