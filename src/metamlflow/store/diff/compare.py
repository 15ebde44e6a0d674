"""Compare two versions: of one name or of two, of one store or of two."""

from __future__ import annotations

from collections.abc import Iterable

from metamlflow.errors import InvalidInputError
from metamlflow.format.manifests import StoredManifest
from metamlflow.store.catalog.store import Store
from metamlflow.store.diff.files import FilesDiff
from metamlflow.store.diff.metadata import facts_diff, inputs_diff, metadata_diff
from metamlflow.store.diff.report import ArtifactDiff
from metamlflow.store.diff.rows import rows_diff
from metamlflow.store.diff.schema import schema_diff

Side = tuple[Store, StoredManifest]


def diff_versions(before: Side, after: Side, *, rows: bool = False, keys: Iterable[str] = ()) -> ArtifactDiff:
    """Return the differences between two versions.

    Args:
        before: a store and a version of it.
        after: the same, of the other.
        rows: compare the rows of their tables, too.
        keys: the names of key columns; given some, rows are compared.

    Raises:
        InvalidInputError: ``keys`` are no names; or see :func:`~metamlflow.store.diff.rows.rows_diff`.
    """
    named = [keys] if isinstance(keys, str) else list(keys)
    if not all(isinstance(key, str) for key in named):
        raise InvalidInputError("keys: expected names of columns, such as keys=['id']")
    old, new = before[1].manifest, after[1].manifest
    elsewhere = "" if before[0].is_same_as(after[0]) else after[0].url
    return ArtifactDiff(
        before=f"{old.name}@{old.version}",
        after=f"{new.name}@{new.version}",
        elsewhere=elsewhere,
        facts=facts_diff(old, new),
        files=FilesDiff((before[0], old), (after[0], new)),
        schema=schema_diff(old.schema, new.schema),
        metadata=metadata_diff(old.metadata, new.metadata),
        inputs=inputs_diff(old.inputs, new.inputs),
        rows=rows_diff(before, after, named) if rows or named else None,
    )
