"""What servers and clients answer becomes our errors, which say what to do and show no secret."""

from __future__ import annotations

import pickle
import socket
import time

import pytest
from proxy_faults import ACCESS_DENIED, INTERNAL_ERROR, SLOW_DOWN, AlterRequest, LoseReply, Refuse, Rule

from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    MetaMLFlowError,
    ObjectNotFoundError,
    StorageError,
    StorageFullError,
    StorageUnavailableError,
    StoreNotFoundError,
)
from metamlflow.testing import blob_of
from metamlflow_s3 import open_backend
from metamlflow_s3.error_table import answered, s3_error
from metamlflow_s3.uploads import PART_BYTES

HTML = (("Content-Type", "text/html; charset=utf-8"),)
PAGE = b"<!DOCTYPE html><html><body>Please log in &amp; wait<br></body></html>"
REGION = (("x-amz-bucket-region", "eu-central-1"),)

# What the server says to a read: the error, what the message says of it, and what the hint says to do.
ANSWERS = {
    "denied": (ACCESS_DENIED, AccessDeniedError, "access is denied", "permission"),
    "kms": (Refuse(403, "AccessDenied", "not authorized to perform: kms:Decrypt"), AccessDeniedError, "key", "kms:"),
    "kms-disabled": (Refuse(400, "KMS.DisabledException"), AccessDeniedError, "encryption key", "enabled"),
    "expired": (Refuse(400, "ExpiredToken"), AccessDeniedError, "token has expired", "Log in"),
    "unknown-key": (Refuse(403, "InvalidAccessKeyId"), AccessDeniedError, "access key", "get-caller-identity"),
    "wrong-secret": (Refuse(403, "SignatureDoesNotMatch"), AccessDeniedError, "secret key", "get-caller-identity"),
    "clock": (Refuse(403, "RequestTimeTooSkewed"), AccessDeniedError, "clock", "NTP"),
    "region": (
        Refuse(400, "IllegalLocationConstraintException", headers=REGION),
        StorageError,
        "region",
        "eu-central-1",
    ),
    "no-bucket": (Refuse(404, "NoSuchBucket"), StoreNotFoundError, "bucket does not exist", "Create it"),
    "archived": (Refuse(403, "InvalidObjectState"), StorageError, "archived", "restore-object"),
    "full": (Refuse(507, "XMinioStorageFull"), StorageFullError, "no space", "Free some space"),
    "quota": (Refuse(403, "QuotaExceeded"), StorageFullError, "no space", "quota"),
    "unknown-request": (Refuse(501, "NotImplemented"), StorageError, "does not implement", "docs/s3.md"),
    "unheard-of": (Refuse(418, "ShortAndStout"), StorageError, "ShortAndStout", "docs/s3.md"),
    "throttled": (SLOW_DOWN, StorageUnavailableError, "throttles", "Try again"),
    "too-many": (Refuse(429, "TooManyRequests"), StorageUnavailableError, "throttles", "Try again"),
    "broken": (INTERNAL_ERROR, StorageUnavailableError, "failed", "Try again"),
    "login-page": (Refuse(403, body=PAGE, headers=HTML), StorageError, "web page", "endpoint_url"),
    "web-console": (Refuse(200, body=PAGE, headers=HTML), StorageError, "web page", "web console"),
    "proxy-s-page": (Refuse(502, body=PAGE, headers=HTML), StorageUnavailableError, "failed", "Try again"),
}


@pytest.mark.full
@pytest.mark.parametrize(("answer", "kind", "says", "hint"), ANSWERS.values(), ids=list(ANSWERS))
def test_an_answer_becomes_an_error_that_says_what_to_do(proxied, impatient, answer, kind, says, hint):
    root, proxy = proxied
    root.write("a", b"1")
    proxy.add(Rule(answer, op="GetObject", times=None))
    backend = root.open()
    with pytest.raises(kind):
        backend.open("a")
    with pytest.raises(kind) as caught:
        backend.read("a")
    error = caught.value
    assert (says in error.message, hint in (error.hint or "")) == (True, True), str(error)
    assert error.message.startswith(f"{root.url}/a: ")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert len(error.message) < 600


HEADS = {403: AccessDeniedError, 404: ObjectNotFoundError, 400: StorageError, 503: StorageUnavailableError}


@pytest.mark.parametrize(("status", "kind"), HEADS.items())
def test_a_refusal_without_a_body_is_read_by_its_status(proxied, impatient, status, kind):
    """What HEAD gets, whatever the reason."""
    root, proxy = proxied
    root.write("a", b"1")
    proxy.add(Rule(Refuse(status, body=b""), op="HeadObject", times=None))
    with pytest.raises(kind) as caught:
        root.open().stat("a")
    assert type(caught.value) is kind


