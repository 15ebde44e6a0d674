"""What a collection found and did: a plan, or a report of what was deleted."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from metamlflow._looks import bytes_text, counted, grid_of

if TYPE_CHECKING:
    from rich.table import Table

SHOWN = 20
"""How many of the largest and of the oldest objects a report has."""
UNNAMED = "no version names it"
"""Why an object is garbage that was given up with no version."""


@dataclass(frozen=True, slots=True)
class GarbageObject:
    """An object that no version needs.

    Attributes:
        key: in the store.
        size: in bytes.
        modified: when it was written, by the storage's clock, in UTC.
        deletable_from: from when on a collection may delete it.
        reference: the version that it was given up with, such as ``features@2``; None if no version names it.
        reason: why it is not needed.
    """

    key: str
    size: int
    modified: datetime
    deletable_from: datetime
    reference: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return the object as JSON values."""
        times = {"modified": self.modified.isoformat(), "deletable_from": self.deletable_from.isoformat()}
        return {"key": self.key, "size": self.size, "reference": self.reference, "reason": self.reason} | times


@dataclass(frozen=True, slots=True)
class GarbageOf:
    """The garbage of one version, or of none.

    Attributes:
        reference: such as ``features@2``; None for what no version names.
        reason: why it is not needed.
        blobs: how many objects.
        bytes: of these.
    """

    reference: str | None
    reason: str
    blobs: int
    bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"reference": self.reference, "reason": self.reason, "blobs": self.blobs, "bytes": self.bytes}


@dataclass(frozen=True, slots=True)
class KeptVersion:
    """A version that is not live, and whose content is kept.

    Attributes:
        reference: such as ``features@2``.
        reason: why.
        until: from when on its content is deletable; None while something holds it.
    """

    reference: str
    reason: str
    until: datetime | None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"reference": self.reference, "reason": self.reason, "until": self.until and self.until.isoformat()}


@dataclass(frozen=True, slots=True)
class FailedDeletion:
    """An object that was not deleted, or of which nobody knows whether it was.

    Attributes:
        key: in the store.
        reference: the version that it was given up with; None if no version names it.
        reason: the error.
        unclear: whether the deletion may have been applied, or may be yet.
    """

    key: str
    reference: str | None
    reason: str
    unclear: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"key": self.key, "reference": self.reference, "reason": self.reason, "unclear": self.unclear}


