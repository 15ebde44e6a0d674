"""Manifests that this client holds: what was read or committed once need not be read again, for it never changes."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamlflow.backend import ObjectInfo
from metamlflow.backend.lakes import entity_tag

if TYPE_CHECKING:
    from metamlflow.store.versions import Loaded

_MOST = 64
_MOST_BYTES = 1024 * 1024
_MD5_CHARACTERS = 32


@dataclass(frozen=True, slots=True)
class _Held:
    loaded: Loaded
    info: ObjectInfo | None


class HeldManifests:
    """A few manifests by key. Thread-safe.

    Each is handed out only to who has just seen its object in a listing, and if that is the very object that was read:
    the same size, time and ETag. So a store that was deleted and made anew, or a manifest that was altered, is noticed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, _Held] = OrderedDict()

    def keep(self, key: str, loaded: Loaded, info: ObjectInfo | None) -> None:
        """Keep a manifest. ``info`` is what a listing said of its object; None: this client has just created it."""
        if len(loaded.data) > _MOST_BYTES:
            return
        with self._lock:
            self._held[key] = _Held(loaded, info)
            self._held.move_to_end(key)
            if len(self._held) > _MOST:
                self._held.popitem(last=False)

    def get(self, key: str, seen: ObjectInfo) -> Loaded | None:
        """Return the manifest at ``key`` if it is held and still the object that was ``seen`` now."""
        with self._lock:
            held = self._held.get(key)
            if held is None:
                return None
            if not _same(held, seen):
                del self._held[key]
                return None
            self._held[key] = _Held(held.loaded, seen)
            return held.loaded


def _same(held: _Held, seen: ObjectInfo) -> bool:
    if held.info is not None:
        tags = entity_tag(held.info.etag), entity_tag(seen.etag)
        return tags[0] == tags[1] and (held.info.size, held.info.modified) == (seen.size, seen.modified)
    tag = (seen.etag or "").strip('"')
    if len(tag) == _MD5_CHARACTERS:
        return hashlib.md5(held.loaded.data, usedforsecurity=False).hexdigest() == tag
    # Where an ETag is no digest, the size has to do: this client knows that it created the one such object.
    return seen.size == len(held.loaded.data)
