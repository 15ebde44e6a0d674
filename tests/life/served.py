"""A bucket in memory whose every request waits on the stage; its listings take time, and may come in no key order."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from stage import OPEN, WRITES, Actor, Request, Stage

from metamlflow.backend import Blob, DeleteFailure, ObjectInfo
from metamlflow.errors import AlreadyExistsError
from metamlflow.testing import MemoryBackend, MemoryBucket, StoredObject

PAGE = 4  # keys in one answer to a listing


class Served(MemoryBackend):
    """What one machine knows as its storage. Without an actor, requests are carried out at once."""

    def __init__(self, bucket: MemoryBucket, stage: Stage) -> None:
        super().__init__(bucket)
        self.stage = stage
        self.actor: Actor | None = None

    def _ask(self, verb: str, key: str, apply: Callable[[], Any]) -> Any:
        if self.actor is None:
            return apply()
        return self.actor.ask(Request(verb, key, apply, self._until(verb, key), store=self.bucket))

    def _until(self, verb: str, key: str) -> Any:
        """A request that writes is under way for a while at most; so are the looks just before a deletion."""
        actor, now = self.actor, self.stage.time.now
        assert actor is not None
        looks = verb == "stat" and key.startswith("blobs/") and actor.what.startswith("collect")
        actor.looks_since = (actor.looks_since or now) if looks else None
        if looks and actor.looks_since is not None:
            return max(now, actor.looks_since + OPEN)
        return now + OPEN if verb in WRITES else None

    def create(self, key: str, data: bytes) -> None:
        data = bytes(data)

        def apply() -> None:
            if not self.bucket.insert(key, data):
                raise AlreadyExistsError(f"{key} exists already", key=key)

        self._ask("create", key, apply)

    def put(self, key: str, blob: Blob) -> bool:
        content = self._content_of(key, blob)
        return bool(self._ask("put", key, lambda: self.bucket.insert(key, content)))

    def replace(self, key: str, blob: Blob) -> None:
        content = self._content_of(key, blob)

        def apply() -> None:
            self.bucket.objects[key] = StoredObject(content, self.bucket.clock())

        self._ask("replace", key, apply)

    def open(self, key: str) -> Any:
        return self._ask("open", key, lambda: super(Served, self).open(key))

    def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        return self._ask("read", key, lambda: super(Served, self).read(key, start, end))

    def stat(self, key: str) -> ObjectInfo:
        return self._ask("stat", key, lambda: super(Served, self).stat(key))

    def delete(self, keys: Iterable[str]) -> list[DeleteFailure]:
        wanted, actor = tuple(keys), self.actor
        if actor is not None:
            actor.deleted += wanted

        def apply() -> list[DeleteFailure]:
            for key in wanted:
                self.stage.deleting(self.bucket, key)
            return super(Served, self).delete(wanted)

        return self._ask("delete", " ".join(wanted), apply)

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        """In key order, some keys at a time: later ones are those that are there later."""
        left = limit
        while left is None or left > 0:
            most = PAGE if left is None else min(PAGE, left)
            found = self._ask("list", prefix, lambda at=after, most=most: self._listed(prefix, at, most))
            yield from found
            if len(found) < most:
                return
            after, left = found[-1].key, None if left is None else left - most

    def _listed(self, prefix: str, after: str = "", limit: int | None = None) -> list[ObjectInfo]:
        return list(super().list_objects(prefix, after=after, limit=limit))

    def list_after(self, after: str, limit: int) -> list[ObjectInfo]:
        return list(self.list_objects(after=after, limit=limit))


class Gathering(Served):
    """Listings that look at one half of the keys first, and at the other one later, whatever their order."""

    gathers_listings = True
    list_after = None  # type: ignore[assignment]  # so that it is not taken for a flat row of keys

    def list_objects(self, prefix: str = "", *, after: str = "", limit: int | None = None) -> Iterator[ObjectInfo]:
        found: list[ObjectInfo] = []
        first = len(self.bucket.objects) % 2  # either half may come first
        for half in (first, 1 - first):
            found += self._ask("list", prefix, lambda half=half: self._half(prefix, half))
        yield from sorted((info for info in found if info.key > after), key=lambda info: info.key.encode())[:limit]

    def _half(self, prefix: str, half: int) -> list[ObjectInfo]:
        return [info for info in self._listed(prefix) if zlib.crc32(info.key.encode()) % 2 == half]
