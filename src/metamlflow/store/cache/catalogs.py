"""Folders for catalogs of stores, in the private folder of the cache."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.cache.privacy import CATALOGS, make_private, remove_tree, require_private

_MOST_DAYS = 30
_DAY_SECONDS = 86_400


def catalog_folder(cache: FileCache, place: str) -> Path:
    """Return the folder for the catalog of one store, private and writable; make it if it is missing.

    Catalogs that nobody has used for 30 days go.

    Raises:
        AccessDeniedError: the cache cannot be written, or belongs to another user.
        InvalidInputError: the cache folder holds something else.
    """
    make_private(cache.root)
    folder = cache.root / CATALOGS / place
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_private(folder)
    with suppress(OSError):
        os.utime(folder)
    _forget_unused(folder.parent)
    return folder


def _forget_unused(catalogs: Path) -> None:
    oldest = time.time() - _MOST_DAYS * _DAY_SECONDS
    with suppress(OSError):
        for folder in catalogs.iterdir():
            if folder.stat().st_mtime < oldest:
                remove_tree(folder)
