"""Blobs that are not as live versions name them: they stop a collection, if the versions are live still."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

from metamlflow._looks import counted
from metamlflow.errors import IntegrityError
from metamlflow.model.names import Reference
from metamlflow.store.catalog.statuses import is_live, version_status
from metamlflow.store.catalog.store import Store
from metamlflow.store.retain.collecting.kept import Owners
from metamlflow.store.transfer.scheduler import in_parallel

_TOGETHER = 1_000  # versions are looked at; one that is live is enough to stop for
_MOST_SHOWN = 20
_MOST_SHOWN_VERSIONS = 100  # of more versions a part of the keys notes one blob each


@dataclass(frozen=True, slots=True)
class Wrong:
    """A blob that is not as a live version names it.

    Attributes:
        owner: the version, as :class:`~metamlflow.store.retain.collecting.kept.Owners` knows it.
        digest: its digest.
        size: its size as the version has it.
        actual: its size as listed; None if it was not listed.
    """

    owner: int
    digest: str
    size: int
    actual: int | None = None

    def __str__(self) -> str:
        if self.actual is None:
            return f"sha256:{self.digest} is missing"
        return f"sha256:{self.digest} has {self.actual:,} bytes instead of {self.size:,}"


class Wrongs:
    """Blobs that are not as live versions name them: how many of each version, and the first ones.

    No version hides another: each may turn out not to be live.
    """

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._first: dict[int, list[Wrong]] = {}

    def __iter__(self) -> Iterator[Wrong]:
        return chain.from_iterable(self._first.values())

    @property
    def owners(self) -> list[int]:
        """The versions, as :class:`~metamlflow.store.retain.collecting.kept.Owners` knows them, in their order."""
        return sorted(self._counts)

    def note(self, wrong: Wrong, count: int = 1) -> None:
        """Note a blob that is wrong, or the first of some."""
        first = self._first.setdefault(wrong.owner, [])
        if not first or (len(first) < _MOST_SHOWN and len(self._first) <= _MOST_SHOWN_VERSIONS):
            first.append(wrong)
        self._counts[wrong.owner] = self._counts.get(wrong.owner, 0) + count

    def merge(self, other: Wrongs) -> None:
        """Note those of another part too."""
        for owner, first in other._first.items():
            self.note(first[0], other._counts[owner] - len(first) + 1)
            for wrong in first[1:]:
                self.note(wrong)

    def of(self, owner: int) -> tuple[int, list[Wrong]]:
        """Return how many are wrong of a version, and the first of these."""
        return self._counts[owner], self._first[owner]


def refuse_wrong(store: Store, owners: Owners, wrong: Wrongs) -> None:
    """Raise if a version that names a wrong blob is live still: one listing for each version.

    Raises:
        IntegrityError: one is.
    """
    left = wrong.owners
    lost: list[tuple[Reference, int, list[Wrong]]] = []
    while left and not lost:
        looked, left = left[:_TOGETHER], left[_TOGETHER:]
        for owner, reference in in_parallel(partial(_if_live, store, owners), looked):
            if reference is not None:
                lost.append((reference, *wrong.of(owner)))
    if not lost:
        return
    shown = [(reference, each) for reference, _, first in lost for each in first][:_MOST_SHOWN]
    lines = "\n  ".join(f"{reference}: {each}" for reference, each in shown)
    least, blobs, one = "at least " if left else "", sum(count for _, count, _ in lost), shown[0][1]
    raise IntegrityError(
        f"content of live versions is not in the store, or not whole ({least}{counted(blobs, 'blob')}):\n  {lines}",
        hint="What else is wrong there is not known. Put them back with `metamlflow repair`, or prune the versions; "
        "then collect again.",
        expected=f"{one.size:,} bytes",
        actual="missing" if one.actual is None else f"{one.actual:,} bytes",
        key="",
    )


def _if_live(store: Store, owners: Owners, owner: int) -> tuple[int, Reference | None]:
    """Return what a version is known by and, if it is live, its reference."""
    reference = Reference.parse(owners.get(owner).reference)
    assert isinstance(reference.version, int)  # noqa: S101 (as it was noted)
    # A listing in no order may have missed the state that says that the content is not here.
    status = version_status(store, reference.name, reference.version)
    return owner, reference if is_live(store, reference.name, status, by_times=False) else None
