"""A ``pyarrow.dataset.Dataset`` for DuckDB, whose files are read by Python. Imported lazily."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds


class ScannedDataset(ds.FileSystemDataset):  # type: ignore[misc]  # pyarrow has no types
    """A data set that DuckDB reads to its end or to an error, and never waits for.

    DuckDB reads through ``Scanner.to_reader()``, which starts a scan with Python's lock held, and then waits for a lock
    of Arrow's. Whoever holds that one may be writing down the failure of a file, for which it needs Python's lock: both
    would wait for ever. ``to_batches()`` starts without Python's lock, so the readers of this data set are made of it.
    """

    @classmethod
    def of(cls, dataset: Any) -> ScannedDataset:
        """Return a data set with the same files and the same schema."""
        return cls(list(dataset.get_fragments()), dataset.schema, dataset.format, filesystem=dataset.filesystem)

    def scanner(self, *args: Any, **kwargs: Any) -> Any:
        """As of any data set."""
        return _Scanner(super().scanner(*args, **kwargs))


class _Scanner:
    """A scanner of Arrow, but for its reader."""

    def __init__(self, scanner: Any) -> None:
        self._scanner = scanner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scanner, name)

    def to_reader(self) -> Any:
        """Return a reader of the rows, which yields batches as they are read."""
        return pa.RecordBatchReader.from_batches(self._scanner.projected_schema, self._scanner.to_batches())
