"""Copy much content in parallel: in this process, or in shares that an executor processes elsewhere."""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, field, replace

from metamlflow.errors import MetaMLFlowError
from metamlflow.model.manifests import Entry
from metamlflow.store.catalog.store import store_from
from metamlflow.store.migrate.blobs import (
    LARGE_AT_A_TIME,
    BlobCopier,
    CopiedBlob,
    CopyOptions,
    StorePair,
    bytes_in_memory,
)
from metamlflow.store.transfer.progress import Counter
from metamlflow.store.transfer.remote_tasks import RemoteTask, shares, spread
from metamlflow.store.transfer.scheduler import in_parallel

SHARE_BYTES = 256 * 1024 * 1024
SHARE_OBJECTS = 256
_Answer = list[CopiedBlob] | MetaMLFlowError


@dataclass(frozen=True, slots=True)
class CopyBatch:
    """Content that one task copies.

    Its text shows no option of a store, and neither store: executors write tasks to their logs.
    """

    source: bytes = field(repr=False)
    destination: bytes = field(repr=False)
    how: CopyOptions
    contents: tuple[Entry, ...] = field(repr=False)


def move_share(share: CopyBatch) -> _Answer:
    """Copy a share in another thread, process or machine; return the first error instead, if there is one."""
    ends = StorePair(store_from(share.source), store_from(share.destination))
    try:
        return list(CopyPool(ends, share.how, Counter("migrate", None)).move(share.contents))
    except MetaMLFlowError as error:
        return error


@dataclass(frozen=True, slots=True)
class CopyPool:
    """Copies the content of versions.

    Attributes:
        ends: the two stores.
        how: how content is copied.
        counter: counts the progress.
        executor: runs the tasks; None for this process.
    """

    ends: StorePair
    how: CopyOptions
    counter: Counter
    executor: Executor | None = None
    _large: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(LARGE_AT_A_TIME))

    def looking_first(self) -> CopyPool:
        """Return a pool that looks for content before it reads it."""
        return replace(self, how=replace(self.how, look_first=True))

    def move(self, contents: Iterable[Entry]) -> Iterator[CopiedBlob]:
        """Copy some content; the first failure cancels the rest of it.

        A share whose worker was lost is repeated, and finally done in this process.
        """
        if self.executor is None:
            yield from self._move_here(contents)
            return
        executor, began = self.executor, deque[float]()

        def submit(share: CopyBatch) -> RemoteTask[CopyBatch, _Answer]:
            began.append(self.ends.destination.clock.elapsed())
            return RemoteTask(executor, move_share, share, _is_whole, "a share of the migration")

        results = spread(
            submit,
            self._shares(contents),
            here=lambda share: self._move_here(share.contents),
            check=self.counter.add,
        )
        with closing(results):  # tasks that are no longer needed are cancelled at once
            for result in results:
                yield from self._arrived(result, began.popleft())

    def _move_here(self, contents: Iterable[Entry]) -> Iterator[CopiedBlob]:
        stop = threading.Event()
        mover = BlobCopier(self.ends, self.how, self.counter, stop, self._large)
        yield from in_parallel(mover.move, contents, size_of=bytes_in_memory, cancel=stop.set)

    def _shares(self, contents: Iterable[Entry]) -> Iterator[CopyBatch]:
        source, destination = pickle.dumps(self.ends.source), pickle.dumps(self.ends.destination)
        groups = shares(contents, lambda content: content.size, most_items=SHARE_OBJECTS, most_bytes=SHARE_BYTES)
        return (CopyBatch(source, destination, self.how, together) for together in groups)

    def _arrived(self, result: _Answer | Iterator[CopiedBlob], began: float) -> Iterator[CopiedBlob]:
        if isinstance(result, MetaMLFlowError):
            raise result
        if not isinstance(result, list):  # the executor could not run it, so it is done, and counted, here
            return result
        self.counter.add(files=len(result), size=sum(moved.size for moved in result))
        return (moved.since(began) for moved in result)


def _is_whole(share: CopyBatch, result: object) -> bool:
    """Whether a worker's result is an error, or covers all content of the share."""
    if isinstance(result, MetaMLFlowError):
        return True
    keys = [moved.key for moved in result if isinstance(moved, CopiedBlob)] if isinstance(result, list) else None
    return keys == [content.key for content in share.contents]
