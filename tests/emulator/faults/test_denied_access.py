"""Credentials that may only read, and every other answer of a cloud that a user can do something about."""

from __future__ import annotations

import pickle
import time
import traceback
from pathlib import Path

import pytest
from clouds import BLOBS, Cloud, manifests, writes
from proxy_faults import ACCESS_DENIED, SLOW_DOWN, Refuse, Rule, SkewDate

from metamlflow import MetaMLFlowClient
from metamlflow.errors import (
    AccessDeniedError,
    MetaMLFlowError,
    StorageError,
    StorageUnavailableError,
    StoreNotFoundError,
)

pytestmark = pytest.mark.emulator

SECRET = "a-secret-key-of-S3/+0123456789"
FILES = {"large.bin": bytes(range(256)) * 8192, "small.csv": b"x\n1\n"}


@pytest.fixture
def filled(plain_cloud: Cloud) -> Cloud:
    plain_cloud.direct().register_artifact("model", dict(FILES))
    return plain_cloud


# --- read-only --------------------------------------------------------------------------------------------------------


def test_whoever_may_only_read_reads_everything_and_never_asks_to_write(filled: Cloud, tmp_path):
    filled.proxy.add(Rule(ACCESS_DENIED, when=writes, times=None))
    client = filled.client(cache_dir=tmp_path / "cache")
    assert [artifact.name for artifact in client.list_artifacts()] == ["model"]
    assert [artifact.version for artifact in client.list_artifacts("model")] == [1]
    artifact = client.get_artifact("model@1")
    assert artifact == client.get_artifact("model")
    out = Path(artifact.download(tmp_path / "out"))
    for path, content in FILES.items():
        with artifact.open(path) as reader:
            assert reader.read() == content
        assert artifact.read_bytes(path) == content
        assert (out / path).read_bytes() == content
        assert artifact.local_path(path).read_bytes() == content
    assert [bool(artifact.verify(level=level)) for level in ("full", "stat")] == [True] * 2
    # moto forgets checksums that came without the header that SDKs send along; then a file is unverifiable, not wrong.
    assert {finding.status for finding in artifact.verify(level="checksum").findings} <= {"unverifiable"}
    assert [request for request in filled.proxy.log if writes(request)] == []


def test_whoever_may_only_read_is_told_so_at_once_when_registering(filled: Cloud):
    before = filled.objects()
    filled.proxy.add(Rule(ACCESS_DENIED, when=writes, times=None))
    begun = time.monotonic()
    with pytest.raises(AccessDeniedError) as caught:
        filled.client().register_artifact("model", b"second")
    assert time.monotonic() - begun < 10
    assert "permission" in caught.value.hint or ".create" in caught.value.hint
    assert filled.objects() == before


def test_whoever_may_not_write_here_creates_no_store(plain_cloud: Cloud):
    plain_cloud.proxy.add(Rule(ACCESS_DENIED, when=writes, times=None))
    with pytest.raises(AccessDeniedError):
        plain_cloud.client().register_artifact("model", b"content")
    assert plain_cloud.objects() == {}


def test_without_the_right_to_list_a_missing_store_is_denied_and_the_hint_says_why(plain_s3: Cloud):
    """S3 answers 403 for a key that is missing to whoever lacks s3:ListBucket."""
    plain_s3.proxy.add(Rule(ACCESS_DENIED, times=None))
    with pytest.raises(AccessDeniedError) as caught:
        plain_s3.client().get_artifact("model")
    assert "s3:ListBucket" in caught.value.hint


def test_an_archived_blob_is_told_as_one_and_nothing_is_left_at_the_destination(plain_s3: Cloud, tmp_path):
    plain_s3.direct().register_artifact("model", dict(FILES))
    archived = Refuse(403, "InvalidObjectState", "The operation is not valid for the object's storage class")
    plain_s3.proxy.add(Rule(archived, key=BLOBS, times=None))
    with pytest.raises(StorageError) as caught:
        plain_s3.client().get_artifact("model").download(tmp_path / "out")
    assert "restore-object" in caught.value.hint
    assert "blobs/" in caught.value.key
    assert not (tmp_path / "out").exists()


# --- what clouds say --------------------------------------------------------------------------------------------------

