"""Local, read-only copies of content, identified by their registered digest."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from metamlflow.format.manifests import StoredManifest
from metamlflow.model.manifests import FileEntry
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.read.content import content_of
from metamlflow.store.read.download import fill_folder


def copy_of_folder(store: Store, cache: FileCache, loaded: StoredManifest) -> Path:
    """Return a folder with all files of a version, verified."""
    manifest = loaded.manifest
    key = loaded.digest.removeprefix("sha256:")
    return cache.folder(key, lambda folder: fill_folder(store, manifest, folder), size=manifest.size)


def copy_of_file(store: Store, cache: FileCache, loaded: StoredManifest, entry: FileEntry) -> Path:
    """Return a verified copy of one file."""
    name = entry.path.rpartition("/")[2]
    content = content_of(store, loaded.manifest, entry)
    if entry.sha256 is not None:
        return cache.file(
            entry.sha256,
            name,
            lambda file: content.copy(file, lambda _: None),
            size=entry.size,
            executable=entry.executable,
        )
    # A pointer without a SHA-256 is identified by its other evidence and its location.

    def fill(folder: Path) -> None:
        with (folder / name).open("xb", buffering=0) as file:
            content.copy(file, lambda _: None)

    identity = json.dumps([entry.uri, *entry.identity()])
    return cache.folder(hashlib.sha256(identity.encode()).hexdigest(), fill, size=entry.size) / name
