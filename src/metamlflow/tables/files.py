"""The files of a data set by their names, and their columns for notebooks."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from metamlflow._looks import grid_of
from metamlflow.errors import InvalidInputError
from metamlflow.model.likeness import quoted
from metamlflow.store.ingest.schemas import is_data_file
from metamlflow.tables.reading import format_of

_PLAIN_STEMS = frozenset({"part", "data", "file"})  # what writers call files that belong to no split
_MOST_NAMED = 20
_READ = frozenset({"csv", "tsv", "jsonl", "parquet", "feather", "orc"})
_NUMBER = re.compile(r"[-_.](part[-_.]?)?[0-9]+([-_.]of[-_.][0-9]+)?$")


def is_table_file(path: str) -> bool:
    """Whether a data set reads a file of this name. The content is not read."""
    return is_data_file(path) and format_of(path)[0] in _READ


def split_of(path: str) -> str:
    """Return the split that a file belongs to by its path, or an empty text for none."""
    first, slash, rest = path.partition("/")
    if slash and "=" not in first:
        return first
    stem = _NUMBER.sub("", first.partition(".")[0])
    return "" if slash or rest or stem in _PLAIN_STEMS else stem


def checked_columns(reference: str, known: Sequence[str], columns: Sequence[str]) -> list[str]:
    """Return columns to read as a list.

    Raises:
        InvalidInputError: there are no such columns.
    """
    if isinstance(columns, str):
        raise InvalidInputError(
            f"columns: expected a list of names, got {columns!r:.80}", hint=f"Give [{columns!r:.80}]."
        )
    # Arrow adds columns such as __filename, which no schema names.
    unknown = [name for name in columns if name not in known and not str(name).startswith("__")]
    if unknown:
        what = f"no column{'s' * (len(unknown) > 1)} {_listed(unknown)}"
        raise InvalidInputError(f"{reference} has {what}", hint=f"It has {_listed(known)}.")
    return list(columns)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(quoted(map(str, names[:_MOST_NAMED]))) + more


def schema_table(schema: Mapping[str, Any] | None) -> str:
    """Return the columns of a schema as an HTML table, or an empty text if there is none."""
    if not schema:
        return ""
    rows = [(field.get("name"), field.get("type")) for field in schema.get("fields", ()) if isinstance(field, Mapping)]
    return grid_of(f"columns of {schema.get('path', '')}", ("column", "type"), rows)
