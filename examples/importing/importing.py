"""What the scripts of this folder share: finding files, making names, and registering as content or as pointers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import Any

import fsspec

from metamlflow import Artifact, MetaMLFlowClient


def parser(what: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all scripts have."""
    found = argparse.ArgumentParser(description=(what or "").split("\n", maxsplit=1)[0])
    found.add_argument("--store", help="its URI; default: METAMLFLOW_STORAGE_URI")
    found.add_argument("--pointers", action="store_true", help="leave the data where it is")
    found.add_argument(
        "--evidence", choices=("stat", "checksum", "full"), help="what pointers are registered with; full reads all"
    )
    return found


def open_place(place: str) -> tuple[Any, str]:
    """Return the file system that a folder or URI lies in, and its path there."""
    filesystem, path = fsspec.core.url_to_fs(place.rstrip("/") or "/", use_listings_cache=False)
    return filesystem, str(path).rstrip("/")


def uri_of(filesystem: Any, path: str) -> str:
    """Return a path as a URI, or as it is on this machine."""
    uri = str(filesystem.unstrip_protocol(path))
    return uri.removeprefix("file://")


def clean_name(text: str) -> str:
    """Return a text as a name of an artifact: what no name can have becomes a dash."""
    parts = (re.sub(r"[^A-Za-z0-9._-]+", "-", part).lstrip("._-") for part in text.split("/"))
    return "/".join(part for part in parts if part)


def register(
    client: MetaMLFlowClient,
    given: argparse.Namespace,
    name: str,
    place: str,
    *,
    is_folder: bool,
    key: str,
    artifact_type: str = "dataset",
    metadata: Mapping[str, Any],
) -> Artifact:
    """Register a folder or file as the next version, once: the same ``key`` again returns the first."""
    if given.pointers:
        uri = f"{place}/" if is_folder else place
        artifact = client.register_pointer(
            name, uri, artifact_type, metadata, evidence=given.evidence, idempotency_key=key
        )
    else:
        artifact = client.register_artifact(name, place, artifact_type, metadata, idempotency_key=key)
    print(f"{artifact.name}@{artifact.version}\t{place}")
    return artifact
