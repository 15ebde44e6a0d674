"""A plan: what a collection would delete, kept in a file, so that a later collection deletes nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from metamlflow.backend import ObjectInfo
from metamlflow.backend.deleting import is_same
from metamlflow.errors import InvalidInputError
from metamlflow.format.layout import BLOBS
from metamlflow.store.retain.collecting.kept import Scratch
from metamlflow.store.retain.collecting.report import CollectionReport, GarbageObject
from metamlflow.store.retain.collecting.sweeping import Candidate, read_candidate, written

_FILE = "metamlflow collection plan 1"
_HINT = "Make one with --dry-run --save FILE."
_FIELDS = 6  # of an object
_LATEST = datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@dataclass(frozen=True, slots=True)
class Planned:
    """What may be deleted.

    Attributes:
        store_id: of the store.
        grace: what it was planned with.
        manifests: keys of manifests below tombs.
        uploads: ids of unfinished uploads.
        objects: returns the blobs, in the order of their keys, as often as it is called.
    """

    store_id: str
    grace: timedelta
    manifests: frozenset[str]
    uploads: frozenset[str]
    objects: Callable[[], Iterator[Candidate]]

    def only(self, candidates: Iterable[Candidate]) -> Iterator[Candidate]:
        """Yield those that were planned and are the same objects still. Both are in the order of their keys."""
        planned = self.objects()
        next_one = next(planned, None)
        for candidate in candidates:
            while next_one is not None and next_one.info.key < candidate.info.key:
                next_one = next(planned, None)
            if next_one is None:
                return
            if next_one.info.key == candidate.info.key and is_same(next_one.info, candidate.info):
                yield candidate


class CollectionPlan(CollectionReport):
    """What a collection would delete: a :class:`CollectionReport` of a dry run, which can be carried out.

    It keeps its list of objects in a temporary file until it is garbage itself; :meth:`save` writes one that stays.
    """

    _planned: Planned | None = None
    _described: Callable[[Candidate], GarbageObject] | None = None
    _apply: Callable[..., CollectionReport] | None = None
    _folder: Scratch | None = None

    def objects(self) -> Iterator[GarbageObject]:
        """Yield everything that would be deleted, in the order of the keys, each with its reason."""
        assert self._planned is not None  # noqa: S101 (set when it is made)
        assert self._described is not None  # noqa: S101
        return map(self._described, self._planned.objects())

    def apply(self, *, executor: Executor | None = None) -> CollectionReport:
        """Delete what the plan lists and is still garbage, and nothing else; return a report.

        Everything is judged anew, by a fresh listing.

        Args:
            executor: as for :meth:`MetaMLFlowClient.collect_garbage`; the plan may have been made with another.
        """
        assert self._apply is not None  # noqa: S101 (set when it is made)
        return self._apply(self, executor=executor)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to a file, for another process: ``client.collect_garbage(plan=path)``."""
        planned = self._planned
        assert planned is not None  # noqa: S101
        head = {
            "file": _FILE,
            "store_id": planned.store_id,
            "plan_id": self.plan_id,
            "grace_seconds": planned.grace.total_seconds(),
            "manifests": sorted(planned.manifests),
            "uploads": sorted(planned.uploads),
        }
        with Path(path).open("wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.writelines(map(written, planned.objects()))

    def __reduce__(self) -> Any:
        raise TypeError("a plan has files and cannot be pickled; save() writes it to one of your own")


def planned_by(plan: CollectionPlan) -> Planned:
    """Return what may be deleted by a plan."""
    planned = plan._planned  # noqa: SLF001 (no part of what users see)
    assert planned is not None  # noqa: S101 (set when it is made)
    return planned


def load_plan(path: str | os.PathLike[str]) -> Planned:
    """Read a plan that was saved.

    Raises:
        InvalidInputError: the file is none.
    """
    given: object = path
    if not isinstance(given, str | os.PathLike):
        raise InvalidInputError(f"plan: a plan or the path of a file, not {given!r:.80}", hint=_HINT)
    file = Path(path)
    with _named(file):
        with file.open("rb") as lines:
            head = _head(json.loads(lines.readline()))
        planned = Planned(
            head.store_id,
            timedelta(seconds=head.grace_seconds),
            frozenset(head.manifests),
            frozenset(head.uploads),
            lambda: _lines(file),
        )
        if not planned.grace >= timedelta():
            raise ValueError("its grace is negative")
        for _ in planned.objects():
            pass
    return planned


@dataclass(frozen=True, slots=True)
class _Head:
    store_id: str
    grace_seconds: float
    manifests: list[str]
    uploads: list[str]


def _head(said: Any) -> _Head:
    if not isinstance(said, Mapping) or said.get("file") != _FILE:
        raise ValueError("another kind of file")
    head = _Head(*(said[name] for name in _Head.__dataclass_fields__))
    texts = (head.store_id, *_listed(head.manifests), *_listed(head.uploads))
    if not all(isinstance(text, str) for text in texts) or not _is_number(head.grace_seconds):
        raise ValueError("its first line has values of other types")
    return head


def _listed(said: object) -> list[object]:
    return said if isinstance(said, list) else [None]


def _is_number(said: object) -> bool:
    return isinstance(said, int | float) and not isinstance(said, bool)


@contextmanager
def _named(file: Path) -> Iterator[None]:
    """Turn what a file holds that is no plan, or no file at all, into an error that names it."""
    try:
        yield
    except OSError as error:
        raise InvalidInputError(f"plan: {file} cannot be read: {error.strerror or error}", hint=_HINT) from error
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError) as error:
        raise InvalidInputError(f"plan: {file} is not one of a collection: {error}", hint=_HINT) from error


def _lines(file: Path) -> Iterator[Candidate]:
    """Yield what a file lists, which may have changed since it was looked at."""
    last = ""
    with _named(file), file.open("rb") as lines:
        for line in islice(lines, 1, None):
            candidate = _candidate(line)
            if not candidate.info.key.startswith(BLOBS) or candidate.info.key <= last:
                raise ValueError("its objects are not blobs in the order of their keys")
            last = candidate.info.key
            yield candidate


def _candidate(line: bytes) -> Candidate:
    said = json.loads(line)
    if not isinstance(said, list) or len(said) != _FIELDS:
        raise ValueError("an object has other fields")
    key, size, modified, etag, version, owner = said
    numbers = all(isinstance(number, int) and not isinstance(number, bool) for number in (size, owner))
    texts = isinstance(key, str) and all(text is None or isinstance(text, str) for text in (etag, version))
    if not (numbers and texts and _is_number(modified) and abs(modified) <= _LATEST):
        raise ValueError("an object has fields of other types")
    return read_candidate(line)


def plan_id(store_id: str, now: str, infos: Iterable[ObjectInfo], others: Iterable[str]) -> str:
    """Return what identifies a plan: its store, its time, and each object with its time of writing."""
    digest = hashlib.sha256(f"{store_id} {now}\n".encode())
    for info in infos:
        digest.update(f"{info.key} {info.modified.timestamp()} {info.size}\n".encode())
    for other in others:
        digest.update(f"{other}\n".encode())
    return digest.hexdigest()[:16]
