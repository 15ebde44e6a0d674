"""What the server, a proxy or a login says becomes an error that tells what to do; no secret is in any of them."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import time
import traceback

import google.auth.exceptions
import pytest
from proxy_faults import ACCESS_DENIED, SLOW_DOWN, Refuse, Rule

from metamlflow.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    IntegrityError,
    InvalidInputError,
    ObjectNotFoundError,
    StorageError,
    StorageUnavailableError,
    StoreNotFoundError,
)
from metamlflow_gcs import open_backend
from metamlflow_gcs.error_table import credentials_error, gcs_error, refusal_of

pytestmark = pytest.mark.emulator

# status, reason and message as the service words them; then the error, and what its hint must name.
SAID = {
    "expired": (401, "authError", "Invalid Credentials", AccessDeniedError, "gcloud auth"),
    "anonymous": (
        401,
        "required",
        "Anonymous caller does not have storage.objects.get access to the Google Cloud Storage object.",
        AccessDeniedError,
        "GOOGLE_APPLICATION_CREDENTIALS",
    ),
    "no-get": (403, "forbidden", "a@b.c does not have storage.objects.get access", AccessDeniedError, "objectViewer"),
    "no-list": (403, "forbidden", "a@b.c does not have storage.objects.list access", AccessDeniedError, "listing"),
    "scope": (403, "insufficientPermissions", "Insufficient Permission", AccessDeniedError, "read_write"),
    "api-off": (403, "accessNotConfigured", "API has not been used", AccessDeniedError, "gcloud services"),
    "retention": (403, "retentionPolicyNotMet", "subject to retention", AccessDeniedError, "retention"),
    "hold": (403, "objectUnderActiveHold", "under active Temporary hold", AccessDeniedError, "hold"),
    "kms": (403, "forbidden", "Permission denied on Cloud KMS key.", AccessDeniedError, "cryptoKeyEncrypterDecrypter"),
    "perimeter": (403, "vpcServiceControls", "prohibited by policy", AccessDeniedError, "administrator"),
    "old-throttle": (403, "rateLimitExceeded", "too fast", StorageUnavailableError, "load"),
    "object": (404, "notFound", "No such object: b/k", ObjectNotFoundError, None),
    "bucket": (404, "notFound", "The specified bucket does not exist.", StoreNotFoundError, "soft"),
    "condition": (412, "conditionNotMet", "At least one of the pre-conditions", AlreadyExistsError, None),
    "mutations": (
        429,
        "rateLimitExceeded",
        "exceeded the rate limit for object mutation",
        StorageUnavailableError,
        "load",
    ),
    "backend": (500, "backendError", "Backend Error", StorageUnavailableError, "again"),
    "gateway": (502, "", "<html>Bad Gateway</html>", StorageUnavailableError, "again"),
    "overload": (503, "backendError", "Backend Error", StorageUnavailableError, "again"),
    "requester-pays": (
        400,
        "required",
        "Bucket is a requester pays bucket but no user project provided.",
        StorageError,
        "requester_pays",
    ),
    "requester-pays-code": (400, "UserProjectMissing", "missing", StorageError, "requester_pays"),
    "project": (400, "invalid", "User project specified in the request is invalid.", StorageError, "project"),
    "crc32c": (
        400,
        "invalid",
        'Provided CRC32C "AAAAAA==" doesn\'t match calculated CRC32C "mnG7TA==".',
        IntegrityError,
        "nothing was stored",
    ),
}


@pytest.mark.parametrize(("status", "reason", "message", "kind", "hint"), SAID.values(), ids=list(SAID))
def test_the_server_s_words_become_an_error_with_a_remedy(status, reason, message, kind, hint):
    body = {"error": {"code": status, "message": message, "errors": [{"domain": "global", "reason": reason}]}}
    data = json.dumps(body).encode() if reason else message.encode()
    error = gcs_error(refusal_of(status, data))
    assert type(error) is kind
    assert str(status) in error.message
    assert message in error.message
    assert hint is None or hint in error.hint


def test_a_lost_session_is_no_missing_object():
    assert type(gcs_error(refusal_of(410, b"", "session"))) is StorageUnavailableError
    assert type(gcs_error(refusal_of(404, b"Not Found", "session"))) is StorageUnavailableError
    assert type(gcs_error(refusal_of(404, b"Not Found", "bucket"))) is StoreNotFoundError


LOGINS = {
    "none": (google.auth.exceptions.DefaultCredentialsError("none found"), AccessDeniedError, "gcloud auth"),
    "clock": (
        google.auth.exceptions.RefreshError("invalid_grant: Invalid JWT: check your iat and exp values"),
        AccessDeniedError,
        "clock",
    ),
    "revoked": (google.auth.exceptions.RefreshError("Token has been revoked"), AccessDeniedError, "Log in"),
    "unreachable": (google.auth.exceptions.TransportError("no route"), StorageUnavailableError, "network"),
    "file": (FileNotFoundError(2, "No such file", "key.json"), AccessDeniedError, "GOOGLE_APPLICATION_CREDENTIALS"),
    "project": (
        ValueError("User-provided project 'a' does not match the google default project 'b'."),
        InvalidInputError,
        "project",
    ),
    "access": (ValueError("access must be one of {...}"), InvalidInputError, None),
}


@pytest.mark.parametrize(("raised", "kind", "hint"), LOGINS.values(), ids=list(LOGINS))
def test_a_login_that_fails_says_what_to_do(raised, kind, hint):
    error = credentials_error(raised)
    assert type(error) is kind
    assert hint is None or hint in error.hint


@pytest.mark.full
def test_a_storm_ends_soon_and_is_told(root, fault_proxy):
    proxy = fault_proxy(root.server)
    proxy.add(Rule(SLOW_DOWN, times=None))
    backend = root.open(root.server.through(proxy.url))
    begun = time.monotonic()
    for call in (
        lambda: backend.read("key"),
        lambda: list(backend.list_objects()),
        lambda: backend.create("key", b"1"),
    ):
        with pytest.raises(StorageUnavailableError, match="503"):
            call()
    [failure] = backend.delete(["key"])
    assert isinstance(failure.error, StorageUnavailableError)
    assert time.monotonic() - begun < 15
    assert proxy.counts["objects.insert"] == 1


def test_each_failed_deletion_is_reported_and_the_others_are_done(root, fault_proxy):
    proxy = fault_proxy(root.server)
    for number in range(5):
        root.write(f"{number}", b"content")
    proxy.add(Rule(ACCESS_DENIED, op="objects.delete", key="*/[13]", times=None))
    failures = root.open(root.server.through(proxy.url)).delete(str(number) for number in range(6))
    assert {failure.key: type(failure.error) for failure in failures} == dict.fromkeys("13", AccessDeniedError)
    assert root.keys() == ["1", "3"]


def test_errors_name_the_place_and_travel(root, fault_proxy):
    proxy = fault_proxy(root.server)
    proxy.add(Rule(Refuse(403, "AccessDenied", "a@b.c does not have storage.objects.get access"), times=None))
    with pytest.raises(AccessDeniedError) as caught:
        root.open(root.server.through(proxy.url)).stat("key")
    assert caught.value.key == f"{root.url}/key"
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), copy.key) == (str(caught.value), caught.value.key)


def test_an_endpoint_that_nobody_serves_is_told_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        backend = open_backend(
            "gs://b/p", {"endpoint_url": f"http://127.0.0.1:{taken.getsockname()[1]}", "token": "anon"}
        )
        with pytest.raises(StorageUnavailableError, match="cannot be reached"):
            backend.read("key")


def test_no_token_is_in_an_error_or_a_log(root, fault_proxy, monkeypatch, caplog):
    """The raw token is checked with the login service by gcsfs, with the token in the URL."""
    secret = "ya29.a-secret-token"
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing leaves this machine
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    caplog.set_level(logging.DEBUG, "metamlflow")
    with pytest.raises(StorageError) as caught:
        open_backend(root.url, {**root.options, "token": secret}).read("key")
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.__context__)
    monkeypatch.setenv("FETCH_RAW_TOKEN_EXPIRY", "false")
    proxy = fault_proxy(root.server)
    proxy.add(Rule(Refuse(401, "authError", "Invalid Credentials"), times=None))
    options = {**root.server.through(proxy.url).storage_options, "token": secret}
    with pytest.raises(AccessDeniedError) as caught:
        open_backend(root.url, options).read("key")
    shown += "".join(traceback.format_exception(caught.value))
    assert secret not in shown
    assert secret not in caplog.text
    assert "GET /download" in caplog.text
