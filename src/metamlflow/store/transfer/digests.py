"""Digests of content that passes through, by the names that evidence gives them."""

from __future__ import annotations

import hashlib
import warnings
import zlib
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

import google_crc32c

from metamlflow.errors import MissingDependencyError, UnverifiedReadWarning
from metamlflow.model.pointers import DIGEST_HEX, PointerEntry

if TYPE_CHECKING:
    from typing_extensions import Buffer

_HASHES = frozenset({"sha256", "sha1", "md5"})


class Digester:
    """Computes several digests of content in one pass, and counts its bytes."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in names if name in _HASHES}
        self._sums = {name: 0 for name in names if name not in _HASHES}
        self._extend = {name: _extender(name) for name in self._sums}
        self.size = 0

    def update(self, data: Buffer) -> None:
        """Take in the next bytes."""
        view = memoryview(data)
        for digest in self._hashes.values():
            digest.update(view)
        for name, extend in self._extend.items():
            self._sums[name] = extend(self._sums[name], view)
        self.size += view.nbytes

    def copy(self) -> Digester:
        """Return one that has taken in the same bytes."""
        twin = Digester(())
        twin._hashes = {name: digest.copy() for name, digest in self._hashes.items()}
        twin._sums, twin._extend, twin.size = dict(self._sums), self._extend, self.size
        return twin

    def digests(self) -> dict[str, str]:
        """Return what passed, by name, in hex."""
        sums = {name: f"{value:0{DIGEST_HEX[name]}x}" for name, value in self._sums.items()}
        return {name: digest.hexdigest() for name, digest in self._hashes.items()} | sums


def _extender(name: str) -> Callable[[int, memoryview], int]:
    if name == "crc32c":
        return lambda value, view: int(google_crc32c.extend(value, bytes(view)))
    if name == "crc32":
        return lambda value, view: zlib.crc32(view, value)
    from awscrt.checksums import crc64nvme

    return lambda value, view: int(crc64nvme(bytes(view), value))


def checkable(entry: PointerEntry) -> tuple[str, str] | None:
    """Return name and value of the digest that content is to be compared with, or None if there is none.

    Where only CRC64NVME is known and the package that computes it is missing, the condition has to do; a warning tells
    that.

    Raises:
        MissingDependencyError: there is no condition either, as after a relocation: nothing would be compared.
    """
    evidence = entry.evidence
    found = evidence.digest()
    if found is None or found[0] != "crc64nvme" or find_spec("awscrt") is not None:
        return found
    if others := [(name, evidence.digests[name]) for name in ("crc32c", "crc32") if name in evidence.digests]:
        return others[0]
    if not is_conditional(entry):
        raise MissingDependencyError(
            f"{entry.path!r}: all that is known of its content is a CRC64NVME, and no installed package computes it",
            hint="Install it with: pip install 'metamlflow[crt]'. Nothing of it was read.",
            extra="crt",
        )
    warnings.warn(
        "what is read through pointers is not compared with its CRC64NVME, only with its ETag or version: "
        "the package that computes it is missing (pip install 'metamlflow[crt]')",
        UnverifiedReadWarning,
        stacklevel=2,
    )
    return None


def is_conditional(entry: PointerEntry) -> bool:
    """Whether reads can be held to the object that was registered: by its version, its ETag or its time of writing."""
    return bool(entry.version or entry.evidence.etag or entry.evidence.modified_ns)
