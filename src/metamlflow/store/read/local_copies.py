"""Local, read-only copies of content, found again by what was registered."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from metamlflow.format.manifests import Loaded
from metamlflow.model.manifests import FileEntry
from metamlflow.model.pointers import PointerEntry
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.download import fill_folder
from metamlflow.store.read.verified import copy_entry


def copy_of_folder(store: Store, cache: FileCache, loaded: Loaded) -> Path:
    """Return a folder with all files of a version, verified."""
    manifest = loaded.manifest
    key = loaded.digest.removeprefix("sha256:")
    return cache.folder(key, lambda folder: fill_folder(store, manifest, folder), size=manifest.size)


def copy_of_file(store: Store, cache: FileCache, loaded: Loaded, entry: FileEntry) -> Path:
    """Return a copy of one file, verified."""
    name = entry.path.rpartition("/")[2]
    if entry.sha256 is not None:
        return cache.file(
            entry.sha256,
            name,
            lambda file: copy_entry(store, loaded.manifest, entry, file, lambda _: None),
            size=entry.size,
            executable=entry.executable,
        )
    # Of a pointer without a SHA-256, by what stands for its content and where it lies.
    assert isinstance(entry, PointerEntry)  # noqa: S101 (all others have one)

    def fill(folder: Path) -> None:
        with (folder / name).open("xb", buffering=0) as file:
            copy_entry(store, loaded.manifest, entry, file, lambda _: None)

    identity = json.dumps([entry.uri, *entry.identity()])
    return cache.folder(hashlib.sha256(identity.encode()).hexdigest(), fill, size=entry.size) / name
