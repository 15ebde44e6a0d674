"""The blobs that a URI may lead to, if it leads into a store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from metamlflow.format.layout import CONTENT

_BLOB_FILE = re.compile(
    r"[0-9a-f]{64}(?![0-9a-z])(?:-[0-9a-f]{32}(?![0-9a-z]))?(?:\.[a-z0-9]{1,8}(?![0-9a-z])){0,2}", re.ASCII
)


def blob_keys_in_uri(uri: str) -> set[str]:
    """The keys of all blobs that a URI may lead to if it leads into this store, whatever it calls the store's root.

    One bucket or folder has many URIs: by another endpoint, through a link, below a mount. The name of the file alone
    tells the key, so only that is compared: as it is spelled, percent-decoded, and in lower case, as a disk that folds
    case finds it too. Whatever stands before it may run into it (``%252f``); what follows may look like an extension.
    """
    decoded = unquote(uri)
    texts = {uri, decoded, uri.lower(), decoded.lower()}
    return {key for text in texts for found in _BLOB_FILE.finditer(text) for key in _blob_keys_within(found[0])}


def _blob_keys_within(file: str) -> Iterator[str]:
    """Yield the key of a blob's file name, and of each shorter name that it begins with."""
    folder = f"{CONTENT}{file[:2]}/"
    yield folder + file[:64]
    bare, *extensions = file.split(".")
    for count in range(len(extensions) + 1):
        yield folder + ".".join((bare, *extensions[:count]))
