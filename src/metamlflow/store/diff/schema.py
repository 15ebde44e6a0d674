"""The differences between the columns of two versions, as their schemas were captured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from metamlflow.format.documents import dump
from metamlflow.store.diff.parts import ChangedColumn, DiffColumn, Parts


@dataclass(frozen=True, slots=True)
class SchemaDiff:
    """The columns that differ. True in a condition if the schemas do.

    Attributes:
        added: the columns that only the second version has, with their types.
        removed: the columns that only the first version has.
        changed: the columns that both have, with another type, or with nulls in one of them alone.
        reordered: whether the columns that both have stand in another order.
        format: the formats of the first data files, such as ``csv``, if they differ; else None.
        unknown: which of the two has no schema (``before``, ``after``); then no column is told of. None if both have
            one, or neither has.
        incomplete: whether columns of one of them were left out when its schema was captured.
        inferred: whether types of one of them were inferred from the beginning of a longer file.
    """

    added: Parts[DiffColumn] = field(default_factory=Parts)
    removed: Parts[DiffColumn] = field(default_factory=Parts)
    changed: Parts[ChangedColumn] = field(default_factory=Parts)
    reordered: bool = False
    format: tuple[str, str] | None = None
    unknown: Literal["before", "after"] | None = None
    incomplete: bool = False
    inferred: bool = False

    def __bool__(self) -> bool:
        columns = self.added or self.removed or self.changed or self.reordered
        return bool(columns or self.format or self.unknown)

    def __repr__(self) -> str:
        if self.unknown:
            return f"<no schema {self.unknown}>"
        parts = f"{len(self.added):,} added, {len(self.removed):,} removed, {len(self.changed):,} changed"
        return f"<{parts}{', reordered' if self.reordered else ''}>"

    def to_json(self) -> dict[str, Any]:
        """Return the differences as JSON values."""
        lists = {what: [one.to_json() for one in getattr(self, what)] for what in ("added", "removed", "changed")}
        flags = ("reordered", "unknown", "incomplete", "inferred")
        shown = None if self.format is None else list(self.format)
        return {**lists, "format": shown, **{name: getattr(self, name) for name in flags}}


def schema_diff(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> SchemaDiff:
    """Compare the schemas of two manifests. Of several columns with one name, the first is compared with the first."""
    if before is None or after is None:
        if before is after:
            return SchemaDiff()
        return SchemaDiff(unknown="before" if before is None else "after")
    old, new = _columns(before), _columns(after)
    both = [key for key in old if key in new]
    formats = str(before.get("format")), str(after.get("format"))
    return SchemaDiff(
        added=Parts([column for key, column in new.items() if key not in old]),
        removed=Parts([column for key, column in old.items() if key not in new]),
        changed=Parts([ChangedColumn(key[0], old[key], new[key]) for key in both if old[key] != new[key]]),
        reordered=both != [key for key in new if key in old],
        format=formats if formats[0] != formats[1] else None,
        incomplete=_says("truncated", before, after),
        inferred=_says("sampled", before, after),
    )


def _says(flag: str, *schemas: Mapping[str, Any]) -> bool:
    return any(schema.get(flag) is True for schema in schemas)


def _columns(schema: Mapping[str, Any]) -> dict[tuple[str, int], DiffColumn]:
    """Return the columns by name and how many of that name came before. Whoever wrote it may have written anything."""
    found: dict[tuple[str, int], DiffColumn] = {}
    seen: Counter[str] = Counter()
    fields = schema.get("fields")
    for column in fields if isinstance(fields, list) else ():
        if not isinstance(column, Mapping):
            continue
        name = _text(column.get("name"))
        found[name, seen[name]] = DiffColumn(name, _text(column.get("type")), column.get("nullable") is not False)
        seen[name] += 1
    return found


def _text(value: object) -> str:
    return value if isinstance(value, str) else dump({"": value}).decode()[4:-2]