def test_a_bucket_that_does_not_exist_is_told_as_one(root):
    backend = open_backend("s3://no-such-bucket-here/prefix", root.options)
    for look in (lambda: backend.read("a"), lambda: list(backend.list_objects()), lambda: backend.create("a", b"1")):
        with pytest.raises(StoreNotFoundError) as caught:
            look()
        assert caught.value.uri == "s3://no-such-bucket-here/prefix"
    with pytest.raises(StoreNotFoundError):
        type(root)(root.server, "no-such-bucket-here", "store").client().list_artifacts()


def test_a_key_that_only_its_length_forbids_is_told_as_such(faithful_root):
    with pytest.raises(InvalidInputError, match="too long"):
        faithful_root.open().create("k" * 1100, b"1")


# --- before any answer ------------------------------------------------------------------------------------------------


def _without_credentials(monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def _look(root, **options) -> MetaMLFlowError:
    with pytest.raises(MetaMLFlowError) as caught:
        open_backend(root.url, {"client_kwargs": {"region_name": "us-east-1"}, **options}).read("a")
    return caught.value


def test_missing_credentials_are_told_with_the_ways_to_give_them(moto_root, monkeypatch, tmp_path):
    _without_credentials(monkeypatch, tmp_path)
    error = _look(moto_root, endpoint_url=moto_root.server.url)
    assert isinstance(error, AccessDeniedError)
    assert all(way in error.hint for way in ("storage_options", "AWS_ACCESS_KEY_ID", "'anon': True"))


def test_an_unknown_profile_and_a_failing_credential_process_are_told(moto_root, monkeypatch, tmp_path):
    _without_credentials(monkeypatch, tmp_path)
    (tmp_path / "config").write_text("[profile broken]\ncredential_process = /bin/false\nregion = us-east-1\n")
    url = moto_root.server.url
    unknown, broken = (_look(moto_root, endpoint_url=url, profile=name) for name in ("absent", "broken"))
    assert isinstance(unknown, AccessDeniedError)
    assert "no such profile" in unknown.message
    assert isinstance(broken, AccessDeniedError)
    assert "could not be fetched" in broken.message


def test_an_expired_login_is_told(moto_root, monkeypatch, tmp_path):
    _without_credentials(monkeypatch, tmp_path)
    lines = ["sso_start_url = https://x.awsapps.com/start", "sso_region = us-east-1", "sso_account_id = 1"]
    (tmp_path / "config").write_text(
        "\n".join(["[profile work]", "region = us-east-1", *lines, "sso_role_name = r", ""])
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    error = _look(moto_root, endpoint_url=moto_root.server.url, profile="work")
    assert isinstance(error, AccessDeniedError)
    assert "Log in" in error.hint


def test_anonymous_requests_need_no_credentials(moto_root, monkeypatch, tmp_path):
    _without_credentials(monkeypatch, tmp_path)
    moto_root.write("a", b"public")
    moto_root.server.raw().put_bucket_acl(Bucket=moto_root.bucket, ACL="public-read")
    backend = open_backend(moto_root.url, {"anon": True, "endpoint_url": moto_root.server.url})
    assert [info.key for info in backend.list_objects()] == ["a"]


@pytest.fixture
def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_an_endpoint_that_nobody_serves_is_told_within_seconds(moto_root, closed_port):
    began = time.monotonic()
    options = {**moto_root.options, "endpoint_url": f"http://127.0.0.1:{closed_port}"}
    with pytest.raises(StorageUnavailableError) as caught:
        type(moto_root)(moto_root.server, moto_root.bucket, "x", options).client().list_artifacts()
    assert time.monotonic() - began < 15
    assert "endpoint_url" in caught.value.hint


def test_a_server_without_tls_is_told(moto_root):
    error = _look(moto_root, key="a", secret="b", endpoint_url=moto_root.server.url.replace("http://", "https://"))
    assert isinstance(error, StorageUnavailableError)
    assert "endpoint_url" in error.hint


def test_no_message_shows_a_secret(moto_root):
    secret = "hush-hush-0123456789"
    extra = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secret, "ACL": 7}
    bad = moto_root.open(secret=secret, token=secret, s3_additional_kwargs=extra)
    errors = []
    for call in (
        lambda: bad.create("a", b"1"),
        lambda: bad.read("a"),
        lambda: bad.stat("a"),
        lambda: bad.delete(["a"]),
    ):
        try:
            call()
        except MetaMLFlowError as error:
            errors.append(error)
    assert errors
    assert [error for error in errors if secret in f"{error} {error!r}"] == []


# --- storms -----------------------------------------------------------------------------------------------------------


STORMS = {"503": (SLOW_DOWN, "*"), "503-to-writes": (SLOW_DOWN, "PutObject"), "lost": (LoseReply(), "*")}


@pytest.mark.full
@pytest.mark.parametrize(("fault", "op"), STORMS.values(), ids=list(STORMS))
def test_a_storm_ends_and_is_told(proxied, fault, op):
    root, proxy = proxied
    root.client().create_store()
    client = root.client()
    proxy.add(Rule(fault, op=op, key="*", times=None))
    began = time.monotonic()
    with pytest.raises(StorageUnavailableError):
        client.register_artifact("name", b"content")
    assert time.monotonic() - began < 20
    assert proxy.counts.total() < 120


@pytest.mark.full
def test_a_storm_at_the_commit_ends_and_is_told_as_open(proxied):
    root, proxy = proxied
    client = root.client()
    client.register_artifact("name", b"content")
    proxy.add(Rule(SLOW_DOWN, op="*", key="*_v2.json", times=None))
    began = time.monotonic()
    with pytest.raises(StorageError, match="may or may not"):
        client.register_artifact("name", b"other content")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("fault", [SLOW_DOWN, INTERNAL_ERROR, LoseReply()], ids=["503", "500", "lost"])
def test_a_passing_storm_is_weathered(proxied, impatient, fault):
    root, proxy = proxied
    client = root.client()
    for op in ("GetObject", "PutObject", "ListObjectsV2", "HeadObject"):
        proxy.add(Rule(fault, op=op, times=3))
    assert [client.register_artifact("name", b"%d" % number).version for number in range(3)] == [1, 2, 3]
    assert client.get_artifact("name", 1).read_bytes() == b"0"


def test_a_create_is_repeated_only_if_the_server_said_that_it_did_nothing(proxied):
    """After an answer that was lost only its caller can tell whose record lies there."""
    root, proxy = proxied
    backend = root.open()
    proxy.add(Rule(INTERNAL_ERROR, op="PutObject"))
    with pytest.raises(StorageUnavailableError):
        backend.create("a", b"1")
    assert proxy.counts["PutObject"] == 1
    proxy.add(Rule(LoseReply(), op="PutObject"))
    with pytest.raises((StorageUnavailableError, AlreadyExistsError)):  # aiohttp asks once more by itself
        backend.create("a", b"1")
    assert root.read("a") == b"1"
    proxy.reset()
    proxy.add(Rule(SLOW_DOWN, op="PutObject", times=2))
    backend.create("b", b"1")
    assert proxy.counts["PutObject"] == 3


# --- damage, and many keys --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1_000, PART_BYTES + 1], ids=["small", "in-parts"])
def test_an_upload_that_was_damaged_on_its_way_is_refused_by_the_server(faithful_root, fault_proxy, size):
    proxy = fault_proxy(faithful_root.server)
    root = faithful_root.through(proxy)
    proxy.add(Rule(AlterRequest(), op="PutObject" if size < 10_000 else "UploadPart", times=None))
    with pytest.raises(IntegrityError, match="damaged"):
        root.open(use_ssl=False).put("blob", blob_of(b"x" * size))
    assert (faithful_root.keys(), faithful_root.unfinished_uploads()) == ([], [])


def test_each_key_that_could_not_be_deleted_is_told(proxied):
    root, proxy = proxied
    failed = b"""<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
        <Error><Key>some/team/a</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error>
        <Error><Key>some/team/b</Key><Code>NoSuchKey</Code><Message>none</Message></Error>
        <Error><Key>some/team/c</Key><Code>InternalError</Code><Message>oops</Message></Error></DeleteResult>"""
    proxy.add(Rule(Refuse(200, body=failed), op="DeleteObjects"))
    found = root.open().delete(["a", "b", "c", "d"])
    assert [(f.key, type(f.error)) for f in found] == [("a", AccessDeniedError), ("c", StorageUnavailableError)]
    proxy.add(Rule(ACCESS_DENIED, op="DeleteObject*", times=None))  # of all at once, and then of each
    assert [(f.key, type(f.error)) for f in root.open().delete("ab")] == [
        ("a", AccessDeniedError),
        ("b", AccessDeniedError),
    ]


def test_a_412_without_words_is_a_conflict_too():
    """Some servers answer with a bare status."""
    bare = {"Error": {"Code": "412", "Message": "Precondition Failed"}, "ResponseMetadata": {"HTTPStatusCode": 412}}
    assert isinstance(answered(bare), AlreadyExistsError)
    assert s3_error(ValueError("nothing of S3's")) is None
