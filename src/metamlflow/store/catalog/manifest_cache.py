"""Manifests that this client holds: what was read or committed once need not be read again, for it never changes."""

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

    Each is handed out only to who has just seen its object in a listing, and if that is the very object that was read:
    the same size, time and ETag. So a store that was deleted and made anew, or a manifest that was altered, is noticed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def keep(self, key: str, loaded: StoredManifest, info: ObjectInfo | None) -> None:
        """Keep a manifest. ``info`` is what a listing said of its object; None: this client has just created it."""
        if len(loaded.data) > _MOST_BYTES:
            return
        with self._lock:
            self._held[key] = _Held(loaded, info)
            self._held.move_to_end(key)
            if len(self._held) > _MOST:
                self._held.popitem(last=False)

    def has_any_below(self, prefix: str) -> bool:
        """Whether a manifest is held whose key begins with ``prefix``."""
        with self._lock:
            return any(key.startswith(prefix) for key in self._held)

    def is_contradicted_by(self, listed: Iterable[ObjectInfo]) -> bool:
        """Whether another object lies now where one was that is held: then this may be another store."""
        with self._lock:
            pairs = [(held, info) for info in listed if (held := self._held.get(info.key)) is not None]
        return any(_same(held, info) is False for held, info in pairs)

    def get(self, key: str, seen: ObjectInfo) -> StoredManifest | None:
        """Return the manifest at ``key`` if it is held and still the object that was ``seen`` now."""
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return None
            if not _same(held, seen):  # where it cannot be told it is read once
                del self._held[key]
                return None
            self._held[key] = _Held(held.loaded, seen)
            return held.loaded


def _same(held: _Held, seen: ObjectInfo) -> bool | None:
    """Whether the object that was ``seen`` is the one that is held; None if that cannot be told."""
    before = held.info
    if before is not None:
        known = before.size, before.modified, entity_tag(before.etag), before.version
        return known == (seen.size, seen.modified, entity_tag(seen.etag), seen.version)
    if seen.size != len(held.loaded.data):
        return False
    # This client created the object, and no answer has told yet what a listing says of it.
    tag = seen.checksums.get("md5") or (seen.etag or "").strip('"')
    if len(tag) != _MD5_CHARACTERS:
        return None
    return hashlib.md5(held.loaded.data, usedforsecurity=False).hexdigest() == tag or None
