"""The local cache of verified content. Knows nothing of a store."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    # In older releases this was a module with the class in it, and pickles name it by this path.
    if name == "FileCache":
        from metamlflow.store.cache.file_cache import FileCache

        return FileCache
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
