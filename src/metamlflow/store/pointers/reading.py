"""Read the data that an artifact points to: return exactly the registered bytes, or raise an error."""

from __future__ import annotations

import io
import threading
from functools import partial
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from metamlflow.backend.external import ObjectMeta, drift_error
from metamlflow.errors import IntegrityError, ObjectNotFoundError, PointerDriftError, UnsupportedSourceError
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.catalog.external import seen_as
from metamlflow.store.catalog.fetching import damaged_on_its_way
from metamlflow.store.catalog.records import with_retries
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.digests import Digester, checkable, is_conditional
from metamlflow.store.transfer.ranges import RANGE_BYTES, copy_ranges, not_told, write_all
from metamlflow.store.transfer.spooling import SMALL, OnBytes
from metamlflow.store.transfer.windows import FIRST_WINDOW, WindowReader

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Object:
    """One object of an external store, read in ranges; each read is conditional on the registered state."""

    def __init__(self, store: Store, entry: PointerEntry, *, is_compared: bool = True) -> None:
        self._external, _ = store.external.external_of(entry.uri)
        self._clock = store.clock
        self._relocations = store.relocations
        self._registered = self._seen = seen_as(entry)
        self._looking = threading.Lock()
        self._is_settled = is_compared or is_conditional(entry)
        if not is_conditional(entry):
            checkable(entry)  # before any read: refuses an entry that nothing could be compared with
        self.entry = entry

    def fetch(self, start: int, end: int) -> Buffer:
        """Return a range.

        Raises:
            PointerDriftError: the object has changed or is gone.
        """
        if not self._is_settled:
            self._settle()
        seen = self._seen
        try:
            return with_retries(lambda: self._external.read(seen, start, end), self._clock)
        except PointerDriftError as error:
            if not self._is_renewed(seen):
                raise _of_entry(self.entry, error) from error.__cause__
        return self.fetch(start, end)

    def _settle(self) -> None:
        """Find the object that has the registered content, if only a digest of that content is known.

        This is the case after a relocation. Later ranges are read on condition that the object is still the same.

        Raises:
            PointerDriftError: the object there has other content.
        """
        with self._looking:
            if self._is_settled:
                return
            entry, expected = self.entry, checkable(self.entry)
            try:
                found = with_retries(lambda: self._external.head(self._registered.name), self._clock)
            except ObjectNotFoundError:
                raise drifted_since(entry, None) from None
            if found.size != entry.size:
                raise drifted_since(entry, found)
            known = self._relocations.settled_as(entry)
            if expected and (known is None or known.difference(found)):
                if found.held.get(expected[0]) != expected[1]:
                    _check(entry, expected, self._digested(found, expected))
                self._relocations.settle(entry, found)
            self._seen, self._is_settled = found, True

    def _digested(self, found: ObjectMeta, expected: tuple[str, str]) -> Digester:
        """Read the whole object; repeat once on a mismatch, because the data may have been damaged in transit."""
        name, value = expected
        digester = self._read_all(found, name)
        return digester if digester.digests()[name] == value else self._read_all(found, name)

    def _read_all(self, found: ObjectMeta, name: str) -> Digester:
        digester = Digester([name])
        for start in range(0, found.size, RANGE_BYTES):
            end = min(start + RANGE_BYTES, found.size)
            digester.update(with_retries(partial(self._external.read, found, start, end), self._clock))
        return digester

    def _is_renewed(self, failed: ObjectMeta) -> bool:
        """Whether only the modification time differs, while the content, read again, is the registered content.

        A file that was touched, or restored from a copy, is then read on condition of its new time.

        Raises:
            PointerDriftError: the content differs.
        """
        expected = checkable(self.entry)
        with self._looking:
            if self._seen is not failed:
                return True  # another thread has already established it
            if expected is None or failed.version or failed.etag or failed is not self._registered:
                return False
            try:
                found = self._external.head(failed.name)
                if found.size != self.entry.size:
                    return False
                digester = self._digested(found, expected)
            except (PointerDriftError, ObjectNotFoundError, UnsupportedSourceError):
                return False
            _check(self.entry, expected, digester)
            self._seen = found
            return True


def _of_entry(entry: PointerEntry, error: PointerDriftError) -> PointerDriftError:
    """Return the error with the logical path beside the location."""
    facts = {"expected": error.expected, "actual": error.actual, "key": error.key, "path": entry.path}
    return PointerDriftError(f"{entry.path!r}: {error.message}", hint=error.hint, **facts)


def drifted_since(entry: PointerEntry, found: ObjectMeta | None) -> PointerDriftError:
    """Return the error for an object that has changed or is gone."""
    return _of_entry(entry, drift_error(entry.uri, seen_as(entry), found))


