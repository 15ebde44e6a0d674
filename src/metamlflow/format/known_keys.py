"""Which keys format 1 knows. A collector deletes nothing where it meets another: what that names is not known to it."""

from __future__ import annotations

import re

from metamlflow.errors import StoreFormatError
from metamlflow.format.layout import (
    ARTIFACTS,
    BLOBS,
    CACHE,
    COLLECTIONS,
    EDGES,
    FEATURES,
    MARKER,
    NAMES,
    POLICIES,
    PROTECTIONS,
    RELOCATIONS,
    RUNS,
    SIGNATURES,
    alias_of_key,
    idempotency_prefix,
    name_of_artifact_key,
    note_of_key,
    parse_features_key,
    parse_idempotency_key,
    parse_policies_key,
    parse_protection_key,
    parse_version_key,
)
from metamlflow.model.names import ArtifactName, alias_problem

HARMLESS = (BLOBS, NAMES, EDGES, RUNS, SIGNATURES, RELOCATIONS, COLLECTIONS, CACHE, ".tmp/")
"""Below these no key of any version of format 1 names content, so one that is not known is nobody's business.

Blobs are content themselves, and whatever else lies among them is left alone.
"""
_CLAIM = re.compile(r"([0-9a-f]{64})/[0-9]{10}\.json")


def is_known(key: str) -> bool:
    """Whether format 1 says what lies at a key, or that it does not matter to what is kept.

    A key that ends in a slash is no record of any version: consoles make such empty objects for folders.
    """
    if key == MARKER or key.startswith(HARMLESS) or key.endswith("/"):
        return True
    if key.startswith(FEATURES):
        return parse_features_key(key) is not None
    if key.startswith(POLICIES):
        return parse_policies_key(key) is not None
    if key.startswith(PROTECTIONS):
        return parse_protection_key(key) is not None
    name = name_of_artifact_key(key) if key.startswith(ARTIFACTS) else None
    return name is not None and _is_record(ArtifactName(name), key)


def _is_record(name: ArtifactName, key: str) -> bool:
    try:
        if parse_version_key(name, key) is not None:
            return True
    except StoreFormatError:  # as it was spelled before
        return False
    alias = alias_of_key(name, key)
    if alias is not None:
        return alias_problem(alias) is None
    if note_of_key(name, key) is not None:
        return True
    folder = idempotency_prefix(name, "").removesuffix("/")
    claim = _CLAIM.fullmatch(key, len(folder)) if key.startswith(folder) else None
    return claim is not None and parse_idempotency_key(name, claim[1], key) is not None
