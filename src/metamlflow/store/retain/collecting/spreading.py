"""The reading and listing of a collection, in threads here or in tasks of an executor; the results are the same.

Deletions are never given away: an executor may run a task twice when its worker is lost, but a deletion is sent once.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from metamlflow.backend import ObjectInfo
from metamlflow.errors import MetaMLFlowError
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.statuses import VersionStatus, page_of, pages
from metamlflow.store.catalog.store import store_from
from metamlflow.store.retain.collecting.judging import Holders
from metamlflow.store.retain.collecting.moment import Moment
from metamlflow.store.retain.collecting.reading import (
    ListedVersion,
    NamedVersion,
    Reader,
    ShardOf,
    memory_of_shard,
    memory_of_version,
)
from metamlflow.store.transfer.remote_tasks import RemoteTask, shares, spread
from metamlflow.store.transfer.scheduler import in_parallel

PAGE = 1_000
TASK_VERSIONS = 64
TASK_BYTES = 8 * 1024 * 1024  # of documents; what they name takes a third at most
_MOST_BYTES = 256 * 1024 * 1024  # of documents whose tasks are under way
_TASK_OBJECTS = 4 * PAGE  # that a task lists
_WHAT = "a part of the collection"

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Task(Generic[T]):
    """What a task is given. Its text shows no option of the store: executors write tasks to their logs.

    Attributes:
        store: the store, pickled.
        moment: what the collection goes by.
        items: what is to be read.
    """

    store: bytes = field(repr=False)
    moment: Moment
    items: tuple[T, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """A version to judge, with what the listing of its name showed.

    Attributes:
        name: the name.
        status: the version.
        aliases: of the name.
        protected: whether it is.
        newest: the highest number of the name.
    """

    name: ArtifactName
    status: VersionStatus
    aliases: tuple[str, ...]
    protected: bool
    newest: int


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a listing: at most so many objects below a prefix, after a key."""

    prefix: str
    after: str


