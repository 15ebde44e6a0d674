"""The differences between the metadata of two versions, key by key, and between their inputs."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from metamlflow.model.manifests import Input, Manifest
from metamlflow.model.metadata import decode
from metamlflow.store.diff.parts import ChangedValue, DiffValue, Parts

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
Found = DiffValue | ChangedValue


@dataclass(frozen=True, slots=True)
class ValuesDiff:
    """Values that differ, by their places. True in a condition if there are any.

    Attributes:
        added: those that only the second version has.
        removed: those that only the first version has.
        changed: those that both have, with other values. A whole number and a float are not the same value.
    """

    added: Parts[DiffValue] = field(default_factory=Parts)
    removed: Parts[DiffValue] = field(default_factory=Parts)
    changed: Parts[ChangedValue] = field(default_factory=Parts)

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __repr__(self) -> str:
        return f"<{len(self.added):,} added, {len(self.removed):,} removed, {len(self.changed):,} changed>"

    def to_json(self) -> dict[str, Any]:
        """Return the differences as JSON values."""
        return {what: [one.to_json() for one in getattr(self, what)] for what in ("added", "removed", "changed")}


def metadata_diff(before: Mapping[str, Any], after: Mapping[str, Any]) -> ValuesDiff:
    """Compare metadata as stored. Objects and lists of the same kind are compared item by item, however deep."""
    added, removed, changed = [], [], []
    for where, old, new in _walk("", decode(before), decode(after)):
        if old is _NONE:
            added.append(DiffValue(where, new))
        elif new is _NONE:
            removed.append(DiffValue(where, old))
        else:
            changed.append(ChangedValue(where, old, new))
    return ValuesDiff(Parts(added), Parts(removed), Parts(changed))


_NONE: Any = object()


def _walk(where: str, before: Any, after: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place of each difference with both values; ``_NONE`` stands for a value that is not there."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _walk(_below(where, key), before.get(key, _NONE), after.get(key, _NONE))
    elif isinstance(before, list) and isinstance(after, list):
        for number in range(max(len(before), len(after))):
            old = before[number] if number < len(before) else _NONE
            new = after[number] if number < len(after) else _NONE
            yield from _walk(f"{where}[{number}]", old, new)
    elif not _is_same(before, after):
        yield where, before, after


def _below(where: str, key: str) -> str:
    if not _PLAIN_KEY.fullmatch(key):
        return f"{where}[{json.dumps(key, ensure_ascii=False)}]"
    return f"{where}.{key}" if where else key


def _is_same(before: Any, after: Any) -> bool:
    if before is _NONE or after is _NONE or type(before) is not type(after):
        return False
    # NaN is the same as NaN, and 0.0 is not -0.0.
    return repr(before) == repr(after) if isinstance(before, float) else bool(before == after)


def inputs_diff(before: Iterable[Input], after: Iterable[Input]) -> ValuesDiff:
    """Compare inputs. One of the same name and role on both sides, in another version, has changed."""
    old, new = list(dict.fromkeys(before)), list(dict.fromkeys(after))
    gone, came = [one for one in old if one not in new], [one for one in new if one not in old]
    alone = [Counter(map(_place, side)) for side in (gone, came)]
    changed = {_place(one): one for one in gone if alone[0][_place(one)] == 1 == alone[1][_place(one)]}
    return ValuesDiff(
        Parts([DiffValue(_place(one), _told(one)) for one in came if _place(one) not in changed]),
        Parts([DiffValue(_place(one), _told(one)) for one in gone if _place(one) not in changed]),
        Parts(
            [
                ChangedValue(_place(one), *_told_apart(changed[_place(one)], one))
                for one in came
                if _place(one) in changed
            ]
        ),
    )


def _place(used: Input) -> str:
    return f"{used.name} as {used.role}" if used.role else str(used.name)


def _told(used: Input) -> str:
    return f"{used.name}@{used.version}"


def _told_apart(before: Input, after: Input) -> tuple[str, str]:
    """Return both as texts that differ: of one name and number in two stores, the manifests differ."""
    if before.version != after.version:
        return _told(before), _told(after)
    return tuple(f"{_told(one)}, {one.manifest_digest}" for one in (before, after))  # type: ignore[return-value]


def facts_diff(before: Manifest, after: Manifest) -> Parts[ChangedValue]:
    """Return what differs of two versions as a whole: type, kind, content, sums, and the places that they point to."""
    pairs = {
        "type": (before.artifact_type, after.artifact_type),
        "kind": (before.kind, after.kind),
        "files": (before.files, after.files),
        "folders": (before.folders, after.folders),
        "size": (before.size, after.size),
        "digest": (before.digest, after.digest),
        "points to": ([one.to_json() for one in before.pointed], [one.to_json() for one in after.pointed]),
    }
    return Parts([ChangedValue(name, *pair) for name, pair in pairs.items() if pair[0] != pair[1]])