def drifted_content(entry: PointerEntry, expected: str, actual: str) -> PointerDriftError:
    """Return the error for an object whose recorded properties match but whose content differs."""
    return PointerDriftError(
        f"{entry.path!r}: the content at {entry.uri} is not what was registered: expected {expected}, found {actual}",
        hint="None of it was used. `refresh` registers the current content as the next version.",
        expected=expected,
        actual=actual,
        path=entry.path,
        key=entry.uri,
    )


def opened_pointer(store: Store, entry: PointerEntry) -> BinaryIO:
    """Return a buffered reader of an object for somebody who reads a few parts of it."""
    return cast("BinaryIO", io.BufferedReader(PointerReader(store, entry), 8 * 1024))


def read_pointer(store: Store, entry: PointerEntry) -> Buffer:
    """Return all bytes of an object, compared with the digest in its evidence, if it has one.

    Raises:
        PointerDriftError: the object has changed or is gone.
    """
    place = _Object(store, entry)
    data = place.fetch(0, entry.size)
    try:
        _compare(entry, data)
    except PointerDriftError:
        # Servers state no checksum for a range, so damage in transit shows only here: read once more.
        data = place.fetch(0, entry.size)
        _compare(entry, data)
    return data


def _compare(entry: PointerEntry, data: Buffer) -> None:
    expected = checkable(entry)
    digester = Digester([expected[0]] if expected else [])
    digester.update(data)
    _compare_digested(entry, expected, digester)


def _compare_digested(entry: PointerEntry, expected: tuple[str, str] | None, digester: Digester) -> None:
    """Compare the number of bytes read, and the digest where one is known."""
    if digester.size != entry.size:
        raise drifted_content(entry, f"{entry.size} bytes", f"{digester.size} bytes")
    if expected:
        _check(entry, expected, digester)


def _check(entry: PointerEntry, expected: tuple[str, str], digester: Digester) -> None:
    name, value = expected
    actual = digester.digests()[name]
    if (digester.size, actual) != (entry.size, value):
        raise drifted_content(entry, f"{name}:{value}", f"{name}:{actual}")


def copy_pointer(store: Store, entry: PointerEntry, target: IO[bytes] | None, on_bytes: OnBytes) -> None:
    """Read an object once, compare it with its evidence, and write it to ``target`` if one is given.

    Raises:
        PointerDriftError: the object has changed or is gone; discard the bytes written.
    """
    if entry.size <= SMALL:
        data = read_pointer(store, entry)
        if target is not None:
            write_all(target, data)
        on_bytes(entry.size)
        return
    expected = checkable(entry)
    names = [expected[0]] if expected else []
    digester = digest_pointer(store, entry, names, on_bytes, target=target)
    try:
        _compare_digested(entry, expected, digester)
    except PointerDriftError:
        if target is not None:
            target.truncate(0)
        digester = digest_pointer(store, entry, names, not_told, target=target)  # as of a small one
        _compare_digested(entry, expected, digester)


def digest_pointer(
    store: Store, entry: PointerEntry, names: list[str], on_bytes: OnBytes, *, target: IO[bytes] | None = None
) -> Digester:
    """Read an object once, in ranges, and return the requested digests; do not compare them with its evidence."""
    digester = Digester(names)
    if entry.size <= SMALL:
        digester.update(_Object(store, entry).fetch(0, entry.size))
        on_bytes(entry.size)
    else:
        copy_ranges(_Object(store, entry).fetch, entry.size, digester, target, on_bytes)
    return digester


class PointerReader(WindowReader):
    """A seekable reader of an object in an external store. Each range read is conditional on the registered state.

    The reader requests little after a seek, and more the longer it is read sequentially, so the footer of a Parquet
    file costs kilobytes. When read from start to end, it compares the content with the evidence before it returns the
    last bytes.
    """

    def __init__(self, store: Store, entry: PointerEntry) -> None:
        super().__init__(entry.size, checkable(entry))
        self._object = _Object(store, entry, is_compared=False)
        self._entry = entry
        if entry.size <= FIRST_WINDOW:
            self._take(self._object.fetch(0, entry.size), 0)  # an empty object too: it may be gone

    def _fetch(self, start: int, end: int) -> Buffer:
        return self._object.fetch(start, end)

    def _compare(self, digester: Digester) -> None:
        if self._expected:
            _check(self._entry, self._expected, digester)

    def _damaged_before(self) -> IntegrityError:
        return damaged_on_its_way(self._entry.path, ":".join(self._expected or ()), self._entry.uri)