class Spreading:
    """Reads versions and shards, and lists objects.

    Args:
        reader: reads them here.
        executor: does it in tasks elsewhere; None for threads here.
        check: called while results are waited for; raises to end it.
    """

    def __init__(self, reader: Reader, executor: Executor | None, check: Callable[[], None]) -> None:
        self._reader = reader
        self._executor = executor
        self._check = check
        self._pickled = b"" if executor is None else pickle.dumps(reader.store)

    def versions(self, listed: Iterable[ListedVersion]) -> Iterator[NamedVersion]:
        """Yield what each version names, in their order."""
        if self._executor is None:
            yield from in_parallel(self._reader.version, listed, size_of=memory_of_version)
            return
        yield from self._in_tasks(map(_asked, listed), judge_versions, _manifest_size, _is_of_version)

    def shards(self, parts: Iterable[ShardOf]) -> Iterator[tuple[ShardOf, list[bytes]]]:
        """Yield the records of the keys that each shard names, in their order."""
        if self._executor is None:
            yield from in_parallel(lambda part: (part, self._reader.shard(part)), parts, size_of=memory_of_shard)
            return
        yield from self._in_tasks(parts, read_shards, lambda part: part.shard.size, _is_of_shard)

    def listed(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        """Yield the objects below a prefix after a key, in the order of their keys. Thread-safe."""
        if self._executor is None:
            yield from pages(self._reader.store, prefix, PAGE, after)
            return
        full = True
        while full:
            task = self._task((Range(prefix, after),))
            remote = RemoteTask(self._executor, list_objects, task, _is_list, _WHAT)
            try:
                found = remote.result(self._check)
            finally:
                remote.cancel()
            found = _raised(list_here(self._reader, Range(prefix, after)) if found is None else found)
            yield from found
            full = len(found) == _TASK_OBJECTS
            after = found[-1].key if full else ""

    def _task(self, items: tuple[T, ...]) -> Task[T]:
        return Task(self._pickled, self._reader.moment, items)

    def _in_tasks(
        self,
        items: Iterable[T],
        work: Callable[[Task[T]], list[R] | MetaMLFlowError],
        size_of: Callable[[T], int],
        is_of: Callable[[T, object], bool],
    ) -> Iterator[R]:
        assert self._executor is not None  # noqa: S101 (as the callers made sure)
        executor = self._executor
        results = spread(
            lambda task: RemoteTask(executor, work, task, partial(_is_whole, is_of), _WHAT),
            map(self._task, shares(items, size_of, most_items=TASK_VERSIONS, most_bytes=TASK_BYTES)),
            here=work,
            check=self._check,
            size_of=lambda task: sum(map(size_of, task.items)),
            most=_MOST_BYTES,
        )
        with closing(results):  # tasks that are no longer needed are cancelled at once
            for result in results:
                yield from _raised(result)


def judge_versions(task: Task[Asked]) -> list[NamedVersion] | MetaMLFlowError:
    """Judge versions in another thread, process or machine; return the first error instead, if there is one."""
    reader = Reader(store_from(task.store), task.moment)
    holders: dict[ArtifactName, Holders] = {}
    protected = {(asked.name, asked.status.version) for asked in task.items if asked.protected}
    for asked in task.items:
        if asked.name not in holders:
            holders[asked.name] = Holders(reader.store, asked.name, set(asked.aliases), protected, asked.newest)
    listed = ((asked.name, asked.status, holders[asked.name]) for asked in task.items)
    try:
        return list(in_parallel(reader.version, listed, size_of=memory_of_version))
    except MetaMLFlowError as error:
        return error


def read_shards(task: Task[ShardOf]) -> list[tuple[ShardOf, list[bytes]]] | MetaMLFlowError:
    """Read shards in another thread, process or machine; return the first error instead, if there is one."""
    reader = Reader(store_from(task.store), task.moment)
    try:
        return list(in_parallel(lambda part: (part, reader.shard(part)), task.items, size_of=memory_of_shard))
    except MetaMLFlowError as error:
        return error


def list_objects(task: Task[Range]) -> list[ObjectInfo] | MetaMLFlowError:
    """List objects in another thread, process or machine."""
    return list_here(Reader(store_from(task.store), task.moment), *task.items)


def list_here(reader: Reader, asked: Range) -> list[ObjectInfo] | MetaMLFlowError:
    """List the first objects of a range; return the error instead, if there is one."""
    found: list[ObjectInfo] = []
    try:
        while len(found) < _TASK_OBJECTS:
            page = page_of(reader.store, asked.prefix, found[-1].key if found else asked.after, PAGE)
            found += page
            if len(page) < PAGE:
                break
    except MetaMLFlowError as error:
        return error
    return found


def _raised(result: list[R] | MetaMLFlowError) -> list[R]:
    if isinstance(result, MetaMLFlowError):
        raise result
    return result


def _is_whole(is_of: Callable[[T, object], bool], task: Task[T], result: object) -> bool:
    if isinstance(result, list):
        return len(result) == len(task.items) and all(map(is_of, task.items, result))
    return isinstance(result, MetaMLFlowError)


def _is_of_version(asked: Asked, found: object) -> bool:
    judged = found.judged if isinstance(found, NamedVersion) else None
    return judged is not None and (judged.name, judged.version) == (asked.name, asked.status.version)


def _is_of_shard(part: ShardOf, found: object) -> bool:
    return isinstance(found, tuple) and found[:1] == (part,)


def _is_list(_: object, result: object) -> bool:
    if isinstance(result, list):
        return all(isinstance(info, ObjectInfo) for info in result)
    return isinstance(result, MetaMLFlowError)


def _asked(listed: ListedVersion) -> Asked:
    name, status, holders = listed
    return Asked(name, status, holders.aliases, holders.protects(status.version), holders.newest)


def _manifest_size(asked: Asked) -> int:
    return asked.status.info.size if asked.status.info else 0
