"""What was altered on its way up is refused, or sent again; nothing is registered with other bytes than were hashed."""

from __future__ import annotations

import hashlib

import pytest
from clouds import BLOBS, IMPATIENT, MANIFESTS, Cloud, S3Cloud, register_until_told
from proxy_faults import AlterRequest, Rule

from metamlflow.errors import IntegrityError, OutcomeUnknownError, StorageUnavailableError

pytestmark = pytest.mark.emulator

LARGE = b"".join(hashlib.sha256(b"%d" % number).digest() * 1024 for number in range(640))  # 20 MiB
RECORDS = {"blob": (BLOBS, b"content"), "manifest": (MANIFESTS, b"content"), "large": (BLOBS, LARGE)}


def operation(cloud: Cloud, record: str) -> str:
    return cloud.words.large[1] if record == "large" else cloud.words.put


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("record", RECORDS)
def test_what_was_altered_on_its_way_is_never_registered(cloud: Cloud, record, times):
    key, content = RECORDS[record]
    cloud.direct().create_store()
    cloud.proxy.add(Rule(AlterRequest(), op=operation(cloud, record), key=key, times=times))
    artifact, error = register_until_told(cloud, cloud.client(IMPATIENT), {"weights": content})
    assert any(request.faults for request in cloud.proxy.log)
    if times is None:
        assert isinstance(error, IntegrityError | OutcomeUnknownError | StorageUnavailableError)
        assert error.hint
    else:
        assert isinstance(error, IntegrityError | None)
    assert artifact.version == 1
    assert cloud.versions() == {1: {"weights": content}}
    assert cloud.direct().get_artifact("model").verify(level="full")
    assert cloud.unfinished_uploads() == []


@pytest.mark.parametrize("record", RECORDS)
def test_the_error_says_that_it_was_damaged_and_nothing_lies_there(cloud: Cloud, record):
    key, content = RECORDS[record]
    cloud.direct().create_store()
    cloud.proxy.add(Rule(AlterRequest(), op=operation(cloud, record), key=key, times=None))
    with pytest.raises((IntegrityError, OutcomeUnknownError), match="damaged on its way"):
        cloud.client(IMPATIENT).register_artifact("model", {"weights": content})
    assert cloud.versions() == {}
    if record != "manifest":
        assert [name for name in cloud.objects() if "blobs/" in name] == []


def test_every_write_to_s3_carries_a_checksum_that_the_server_can_check(s3: S3Cloud):
    s3.client(IMPATIENT).register_artifact("model", {"small": b"content", "large": LARGE})
    sent = [request for request in s3.proxy.log if request.op in {"PutObject", "UploadPart", "CompleteMultipartUpload"}]
    assert {request.op for request in sent} == {"PutObject", "UploadPart", "CompleteMultipartUpload"}
    assert [request for request in sent if not any("x-amz-checksum-" in name for name in request.headers)] == []
