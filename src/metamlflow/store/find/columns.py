"""The columns of the catalog: what is derived of each manifest, so that a search need not read it again."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import accumulate, islice
from typing import Any

from metamlflow._packages import imported
from metamlflow.backend import ObjectInfo
from metamlflow.backend.tags import entity_tag
from metamlflow.format.manifests import StoredManifest
from metamlflow.model.condition_fields import FIELDS, column_types
from metamlflow.model.manifests import Manifest
from metamlflow.model.metadata import decode

MOST_DOCUMENT_BYTES = 256 * 1024
"""A larger manifest is not kept in the catalog: it is read again where a search finds it."""
_MOST_LEAVES = 1_000
_MOST_TEXT = 1_000  # characters
_EXACT = 2**53  # above this a double no longer holds each whole number

ODD, NULL, BOOL, NUMBER, TEXT = range(5)
"""Kinds of metadata values. Only the manifest tells an odd one: a list, an object, a large number, a long text."""

Leaf = tuple[str, int, float | None, str | None]
"""A metadata value: its path, its kind, and the number or the text that it is."""
Identity = tuple[int, float, str | None, str | None]
"""By which an object is known again in a listing."""


def arrow() -> Any:
    """Return pyarrow.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return imported("pyarrow", "arrow")


def identity_of(info: ObjectInfo) -> Identity:
    """Return by what an object is known again."""
    return info.size, info.modified.timestamp(), entity_tag(info.etag), info.version


@cache
def schema() -> Any:
    """Return the Arrow schema of a segment of the catalog."""
    pa = arrow()
    text, whole = pa.string(), pa.int64()
    leaf = pa.struct(_leaf_fields(pa))
    kinds = {"version": whole, "size": whole, "files": whole, "folders": whole, "created_at": pa.timestamp("us", "UTC")}
    return pa.schema(
        [
            ("key", text),
            ("object_size", whole),
            ("object_time", pa.float64()),
            ("object_tag", text),
            ("object_version", text),
            *((name, kinds.get(name, text)) for name in FIELDS),
            ("manifest_digest", text),
            ("metadata", text),
            ("schema", text),
            ("inputs", pa.list_(text)),
            ("column", pa.list_(text)),
            ("column_type", pa.list_(text)),
            ("leaves", pa.list_(leaf)),
            ("document", pa.binary()),
        ]
    )


def _leaf_fields(pa: Any) -> list[Any]:
    kinds = {"path": pa.string(), "kind": pa.int8(), "number": pa.float64(), "text": pa.string()}
    return [pa.field(name, kind) for name, kind in kinds.items()]


def batch_of(rows: Sequence[tuple[Any, ...]]) -> Any:
    """Return rows, as :func:`row_of` makes them, as an Arrow batch."""
    pa, arrays = arrow(), []
    for field, values in zip(schema(), zip(*rows, strict=True), strict=True):
        arrays.append(_leaf_array(pa, values) if field.name == "leaves" else pa.array(values, field.type))
    return pa.record_batch(arrays, schema=schema())


def _leaf_array(pa: Any, rows: Sequence[list[Leaf]]) -> Any:
    """Return the leaves of rows; converting a mapping for each would take as long as all the rest."""
    leaves = [leaf for row in rows for leaf in row]
    fields = _leaf_fields(pa)
    parts = zip(*leaves, strict=True) if leaves else ([] for _ in fields)
    arrays = [pa.array(values, field.type) for values, field in zip(parts, fields, strict=True)]
    offsets = pa.array([0, *accumulate(map(len, rows))], pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.StructArray.from_arrays(arrays, fields=fields))


INDEX = ("key", "object_size", "object_time", "object_tag", "object_version")
"""The columns by which a listing is compared with the catalog."""
SHOWN = (*FIELDS, "manifest_digest", "metadata", "schema", "inputs")
"""The columns that ``client.catalog()`` shows, besides those that change: states, aliases, notes."""


def row_of(info: ObjectInfo, loaded: StoredManifest) -> tuple[Any, ...]:
    """Return the values of a version, in the order of the schema's columns."""
    manifest = loaded.manifest
    types = column_types(manifest.schema)
    return (
        info.key,
        *identity_of(info),
        *(getattr(manifest, name) for name in FIELDS),
        loaded.digest,
        _json(manifest.metadata),
        None if manifest.schema is None else _json(manifest.schema),
        [f"{used.name}@{used.version}" for used in manifest.inputs],
        list(types),
        list(types.values()),
        _leaves(manifest),
        loaded.data if len(loaded.data) <= MOST_DOCUMENT_BYTES else None,
    )


def weight_of(loaded: StoredManifest) -> int:
    """Return about how many bytes of memory a version's row takes."""
    return 2_000 + 3 * len(loaded.data)


def path_text(path: tuple[str, ...]) -> str:
    """Return the names that lead to a metadata value as one text; two paths never have the same one."""
    return path[0] if len(path) == 1 and path[0][:1] not in {"", "["} else _json(list(path))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _leaves(manifest: Manifest) -> list[Leaf]:
    """Return each metadata value with its path; one odd value without a path if there are too many."""
    found = list(islice(_walk(decode(manifest.metadata)), _MOST_LEAVES + 1))  # the last one tells that there are more
    return found if len(found) <= _MOST_LEAVES else [("", ODD, None, None)]


def _walk(metadata: Mapping[str, Any]) -> Iterator[Leaf]:
    todo: list[tuple[tuple[str, ...], Any]] = [((), metadata)]
    while todo:
        path, value = todo.pop()
        if isinstance(value, Mapping):
            todo += [((*path, str(name)), inner) for name, inner in value.items()]
            if not path:
                continue
        yield (path_text(path), *_leaf(value))


def _leaf(value: Any) -> tuple[int, float | None, str | None]:
    if value is None:
        return NULL, None, None
    if isinstance(value, bool):
        return BOOL, float(value), None
    if isinstance(value, int):
        return (NUMBER, float(value), None) if -_EXACT <= value <= _EXACT else (ODD, None, None)
    if isinstance(value, float):
        return (ODD, None, None) if math.isnan(value) else (NUMBER, value, None)
    if isinstance(value, str) and len(value) <= _MOST_TEXT:
        return TEXT, None, value
    return ODD, None, None
