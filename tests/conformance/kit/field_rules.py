"""Every field of every record: missing, null, each value that its type takes, and each that it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kit import originals
from kit.cases import Case, as_document, changed, loosely
from kit.cases import at as place_of
from kit.values import TYPES

# document: {place: {field: (type, may be missing)}}; the places with dots are below lists, such as ``entries.0``
FIELDS: dict[str, dict[str, dict[str, str]]] = {
    "marker": {"": {"format": "format", "record_id": "id", "store_id": "id", "created_at": "time"}},
    "manifest": {
        "": {
            "format": "format",
            "record_id": "id",
            "artifact_id": "uuid",
            "created_at": "time",
            "created_by": "text",
            "metadata": "object",
            "schema": "object?",
            "run": "id?",
            "code": "object?",
            "writer": "text?",
            "previous": "digest",
        },
        "entries.0": {"crc32c": "crc32c?"},
        "entries.1": {"folder": "true"},
        "entries.2": {"executable": "true?"},
        "inputs.0": {"name": "name", "version": "version", "manifest_digest": "digest", "role": "text?"},
    },
    "pointing": {
        "entries.0": {"etag": "text?", "modified_ns": "digits?", "uri": "uri"},
    },
    "sharded": {"": {"size": "size"}, "shards.0": {}},
    "pruned": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "manifest_digest": "digest",
            "created_by": "text?",
            "note": "description?",
        }
    },
    "restored": {"": {"manifest_digest": "digest"}},
    "absent": {"": {"manifest_digest": "digest"}},
    "tomb": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "created_by": "text",
            "manifest_digest": "digest",
            "previous": "digest",
            "reason": "description?",
        }
    },
    "hidden": {"": {"format": "format", "record_id": "id", "created_at": "time"}},
    "note": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "created_by": "text",
            "description": "description?",
            "tags": "tags?",
            "title": "line?",
            "writer": "text?",
        }
    },
    "noted": {"": {"format": "format", "created_by": "text", "tags": "tags?", "title": "line?"}},
    "features": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "read": "features",
            "write": "features",
        }
    },
    "alias": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "created_by": "text?",
            "note": "description?",
            "writer": "text?",
        }
    },
    "policies": {
        "": {"format": "format", "record_id": "id", "created_at": "time", "created_by": "text"},
        "policies.0": {
            "created_at": "time",
            "created_by": "text",
            "keep_last": "keep_last?",
            "note": "description?",
            "older_than_seconds": "seconds?",
            "pattern": "pattern",
            "where": "text?",
        },
    },
    "protection": {
        "": {"format": "format", "record_id": "id", "created_at": "time", "created_by": "text", "note": "description?"}
    },
    "over": {
        "": {"format": "format", "record_id": "id", "created_at": "time", "created_by": "text", "note": "description?"}
    },
    "collection": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "created_by": "text",
            "collection": "id",
            "unclear": "true?",
        }
    },
    "claim": {
        "": {"format": "format", "record_id": "id", "created_at": "time", "version": "version", "artifact_id": "uuid"}
    },
    "start": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "name": "text",
            "parent": "id?",
            "params": "object",
            "user": "text?",
            "host": "text?",
            "code": "object?",
            "environment": "object?",
        },
        "environment": {"distributions": "digest?"},
    },
    "used": {"": {"format": "format", "record_id": "id", "created_at": "time"}, "input": {"manifest_digest": "digest"}},
    "end": {
        "": {
            "format": "format",
            "record_id": "id",
            "created_at": "time",
            "error_type": "text?",
            "metrics": "object",
            "notes": "texts",
        },
        "outputs.0": {"name": "name", "version": "version", "manifest_digest": "digest", "role": "text?"},
    },
    "signature": {"": {"format": "format", "record_id": "id", "created_at": "time", "manifest_digest": "digest"}},
    "relocation": {"": {"format": "format", "record_id": "id", "created_at": "time"}},
}
"""What can be changed alone. Fields that others depend on have modules of their own."""

MUST_BE_THERE: dict[str, dict[str, tuple[str, ...]]] = {
    "marker": {"": ("requires", "grace_seconds")},
    "manifest": {
        "": ("requires", "name", "version", "type", "kind", "digest", "size", "files", "folders", "entries", "inputs"),
        "entries.0": ("path", "size", "sha256", "key"),
        "entries.1": ("path",),
    },
    "pointing": {"entries.0": ("path", "size", "evidence"), "pointers.0": ("path", "uri", "kind")},
    "sharded": {"": ("shards",), "shards.0": ("first", "count", "size", "sha256", "key")},
    "pruned": {"": ("state",)},
    "tomb": {"": ("name", "version")},
    "hidden": {"": ("state",)},
    "shown": {"": ("state",)},
    "start": {"": ("run_id",)},
    "used": {"": ("input",), "input": ("name", "version")},
    "end": {"": ("outcome", "outputs")},
    "signature": {"": ("algorithm", "key_id", "public_key", "signature")},
    "relocation": {"": ("old", "new")},
    "policies": {"": ("policies",)},
    "collection": {"": ("phase",)},
}
"""Fields whose values are judged by other modules: here they are only left out."""

OBJECTS = {
    "manifest": ("entries", "inputs"),
    "pointing": ("pointers",),
    "sharded": ("shards",),
    "end": ("outputs",),
    "policies": ("policies",),
}
"""Arrays of objects."""


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _good_documents()
    for kind, places in FIELDS.items():
        for place, fields in places.items():
            for field, said in fields.items():
                yield from _values(kind, place, field, said.removesuffix("?"))
                yield from _missing(kind, place, field, may_miss=said.endswith("?"))
    for kind, musts in MUST_BE_THERE.items():
        for place, names in musts.items():
            for field in names:
                yield from _missing(kind, place, field, may_miss=False)
    for kind, arrays in OBJECTS.items():
        for array in arrays:
            yield from _wrong_arrays(kind, array)


def trail_of(place: str) -> tuple[str | int, ...]:
    """The steps to a place."""
    return tuple(int(step) if step.isdecimal() else step for step in place.split(".") if step)


def with_value(kind: str, place: str, field: str, value: Any) -> dict[str, Any]:
    """A document of a kind in which one field has another value."""
    return changed(
        originals.DOCUMENTS[kind][1], lambda document: place_of(document, trail_of(place)).update({field: value})
    )


def without(kind: str, place: str, field: str) -> dict[str, Any]:
    """The same without the field."""
    return changed(originals.DOCUMENTS[kind][1], lambda document: place_of(document, trail_of(place)).pop(field, None))


def name_of(kind: str, place: str, field: str, what: object) -> str:
    """The id of a case."""
    return "/".join(str(step) for step in (kind, place, field, what) if step != "")


def _good_documents() -> Iterator[Case]:
    """As they are, as others spell them, and with fields that nobody knows."""
    for kind, (key, document) in originals.DOCUMENTS.items():
        yield Case(f"{kind}/good", key, as_document(document))
        spelled = loosely(document).replace(b'":', b'" :\r\n\t')
        yield Case(f"{kind}/spelled otherwise", key, b" \n" + spelled + b" ")
        more = {"": 1, "x-unknown": {"deep": [None]}, "Format": 2}
        yield Case(f"{kind}/unknown fields", key, as_document(document | more))
    for kind, place in UNKNOWN_BELOW:
        key, document = originals.DOCUMENTS[kind]
        more = {"x-unknown": [None, {}], "Key": "x"}
        told = changed(document, lambda copied, place=place, more=more: place_of(copied, trail_of(place)).update(more))
        yield Case(name_of(kind, place, "unknown fields", ""), key, as_document(told))


UNKNOWN_BELOW = [
    ("manifest", "entries.0"),
    ("manifest", "entries.1"),
    ("manifest", "inputs.0"),
    ("pointing", "entries.0"),
    ("pointing", "pointers.0"),
    ("sharded", "shards.0"),
    ("start", "environment"),
    ("used", "input"),
    ("end", "outputs.0"),
    ("policies", "policies.0"),
]


def _values(kind: str, place: str, field: str, of_type: str) -> Iterator[Case]:
    key = originals.DOCUMENTS[kind][0]
    for number, value in enumerate(TYPES[of_type].good, start=1):
        told = as_document(with_value(kind, place, field, value))
        yield Case(name_of(kind, place, field, f"good {number}"), key, told)
    for number, value in enumerate(TYPES[of_type].bad, start=1):
        told = as_document(with_value(kind, place, field, value))
        yield Case(name_of(kind, place, field, f"bad {number}"), key, told, TYPES[of_type].rule)


def _missing(kind: str, place: str, field: str, *, may_miss: bool) -> Iterator[Case]:
    key = originals.DOCUMENTS[kind][0]
    rule = None if may_miss else "field.missing"
    yield Case(name_of(kind, place, field, "missing"), key, as_document(without(kind, place, field)), rule)
    yield Case(name_of(kind, place, field, "null"), key, as_document(with_value(kind, place, field, None)), rule)


def _wrong_arrays(kind: str, array: str) -> Iterator[Case]:
    key, document = originals.DOCUMENTS[kind]
    good = document[array]
    values = {"an object": good[0], "a text": "x", "null in it": [*good, None], "a text in it": [*good, "x"]}
    values |= {"an array in it": [*good, []], "false": False}
    for what, value in values.items():
        yield Case(name_of(kind, "", array, what), key, as_document(document | {array: value}), "type.array")
