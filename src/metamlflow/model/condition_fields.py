"""The fields that a condition may name, and their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from metamlflow.model.condition_terms import Several
from metamlflow.model.condition_words import Vocabulary
from metamlflow.model.manifests import Input, Manifest
from metamlflow.model.metadata import decode

FIELDS = (
    "name",
    "version",
    "artifact_type",
    "kind",
    "created_at",
    "created_by",
    "size",
    "files",
    "folders",
    "digest",
    "artifact_id",
    "run",
    "writer",
    "saved_as",
)
"""The fields of a version that a condition may name and that have one value. Sizes are in bytes."""
METADATA, COLUMNS, TAGS = "metadata", "columns", "tags"
INPUT, COLUMN, ALIAS, TAG = "input", "column", "alias", "tag"


_SYNONYMS = MappingProxyType({"type": "artifact_type"})
OF_VERSIONS = Vocabulary((*FIELDS, INPUT, COLUMN), (METADATA, COLUMNS), synonyms=_SYNONYMS)
"""What is told by a version's manifest, which never changes: for whoever deletes by it."""
IN_SEARCH = Vocabulary(
    (*FIELDS, INPUT, COLUMN, ALIAS, TAG, "title", "description"), (METADATA, COLUMNS, TAGS), synonyms=_SYNONYMS
)
"""What a search knows besides: aliases and notes."""
OF_RUNS = Vocabulary(
    ("id", "name", "started_at", "ended_at", "outcome", "error_type", "user", "host", "parent", INPUT, "output"),
    ("params", "metrics", "code"),
    times=frozenset({"started_at", "ended_at"}),
)


def facts_of(manifest: Manifest) -> dict[str, Any]:
    """Return what a condition may ask of a version by its manifest."""
    types = column_types(manifest.schema)
    return {
        **{name: getattr(manifest, name) for name in FIELDS},
        METADATA: decode(manifest.metadata),
        INPUT: references(manifest.inputs),
        COLUMN: Several(types),
        COLUMNS: types,
    }


def references(inputs: Iterable[Input]) -> Several:
    """Return the names of versions, each alone and with its number: a condition may name either."""
    return Several(dict.fromkeys(text for used in inputs for text in (str(used.name), f"{used.name}@{used.version}")))


def column_types(schema: Mapping[str, Any] | None) -> dict[str, str]:
    """Return the names of a schema's columns and their types; empty where it is not of that form."""
    fields = (schema or {}).get("fields")
    found: dict[str, str] = {}
    for column in fields if isinstance(fields, list) else ():
        if isinstance(column, Mapping) and isinstance(name := column.get("name"), str):
            kind = column.get("type")
            found[name] = kind if isinstance(kind, str) else "?"
    return found
