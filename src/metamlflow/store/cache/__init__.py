"""The local cache of verified content. Knows nothing of a store."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # Older releases had the class in a module of this name, and pickled it as such.
    if name == "FileCache":
        from metamlflow.store.cache.file_cache import FileCache

        return FileCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
