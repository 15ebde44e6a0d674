"""Detect metadata that seem to be copied from the version before although the data that they describe changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from metamlflow.errors import StaleMetadataError, StaleMetadataWarning
from metamlflow.model.likeness import quoted
from metamlflow.model.manifests import Manifest
from metamlflow.store.lineage.inputs import warn_user

OnStale = Literal["warn", "ignore", "error"]
_SCHEMA_VERSION = "schema_version"
_HOW_IT_WAS_MADE = ("processing_script", "transformation_steps", _SCHEMA_VERSION)
_SHOWN = 10


def check_staleness(
    before: Manifest, metadata: Mapping[str, Any], schema: Mapping[str, Any] | None, digest: str, on_stale: OnStale
) -> None:
    """Report the metadata of a new version that seem to be those of the version before.

    Metadata without the fields concerned are never reported.

    Raises:
        StaleMetadataError: if stale metadata are configured to be an error.
    """
    if on_stale == "ignore":
        return
    for problem in _problems(before, metadata, schema, digest):
        told = f"{before.name}: {problem}"
        if on_stale == "error":
            raise StaleMetadataError(f"{told}; nothing was registered", hint="Update the metadata, and register again.")
        warn_user(told, StaleMetadataWarning)


def _problems(
    before: Manifest, metadata: Mapping[str, Any], schema: Mapping[str, Any] | None, digest: str
) -> Iterator[str]:
    same = {name for name in _HOW_IT_WAS_MADE if name in metadata and metadata[name] == before.metadata.get(name, ...)}
    if _SCHEMA_VERSION in same and (changes := _changes(before.schema, schema)):
        yield (
            f"the schema differs from version {before.version} ({changes}), but schema_version is still "
            f"{metadata[_SCHEMA_VERSION]!r}"
        )
    if digest != before.digest and same == set(_HOW_IT_WAS_MADE):
        names = ", ".join(_HOW_IT_WAS_MADE[:-1])
        yield (
            f"the content differs from version {before.version}, but {names} and {_SCHEMA_VERSION} are all unchanged"
        )


def _changes(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    """Return which columns were added, removed or got another type, or an empty text."""
    if before is None or now is None:
        return ""
    old, new = columns_of(before), columns_of(now)
    added, removed = [name for name in new if name not in old], [name for name in old if name not in new]
    shown = dict(zip([*added, *removed], quoted([*added, *removed]), strict=True))
    changes = [
        *(f"column {shown[name]} is new" for name in added),
        *(f"column {shown[name]} is gone" for name in removed),
        *(
            f"column {name!r} was {old[name]} and is {new[name]}"
            for name in new
            if new[name] != old.get(name, new[name])
        ),
    ]
    more = f" and {len(changes) - _SHOWN} more" if len(changes) > _SHOWN else ""
    return ", ".join(changes[:_SHOWN]) + more


def columns_of(schema: Mapping[str, Any]) -> dict[str, str]:
    """Return the names of a schema's columns, each with its type."""
    fields = schema.get("fields")
    if not isinstance(fields, list):
        return {}
    return {str(field.get("name")): str(field.get("type")) for field in fields if isinstance(field, dict)}
