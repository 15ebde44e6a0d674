"""Examine what lies around the records: keys that are unknown, uploads that were left, caches."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator

from metamlflow.backend.diagnosis import Diagnosable
from metamlflow.format.known_keys import is_known
from metamlflow.format.layout import CACHE, MARKER
from metamlflow.store.cache.checking import damaged_entries
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.ordered import listed_in_order
from metamlflow.store.catalog.store import Store
from metamlflow.store.catalog.unknown import keys_in_the_root
from metamlflow.store.retain.fsck.report import FsckFinding, found

_LEFTOVERS = frozenset({"leftovers", "unfinished-uploads"})  # names of checks that the backends make
_COUNTED = 1_000
_log = logging.getLogger(__name__)


def root_findings(store: Store) -> Iterator[FsckFinding]:
    """Yield the objects in the root, and of each unknown folder the first: a request for each folder."""
    for key in keys_in_the_root(store):
        if not is_known(key):
            yield found("unknown-key", key, f"{key} lies in the root of the store, and the format does not know it")


def upload_findings(store: Store) -> Iterator[FsckFinding]:
    """Yield what the backend says of uploads and temporary files that killed processes left."""
    backend = store.backend
    if not isinstance(backend, Diagnosable):
        return
    for examination in backend.examinations(MARKER):
        if examination.name not in _LEFTOVERS:
            continue
        try:
            observed = examination.look()
        except Exception as error:  # noqa: BLE001 (a client's own error must not end the examination)
            _log.debug("%s: %s", examination.name, error)  # not allowed to ask, for example: that is no finding
            continue
        if observed.verdict == "warning":
            yield found("upload-abandoned", backend.url, f"{observed.found}. {observed.remedy or ''}".strip())


def cache_findings(store: Store, cache: FileCache, *, full: bool) -> Iterator[FsckFinding]:
    """Yield what lies below the store's cache, and which entries of the local one are not as they were stored."""
    keys = [info.key for info in itertools.islice(listed_in_order(store, CACHE), _COUNTED)]
    keys = [key for key in keys if not key.endswith("/")]
    if keys:
        count = f"{len(keys):,}{' or more' if len(keys) == _COUNTED else ''}"
        yield found("cache-object", keys[0], f"{count} objects lie below {CACHE}, which this library does not write")
    for entry, problem in damaged_entries(cache, full=full):
        yield found("local-cache-damaged", str(entry), f"{entry.name}: {problem}")
