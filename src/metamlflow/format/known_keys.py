"""Which keys format 1 knows. A collector deletes nothing where it meets another: what that names is not known to it."""

from __future__ import annotations

from metamlflow.format.layout import (
    BLOBS,
    CACHE,
    COLLECTIONS,
    EDGES,
    MARKER,
    NAMES,
    RELOCATIONS,
    RUNS,
    SIGNATURES,
)
from metamlflow.format.listed_keys import listed_key

HARMLESS = (BLOBS, NAMES, EDGES, RUNS, SIGNATURES, RELOCATIONS, COLLECTIONS, CACHE, ".tmp/")
"""Below these no key of any version of format 1 names content, so one that is not known is nobody's business.

Blobs are content themselves, and whatever else lies among them is left alone.
"""


def is_known(key: str) -> bool:
    """Whether format 1 says what lies at a key, or that it does not matter to what is kept.

    A key that ends in a slash is no record of any version: consoles make such empty objects for folders.
    """
    return key == MARKER or key.startswith(HARMLESS) or key.endswith("/") or listed_key(key) is not None
