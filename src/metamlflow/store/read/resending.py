"""Read content of one store to send it to another: it is hashed as it passes, and damaged content never completes."""

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
    """Return content of a store as a blob to send elsewhere.

    Content of up to 1 MiB is read now. Of larger content only the size is requested now, because a backend plans an
    upload by it; the blob's reader raises IntegrityError before the last bytes if the content is damaged.

    Raises:
        ObjectNotFoundError: the object does not exist.
        IntegrityError: the object differs from its manifest's description.
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
    """Return the result of ``send``, which sends content of a store; call it once more if that was damaged in transit.

    Raises:
        IntegrityError: the content was damaged twice, so the stored object is damaged.
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
    """Do nothing: the size was requested when the blob was made."""


def _digested(data: bytes) -> str:
    digester = Digester(["crc32c"])
    digester.update(data)
    return digester.digests()["crc32c"]


def _crc32c_of(store: Store, content: Entry) -> str:
    """Read content to compute its CRC32C, which is not recorded for a list of files."""
    digester = Digester(["crc32c"])
    copy_ranges(range_fetcher(store, content.key), content.size, digester, None, lambda _: None, prove_size=_is_proven)
    return digester.digests()["crc32c"]
