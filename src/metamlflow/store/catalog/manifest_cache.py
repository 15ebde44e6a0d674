"""Manifests that this client keeps in memory: a manifest never changes, so it need not be read twice."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from metamlflow.backend import ObjectInfo
from metamlflow.backend.tags import entity_tag
from metamlflow.format.manifests import StoredManifest

_MOST = 64
_MOST_BYTES = 1024 * 1024
_MD5_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class _Held:
    loaded: StoredManifest
    info: ObjectInfo | None


class ManifestCache:
    """A few manifests by key. Thread-safe.

    A manifest is returned only to a caller that has just seen its object in a listing, and only if size, time and ETag
    equal those of the object that was read. So a store that was deleted and recreated, or an altered manifest, is
    noticed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def keep(self, key: str, loaded: StoredManifest, info: ObjectInfo | None) -> None:
        """Keep a manifest. ``info`` is its object as listed; None: this client has just created it."""
        if len(loaded.data) > _MOST_BYTES:
            return
        with self._lock:
            self._held[key] = _Held(loaded, info)
            self._held.move_to_end(key)
            if len(self._held) > _MOST:
                self._held.popitem(last=False)

    def has_any_below(self, prefix: str) -> bool:
        """Whether the cache has a manifest whose key begins with ``prefix``."""
        with self._lock:
            return any(key.startswith(prefix) for key in self._held)

    def is_contradicted_by(self, listed: Iterable[ObjectInfo]) -> bool:
        """Whether a listing shows another object at the key of a kept manifest: then this may be another store."""
        with self._lock:
            pairs = [(held, info) for info in listed if (held := self._held.get(info.key)) is not None]
        return any(_same(held, info) is False for held, info in pairs)

    def get(self, key: str, seen: ObjectInfo) -> StoredManifest | None:
        """Return the manifest at ``key`` if it is kept and its object is the one that was ``seen`` now."""
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return None
            if not _same(held, seen):  # if this cannot be determined, the manifest is read again, once
                del self._held[key]
                return None
            self._held[key] = _Held(held.loaded, seen)
            return held.loaded


def _same(held: _Held, seen: ObjectInfo) -> bool | None:
    """Whether the object that was ``seen`` is the kept one; None if this cannot be determined."""
    before = held.info
    if before is not None:
        known = before.size, before.modified, entity_tag(before.etag), before.version
        return known == (seen.size, seen.modified, entity_tag(seen.etag), seen.version)
    if seen.size != len(held.loaded.data):
        return False
    # This client created the object and has not seen it in a listing yet.
    tag = seen.checksums.get("md5") or (seen.etag or "").strip('"')
    if len(tag) != _MD5_CHARACTERS:
        return None
    return hashlib.md5(held.loaded.data, usedforsecurity=False).hexdigest() == tag or None
