"""Resolve addresses of files to versions: ``latest`` and aliases once, so that all reads of one reader agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from metamlflow.backend.threads import ThreadPool
from metamlflow.errors import ArtifactNotFoundError, InvalidNameError
from metamlflow.format.layout import names_prefix, versions_prefix
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.addresses import checked_reference, is_name, versioned
from metamlflow.model.names import LATEST, ArtifactName, Reference
from metamlflow.store.catalog.listing import live_numbers
from metamlflow.store.catalog.statuses import page_of
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.versions import list_names, load_reference, not_found

_KEPT = 16  # manifests


@dataclass(frozen=True, slots=True)
class Located:
    """What an address leads to.

    Attributes:
        loaded: the manifest of the version.
        head: the part of the address that names the version, as it was given.
        path: the rest: a path inside of the version, or an empty text for all of it.
    """

    loaded: StoredManifest
    head: str
    path: str


class Addresses:
    """Resolves the addresses of one store. Thread-safe; what changes is replaced in single steps, without a lock.

    Args:
        store: the store.
        pins: the versions that references stand for, as :attr:`pins` of another one gives them.
    """

    def __init__(self, store: Store, pins: dict[str, int] | None = None) -> None:
        self.store = store
        self.pins = dict(pins or {})
        """The version of each reference that was resolved: ``features`` (or its ``@latest``), ``features@best``."""
        self._heads: set[str] = set()  # names without any name below them
        self._loaded: dict[str, StoredManifest] = {}

    def locate(self, address: str) -> Located | None:
        """Return what an address without scheme leads to; None if it is the root or a folder of names.

        The part before the first ``@`` is the name, if there is such a version. Otherwise, the name is the longest
        beginning of the address that is one, and its latest version is meant.

        Raises:
            ArtifactNotFoundError: there is no such name, version or alias.
            ArtifactPrunedError: the version is pruned or absent.
            ArtifactErasedError: the version was erased.
            InvalidNameError: neither reading of the address is well formed.
        """
        if not address:
            return None
        if (split := versioned(address)) is None:
            return self._locate_latest(address, None)
        head, path = split
        try:
            return Located(self._load(head), head, path)
        except (ArtifactNotFoundError, InvalidNameError) as error:
            return self._locate_latest(address, error)

    def names(self, folder: str = "") -> Iterator[str]:
        """Yield the names below a folder of names, all names for an empty text; hidden ones are left out."""
        self.store.marker()
        return map(str, list_names(self.store, prefix=f"{folder}/" if folder else ""))

    def versions(self, name: str) -> list[int]:
        """Return the numbers of a name's live versions, ascending; empty if there is no such name."""
        self.store.marker()
        try:
            return live_numbers(self.store, ArtifactName.parse(name))
        except ArtifactNotFoundError:
            return []

    def may_have_names(self, head: str) -> bool:
        """Whether there may be names below one that :meth:`locate` has found."""
        return "@" not in head and head not in self._heads

    def _locate_latest(self, address: str, error: Exception | None) -> Located | None:
        self.store.marker()
        parts = address.split("/")
        name = folder = ""
        for head in accumulate(parts, "{}/{}".format):
            if not is_name(head):
                break
            if head in self._heads:
                name = head
                break
            is_artifact, is_folder = self._look(head)
            if is_artifact:
                name = head
            if not is_folder:
                self._heads |= {head} if is_artifact else set()
                break
            folder = head
        if name:
            return Located(self._load(name), name, address[len(name) + 1 :])
        if folder == address:
            return None
        first = next((head for head in accumulate(parts, "{}/{}".format) if is_name(head)), None)
        raise error or not_found(self.store, ArtifactName.parse(first or address), None)

    def _look(self, name: str) -> tuple[bool, bool]:
        """Return whether there are versions of a name, and names below it; two requests at the same time."""

        def has_any(prefix: str) -> bool:
            return bool(page_of(self.store, prefix, "", 1))

        with ThreadPool(1) as pool:
            folder = pool.submit(has_any, names_prefix(f"{name}/"))
            return has_any(versions_prefix(ArtifactName.parse(name))), folder.result()

    def _load(self, head: str) -> StoredManifest:
        """Return the manifest of a version, by its name alone or with a version; the first call decides which it is."""
        head = head.removesuffix(f"@{LATEST}")  # which is another spelling, and stands for the same version
        loaded = self._loaded.get(head)
        if loaded is not None:
            return loaded
        reference = checked_reference(head) if "@" in head else Reference(ArtifactName.parse(head))
        pinned = self.pins.get(head)
        loaded = self._resolved(reference if pinned is None else Reference(reference.name, pinned))
        if not isinstance(reference.version, int):
            number = self.pins.setdefault(head, loaded.manifest.version)
            if number != loaded.manifest.version:  # another thread resolved it first
                loaded = self._resolved(Reference(reference.name, number))
        self._loaded[head] = loaded
        while len(self._loaded) > _KEPT:
            self._loaded.pop(next(iter(self._loaded), head), None)
        return loaded

    def _resolved(self, reference: Reference) -> StoredManifest:
        store = self.store
        if store.is_open_for_reading:
            return load_reference(store, reference)
        return store.meanwhile(lambda: load_reference(store, reference), store.marker)
