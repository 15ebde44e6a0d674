"""Look whether the entries of the local cache are as they were stored. Nothing is changed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metamlflow.store.cache.entries import is_as_stamped
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.cache.privacy import looks_of
from metamlflow.store.transfer.regular_files import open_regular

_NO_STAMP = (ValueError, LookupError, TypeError, RecursionError)
_CHUNK_BYTES = 1024 * 1024


def damaged_entries(cache: FileCache, *, full: bool) -> Iterator[tuple[Path, str]]:
    """Yield the folder of each entry that is not as it was stored, and why.

    Args:
        cache: the cache; nothing is created if it does not exist.
        full: read every byte of cached files, and compare their digests.
    """
    folder = cache.root / "entries"
    try:
        entries = sorted(folder.iterdir())
    except OSError:  # not made yet, or somebody else's
        return
    for entry in entries:
        if problem := _problem(entry, full=full):
            yield entry, problem


def _problem(entry: Path, *, full: bool) -> str | None:
    content = entry / "content"
    try:
        with os.fdopen(open_regular(entry / "stamp", follow=False), "rb") as file:
            stamp: dict[str, Any] = json.load(file)
        if entry.name.startswith("d-"):
            return None if looks_of(content)[1] == stamp["looks"] else "the folder was changed"
        first = content / stamp["name"]
        if not is_as_stamped(first, stamp):
            return "the file was changed"
        if full and _sha256(first) != entry.name.partition("-")[2]:
            return "the file has other bytes than its digest says"
    except _NO_STAMP:
        return "its stamp is damaged"
    except OSError:
        return "it is incomplete" if entry.exists() else None  # evicted meanwhile
    return None


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with os.fdopen(open_regular(path, follow=False), "rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
