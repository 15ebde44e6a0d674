"""Stores whose features were turned on by lists."""

from __future__ import annotations

from collections.abc import Callable

from kit import originals
from kit.writing import Records


def _begun(records: Records) -> None:
    records.marker()
    records.manifest("a", 1, [records.blob("x", b"x\n")])
    records.blob("nothing names this", b"garbage\n")


def none_named(records: Records) -> None:
    """Two lists that name nothing, and fields that nobody knows."""
    _begun(records)
    records.features(1, [], [])
    records.features(2, [], [], **{"x-unknown": 1})


def for_writers(records: Records) -> None:
    """A feature that a writer must know, and nobody does: readers go on."""
    _begun(records)
    records.features(1, [], [])
    records.features(2, [], ["a-later-one", "later"])


def for_readers(records: Records) -> None:
    """A feature that everybody must know."""
    _begun(records)
    records.features(1, [], ["later"])
    records.features(2, ["later"], ["later"])


def left_out(records: Records) -> None:
    """The highest list has not what one before it has, and one before is damaged: only a collector stops."""
    _begun(records)
    records.features(1, ["later"], ["once"])
    records.features(2, ["B", "a"], [])
    records.features(3, [], [])


def damaged(records: Records) -> None:
    """The highest list is damaged, and none before it holds instead."""
    _begun(records)
    records.features(1, [], [])
    records.features(9, [], [], created_at=originals.NOON[:-1])


STORES: dict[str, Callable[[Records], None]] = {
    "features-damaged": damaged,
    "features-for-readers": for_readers,
    "features-for-writers": for_writers,
    "features-left-out": left_out,
    "features-none": none_named,
}
