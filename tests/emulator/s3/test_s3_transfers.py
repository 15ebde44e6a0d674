"""Large content in parts and in streams: whole or not at all, with connections that break in between."""

from __future__ import annotations

import base64
import hashlib
import io
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.httpsession import URLLib3Session
from proxy_faults import CONFLICT, SLOW_DOWN, LoseReply, Refuse, Reset, Rule, TruncateReply

from metamlflow.backend import Blob
from metamlflow.backend.budget import ByteBudget, content_budget
from metamlflow.errors import SourceChangedError, StorageError, StorageUnavailableError
from metamlflow.testing import blob_of
from metamlflow.testing.blobs import MIB, pattern, pattern_blob
from metamlflow_s3.uploads import PART_BYTES

pytestmark = pytest.mark.usefixtures("impatient")

SIZE = 2 * PART_BYTES + 12_345
CONTENT = pattern(0, SIZE)


@pytest.fixture
def blob():
    return pattern_blob(SIZE)


def test_the_server_holds_a_digest_of_all_that_was_put(faithful_root):
    backend, large = faithful_root.open(), blob_of(CONTENT)
    assert backend.put("large", large) is True
    assert backend.put("small", blob_of(b"small")) is True
    held = faithful_root.head("large")
    assert (held["ChecksumType"], base64.b64decode(held["ChecksumCRC32C"]).hex()) == ("FULL_OBJECT", large.crc32c)
    assert base64.b64decode(faithful_root.head("small")["ChecksumSHA256"]) == hashlib.sha256(b"small").digest()
    assert backend.stat("large").checksums == {"crc32c": large.crc32c}
    assert backend.stat("small").checksums == {"sha256": blob_of(b"small").sha256}


def test_a_digest_of_digests_is_no_digest_of_the_content(faithful_root):
    raw, place = faithful_root.server.raw(), faithful_root.name("composite")
    upload = raw.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    part = raw.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"x" * 100, ChecksumAlgorithm="SHA256")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
    raw.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert faithful_root.open().stat("composite").checksums == {}


def test_a_part_that_fails_for_good_ends_the_upload_and_leaves_nothing(proxied, blob):
    root, proxy = proxied
    proxy.add(Rule(Refuse(400, "InvalidRequest"), op="UploadPart", nth=2))
    with pytest.raises(StorageError, match="InvalidRequest"):
        root.open().put("blob", blob)
    assert (root.keys(), root.unfinished_uploads(), proxy.counts["AbortMultipartUpload"]) == ([], [], 1)
    assert root.open().put("blob", blob) is True


def test_the_answer_to_a_part_is_read_no_further_than_an_error_is_long(proxied, blob, monkeypatch):
    root, proxy = proxied
    told = b"<Error><Code>InvalidRequest</Code><Message>no</Message></Error>"
    proxy.add(Rule(Refuse(400, body=told + b" " * 64 * MIB), op="UploadPart", nth=1))
    seen = []
    send = URLLib3Session.send

    def watched(session, request):
        answer = send(session, request)
        seen.append(answer.raw)
        return answer

    monkeypatch.setattr(URLLib3Session, "send", watched)
    with pytest.raises(StorageError, match=r"does not speak S3|InvalidRequest"):
        root.open().put("blob", blob)
    assert max(raw.tell() for raw in seen) < MIB
    assert root.open().put("blob", blob) is True


