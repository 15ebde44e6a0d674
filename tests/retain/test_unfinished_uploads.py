"""A collection abandons the store's own unfinished uploads, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from aging_store import DAY, GRACE, blob_of

from metamlflow.backend import UnfinishedUpload
from metamlflow.testing import MemoryBackend

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
OURS = [blob_of(b"1"), blob_of(b"1", ".tar.gz"), blob_of(b"1", f"-{'1' * 32}.csv")]
THEIRS = [
    "video/raw.mp4",
    "blobs/other",
    "blobs/sha256/00/short",
    f"{blob_of(b'1')}/below",
    f"below/{blob_of(b'1')}",
    "artifacts/a/_versions/9999999998_v1.json",
    f".tmp/1-{'1' * 32}",
    "metamlflow.json",
]


class Uploading(MemoryBackend):
    """A bucket that others upload to as well."""

    def __init__(self, bucket, uploads):
        super().__init__(bucket)
        self.uploads = uploads

    def unfinished_uploads(self, before):
        return (upload for upload in list(self.uploads) if upload.began < before)

    def abandon(self, upload):
        self.uploads.remove(upload)


def upload(key: str, **more: bool) -> UnfinishedUpload:
    return UnfinishedUpload(key, f"id of {key}", LONG_AGO, **more)


@pytest.mark.parametrize("planned", [False, True])
def test_only_uploads_to_blob_keys_are_abandoned(store, planned):
    store.client().register_artifact("a", b"x")
    store.passes(GRACE + DAY)
    backend = Uploading(store.bucket, [upload(key) for key in sorted([*OURS, *THEIRS])])
    client = store.client(backend)
    report = client.collect_garbage(dry_run=True).apply() if planned else client.collect_garbage()
    assert sorted(report.uploads) == sorted(OURS)
    assert [left.key for left in backend.uploads] == sorted(THEIRS)


def test_a_temp_file_of_the_backend_s_own_goes_whatever_it_is_called(store):
    store.client().register_artifact("a", b"x")
    store.passes(GRACE + DAY)
    backend = Uploading(store.bucket, [upload("parts/1", is_temporary=True), upload("parts/2")])
    assert store.client(backend).collect_garbage().uploads == ("parts/1",)
    assert [left.key for left in backend.uploads] == ["parts/2"]


def test_strangers_uploads_do_not_hide_the_store_s_own(store):
    store.client().register_artifact("a", b"x")
    store.passes(GRACE + DAY)
    many = [upload(f"a/{number}") for number in range(10_001)]
    backend = Uploading(store.bucket, [*many, upload(OURS[0])])
    assert store.client(backend).collect_garbage().uploads == (OURS[0],)
