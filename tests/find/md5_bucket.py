"""A bucket in memory whose listings show the MD5 of each object, as S3 and GCS do, and that counts what is read."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace

from metamlflow import MetaMLFlowClient
from metamlflow._session import Session
from metamlflow.backend import DeleteFailure
from metamlflow.errors import AccessDeniedError
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.testing.memory import MemoryBackend


class Md5Backend(MemoryBackend):
    """Tells MD5s, unless they are switched off; refuses writes below closed places, and deletions if told so."""

    def __init__(self, bucket=None):
        super().__init__(bucket)
        self.reads = Counter()
        self.tells_md5 = True
        self.closed = ()
        self.deletes = True

    def read(self, key, start=0, end=None):
        self.reads[key.partition("/")[0]] += 1
        return super().read(key, start, end)

    def list_objects(self, prefix="", *, after="", limit=None):
        for info in super().list_objects(prefix, after=after, limit=limit):
            data = self.bucket.get(info.key).data
            told = {"md5": hashlib.md5(data).hexdigest()} if self.tells_md5 else {}
            yield replace(info, checksums=told)

    def create(self, key, data):
        self._check(key)
        super().create(key, data)

    def put(self, key, blob):
        self._check(key)
        return super().put(key, blob)

    def delete(self, keys):
        if self.deletes:
            return super().delete(keys)
        return [DeleteFailure(key, AccessDeniedError(f"{key} may not be deleted", key=key)) for key in keys]

    def _check(self, key):
        if key.startswith(self.closed):
            raise AccessDeniedError(f"{key} may not be written", key=key)


def client_of(backend, cache) -> MetaMLFlowClient:
    """A client of the bucket, with a cache folder of its own."""
    store = Store("memory://bucket", {}, backend=backend)
    client = MetaMLFlowClient._on(store)
    client._session = Session(store, FileCache(cache))
    return client
