"""Which keys which versions name: sorted runs in files, so that memory does not grow with the number of keys."""

from __future__ import annotations

import json
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Literal

from metamlflow.format.layout import sha256_and_rest_of_blob_key
from metamlflow.store.retain.sorted_runs import SortedRuns

Standing = Literal["live", "held", "waiting", "dead"]
"""Of the version that names a key: live; kept, though its content need not be there; pruned and in its grace; dead."""
STANDINGS: tuple[Standing, ...] = ("live", "held", "waiting", "dead")
PARTS = 16
"""Keys are looked at in so many parts at a time: by the first hex digit of their digest."""

_DIGEST, _REST, _NUMBER = 32, 16, 8
_STANDING = _DIGEST + _REST
_SIZE = _STANDING + 1 + _NUMBER + _NUMBER
_MOST_BYTES = 30 * 1024 * 1024  # about 240,000 records
_KNOWN = 10_000
_MOST_SIZES = 100  # that live versions have of one key: all but one are wrong
_NO_REST = bytes(_REST)
_MOST = 2 ** (8 * _NUMBER) - 1
_digest_of = itemgetter(slice(_DIGEST))


@lru_cache(maxsize=4096)
def _hash_of(rest: str) -> bytes:
    return blake2b(rest.encode(), digest_size=_REST).digest() if rest else _NO_REST


def split_key(key: str) -> tuple[bytes, bytes] | None:
    """Return the digest that a blob key speaks of, and a hash of the rest of the key; None for another key."""
    found = sha256_and_rest_of_blob_key(key)
    return (bytes.fromhex(found[0]), _hash_of(found[1])) if found else None


@dataclass(frozen=True, slots=True)
class Owner:
    """A version that names keys.

    Attributes:
        reference: such as ``features@2``.
        reason: why it is kept, or is not.
        until: from when on what only it names is deletable, if that is known.
    """

    reference: str
    reason: str
    until: datetime | None = None


class Owners:
    """The versions that name keys, in a file; each is known by where its line begins. First all are added."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "owners"
        self._file = self._path.open("wb")
        self._end = 0
        self._read = lru_cache(maxsize=_KNOWN)(partial(_owner_at, self._path))

    def add(self, owner: Owner) -> int:
        """Note a version; return what it is known by."""
        line = json.dumps([owner.reference, owner.reason, owner.until and owner.until.isoformat()]).encode() + b"\n"
        self._file.write(line)
        self._end += len(line)
        return self._end - len(line)

    def close(self) -> None:
        """Add no more."""
        self._file.close()

    def get(self, place: int) -> Owner:
        """Return a version. Thread-safe."""
        return self._read(place)


def _owner_at(path: Path, place: int) -> Owner:
    with path.open("rb") as file:
        file.seek(place)
        reference, reason, until = json.loads(file.readline())
    return Owner(reference, reason, until and datetime.fromisoformat(until))


@dataclass(frozen=True, slots=True)
class Naming:
    """That a version names a key.

    Attributes:
        standing: of the version.
        size: of the object, in bytes, as the version has it; of a version in its grace, nothing that counts.
        owner: the version, as :class:`Owners` knows it.
        others: of a live version: further live ones that have another size.
    """

    standing: Standing
    size: int
    owner: int
    others: tuple[Naming, ...] = ()


def named_key(key: str, standing: Standing, size: int, until: datetime | None = None) -> list[bytes]:
    """Return the record that a version names a key, as :class:`NamedKeys` takes it but for its owner.

    Empty for what is no blob key: it is never deleted. A size that no object has counts as the largest. Of a version in
    its grace the end of that stands in place of the size, so that the one comes first that keeps the key for longest.
    """
    parts = split_key(key)
    if parts is None:
        return []
    number = size if until is None else _MOST - round(until.timestamp())
    return [b"".join((*parts, bytes((STANDINGS.index(standing),)), min(number, _MOST).to_bytes(_NUMBER, "big")))]


class NamedKeys:
    """Collects records, those of :func:`named_key` with the owner in eight bytes, and gives them back sorted.

    One thread adds; then any may read.
    """

    def __init__(self, folder: Path) -> None:
        self._runs = SortedRuns(_MOST_BYTES, size=_SIZE, folder=folder)

    def add(self, records: Iterable[bytes]) -> None:
        """Take in records."""
        for record in records:
            self._runs.add(record)

    def flush(self) -> None:
        """Write all of them to the folder: called once, at the end."""
        self._runs.flush()

    def of_part(self, part: int) -> Iterator[tuple[bytes, dict[bytes, Naming]]]:
        """Yield the digests whose first hex digit is ``part``, ascending, each with the keys of it that are named.

        Keys are told by a hash of what follows the digest in them. Of several versions that name a key the one counts
        that holds it most firmly.
        """
        last = bytes([(part + 1) << 4]) if part < PARTS - 1 else None
        records_of_part = self._runs.between(bytes([part << 4]), last)
        for digest, records in groupby(records_of_part, key=_digest_of):
            found: dict[bytes, Naming] = {}
            for record in records:
                rest = record[_DIGEST:_STANDING]
                first = found.get(rest)
                if first is None:  # of one key, the firmest comes first
                    found[rest] = _naming(record)
                elif first.standing == "live" and len(first.others) < _MOST_SIZES:
                    found[rest] = _with_another_size(first, _naming(record))
            yield digest, found


def _naming(record: bytes) -> Naming:
    size = int.from_bytes(record[_STANDING + 1 : -_NUMBER], "big")
    return Naming(STANDINGS[record[_STANDING]], size, int.from_bytes(record[-_NUMBER:], "big"))


def _with_another_size(first: Naming, other: Naming) -> Naming:
    last = first.others[-1] if first.others else first  # they come in the order of their sizes
    if other.standing != "live" or other.size == last.size:
        return first
    return replace(first, others=(*first.others, other))


class Scratch:
    """A new folder for files, about 65 bytes for each key that a version names; gone with this object."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="metamlflow-collect-"))
        self._remove = weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self._remove()
