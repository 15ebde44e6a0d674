"""A data set as an iterable data set of PyTorch. Imported when first used."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import IterableDataset, get_worker_info

from metamlflow.errors import InvalidInputError
from metamlflow.tables.pieces import in_pieces

_FILES_PER_READER = 4  # with so many files, whole files are dealt out: no footer need be read for that
_READ_ROWS = 8_192


def place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Return the number of this process, and how many share the data: as given, or as PyTorch or its launcher says.

    Raises:
        InvalidInputError: only one of the two was given, or they are impossible.
    """
    if rank is None and world_size is None:
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            return torch.distributed.get_rank(), torch.distributed.get_world_size()
        try:
            rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        except (KeyError, ValueError):
            return 0, 1
    if rank is None or world_size is None or not 0 <= rank < world_size:
        raise InvalidInputError(f"rank is from 0 to below world_size, and both are given: {rank!r}, {world_size!r}")
    return rank, world_size


class TorchRows(IterableDataset[Any]):
    """The rows or batches of a data set; each row in exactly one worker of one rank.

    Args:
        scan: returns the ``pyarrow.dataset.Dataset``; called in each worker, so that each opens its own connections.
        columns: the columns to read, or None for all.
        batch_size: the rows of a batch; None yields rows.
        seed: of the order; None keeps the order of the data.
        place: the rank of this process, and the number of processes.
    """

    def __init__(
        self,
        scan: Callable[[], Any],
        columns: list[str] | None,
        batch_size: int | None,
        seed: int | None,
        place: tuple[int, int],
    ) -> None:
        super().__init__()
        self._scan = scan
        self._columns = columns
        self._batch_size = batch_size
        self._seed = seed
        self._place = place
        epoch: Any = torch.zeros(1, dtype=torch.int64)
        self._epoch = epoch.share_memory_()  # workers that persist see it change

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch, which the random order depends on. Call it before each epoch."""
        self._epoch[0] = epoch

    def __iter__(self) -> Iterator[Any]:
        """Yield what falls to this worker of this rank."""
        worker = get_worker_info()
        rank, world_size = self._place
        workers = worker.num_workers if worker else 1
        number, readers = rank * workers + (worker.id if worker else 0), world_size * workers
        data = self._scan()
        pieces = list(data.get_fragments())
        if len(pieces) < readers * _FILES_PER_READER:
            pieces = list(chain.from_iterable(map(_row_groups, pieces)))
        order = np.arange(len(pieces))
        if self._seed is not None:
            order = self._random(0).permutation(order)
        for position in order[number::readers]:
            yield from self._of_piece(data.schema, pieces[position], int(position))

    def _of_piece(self, schema: Any, piece: Any, number: int) -> Iterator[Any]:
        if self._seed is None:
            options = {"batch_size": self._batch_size or _READ_ROWS, "batch_readahead": 2}
            batches = chain.from_iterable(
                part.to_batches(columns=self._columns, **options) for part in in_pieces([piece], schema)
            )
        else:
            table = piece.to_table(schema=schema, columns=self._columns)
            mixed = table.take(self._random(number + 1).permutation(table.num_rows)).combine_chunks()
            batches = mixed.to_batches(max_chunksize=self._batch_size or _READ_ROWS)
        for batch in batches:
            if self._batch_size is None:
                yield from batch.to_pylist()
            elif batch.num_rows:
                yield {name: _tensor(batch.column(name)) for name in batch.schema.names}

    def _random(self, number: int) -> np.random.Generator:
        return np.random.default_rng([abs(int(self._seed or 0)), int(self._epoch[0]), number])


def _row_groups(fragment: Any) -> Sequence[Any]:
    split = getattr(fragment, "split_by_row_group", None)
    return split() if split else (fragment,)


def _tensor(column: Any) -> Any:
    """Return a column of numbers or bools, or of lists of one length of them, as a tensor; others as a list."""
    kind, width = column.type, 0
    if pa.types.is_fixed_size_list(kind) and not column.null_count:
        column, width = column.flatten(), kind.list_size
    plain = pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type)
    if not plain or column.null_count:
        return (
            column.to_pylist()
            if not width
            else [list(part) for part in zip(*[iter(column.to_pylist())] * width, strict=True)]
        )
    values = torch.from_numpy(np.array(column.to_numpy(zero_copy_only=False)))
    return values.reshape(-1, width) if width else values
