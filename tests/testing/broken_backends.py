"""Backends with one fault each, under the suite: every class here is meant to fail. Run by test_suite_catches.py."""

import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from metamlflow.backend import ObjectInfo, UnfinishedUpload
from metamlflow.errors import AlreadyExistsError, IntegrityError, StorageUnavailableError
from metamlflow.testing import BackendSuite, MemoryBackend, StoredObject
from metamlflow_local import LocalBackend


class OnMemory(BackendSuite):
    broken = MemoryBackend
    put_memory_bytes = 200 * 1024 * 1024
    racers, rounds = 4, 10

    @pytest.fixture
    def backend(self):
        return self.broken()

    def reopen(self, backend):
        return type(backend)(backend.bucket)

    def raw_write(self, backend, key, data):
        MemoryBackend(backend.bucket).create(key, data)


class OnFolder(BackendSuite):
    broken = LocalBackend
    many = 100

    @pytest.fixture
    def backend(self, tmp_path):
        return self.broken(tmp_path)


class TestSound(OnMemory):
    """Not broken: what fails here would be the fault of this file."""


# --- create -----------------------------------------------------------------------------------------------------------


class ChecksThenWrites(LocalBackend):
    """What ``pipe_file(mode="create")`` does by default."""

    def create(self, key, data):
        target = Path(self._root, key)
        if target.exists():
            raise AlreadyExistsError(f"{key} exists already", key=key)
        with self._temp_file() as (temp, _):
            Path(temp).write_bytes(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            temp.rename(target)


class TestChecksThenWrites(OnFolder):
    broken = ChecksThenWrites


class LocksWithinTheProcess(ChecksThenWrites):
    lock = threading.Lock()

    def create(self, key, data):
        with self.lock:
            super().create(key, data)


class TestLocksWithinTheProcess(OnFolder):
    broken = LocksWithinTheProcess
    rounds = 60


class OpensExclusively(LocalBackend):
    """``open("x")`` has one winner, and shows a file that is half written."""

    def create(self, key, data):
        with self._translated(key):
            target = Path(self._root, key)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb", buffering=0) as file:
                file.write(data[: len(data) // 2])
                time.sleep(0.005)  # a slow disk
                file.write(data[len(data) // 2 :])


class TestOpensExclusively(OnFolder):
    broken = OpensExclusively


class SwallowsConflicts(MemoryBackend):
    def create(self, key, data):
        with suppress(AlreadyExistsError):
            super().create(key, data)


class TestSwallowsConflicts(OnMemory):
    broken = SwallowsConflicts


class TakesTheSameBytesTwice(MemoryBackend):
    def create(self, key, data):
        try:
            super().create(key, data)
        except AlreadyExistsError:
            if self.read(key) != data:
                raise


class TestTakesTheSameBytesTwice(OnMemory):
    broken = TakesTheSameBytesTwice


# --- put --------------------------------------------------------------------------------------------------------------


class LeavesPartialObjects(MemoryBackend):
    def put(self, key, blob):
        if key in self.bucket.objects:
            return False
        content = b""
        with blob.open() as source:
            while chunk := source.read(1024 * 1024):
                content += chunk
                self.bucket.objects[key] = StoredObject(content, self.bucket.clock())
        if len(content) != blob.size:
            raise IntegrityError("not as long as announced")
        self.bucket.objects[key] = StoredObject(content, self.bucket.clock())
        return True


class TestLeavesPartialObjects(OnMemory):
    broken = LeavesPartialObjects


class TellsTempFilesAsUploads(MemoryBackend):
    def unfinished_uploads(self, before):
        yield UnfinishedUpload("parts/1", "1", datetime(2026, 1, 1, tzinfo=UTC))

    def abandon(self, upload):
        pass


class TestTellsTempFilesAsUploads(OnMemory):
    broken = TellsTempFilesAsUploads


class OverwritesInPut(MemoryBackend):
    def put(self, key, blob):
        existed = self.bucket.objects.pop(key, None)
        super().put(key, blob)
        return existed is None


class TestOverwritesInPut(OnMemory):
    broken = OverwritesInPut


class RefreshesInPut(MemoryBackend):
    def put(self, key, blob):
        created = super().put(key, blob)
        self.bucket.objects[key] = StoredObject(self.bucket.objects[key].data, self.bucket.clock())
        return created


class TestRefreshesInPut(OnMemory):
    broken = RefreshesInPut


class ReadsAllAtOnce(MemoryBackend):
    def put(self, key, blob):
        with blob.open() as source:
            content = source.read()
        if len(content) != blob.size:
            raise IntegrityError("not as long as announced")
        return self.bucket.insert(key, content)


class TestReadsAllAtOnce(OnMemory):
    broken = ReadsAllAtOnce


class HidesSourceErrors(MemoryBackend):
    def put(self, key, blob):
        try:
            return super().put(key, blob)
        except IntegrityError:
            raise
        except Exception as error:
            raise StorageUnavailableError("the upload failed", key=key) from error


class TestHidesSourceErrors(OnMemory):
    broken = HidesSourceErrors


class BelievesAnySize(MemoryBackend):
    def put(self, key, blob):
        content = b""
        with blob.open() as source:
            while chunk := source.read(1024 * 1024):
                content += chunk
        return self.bucket.insert(key, content)


class TestBelievesAnySize(OnMemory):
    broken = BelievesAnySize


# --- reading ----------------------------------------------------------------------------------------------------------


class ReadsFromACache(MemoryBackend):
    def __init__(self, bucket=None):
        super().__init__(bucket)
        self.seen = {}

    def read(self, key, start=0, end=None):
        if key not in self.seen:
            self.seen[key] = super().read(key)
        return self.seen[key][start:end]


class TestReadsFromACache(OnMemory):
    broken = ReadsFromACache


class TellsLocalTime(MemoryBackend):
    def stat(self, key):
        info = super().stat(key)
        return ObjectInfo(info.key, info.size, info.modified.replace(tzinfo=None), observed=info.observed)


class TestTellsLocalTime(OnMemory):
    broken = TellsLocalTime


class ReadsOneByteTooFew(MemoryBackend):
    def read(self, key, start=0, end=None):
        return super().read(key, start, None if end is None else end - 1)


class TestReadsOneByteTooFew(OnMemory):
    broken = ReadsOneByteTooFew


# --- listing ----------------------------------------------------------------------------------------------------------


class ListsFromACache(MemoryBackend):
    def __init__(self, bucket=None):
        super().__init__(bucket)
        self.listed = {}

    def list_objects(self, prefix="", *, after="", limit=None):
        if (prefix, after, limit) not in self.listed:
            self.listed[prefix, after, limit] = list(super().list_objects(prefix, after=after, limit=limit))
        return iter(self.listed[prefix, after, limit])


class TestListsFromACache(OnMemory):
    broken = ListsFromACache


class ListsInNoOrder(MemoryBackend):
    def list_objects(self, prefix="", *, after="", limit=None):
        found = list(super().list_objects(prefix, after=after))
        return iter(sorted(found, key=lambda info: info.key[::-1])[:limit])


class TestListsInNoOrder(OnMemory):
    broken = ListsInNoOrder


class ListsFolderByFolder(MemoryBackend):
    """The order of a file system's walk: a folder's own files, then its subfolders."""

    def list_objects(self, prefix="", *, after="", limit=None):
        found = list(super().list_objects(prefix, after=after))
        return iter(sorted(found, key=lambda info: info.key.split("/"))[:limit])


class TestListsFolderByFolder(OnMemory):
    broken = ListsFolderByFolder


class ListsTheFirstPage(MemoryBackend):
    def list_objects(self, prefix="", *, after="", limit=None):
        return super().list_objects(prefix, after=after, limit=min(limit or 1000, 1000))


class TestListsTheFirstPage(OnMemory):
    broken = ListsTheFirstPage


class ListsWholeFoldersOnly(MemoryBackend):
    def list_objects(self, prefix="", *, after="", limit=None):
        return super().list_objects(prefix.rpartition("/")[0], after=after, limit=limit)


class TestListsWholeFoldersOnly(OnMemory):
    broken = ListsWholeFoldersOnly


# --- replacing --------------------------------------------------------------------------------------------------------


class DeletesBeforeItReplaces(MemoryBackend):
    def replace(self, key, blob):
        self.delete([key])
        time.sleep(0.005)
        self.put(key, blob)


class TestDeletesBeforeItReplaces(OnMemory):
    broken = DeletesBeforeItReplaces


class ReplacesNothing(MemoryBackend):
    def replace(self, key, blob):
        self.put(key, blob)


class TestReplacesNothing(OnMemory):
    broken = ReplacesNothing


# --- deleting ---------------------------------------------------------------------------------------------------------


class DeletesFolders(MemoryBackend):
    def delete(self, keys):
        for key in keys:
            for found in [k for k in self.bucket.objects if k == key or k.startswith(f"{key}/")]:
                self.bucket.objects.pop(found, None)
        return []


class TestDeletesFolders(OnMemory):
    broken = DeletesFolders


class DeletesTheFirstThousand(MemoryBackend):
    def delete(self, keys):
        return super().delete(list(keys)[:1000])


class TestDeletesTheFirstThousand(OnMemory):
    broken = DeletesTheFirstThousand


# --- sharing ----------------------------------------------------------------------------------------------------------


class SharesAPosition(MemoryBackend):
    """One handle for all reads, as a connection that is not made for threads."""

    position = 0

    def read(self, key, start=0, end=None):
        self.position = start
        time.sleep(0.001)
        return super().read(key, self.position, end)


class TestSharesAPosition(OnMemory):
    broken = SharesAPosition
