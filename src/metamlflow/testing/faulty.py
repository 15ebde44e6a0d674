"""Any backend, with faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

from metamlflow.backend import Backend, Blob, DeleteFailure, ObjectInfo, delete_seen, replace_content
from metamlflow.errors import MetaMLFlowError
from metamlflow.testing.faults import Crashed, Fault


class Call(NamedTuple):
    """One call: the verb, and its key. A listing's key is its prefix; a delete's keys are joined by spaces."""

    verb: str
    key: str


@dataclass(slots=True, eq=False)
class _Postponed:
    apply: Callable[[], Any]
    calls_left: int | None
    timer: threading.Timer | None = None


class FaultyBackend:
    """The backend ``inner``, with the faults of ``plan``.

    Each fault counts its own matching calls. If several faults hit one call, the first in the plan strikes. A listing
    counts as a call when it is requested, and its fault strikes when its first object is requested.

    Attributes:
        inner: the underlying backend.
        calls: every call so far, in order, including failed ones.
        late_outcomes: the result or the error of each postponed write, in the order of their application.
    """

    def __init__(self, inner: Backend, plan: Sequence[Fault] = ()) -> None:
        self.inner = inner
        self.calls: list[Call] = []
        self.late_outcomes: list[Any] = []
        self._plan = [(fault, _Counter()) for fault in plan]
        self._postponed: list[_Postponed] = []
        self._lock = threading.Lock()
        self._dead = False

    @property
    def url(self) -> str:
        """The inner backend's URL."""
        return self.inner.url

    @property
    def filesystem(self) -> Any:
        """The inner backend's file system, which has no faults."""
        return self.inner.filesystem

    @property
    def max_key_bytes(self) -> int:
        """The inner backend's limit."""
        return self.inner.max_key_bytes

    def url_of(self, key: str) -> str:
        """Return the inner backend's URL."""
        return self.inner.url_of(key)

    def create(self, key: str, data: bytes) -> None:
        """Create, or fail as planned."""
        self._call("create", (key,), lambda: self.inner.create(key, data))

    def put(self, key: str, blob: Blob) -> bool:
        """Put, or fail as planned."""
        return bool(self._call("put", (key,), lambda: self.inner.put(key, blob)))

    def replace(self, key: str, blob: Blob) -> None:
        """Replace, or fail as planned."""
        self._call("replace", (key,), lambda: replace_content(self.inner, key, blob))

    def open(self, key: str) -> BinaryIO:
        """Open, or fail as planned."""
        return cast("BinaryIO", self._call("open", (key,), lambda: self.inner.open(key)))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Read, or fail as planned."""
        return bytes(self._call("read", (key,), lambda: self.inner.read(key, start, end)))

    def stat(self, key: str) -> ObjectInfo:
        """Stat, or fail as planned."""
        return cast("ObjectInfo", self._call("stat", (key,), lambda: self.inner.stat(key)))

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """List, or fail as planned, once the first object is asked for."""
        run = self._prepared("list_objects", (prefix,))

        def listing() -> Iterator[ObjectInfo]:
            yield from run(lambda: self.inner.list_objects(prefix, after=after, limit=limit))

        return listing()

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        """Delete, or fail as planned."""
        wanted = tuple(keys)
        return cast("list[DeleteFailure]", self._call("delete", wanted, lambda: self.inner.delete(wanted)))

    def delete_seen(self, infos: Sequence[ObjectInfo]) -> list[DeleteFailure]:
        """Delete what was seen, or fail as planned for a delete."""
        keys = tuple(info.key for info in infos)
        return cast("list[DeleteFailure]", self._call("delete", keys, lambda: delete_seen(self.inner, infos)))

    def settle(self) -> None:
        """Apply every postponed write now."""
        with self._lock:
            landing, self._postponed = self._postponed, []
        for write in landing:
            self._land(write)

    # --- for faults ---------------------------------------------------------------------------------------------------

    def die(self, crash: Callable[[], None]) -> None:
        """Refuse all further calls, since a dead process cleans nothing up, and crash."""
        self._dead = True
        crash()

    def postpone(self, apply: Callable[[], Any], *, calls: int | None, seconds: float | None) -> None:
        """Apply a write before the ``calls``-th further call, after ``seconds``, or when settled: the earliest."""
        write = _Postponed(apply, calls)
        with self._lock:
            self._postponed.append(write)
        if seconds is not None:
            write.timer = threading.Timer(seconds, self._land_if_pending, (write,))
            write.timer.daemon = True
            write.timer.start()

    # --- how ----------------------------------------------------------------------------------------------------------

    def _call(self, verb: str, keys: tuple[str, ...], apply: Callable[[], Any]) -> Any:
        return self._prepared(verb, keys)(apply)

    def _prepared(self, verb: str, keys: tuple[str, ...]) -> Callable[[Callable[[], Any]], Any]:
        """Log and count a call; return the function that performs it."""
        if self._dead:
            raise Crashed
        with self._lock:
            self.calls.append(Call(verb, " ".join(keys)))
            # All faults count before one strikes, so that their counts do not depend on each other.
            hit = [f for f, counter in self._plan if f.matches(verb, keys) and f.hits(counter.increment())]
            due = self._due()
        for write in due:
            self._land(write)
        if not hit:
            return lambda apply: apply()
        where = f"{verb} {' '.join(keys)}"
        return lambda apply: hit[0].strike(apply, where, self)

    def _due(self) -> list[_Postponed]:
        for write in self._postponed:
            if write.calls_left is not None:
                write.calls_left -= 1
        due = [write for write in self._postponed if write.calls_left == 0]
        self._postponed = [write for write in self._postponed if write.calls_left != 0]
        return due

    def _land_if_pending(self, write: _Postponed) -> None:
        with self._lock:
            pending = write in self._postponed
            if pending:
                self._postponed.remove(write)
        if pending:
            self._land(write)

    def _land(self, write: _Postponed) -> None:
        if write.timer is not None:
            write.timer.cancel()
        try:
            self.late_outcomes.append(write.apply())
        except MetaMLFlowError as error:  # its caller is long gone
            self.late_outcomes.append(error)


class _Counter:
    """Counts the calls that one fault matched."""

    def __init__(self) -> None:
        self._count = 0

    def increment(self) -> int:
        self._count += 1
        return self._count