@dataclass(kw_only=True)
class CollectionReport:
    """What a collection found and did. True in a condition if nothing failed.

    Attributes:
        store: the URL of the store.
        store_id: its id.
        plan_id: identifies what was found: two plans with the same garbage at the same time have the same.
        now: the storage's time before anything was looked at: what everything was judged by, in UTC.
        grace: how long what nothing names is kept.
        dry_run: whether nothing was to be deleted.
        versions: versions by their standing: ``live``; ``waiting`` (pruned, in their grace); ``held`` (pruned, and kept
            because an alias names them); ``dead``; ``erased``.
        kept_blobs, kept_bytes: what versions need.
        waiting: what will be deletable later, by the day (UTC), each as the number of objects and of bytes.
        blobs, bytes: the garbage that may be deleted now, without manifests and unfinished uploads.
        owners: the garbage by version, the most first; at most a thousand.
        names: the garbage by name, the most first; at most a thousand.
        largest, oldest: twenty objects each.
        kept_versions: versions that are not live and whose content is kept, and until when; at most two thousand.
        manifests: manifests of erased versions that are left and may be deleted now, as keys.
        manifest_bytes: the bytes of these; with ``bytes`` what is freed if nothing fails.
        uploads: uploads that were begun before the grace and never finished, as keys.
        foreign: how many objects below ``blobs/sha256/`` are no blobs; they are left alone.
        deleted: how many objects were deleted, for certain.
        freed: the bytes of these.
        left: how many were garbage in the listing and were left alone: gone already, another object by then, or not
            reached while it was this collection's turn.
        failed: what could not be deleted, or is not known to be deleted; at most ten thousand.
        failures: how many those are.
        stopped: why the collection stopped before its end, or None.
        notes: what else to know, such as that the bucket keeps versions.
        seconds: how long it took.
    """

    store: str
    store_id: str
    now: datetime
    grace: timedelta
    plan_id: str = ""
    dry_run: bool = False
    versions: dict[str, int] = field(default_factory=dict)
    kept_blobs: int = 0
    kept_bytes: int = 0
    waiting: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    blobs: int = 0
    bytes: int = 0
    owners: tuple[GarbageOf, ...] = ()
    names: tuple[GarbageOf, ...] = ()
    largest: tuple[GarbageObject, ...] = ()
    oldest: tuple[GarbageObject, ...] = ()
    kept_versions: tuple[KeptVersion, ...] = ()
    manifests: tuple[str, ...] = ()
    manifest_bytes: int = 0
    uploads: tuple[str, ...] = ()
    foreign: int = 0
    deleted: int = 0
    freed: int = 0
    left: int = 0
    failed: list[FailedDeletion] = field(default_factory=list)
    failures: int = 0
    stopped: str | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and it came to its end."""
        return not self.failures and self.stopped is None

    def __bool__(self) -> bool:
        return self.ok

    def summary(self) -> str:
        """Return the report in one line."""
        found = f"{counted(self.blobs, 'object')} and {bytes_text(self.bytes)} of garbage"
        if self.manifests:
            found += f", {counted(len(self.manifests), 'manifest')} of erased versions"
            found += f" with {bytes_text(self.manifest_bytes)}"
        if self.uploads:
            found += f", {counted(len(self.uploads), 'unfinished upload')}"
        later = sum(blobs for blobs, _ in self.waiting.values())
        if self.dry_run:
            text = f"{found}; {counted(later, 'object')} deletable later"
        else:
            text = f"{found}; {self.deleted:,} deleted, {bytes_text(self.freed)} freed"
        if self.failures:
            text += f"; {counted(self.failures, 'deletion')} failed"
        return text + (f"; stopped: {self.stopped}" if self.stopped else "")

    def __repr__(self) -> str:
        what = "CollectionPlan" if self.dry_run else "CollectionReport"
        return f"<{what} {'ok' if self.ok else 'failed'}: {self.summary()}>"

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        plain = (
            *(
                "store",
                "store_id",
                "plan_id",
                "dry_run",
                "ok",
                "versions",
                "kept_blobs",
                "kept_bytes",
                "blobs",
                "bytes",
            ),
            *("foreign", "deleted", "freed", "left", "failures", "stopped", "notes"),
        )
        lists = ("owners", "names", "largest", "oldest", "kept_versions", "failed")
        return {
            **{name: getattr(self, name) for name in plain},
            "now": self.now.isoformat(),
            "grace_seconds": self.grace.total_seconds(),
            "seconds": round(self.seconds, 3),
            "waiting": {day: {"blobs": n, "bytes": size} for day, (n, size) in sorted(self.waiting.items())},
            **{name: [each.to_json() for each in getattr(self, name)] for name in lists},
            "manifests": list(self.manifests),
            "manifest_bytes": self.manifest_bytes,
            "uploads": list(self.uploads),
        }

    def _repr_html_(self) -> str:
        what = "Plan of a collection" if self.dry_run else "Collection"
        failed = [(it.reference or "-", "unclear" if it.unclear else "failed", it.key, it.reason) for it in self.failed]
        page = grid_of("Not deleted", ("artifact", "status", "object", "reason"), failed) if failed else ""
        rows = [(it.reference or "named by no version", it.blobs, it.bytes, it.reason) for it in self.owners]
        return page + grid_of(f"{what}: {self.summary()}", ("artifact", "objects", "bytes", "reason"), rows)

    def __rich__(self) -> Table:
        """Return the garbage by version as a table for rich."""
        from rich.markup import escape
        from rich.table import Table

        table = Table("ARTIFACT", "OBJECTS", "BYTES", "REASON", box=None, pad_edge=False, header_style="bold")
        for it in self.owners:
            table.add_row(escape(it.reference or "-"), f"{it.blobs:,}", f"{it.bytes:,}", escape(it.reason))
        return table


K = TypeVar("K")
_MOST_GROUPS = 50_000
_LISTED_GROUPS = 1_000


class Gathering:
    """Adds up garbage by version and by name, in bounded memory: of very many, the smallest are left out."""

    def __init__(self) -> None:
        self.blobs = self.bytes = 0
        self._owners: dict[tuple[str | None, str], list[int]] = {}
        self._names: dict[str | None, list[int]] = {}
        self._largest: list[tuple[int, str, GarbageObject]] = []
        self._oldest: list[tuple[float, str, GarbageObject]] = []

    def add(self, found: GarbageObject) -> None:
        """Count an object."""
        self.blobs += 1
        self.bytes += found.size
        name = found.reference and found.reference.rpartition("@")[0]
        _count(self._owners, (found.reference, found.reason), found.size)
        _count(self._names, name, found.size)
        _keep(self._largest, (found.size, found.key, found))
        _keep(self._oldest, (-found.modified.timestamp(), found.key, found))

    @property
    def largest(self) -> tuple[GarbageObject, ...]:
        """The largest objects, the largest first."""
        return tuple(found for _, _, found in sorted(self._largest, key=lambda it: (-it[0], it[1])))

    @property
    def oldest(self) -> tuple[GarbageObject, ...]:
        """The oldest objects, the oldest first."""
        return tuple(found for _, _, found in sorted(self._oldest, key=lambda it: (-it[0], it[1])))

    @property
    def owners(self) -> tuple[GarbageOf, ...]:
        """The garbage by version, the most first."""
        most = heapq.nsmallest(_LISTED_GROUPS, self._owners.items(), key=_by_bytes)
        return tuple(GarbageOf(reference, reason, *sums) for (reference, reason), sums in most)

    @property
    def names(self) -> tuple[GarbageOf, ...]:
        """The garbage by name, the most first."""
        most = heapq.nsmallest(_LISTED_GROUPS, self._names.items(), key=_by_bytes)
        return tuple(GarbageOf(name, "" if name else UNNAMED, *sums) for name, sums in most)


def _count(groups: dict[K, list[int]], key: K, size: int) -> None:
    group = groups.setdefault(key, [0, 0])
    group[0] += 1
    group[1] += size
    if len(groups) > _MOST_GROUPS:
        for least in sorted(groups, key=lambda it: groups[it][1])[: _MOST_GROUPS // 2]:
            del groups[least]


def _by_bytes(group: tuple[object, list[int]]) -> tuple[int, str]:
    return -group[1][1], str(group[0])


def _keep(heap: list[Any], item: tuple[Any, str, GarbageObject]) -> None:
    if len(heap) < SHOWN:
        heapq.heappush(heap, item)
    elif item[:2] > heap[0][:2]:
        heapq.heapreplace(heap, item)
