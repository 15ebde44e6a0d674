"""Where pointed data is now, according to the relocations of a store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from metamlflow.backend import Backend
from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import RELOCATIONS, parse_relocation_key, relocation_key
from metamlflow.format.records import Relocation, decode_relocation
from metamlflow.model.manifests import Item
from metamlflow.model.pointers import Pointed, PointerEntry
from metamlflow.model.uris import MAX_URI_BYTES, uri_problem
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.records import looked_again, with_retries

if TYPE_CHECKING:
    from metamlflow.backend.external import ObjectMeta

_FRESH_SECONDS = 60.0
_SETTLED = 10_000
UNFORGEABLE = frozenset({"sha256"})
"""Digests for which other content cannot be constructed, unlike CRCs, MD5 and SHA-1."""
MAX_RELOCATIONS = 10_000
"""The largest number of relocations in a store."""


class Relocations:
    """The relocations of one store, read with its first pointer, and again after a minute. Thread-safe.

    Args:
        backend_of: returns the store's backend in the calling process.
        clock: the clock of the store.
        for_signed: apply relocations to a version that must be signed. Everyone who can write to the store can write a
            relocation, and put other content with the same CRC at the new place. So only pointers with an unforgeable
            digest are relocated, and no place as a whole.
    """

    def __init__(self, backend_of: Callable[[], Backend], clock: Clock, *, for_signed: bool = False) -> None:
        self._backend_of = backend_of
        self._clock = clock
        self._for_signed = for_signed
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._rules: tuple[tuple[int, Relocation], ...] = ()
        self._settled: dict[tuple[str, str], ObjectMeta] = {}

    def rules(self, *, fresh: bool = False) -> tuple[tuple[int, Relocation], ...]:
        """Return the relocations with their numbers, the newest first."""
        clock = self._clock
        with self._lock:
            is_fresh = self._read_at is not None and clock.elapsed() < self._read_at + _FRESH_SECONDS
            if fresh or not is_fresh:
                self._rules = tuple(looked_again(self._read, clock))
                self._read_at = clock.elapsed()
            return self._rules

    def _read(self) -> list[tuple[int, Relocation]]:
        backend, clock = self._backend_of(), self._clock
        known = dict(self._rules)
        keys = [info.key for info in with_retries(lambda: list(backend.list_objects(RELOCATIONS)), clock)]
        by_number = {number: key for key in keys if (number := parse_relocation_key(key))}
        if len(by_number) > MAX_RELOCATIONS:
            raise StoreFormatError(
                f"{RELOCATIONS} holds {len(by_number):,} relocations, more than {MAX_RELOCATIONS:,}",
                hint="Each costs a request. Migrate the artifacts that you need to a new store: it has no relocations.",
                key=RELOCATIONS,
                problems=(f"more than {MAX_RELOCATIONS:,} relocations",),
            )
        for number in by_number.keys() - known.keys():
            data = with_retries(partial(read_record, backend, by_number[number]), clock)
            known[number] = decode_relocation(data, by_number[number])
        return sorted(((number, known[number]) for number in by_number), reverse=True, key=itemgetter(0))

    def place(self, uri: str) -> str:
        """Return the current place of ``uri``: every relocation that covers it is applied, from the oldest on."""
        return uri if self._for_signed else self._moved(uri)

    def _moved(self, uri: str) -> str:
        moved = uri
        for number, rule in reversed(self.rules()):
            if covers(rule.old, moved):
                moved = rule.new + moved[len(rule.old) :]
                if len(moved.encode()) > MAX_URI_BYTES:
                    raise _unusable(number, f"it makes a URI longer than {MAX_URI_BYTES:,} bytes")
                # Two valid halves may join to a URI that a manifest must not hold.
                if problem := uri_problem(moved):
                    raise _unusable(number, problem)
        return moved

    def applied(self, items: tuple[Item, ...]) -> tuple[Item, ...]:
        """Return the items, with pointers to their current places."""
        if all(item.uri is None for item in items) or not self.rules():
            return items
        return tuple(item if item.uri is None else self.entry(item) for item in items)

    def entry(self, entry: PointerEntry) -> PointerEntry:
        """Return a pointer to the current place of its data.

        Only the content's digest proves that the data is the same, so version, tag and time are dropped, and a pointer
        without a digest of its content is not relocated.
        """
        digest = entry.evidence.digest()
        if digest is None or (self._for_signed and digest[0] not in UNFORGEABLE):
            return entry
        uri = self._moved(entry.uri)
        return entry if uri == entry.uri else entry.moved_to(uri)

    def pointed(self, places: tuple[Pointed, ...]) -> tuple[Pointed, ...]:
        """Return the places that an artifact points to, with relocations applied."""
        if not places or not self.rules():
            return places
        return tuple(replace(place, uri=self.place(place.uri)) for place in places)

    def settle(self, entry: PointerEntry, seen: ObjectMeta) -> None:
        """Remember that an object, in its observed state, has the content that an entry was registered with."""
        with self._lock:
            if len(self._settled) < _SETTLED:
                self._settled[_identity(entry)] = seen

    def settled_as(self, entry: PointerEntry) -> ObjectMeta | None:
        """Return the object that is known to have an entry's content."""
        return self._settled.get(_identity(entry))


def _unusable(number: int, problem: str) -> StoreFormatError:
    key = relocation_key(number)
    return StoreFormatError(
        f"{key}, or a relocation before it, leads to a URI that cannot be used: {problem}",
        hint="Ask the maintainer of the store to check its relocations; nothing was read from there.",
        key=key,
        problems=(problem,),
    )


def covers(old: str, uri: str) -> bool:
    """Whether a relocation from ``old`` covers an object."""
    return uri.startswith(old) if old.endswith("/") else uri == old


def _identity(entry: PointerEntry) -> tuple[str, str]:
    return entry.uri, ":".join(entry.evidence.digest() or ())
