"""Data sets in pieces: Arrow keeps all that it has read of a Parquet file until the file is at its end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow.dataset as ds

PIECE_BYTES = 16 * 1024 * 1024
"""The size of a piece: large enough for few requests, since several are in memory at a time."""


def batches_in_order(scanned: Any, **options: Any) -> Iterator[Any]:
    """Return the batches of a ``pyarrow.dataset.Dataset`` in memory that does not grow with the size of its files.

    The options are those of its ``to_batches``; they are checked at once.
    """
    scanned.scanner(**options)
    pieces = in_pieces(list(scanned.get_fragments(options.get("filter"))), scanned.schema)
    return (batch for piece in pieces for batch in piece.to_batches(**options))


def in_pieces(fragments: Iterable[Any], schema: Any) -> Iterator[Any]:
    """Yield data sets that are one after the other the whole: small files together, a large one by its row groups."""
    together: list[Any] = []
    for fragment in fragments:
        if (size := _size(fragment)) <= PIECE_BYTES:
            together.append(fragment)
            continue
        if together:
            yield _joined(together, schema)
            together = []
        yield _joined(list(_row_groups(fragment, size)), schema)
    if together:
        yield _joined(together, schema)


def _size(fragment: Any) -> int:
    """Return the bytes that Arrow would keep of a file, if it would keep any; no request."""
    if not isinstance(fragment, ds.ParquetFileFragment):
        return 0
    return int(fragment.filesystem.get_file_info(fragment.path).size or 0)


def _row_groups(fragment: Any, size: int) -> Iterator[Any]:
    """Yield a file in groups of consecutive row groups; reads its footer."""
    sizes = {group.id: max(group.total_byte_size, 0) for group in fragment.row_groups}
    packed = size / (sum(sizes.values()) or 1)  # the sizes of row groups are those before compression
    chosen: list[int] = []
    held = 0.0
    for number, unpacked in sizes.items():
        if chosen and held + unpacked * packed > PIECE_BYTES:
            yield fragment.subset(row_group_ids=chosen)
            chosen, held = [], 0.0
        chosen.append(number)
        held += unpacked * packed
    yield fragment.subset(row_group_ids=chosen)


def _joined(fragments: list[Any], schema: Any) -> Any:
    first = fragments[0]
    return ds.FileSystemDataset(fragments, schema, first.format, first.filesystem)