@pytest.mark.parametrize("error", [SourceChangedError("changed", source="a"), KeyboardInterrupt()], ids=repr)
def test_a_reader_that_fails_or_is_interrupted_ends_the_upload(proxied, blob, error):
    root, proxy = proxied

    class Failing(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= PART_BYTES:
                raise error
            return super().read(size)

    backend = root.open()
    with pytest.raises(type(error)):
        backend.put("blob", Blob(blob.size, blob.sha256, blob.crc32c, lambda: Failing(CONTENT)))
    assert (root.keys(), root.unfinished_uploads(), proxy.counts["AbortMultipartUpload"]) == ([], [], 1)
    assert content_budget()._free == content_budget()._total, "the memory is given back"


@pytest.mark.full
@pytest.mark.parametrize("op", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
@pytest.mark.parametrize(
    "fault",
    [SLOW_DOWN, LoseReply(), Reset("start"), Reset("before_reply")],
    ids=["503", "lost", "reset", "reset-at-work"],
)
def test_an_upload_survives_what_passes(proxied, blob, op, fault):
    root, proxy = proxied
    proxy.add(Rule(fault, op=op))
    assert root.open().put("blob", blob) is True
    assert root.read("blob") == CONTENT
    # Nobody knows of an upload whose creation was answered into the void: an empty one, that lifecycle rules remove.
    assert len(root.unfinished_uploads()) == (
        op == "CreateMultipartUpload" and fault in {LoseReply(), Reset("before_reply")}
    )


def test_a_completion_whose_answer_was_lost_is_found_done(proxied, blob):
    """Most servers do not know the upload any more when the request is repeated."""
    root, proxy = proxied
    proxy.add(Rule(LoseReply(), op="CompleteMultipartUpload"))
    proxy.add(Rule(Refuse(404, "NoSuchUpload"), op="CompleteMultipartUpload", nth=2))
    assert root.open().put("blob", blob) is False, "nobody can say who completed it"
    assert (root.read("blob"), root.unfinished_uploads()) == (CONTENT, [])
    root.open().delete(["blob"])
    proxy.add(Rule(LoseReply(), op="CompleteMultipartUpload"))
    proxy.add(Rule(Refuse(404, "NoSuchUpload"), op="CompleteMultipartUpload", nth=2))
    artifact = root.client().register_artifact("large", CONTENT)
    assert artifact.verify(level="stat").ok


def test_an_upload_that_vanished_may_be_tried_again(proxied, blob):
    root, proxy = proxied
    proxy.add(Rule(Refuse(404, "NoSuchUpload"), op="CompleteMultipartUpload", times=None))
    with pytest.raises(StorageUnavailableError, match="upload is gone"):
        root.open().put("blob", blob)
    proxy.clear()
    assert (root.keys(), root.unfinished_uploads()) == ([], [])
    proxy.add(Rule(Refuse(404, "NoSuchUpload"), op="UploadPart"))
    artifact = root.client().register_artifact("large", CONTENT)
    assert artifact.read_bytes() == CONTENT


def test_of_two_uploads_of_one_content_the_later_one_finds_the_other_s(root, blob):
    backend, answers = root.open(), []

    class Overtaken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() == PART_BYTES and not answers:
                answers.append(backend.put("blob", blob))
            return super().read(size)

    answers.append(backend.put("blob", Blob(blob.size, blob.sha256, blob.crc32c, lambda: Overtaken(CONTENT))))
    assert answers == [True, False]
    assert (root.read("blob"), root.unfinished_uploads()) == (CONTENT, [])


def test_a_conflicting_completion_is_told_as_one_that_passes(proxied, blob):
    root, proxy = proxied
    proxy.add(Rule(CONFLICT, op="CompleteMultipartUpload", times=None))
    with pytest.raises(StorageUnavailableError, match="under way"):
        root.open().put("blob", blob)
    assert (root.keys(), root.unfinished_uploads()) == ([], [])


@pytest.mark.full
def test_many_uploads_share_one_budget_of_memory(root):
    backend = root.open()
    tracemalloc.start()
    try:
        with ThreadPoolExecutor(6) as pool:
            assert all(pool.map(lambda n: backend.put(f"blob-{n}", pattern_blob(3 * PART_BYTES)), range(6)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 96 * MIB + 12 * MIB, "the budget, and what else there is"


def test_the_budget_lets_one_through_that_is_larger_than_all_of_it():
    budget = ByteBudget(10)
    with budget.hold(100), ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(budget.take, 1)
        assert not waiting.done()
        budget.give_back(1)
        assert waiting.result(10) == 1
        budget.give_back(0)


# --- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [TruncateReply(), Reset("reply"), Reset("start")], ids=["cut", "reset", "refused"])
def test_a_stream_that_breaks_off_is_taken_up_where_it_was(proxied, fault):
    root, proxy = proxied
    root.write("blob", CONTENT)
    backend = root.open()
    proxy.add(Rule(fault, op="GetObject", times=2))
    with backend.open("blob") as reader:
        assert hashlib.sha256(reader.read()).digest() == hashlib.sha256(CONTENT).digest()
    again = [request for request in proxy.log if "range" in request.headers]
    assert all(request.headers["if-match"] for request in again)
    assert all(request.headers["range"] != "bytes=0-" for request in again)


def test_a_read_that_breaks_off_is_repeated(proxied):
    root, proxy = proxied
    root.write("record", b"0123456789" * 1000)
    proxy.add(Rule(TruncateReply(), op="GetObject", times=2))
    assert root.open().read("record") == b"0123456789" * 1000


def test_a_stream_that_never_goes_on_is_told(proxied):
    root, proxy = proxied
    root.write("blob", CONTENT)
    backend = root.open()
    with backend.open("blob") as reader:
        assert reader.read(10) == CONTENT[:10]
        proxy.add(Rule(SLOW_DOWN, op="GetObject", times=None))
        reader.seek(PART_BYTES)
        with pytest.raises(StorageUnavailableError):
            reader.read(10)
        proxy.clear()
        assert reader.read(10) == CONTENT[PART_BYTES : PART_BYTES + 10], "and can be read again later"


@pytest.mark.parametrize("expiry", [False, True], ids=["if-match", "compared-here"])
def test_an_object_that_was_replaced_meanwhile_is_not_mixed_with_its_successor(moto_root, expiry):
    moto_root.write("blob", CONTENT)
    with moto_root.open(local_expiry_check=expiry).open("blob") as reader:
        assert reader.read(10) == CONTENT[:10]
        moto_root.write("blob", CONTENT[::-1])
        reader.seek(PART_BYTES)
        with pytest.raises(StorageError, match="another object") as caught:
            reader.read(10)
    assert not isinstance(caught.value, StorageUnavailableError), "trying again would not help"


def test_reading_in_a_row_is_one_request_and_each_jump_one_more(proxied):
    root, proxy = proxied
    root.write("blob", CONTENT)
    backend = root.open()
    proxy.reset()
    with backend.open("blob") as reader:
        while reader.read(100_000):
            pass
        assert proxy.counts == {"GetObject": 1}
        for position in (5, PART_BYTES, 7):
            reader.seek(position)
            assert reader.read(3) == CONTENT[position : position + 3]
    assert proxy.counts == {"GetObject": 4}


def test_a_stream_takes_little_memory(faithful_root):
    faithful_root.write("blob", CONTENT * 3)
    backend, seen = faithful_root.open(), 0
    backend.stat("blob")
    tracemalloc.start()
    try:
        with backend.open("blob") as reader:
            while chunk := reader.read(256 * 1024):
                seen += len(chunk)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (seen, peak < 12 * MIB) == (3 * SIZE, True), peak
