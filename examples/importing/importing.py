"""What the scripts of this folder share: finding files, making names, and registering as content or as pointers."""

from __future__ import annotations

import argparse
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import fsspec

from metamlflow import Artifact, MetaMLFlowClient, MetaMLFlowError


def parser(what: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that all scripts have."""
    found = argparse.ArgumentParser(description=(what or "").split("\n", maxsplit=1)[0])
    found.add_argument("--store", help="its URI; default: METAMLFLOW_STORAGE_URI")
    found.add_argument("--pointers", action="store_true", help="leave the data where it is")
    found.add_argument(
        "--evidence", choices=("stat", "checksum", "full"), help="what pointers are registered with; full reads all"
    )
    return found


def told(main: Callable[[], int]) -> int:
    """Run a script; what goes wrong is one line on stderr, and exit code 1."""
    try:
        return main()
    except (MetaMLFlowError, OSError, ValueError) as error:
        print(str(error) or repr(error), file=sys.stderr)
        return 1


def open_place(place: str) -> tuple[Any, str]:
    """Return the file system that a folder or URI lies in, and its path there."""
    filesystem, path = fsspec.core.url_to_fs(place.rstrip("/") or "/", use_listings_cache=False)
    path = str(path).rstrip("/")
    if not filesystem.exists(path):
        raise FileNotFoundError(f"there is nothing at {place}")
    return filesystem, path


def uri_of(filesystem: Any, path: str) -> str:
    """Return a path as a URI, or as it is on this machine."""
    uri = str(filesystem.unstrip_protocol(path))
    return uri.removeprefix("file://")


def clean_name(text: str) -> str:
    """Return a text as a name of an artifact: letters lose their accents, what else no name can have becomes a dash."""
    plain = "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))
    parts = (re.sub(r"[^A-Za-z0-9._-]+", "-", part).lstrip("._-") for part in plain.split("/"))
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
