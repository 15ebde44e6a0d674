"""Digests of content that is read once, under the names that evidence uses."""

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
        """Add the next bytes."""
        view = memoryview(data)
        for digest in self._hashes.values():
            digest.update(view)
        for name, extend in self._extend.items():
            self._sums[name] = extend(self._sums[name], view)
        self.size += view.nbytes

    def copy(self) -> Digester:
        """Return a digester in the same state."""
        twin = Digester(())
        twin._hashes = {name: digest.copy() for name, digest in self._hashes.items()}
        twin._sums, twin._extend, twin.size = dict(self._sums), self._extend, self.size
        return twin

    def digests(self) -> dict[str, str]:
        """Return the digests of the bytes added so far, by name, in hex."""
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
    """Return name and value of the digest to compare the content with, or None if no digest can be compared.

    If only CRC64NVME is known and the package that computes it is missing, a warning is issued and reads rely on the
    conditions of the requests alone.

    Raises:
        MissingDependencyError: there are no conditions either, as after a relocation: nothing would be compared.
    """
    evidence = entry.evidence
    found = evidence.digest()
    if found is None or found[0] != "crc64nvme" or find_spec("awscrt") is not None:
        return found
    if others := [(name, evidence.digests[name]) for name in ("crc32c", "crc32") if name in evidence.digests]:
        return others[0]
    if not is_conditional(entry):
        raise MissingDependencyError(
            f"{entry.path!r}: only the CRC64NVME of its content is known, and no installed package computes it",
            hint="Install it with: pip install 'metamlflow[crt]'. Nothing of it was read.",
            extra="crt",
        )
    warnings.warn(
        "data read through pointers is not compared with its CRC64NVME, only with its ETag or version: "
        "the package that computes it is missing (pip install 'metamlflow[crt]')",
        UnverifiedReadWarning,
        stacklevel=2,
    )
    return None


def is_conditional(entry: PointerEntry) -> bool:
    """Whether reads can be made conditional on the registered object: by its version, ETag or modification time."""
    return bool(entry.version or entry.evidence.etag or entry.evidence.modified_ns)
