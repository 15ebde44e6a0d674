"""Tables of pandas, polars and Arrow as Parquet, under the rules of data sets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from metamlflow._packages import imported, package
from metamlflow.objects.serializer import Serializer, Trusted, is_of, refused, unknown_variant
from metamlflow.tables.reading import read_arrow, read_pandas
from metamlflow.tables.writing import as_files, is_table

_ANY_NAME = "table.parquet"  # for readers that go by a file's name, which in a stranger's store may be any


class Parquet(Serializer):
    """A data frame or an Arrow table; the variant is the library that it belongs to."""

    name = "parquet"
    extension = ".parquet"
    artifact_type = "dataset"
    runs_code = False

    def variant_of(self, value: Any) -> str | None:
        """Take frames of pandas and polars, and everything else with an Arrow stream, which comes back as a table."""
        if not is_table(value):
            return None
        if is_of(value, "pandas", "DataFrame"):
            return "pandas"
        return "polars" if is_of(value, "polars", "DataFrame") else "arrow"

    def write(self, value: Any, path: Path) -> None:
        """Write it, if it comes back as it was given."""
        if is_of(value, "pandas", "Series") or is_of(value, "polars", "Series"):
            raise refused(value, "it would come back as a table", "Save what its to_frame() returns.")
        with as_files(value, path.name) as file:
            shutil.move(file, path)

    def read(self, path: Path, variant: str, trusted: Trusted) -> Any:  # noqa: ARG002 (a table runs no code)
        """Return the table, as an object of the library that it was given as."""
        with path.open("rb") as file:
            if variant == "pandas":
                return read_pandas(imported("pandas", "pandas"), _ANY_NAME, file, {})
            if variant not in {"arrow", "polars", ""}:
                raise unknown_variant(self, variant)
            table = read_arrow(imported("pyarrow", "arrow"), _ANY_NAME, file)
            return package("polars", "polars").from_arrow(table) if variant == "polars" else table
