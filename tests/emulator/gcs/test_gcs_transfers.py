"""Bytes on their way: damaged, broken off, sent onto a key that exists, replaced while they are read.

fake-gcs-server checks no CRC32C, takes a resumable upload onto a key that exists, takes the question for an upload's
state for its end, and forgets no cancelled session: what follows shows what the backend does about each.
"""

from __future__ import annotations

import io
import re
from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp
import pytest
from proxy_faults import SLOW_DOWN, AlterRequest, LoseReply, Reset, Rule, TruncateReply

from metamlflow.errors import (
    IntegrityError,
    ObjectNotFoundError,
    SourceChangedError,
    StorageUnavailableError,
)
from metamlflow.testing import blob_of
from metamlflow_gcs.connection import GCSConnection
from metamlflow_gcs.uploads import CHUNK_BYTES

pytestmark = pytest.mark.emulator

LARGE = bytes(range(256)) * (CHUNK_BYTES // 256 * 2) + b"the last chunk"  # in three chunks


@pytest.fixture
def proxied(root, fault_proxy):
    """A proxy and a backend behind it."""
    proxy = fault_proxy(root.server)
    return proxy, root.open(root.server.through(proxy.url))


@pytest.fixture
def broken_chunks(monkeypatch):
    """Let chunks of resumable uploads fail: the server names its own address for them, past any proxy."""
    send, seen, failing = GCSConnection._send, [], {}

    async def send_or_fail(self, request):
        if request.method == "PUT" and "Content-Range" in request.headers:
            seen.append(request.headers["Content-Range"])
            if len(seen) in failing:
                raise failing[len(seen)]
        return await send(self, request)

    monkeypatch.setattr(GCSConnection, "_send", send_or_fail)
    return seen, failing


def test_every_write_names_its_condition_and_its_checksum(root, proxied):
    proxy, backend = proxied
    backend.create("record", b"one")
    backend.put("small", blob_of(b"two"))
    backend.put("large", blob_of(LARGE))
    uploads = [request.target for request in proxy.log if request.op in {"objects.insert", "resumable.start"}]
    assert len(uploads) == 3
    assert [target for target in uploads if "ifGenerationMatch=0" not in target] == []
    for key in ("record", "small", "large"):
        assert backend.stat(key).checksums["crc32c"] == blob_of(root.read(key)).crc32c


@pytest.mark.parametrize("write", ["create", "put"])
def test_an_object_that_was_damaged_on_its_way_is_refused_and_does_not_stay(root, proxied, write):
    proxy, backend = proxied
    proxy.add(Rule(AlterRequest(), op="objects.insert"))
    with pytest.raises(IntegrityError, match="damaged"):
        backend.create("key", b"content") if write == "create" else backend.put("key", blob_of(b"content"))
    assert root.keys() == []
    backend.create("key", b"content")
    assert root.read("key") == b"content"


@pytest.mark.parametrize("content", [b"hashed", LARGE], ids=["small", "large"])
def test_content_that_is_not_what_was_hashed_does_not_stay(root, content):
    other = bytes([content[0] ^ 1]) + content[1:]
    with pytest.raises(IntegrityError):
        root.open().put("key", replace(blob_of(content), open=lambda: io.BytesIO(other)))
    assert root.keys() == []


def test_a_large_blob_onto_a_key_that_exists_sends_nothing(root, sent):
    root.write("key", b"older")
    assert root.open().put("key", blob_of(LARGE)) is False
    assert [request.partition(" ")[0] for request in sent] == ["GET"]
    assert root.read("key") == b"older"


def test_an_unfinished_upload_is_cancelled(root, sent):
    def changed():
        raise SourceChangedError("the file changed while it was read", source="a")

    class Changing(io.BytesIO):
        def read(self, size=-1):
            return super().read(size) if self.tell() < CHUNK_BYTES else changed()

    with pytest.raises(SourceChangedError):
        root.open().put("key", replace(blob_of(LARGE), open=lambda: Changing(LARGE)))
    assert sent[-1].startswith("DELETE ")
    assert re.search("upload_id=", sent[-1])
    assert root.keys() == []


def test_a_chunk_that_never_arrived_is_not_taken_for_the_upload_s_end(root, broken_chunks):
    """Asked how much it has, the emulator ends the upload: the stump is removed, and the error says to try again."""
    seen, failing = broken_chunks
    failing[2] = aiohttp.ClientOSError(104, "Connection reset by peer")
    with pytest.raises(StorageUnavailableError):
        root.open().put("key", blob_of(LARGE))
    size = len(LARGE)
    assert seen[:3] == [
        f"bytes 0-{CHUNK_BYTES - 1}/{size}",
        f"bytes {CHUNK_BYTES}-{2 * CHUNK_BYTES - 1}/{size}",
        f"bytes */{size}",
    ]
    assert root.keys() == []
    assert root.open().put("key", blob_of(LARGE)) is True


def test_a_create_is_sent_once_and_its_lost_reply_is_left_open(root, proxied):
    proxy, backend = proxied
    proxy.add(Rule(LoseReply(), op="objects.insert"))
    with pytest.raises(StorageUnavailableError):
        backend.create("key", b"mine")
    assert proxy.counts["objects.insert"] == 1
    assert root.read("key") == b"mine"


def test_a_put_and_the_reads_are_tried_again(root, proxied):
    proxy, backend = proxied
    for op in ("objects.insert", "objects.get", "objects.list", "objects.delete", "media"):
        proxy.add(Rule(SLOW_DOWN, op=op))
    assert backend.put("key", blob_of(b"content")) is True
    assert backend.read("key") == b"content"
    assert backend.stat("key").size == 7
    assert [info.key for info in backend.list_objects()] == ["key"]
    assert backend.delete(["key"]) == []
    assert root.keys() == []


def test_a_published_version_survives_a_lost_reply_to_each_kind_of_request(root, fault_proxy):
    proxy = fault_proxy(root.server)
    client = root.client(root.server.through(proxy.url))
    client.create_store()
    for op in ("objects.insert", "objects.get", "objects.list", "objects.media"):
        proxy.add(Rule(LoseReply(), op=op))
        client.register_artifact("a", op.encode())
        assert client.get_artifact("a").read_bytes() == op.encode()
        proxy.clear()
    assert [artifact.version for artifact in root.client().list_artifacts("a")] == [1, 2, 3, 4]


@pytest.mark.full
@pytest.mark.parametrize("fault", [TruncateReply(), Reset("reply")], ids=["truncated", "reset"])
def test_an_answer_that_breaks_off_is_never_taken_for_the_whole(root, proxied, fault):
    proxy, backend = proxied
    root.write("key", LARGE[:3_000_000])
    proxy.add(Rule(fault, op="objects.media", times=None))
    with pytest.raises(StorageUnavailableError):
        backend.read("key")
    with pytest.raises(StorageUnavailableError), backend.open("key") as reader:
        reader.read()
    proxy.clear()
    assert backend.read("key") == LARGE[:3_000_000]


def test_a_reader_keeps_to_the_generation_that_it_opened(root):
    content = LARGE[:2_000_000]
    root.write("key", content)
    with root.open().open("key") as reader:
        assert reader.read(10) == content[:10]
        root.write("key", b"replaced".ljust(len(content)))
        reader.seek(1_500_000)
        with pytest.raises(ObjectNotFoundError):
            reader.read(10)


def test_a_reader_asks_once_however_much_is_read_in_a_row(root, sent):
    root.write("key", LARGE)
    with root.open().open("key") as reader:
        assert b"".join(iter(lambda: reader.read(100_000), b"")) == LARGE
        assert len(sent) == 1
        assert (reader.seek(-14, io.SEEK_END), reader.read()) == (len(LARGE) - 14, b"the last chunk")
    assert len(sent) == 2
    assert {urlsplit(request.partition(" ")[2]).path for request in sent} == {urlsplit(sent[0].partition(" ")[2]).path}


def test_age_does_not_follow_a_change_of_metadata(root):
    backend = root.open()
    backend.put("key", blob_of(b"content"))
    before = backend.stat("key")
    name = f"{root.prefix}/key".replace("/", "%2F")
    root.server.raw().ask("PATCH", f"/storage/v1/b/{root.bucket}/o/{name}", b'{"metadata": {"seen": "yes"}}')
    after = backend.stat("key")
    assert root.stat("key")["metadata"] == {"seen": "yes"}
    assert after.modified == before.modified
    assert before.version == root.stat("key")["generation"]
