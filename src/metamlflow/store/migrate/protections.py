"""Protections in a migration: what is protected at the source is protected at the destination as well."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from metamlflow.errors import AlreadyExistsError, StoreFormatError
from metamlflow.format.layout import (
    PROTECTIONS,
    all_protections_prefix,
    parse_protection_key,
    protection_key,
    protections_prefix,
)
from metamlflow.format.manifests import record_id_of
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.protections import ProtectedVersion, next_protection
from metamlflow.store.catalog.records import Losses, create_exclusively, patiently
from metamlflow.store.catalog.store import Store
from metamlflow.store.migrate.blobs import StorePair
from metamlflow.store.migrate.records import listed, read_or_none
from metamlflow.store.transfer.scheduler import in_parallel

_Keys = dict[ProtectedVersion, set[str]]


def bring_protections(ends: StorePair, names: Iterable[ArtifactName], *, every: bool) -> None:
    """Copy the protections of these names, and then what ends them; of a whole store with one listing.

    The destination may have another protection of the same number. That one stays, and the source's gets the next
    number that is free there: it is known by its bytes from then on. The source's end ends nothing but it.
    """
    wanted = set(names)
    prefixes = [PROTECTIONS] if every else [all_protections_prefix(name) for name in sorted(wanted)]
    here = _by_version(ends.source, prefixes)
    there = _by_version(ends.destination, prefixes) if here else {}

    def bring(version: ProtectedVersion) -> None:
        _Version(ends, version, here[version], there.get(version, set())).bring()

    for _ in in_parallel(bring, sorted(version for version in here if version[0] in wanted)):
        pass


def _by_version(store: Store, prefixes: Iterable[str]) -> _Keys:
    """Return the keys of the protections and of their ends by version."""
    found: _Keys = {}
    for prefix in prefixes:
        for info in listed(store, prefix):
            if parsed := parse_protection_key(info.key):
                found.setdefault((parsed.name, parsed.version), set()).add(info.key)
    return found


class _Version:
    """The protections of one version, in both stores."""

    def __init__(self, ends: StorePair, version: ProtectedVersion, here: set[str], there: set[str]) -> None:
        self._ends = ends
        self._key = partial(protection_key, *version)
        self._prefix = protections_prefix(*version)
        self._here = here
        self._there = there
        self._read: dict[str, bytes | None] = {}

    def bring(self) -> None:
        """Bring them over, the oldest first, each before its end."""
        for number in _numbers(self._here, ends=False):
            is_over = self._key(number, ends=True) in self._here
            if is_over and self._key(number) in self._there and not self._in_force():
                continue  # there is nothing to bring, and nothing to end
            data = read_or_none(self._ends.source, self._key(number))
            if data is None:
                continue  # its writer took it back, or the version was erased
            held = self._found(number, data)
            if not held and (not is_over or self._is_free(number)):
                held = [self._claimed(number, data)]
            if is_over:
                self._end(number, held)

    def _in_force(self) -> list[int]:
        begun = _numbers(self._there, ends=False)
        return [number for number in begun if self._key(number, ends=True) not in self._there]

    def _is_free(self, number: int) -> bool:
        return self._there.isdisjoint({self._key(number), self._key(number, ends=True)})

    def _found(self, number: int, data: bytes) -> list[int]:
        """Return under which numbers the destination has a protection, which is known by its bytes: its own first."""
        for candidate in sorted(_numbers(self._there, ends=False), key=lambda other: (other != number, other)):
            key = self._key(candidate)
            if key not in self._read:
                self._read[key] = self._stored(key)
            if self._read[key] == data:
                return [candidate]
        return []

    def _claimed(self, number: int, data: bytes) -> int:
        """Create a protection of the source under its own number, or else under the next free one; return that."""
        losses = Losses(self._ends.destination.clock)
        while True:
            wanted = number if self._is_free(number) else next_protection(self._there)
            key = self._key(wanted)
            if self._create(key, data):
                self._there.add(key)
                return wanted
            losses.note(key)
            self._there = {info.key for info in listed(self._ends.destination, self._prefix)}

    def _end(self, number: int, held: Iterable[int]) -> None:
        over = read_or_none(self._ends.source, self._key(number, ends=True))
        for key in (self._key(at, ends=True) for at in held):
            if over is not None and key not in self._there:
                self._create(key, over)  # if it is lost, somebody else ended that very protection
                self._there.add(key)

    def _create(self, key: str, data: bytes) -> bool:
        """Create a record at the destination; return whether it is there now."""
        store, record_id = self._ends.destination, record_id_of(data)
        if record_id is not None:
            return create_exclusively(store.backend, key, data, record_id, store.clock) is not None
        try:  # a damaged protection protects all the same
            patiently(partial(store.backend.create, key, data), store.clock)
        except AlreadyExistsError:
            return self._stored(key) == data
        return True

    def _stored(self, key: str) -> bytes | None:
        try:
            return read_or_none(self._ends.destination, key)
        except StoreFormatError:  # larger than any record
            return None


def _numbers(keys: Iterable[str], *, ends: bool) -> list[int]:
    """Return the numbers of protections, or of their ends, ascending."""
    return sorted(found.number for key in keys if (found := parse_protection_key(key)) and found.ends is ends)
