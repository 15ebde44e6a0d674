"""Compare copied content with the size and digests that its storage states.

A copy is read in ranges, and servers state no checksum for a range. Without this check, bytes damaged in transit, or a
mixture of two objects if one replaced the other, would be registered.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from metamlflow.backend import Blob
from metamlflow.backend.external import ExternalStore, ObjectMeta
from metamlflow.backend.registry import open_external
from metamlflow.backend.tags import bare_tag, same_tag
from metamlflow.errors import (
    IntegrityError,
    MissingDependencyError,
    ObjectNotFoundError,
    SourceChangedError,
)
from metamlflow.model.pointers import DIGEST_HEX
from metamlflow.model.uris import split_uri
from metamlflow.store.transfer.digests import Digester
from metamlflow.store.transfer.spooling import CHUNK

BUCKETS = frozenset({"s3", "s3a", "gs", "gcs"})
"""Schemes whose URLs name only a bucket and an object."""


class Original:
    """An object to copy, as its storage describes it.

    Args:
        url: the URL of the object, without secrets.
        info: the object's description by fsspec, from a look or a listing.
        look: looks at the object again and returns the digests that its storage holds; None for storage without
            digests. One request, which is made only if ``info`` does not prove the content.
    """

    def __init__(self, url: str, info: Mapping[str, Any], look: Callable[[], ObjectMeta] | None = None) -> None:
        self._url = url
        self._tag = bare_tag(info.get("ETag"))
        self._crc32c = _crc32c(info)
        self._look = look
        size = info.get("size")
        self.size: int | None = size if isinstance(size, int) and size >= 0 else None  # plug-ins give any value

    def compare(self, blob: Blob) -> None:
        """Compare the content that was read with everything known about the object.

        Raises:
            SourceChangedError: the object has another size, or was replaced.
            IntegrityError: the content does not match the digest that the storage holds.
        """
        if self.size is not None and blob.size != self.size:
            raise changed(self._url, f"it had {self.size:,} bytes, and {blob.size:,} were read")
        if self._look is not None and not self._is_told(blob):
            self._compare_with(self._look, blob)

    def _is_told(self, blob: Blob) -> bool:
        """Whether the listing proves the content. An ETag other than the MD5 proves nothing."""
        if self._crc32c is not None:
            return self._crc32c == blob.crc32c
        return len(self._tag) == DIGEST_HEX["md5"] and _digest("md5", blob) == self._tag

    def _compare_with(self, look: Callable[[], ObjectMeta], blob: Blob) -> None:
        try:
            seen = look()
        except ObjectNotFoundError:
            raise changed(self._url, "it is gone") from None
        if seen.size != blob.size or not self._is_same(seen):
            raise changed(self._url, "it was replaced by another object")
        known = {"sha256": blob.sha256, "crc32c": blob.crc32c}
        for name in (name for name in DIGEST_HEX if name in seen.held):
            with suppress(ImportError, MissingDependencyError):  # CRC64NVME needs an optional package
                self._require(name, seen.held[name], known.get(name) or _digest(name, blob))
                return

    def _require(self, name: str, expected: str, actual: str) -> None:
        if actual != expected:
            raise not_as_told(self._url, f"{name}:{expected}", f"{name}:{actual}")

    def _is_same(self, seen: ObjectMeta) -> bool:
        if self._crc32c is not None and seen.held.get("crc32c", self._crc32c) != self._crc32c:
            return False
        return not self._tag or not seen.etag or same_tag(seen.etag, self._tag)


Look = Callable[[Mapping[str, Any]], ObjectMeta]
"""Looks again at the object that an fsspec ``info`` describes."""


def bucket_at(url: str, options: Mapping[str, Mapping[str, Any]]) -> ExternalStore | None:
    """Return the bucket that a URL leads to, to read the digests that its server holds; None for other places.

    Raises:
        InvalidInputError: one of its options is unknown.
    """
    scheme = url.partition("://")[0]
    return open_external(split_uri(url)[0], options[scheme]) if scheme in BUCKETS and "://" in url else None


def looked_at(external: ExternalStore, info: Mapping[str, Any]) -> ObjectMeta:
    """Look at the object that an fsspec ``info`` describes, for the digests that its server holds."""
    version = info.get("VersionId")
    return external.head(str(info["name"]).partition("/")[2], None if version in {None, "null"} else version)


def changed(where: str, how: str, hint: str = "Try again once it is complete.") -> SourceChangedError:
    """Return the error for a source that has changed since the first look at it."""
    return SourceChangedError(
        f"{where} changed while it was being registered: {how}; nothing was registered", hint=hint, source=where
    )


def not_as_told(url: str, expected: str, actual: str, path: str | None = None) -> IntegrityError:
    """Return the error for content whose digest differs from that of its storage, or of an earlier reading."""
    return IntegrityError(
        f"{url}: the content read does not match the digest of its server, or of an earlier reading: "
        f"expected {expected}, got {actual}",
        hint="Try again; if it persists, the object itself is damaged. Nothing was registered.",
        expected=expected,
        actual=actual,
        path=path,
        key=url,
    )


def _crc32c(info: Mapping[str, Any]) -> str | None:
    """Return the CRC32C of the content in hex, if a listing states it, as that of GCS does."""
    told = info.get("crc32c")
    with suppress(binascii.Error, ValueError):
        value = base64.b64decode(told, validate=True).hex() if isinstance(told, str) else ""
        return value if len(value) == DIGEST_HEX["crc32c"] else None
    return None


def _digest(name: str, blob: Blob) -> str:
    digester = Digester([name])
    with blob.open() as content:
        while chunk := content.read(CHUNK):
            digester.update(chunk)
    return digester.digests()[name]
