"""What a program must know of a store as a whole, lest it misreads or destroys something. Turned on, and never off."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from metamlflow.format.documents import FORMAT, Fields, dump, format_instant, shown
from metamlflow.format.manifests import is_record_id
from metamlflow.format.records import open_record

MAX_FEATURES = 1_000
"""The largest number of names in a list."""
_NAME = re.compile(r"[a-z][a-z0-9-]{0,63}")
_WHAT = "list of features"


@dataclass(frozen=True, slots=True)
class StoreFeatures:
    """The features that are turned on in a store, or those that a program knows.

    Attributes:
        read: what a reader must know, and so everybody; sorted, each once.
        write: what a writer must know, and whoever deletes or migrates; sorted, each once.
        key: of the record that says so; empty for none.
        unknown: further fields of the record, which the next record keeps.
    """

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    key: str = field(default="", compare=False)
    unknown: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}), compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.read or self.write)

    def united(self, other: StoreFeatures) -> StoreFeatures:
        """Return these features and those of ``other``, with the unknown fields of this record."""
        return StoreFeatures(
            tuple(sorted({*self.read, *other.read})),
            tuple(sorted({*self.write, *other.write})),
            unknown=self.unknown,
        )

    def unknown_to_readers(self) -> tuple[str, ...]:
        """Return the names that keep this library from reading, each with its place."""
        return _unknown("read", self.read, KNOWN.read)

    def unknown_to_writers(self) -> tuple[str, ...]:
        """Return the names that keep this library from writing, deleting and migrating, each with its place."""
        return (*self.unknown_to_readers(), *_unknown("write", self.write, KNOWN.write))


KNOWN = StoreFeatures()
"""The features that this library knows. Format 1 begins with none."""


def _unknown(place: str, names: tuple[str, ...], known: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f'{place}[{i}]: unknown feature "{name}"' for i, name in enumerate(names) if name not in known)


def encode_features(features: StoreFeatures, record_id: str, created_at: datetime) -> bytes:
    """Return the bytes of a list of features."""
    return dump(
        {
            **features.unknown,
            "created_at": format_instant(created_at),
            "format": FORMAT,
            "read": list(features.read),
            "record_id": record_id,
            "write": list(features.write),
        }
    )


def decode_features(data: bytes, key: str) -> StoreFeatures:
    """Read a list of features, known or not.

    Raises:
        StoreFormatError: it is damaged, or of a newer format.
    """
    fields, problems = open_record(data, key, _WHAT)
    fields.text("record_id", is_record_id)
    fields.instant("created_at")
    read, write = _names(fields, "read"), _names(fields, "write")
    problems.raise_if_any(_WHAT)
    return StoreFeatures(read, write, key, fields.unknown())


def _names(fields: Fields, field_name: str) -> tuple[str, ...]:
    found: list[str] = []
    for place, item in fields.items(field_name):
        if len(found) == MAX_FEATURES:
            fields.note(field_name, f"more than {MAX_FEATURES:,} names")
            break
        if not isinstance(item, str) or not _NAME.fullmatch(item):
            fields.note(place, f"expected a lower-case letter, then up to 63 of a-z, 0-9 and -, got {shown(item)}")
        elif found and item <= found[-1]:
            fields.note(
                place, f"{shown(item)} is not after {shown(found[-1])}: names are sorted, and each is there once"
            )
        found.append(item if isinstance(item, str) else "")
    return tuple(found)