_HTML = (("Content-Type", "text/html"),)
_EAST = (("x-amz-bucket-region", "eu-central-1"),)
_OTHER_REGION = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AuthorizationHeaderMalformed</Code><Message>The authorization '
    b"header is malformed; the region 'us-east-1' is wrong; expecting 'eu-central-1'</Message>"
    b"<Region>eu-central-1</Region></Error>"
)
S3_ANSWERS = {
    "expired": (Refuse(400, "ExpiredToken", "The provided token has expired."), AccessDeniedError, "Log in"),
    "skewed": (Refuse(403, "RequestTimeTooSkewed", "The difference is too large."), AccessDeniedError, "clock"),
    "no-key": (Refuse(403, "InvalidAccessKeyId", "It does not exist."), AccessDeniedError, "credentials"),
    "signature": (Refuse(403, "SignatureDoesNotMatch", "Check your key."), AccessDeniedError, "credentials"),
    "denied": (ACCESS_DENIED, AccessDeniedError, "s3:ListBucket"),
    "kms": (Refuse(403, "AccessDenied", "not authorized to perform: kms:Decrypt"), AccessDeniedError, "kms:Decrypt"),
    "kms-off": (Refuse(400, "KMS.DisabledException", "The key is disabled."), AccessDeniedError, "kms:"),
    "bucket": (Refuse(404, "NoSuchBucket", "The bucket does not exist"), StoreNotFoundError, "endpoint_url"),
    "redirect": (Refuse(301, "PermanentRedirect", "Use this endpoint.", headers=_EAST), StorageError, "eu-central-1"),
    "region": (Refuse(400, body=_OTHER_REGION, headers=_EAST), StorageError, "eu-central-1"),
    "archived": (Refuse(403, "InvalidObjectState", "GLACIER"), StorageError, "restore-object"),
    "throttled": (SLOW_DOWN, StorageUnavailableError, "load"),
    "not-s3": (Refuse(200, body=b"<html>Log in</html>", headers=_HTML), StorageError, "endpoint_url"),
}
GCS_ANSWERS = {
    "expired": (Refuse(401, "authError", "Invalid Credentials"), AccessDeniedError, "gcloud auth"),
    "denied": (Refuse(403, "forbidden", "x does not have storage.objects.get access"), AccessDeniedError, "roles/"),
    "kms": (Refuse(403, "forbidden", "Permission denied on Cloud KMS key."), AccessDeniedError, "cryptoKey"),
    "bucket": (Refuse(404, "notFound", "The specified bucket does not exist."), StoreNotFoundError, "endpoint_url"),
    "billing": (Refuse(400, "required", "Bucket is a requester pays bucket"), StorageError, "requester_pays"),
    "throttled": (Refuse(429, "rateLimitExceeded", "Too many."), StorageUnavailableError, "load"),
    "not-gcs": (Refuse(200, body=b"<html>Log in</html>", headers=_HTML), StorageError, "endpoint_url"),
    "quota": (Refuse(403, "quotaExceeded", "The quota is exceeded."), StorageUnavailableError, "quota"),
    "failed": (Refuse(500, "backendError", "Backend Error"), StorageUnavailableError, "again"),
}


def told(client: MetaMLFlowClient, call: str) -> tuple[MetaMLFlowError, str]:
    """What a call raises, and all that a traceback would show."""
    begun = time.monotonic()
    calls = {"register": lambda: client.register_artifact("model", b"2"), "get": lambda: client.get_artifact("model")}
    with pytest.raises(MetaMLFlowError) as caught:
        calls[call]()
    assert time.monotonic() - begun < 20
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    return caught.value, "".join(traceback.format_exception(caught.value))


@pytest.mark.full
@pytest.mark.parametrize("call", ["register", "get"])
@pytest.mark.parametrize(("answer", "kind", "remedy"), S3_ANSWERS.values(), ids=list(S3_ANSWERS))
def test_an_answer_of_s3_is_an_error_with_its_remedy_and_no_secret(plain_s3: Cloud, answer, kind, remedy, call):
    plain_s3.proxy.add(Rule(answer, times=None))
    options = {**plain_s3.options, "secret": SECRET}
    error, shown = told(MetaMLFlowClient(plain_s3.url, storage_options=options), call)
    assert type(error) is kind, error
    assert remedy in (error.hint or ""), error
    assert SECRET not in shown


@pytest.mark.parametrize("call", ["register", "get"])
@pytest.mark.parametrize(("answer", "kind", "remedy"), GCS_ANSWERS.values(), ids=list(GCS_ANSWERS))
def test_an_answer_of_gcs_is_an_error_with_its_remedy(gcs: Cloud, answer, kind, remedy, call):
    gcs.proxy.add(Rule(answer, times=None))
    error, _ = told(gcs.client(), call)
    assert type(error) is kind, error
    assert remedy in (error.hint or ""), error


def test_the_age_of_a_blob_goes_by_the_server_s_clock(filled: Cloud):
    """Beyond half the grace by that clock, a blob that no seen manifest names is stored anew; before, relied on."""
    keys = {}
    for name, days in {"first": 0, "young": 3, "old": 4}.items():
        filled.proxy.clear()
        filled.proxy.add(Rule(SkewDate(days * 24 * 3600), times=None))
        filled.client().register_artifact(name, FILES["small.csv"])
        [entry] = manifests(filled.objects(), name)[1]["entries"]
        keys[name] = entry["key"]
    assert keys["young"] == keys["first"] != keys["old"]
    assert filled.objects()[keys["old"]] == FILES["small.csv"]
