"""Content of one store as it is sent to another: hashed as it passes, its last bytes kept back if it is damaged."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from functools import partial
from typing import BinaryIO, TypeVar, cast

from metamlflow.backend import Blob
from metamlflow.errors import IntegrityError
from metamlflow.model.manifests import Entry
from metamlflow.store.catalog.fetching import check_size, compare, fetch_whole, range_fetcher
from metamlflow.store.catalog.store import Store
from metamlflow.store.transfer.digests import Digester
from metamlflow.store.transfer.ranges import RangeReader, copy_ranges
from metamlflow.store.transfer.spooling import SMALL, OnBytes

T = TypeVar("T")


def blob_from(store: Store, content: Entry, on_bytes: OnBytes) -> Blob:
    """Return content of a store as it is put elsewhere.

    Up to 1 MiB it is read now. Of what is larger the size is asked for now, since a backend plans an upload by it; its
    reader raises IntegrityError before the last bytes of what is not the content.

    Raises:
        ObjectNotFoundError: it is not there.
        IntegrityError: it is not what its manifest says.
    """
    if content.size <= SMALL:
        data = bytes(fetch_whole(store, content))
        on_bytes(len(data))
        crc32c = content.crc32c or _digested(data)
        return Blob(content.size, content.sha256, crc32c, partial(io.BytesIO, data), data)
    check_size(store, content)
    crc32c = content.crc32c or _crc32c_of(store, content)
    return Blob(content.size, content.sha256, crc32c, partial(_open, store, content, on_bytes))


def sent_again_if_damaged(send: Callable[[], T]) -> T:
    """Return what ``send`` does with the content of a store; done once more if that was damaged on its way.

    Raises:
        IntegrityError: it was damaged twice, so it lies there so.
    """
    try:
        return send()
    except IntegrityError:
        return send()


def _open(store: Store, content: Entry, on_bytes: OnBytes) -> BinaryIO:
    digest = hashlib.sha256()
    reader = RangeReader(
        range_fetcher(store, content.key),
        content.size,
        digest,
        lambda size: compare(content, size, digest.hexdigest()),
        on_bytes,
        prove_size=_is_proven,
    )
    return cast("BinaryIO", reader)


def _is_proven() -> None:
    """The size was asked for when the blob was made."""


def _digested(data: bytes) -> str:
    digester = Digester(["crc32c"])
    digester.update(data)
    return digester.digests()["crc32c"]


def _crc32c_of(store: Store, content: Entry) -> str:
    """Read content for its CRC32C, which is not recorded of a list of files."""
    digester = Digester(["crc32c"])
    copy_ranges(range_fetcher(store, content.key), content.size, digester, None, lambda _: None, prove_size=_is_proven)
    return digester.digests()["crc32c"]
