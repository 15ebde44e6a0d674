"""Next versions derived from the newest: with stronger evidence, with the bytes stored, or from the current data."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, BinaryIO, cast

from metamlflow._looks import grid_of
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import SAVED_AS, EmptyFolder, Item
from metamlflow.model.pointers import STRENGTHS, Pointed, Pointer, PointerEntry, Strength
from metamlflow.model.uris import split_uri
from metamlflow.store.catalog.entries import Entries
from metamlflow.store.catalog.store import Store
from metamlflow.store.ingest.sources import Collection, Source, SourceFile, SourceItem, SourcePointer, SourceProblems
from metamlflow.store.lineage.current_run import current_run
from metamlflow.store.pointers.evidence import gather_held, gather_read
from metamlflow.store.pointers.listings import Standing, confirm_removed
from metamlflow.store.pointers.registering import fixed_prefix, pointer_source, same_object
from metamlflow.store.publish.publish import PublishRequest, publish
from metamlflow.store.read.content import Content, content_of
from metamlflow.store.transfer.progress import ProgressCallback

_KEPT = 10_000


@dataclass
class Changes:
    """The changes that a refresh found at the places that a version points to.

    Attributes:
        added: logical paths that are new; at most the first 10,000, as in all three.
        removed: logical paths that are gone.
        modified: logical paths whose object has changed.
        counts: the number of each of the three, without that limit.
    """

    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    modified: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=lambda: {"added": 0, "removed": 0, "modified": 0})

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return any(self.counts.values())

    def __repr__(self) -> str:
        return f"<Changes: {', '.join(f'{count:,} {what}' for what, count in self.counts.items())}>"

    def _repr_html_(self) -> str:
        rows = [(what, path) for what in self.counts for path in getattr(self, what)]
        return grid_of(repr(self).strip("<>"), ("change", "path"), rows)

    def note(self, what: str, path: str) -> None:
        """Record one change: ``added``, ``removed`` or ``modified``."""
        self.counts[what] += 1
        if len(getattr(self, what)) < _KEPT:
            getattr(self, what).append(path)


def strengthen(
    store: Store, loaded: StoredManifest, strength: Strength, progress: ProgressCallback | None = None
) -> StoredManifest:
    """Publish the next version with at least this evidence for each pointer; return it, or this one if it has it all.

    Raises:
        PointerDriftError: the data changed since it was registered; nothing was registered.
        EvidenceUnavailableError: a server holds no digest.
        ConflictError: this is not the newest version.
    """
    if not any(item.uri is not None and _is_weaker(item, strength) for item in Entries(store, loaded.manifest)):
        return loaded
    gather = partial(gather_read if strength == "full" else gather_held, store)

    def stronger(item: Item) -> SourceItem:
        if item.uri is not None and _is_weaker(item, strength):
            return SourcePointer(item, gather, reads=strength == "full")
        return item

    pointed = tuple(
        replace(place, evidence=max(place.evidence or "stat", strength, key=STRENGTHS.index))
        for place in store.relocations.pointed(loaded.manifest.pointed)
    )
    return _publish(store, loaded, _Derived(store, loaded, stronger, pointed), progress)


def _is_weaker(entry: PointerEntry, strength: Strength) -> bool:
    return STRENGTHS.index(entry.strength) < STRENGTHS.index(strength)


def materialize(store: Store, loaded: StoredManifest, progress: ProgressCallback | None = None) -> StoredManifest:
    """Publish the next version with the bytes of all pointers stored; return it, or this one if it has no pointers.

    Raises:
        PointerDriftError: the data changed since it was registered; nothing was registered.
        ConflictError: this is not the newest version.
    """
    if all(item.uri is None for item in Entries(store, loaded.manifest)):
        return loaded

    def stored(item: Item) -> SourceItem:
        if item.uri is None:
            return item
        content = content_of(store, loaded.manifest, item)
        return SourceFile(item.path, item.size, lambda: cast("BinaryIO", _whole(content)))

    return _publish(store, loaded, _Derived(store, loaded, stored, ()), progress)


def _whole(content: Content[Any]) -> io.BufferedReader:
    return io.BufferedReader(content.raw(), 1024 * 1024)


def refresh(
    store: Store, loaded: StoredManifest, progress: ProgressCallback | None = None
) -> tuple[StoredManifest, Changes]:
    """Examine again the places that a version points to; publish the next version if anything changed there.

    The evidence of unchanged objects is kept, however strong it is.

    Raises:
        SourceNotFoundError: nothing is left at one of the places.
        ConflictError: this is not the newest version.
    """
    source = _Refreshed(store, loaded)
    source.scan()
    changes = source.changes
    return (_publish(store, loaded, source, progress) if changes else loaded), changes


def _publish(store: Store, loaded: StoredManifest, source: Source, progress: ProgressCallback | None) -> StoredManifest:
    manifest, run = loaded.manifest, current_run(store)
    draft = PublishRequest(
        name=manifest.name,
        source=source,
        artifact_type=manifest.artifact_type,
        metadata=manifest.metadata,
        run=run,
        code=run.code if run else None,
        extra={} if manifest.saved_as is None else {SAVED_AS: manifest.saved_as},
        based_on=loaded,
    )
    return publish(store, draft, progress)


class _Derived(Source):
    """The items of a version, each as ``change`` returns it."""

    def __init__(
        self, store: Store, loaded: StoredManifest, change: Callable[[Item], SourceItem], pointed: tuple[Pointed, ...]
    ) -> None:
        self.kind = loaded.manifest.kind
        self.pointed = pointed
        self._items = Entries(store, loaded.manifest)
        self._change = change

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:  # noqa: ARG002 (the items are already registered)
        """Yield the items, in path order."""
        return map(self._change, self._items.items())


def _lists(place: Pointed, uri: str) -> bool:
    """Whether the listing of a place would show this object."""
    root, name = split_uri(place.uri)
    return place.kind != "object" and uri.startswith(f"{root}/{fixed_prefix(name) if place.kind == 'glob' else name}")


class _Refreshed(Source):
    """The current objects at the places of a version, and the files that the version itself stores."""

    def __init__(self, store: Store, loaded: StoredManifest) -> None:
        manifest = loaded.manifest
        self.kind = manifest.kind
        self.pointed = store.relocations.pointed(manifest.pointed)
        self.changes = Changes()
        self._store = store
        self._standing = Standing()
        self._items = Entries(store, manifest)
        places = {
            place: pointer_source(store, Pointer(place.uri, place.evidence), place.kind) for place in self.pointed
        }
        whole = [source for place, source in places.items() if not place.path]
        members = {place.path: source for place, source in places.items() if place.path}
        self._found = whole[0] if whole else Collection(members)

    def walk(self, problems: SourceProblems) -> Iterator[SourceItem]:
        """Yield the items, in path order; note differences from the version in ``changes``."""
        self.changes = Changes()
        old = self._items.items()
        known = next(old, None)
        for item in self._found.items(problems):
            while known is not None and known.path < item.path:
                yield from self._left(known)
                known = next(old, None)
            if known is None or known.path != item.path:
                self.changes.note("added", item.path)
                yield item
                continue
            if known.uri is None and not (isinstance(known, EmptyFolder) or isinstance(item, EmptyFolder)):
                problems.note_path(item.path, "this object is new, and a stored file of the version has its path")
            yield self._either(known, item)
            known = next(old, None)
        while known is not None:
            yield from self._left(known)
            known = next(old, None)

    def _left(self, known: Item) -> Iterator[Item]:
        """Yield an item that no place has any more, if the version itself stores it."""
        if known.uri is not None:
            if any(_lists(place, known.uri) for place in self.pointed):
                confirm_removed(self._store, known, self._standing)
            self.changes.note("removed", known.path)
        else:
            yield known

    def _either(self, known: Item, found: SourceItem) -> SourceItem:
        # Places contain only pointers and empty folders.
        if known.uri is not None and isinstance(found, SourcePointer) and same_object(known, found.entry):
            return known
        if not isinstance(known, EmptyFolder) or not isinstance(found, EmptyFolder):
            self.changes.note("modified", known.path)
        return found
