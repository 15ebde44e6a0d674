"""The facts of a version as a JSON document, as the command line prints it."""

from __future__ import annotations

from copy import deepcopy
from itertools import islice
from typing import Any

from metamlflow._looks import utc_text
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.metadata import decode
from metamlflow.store.catalog.entries import Entries


def artifact_document(
    loaded: StoredManifest, entries: Entries, storage_path: str | None, most_entries: int | None
) -> dict[str, Any]:
    """Return the facts of a version as JSON values.

    Args:
        loaded: its manifest.
        entries: its files.
        storage_path: where its content is; None if this client may not open it.
        most_entries: how many of its files to list; None lists all, 0 leaves the field out.
    """
    manifest = loaded.manifest
    document: dict[str, Any] = {
        "name": str(manifest.name),
        "version": manifest.version,
        "artifact_id": manifest.artifact_id,
        "artifact_type": manifest.artifact_type,
        "saved_as": manifest.saved_as,
        "created_at": utc_text(manifest.created_at),
        "created_by": manifest.created_by,
        "files": len(entries),
        "size": manifest.size,
        "digest": manifest.digest,
        "manifest_digest": loaded.digest,
        "storage_path": storage_path,
        "metadata": deepcopy(dict(manifest.metadata)),
        "schema": None if manifest.schema is None else decode(manifest.schema),
        "pointers": [place.to_json() for place in manifest.pointed],
        "inputs": [source.to_json() for source in manifest.inputs],
    }
    if most_entries != 0:
        document["entries"] = [entry.to_json() for entry in islice(entries, most_entries)]
    return document
