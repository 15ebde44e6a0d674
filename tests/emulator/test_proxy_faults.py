"""The fault proxy does to a request what a rule says, and to no other."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, ResponseStreamingError
from proxy_faults import (
    ACCESS_DENIED,
    CONFLICT,
    INTERNAL_ERROR,
    SLOW_DOWN,
    AlterReply,
    AlterRequest,
    Delay,
    Late,
    LoseReply,
    Refuse,
    Reset,
    Rule,
    SkewDate,
    StripConditions,
    TruncateReply,
)
from proxy_site import SIGNED, Site, wait_until


@pytest.fixture
def moto(moto_server, fault_proxy):
    """A bucket on moto, behind a proxy."""
    return Site(moto_server, fault_proxy(moto_server))


# --- rules ------------------------------------------------------------------------------------------------------------


def outcomes(moto, *keys: str) -> list[int]:
    return [status_of(lambda key=key: moto.put(key)) for key in keys]


def status_of(call) -> int:
    try:
        return call()["ResponseMetadata"]["HTTPStatusCode"]
    except ClientError as error:
        return error.response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    {
        "once": (Rule(SLOW_DOWN), [503, 200, 200, 200]),
        "the second": (Rule(SLOW_DOWN, nth=2), [200, 503, 200, 200]),
        "two from the second": (Rule(SLOW_DOWN, nth=2, times=2), [200, 503, 503, 200]),
        "always": (Rule(SLOW_DOWN, times=None), [503, 503, 503, 503]),
        "by key": (Rule(SLOW_DOWN, key="b/*", times=None), [200, 200, 503, 503]),
        "the second by key": (Rule(SLOW_DOWN, key="b/*", nth=2), [200, 200, 200, 503]),
        "another operation": (Rule(SLOW_DOWN, op="GetObject", times=None), [200, 200, 200, 200]),
        "by operation": (Rule(SLOW_DOWN, op="Put*"), [503, 200, 200, 200]),
        "by anything": (Rule(SLOW_DOWN, when=lambda request: request.number == 3), [200, 200, 503, 200]),
    }.values(),
)
def test_a_rule_strikes(moto, rule, expected):
    moto.proxy.add(rule)
    assert outcomes(moto, "a/1", "a/2", "b/1", "b/2") == expected


def test_rules_count_for_themselves_from_when_they_were_added(moto):
    moto.put()
    moto.proxy.add(Rule(SLOW_DOWN, nth=2), Rule(ACCESS_DENIED, nth=3))
    assert outcomes(moto, "a", "b", "c", "d") == [200, 503, 403, 200]
    moto.proxy.add(Rule(SLOW_DOWN, times=None))
    moto.proxy.clear()
    assert outcomes(moto, "a") == [200]
    assert [request.faults for request in moto.proxy.log] == [(), (), (SLOW_DOWN,), (ACCESS_DENIED,), (), ()]


def test_faults_that_do_not_exclude_one_another_act_together(moto):
    moto.put()
    moto.proxy.add(Rule(StripConditions()), Rule(Delay(0.1)), Rule(LoseReply()))
    began = time.monotonic()
    with pytest.raises(ConnectionClosedError):
        moto.put(body=b"other", IfNoneMatch="*")
    assert time.monotonic() - began >= 0.1
    assert moto.held() == b"other"


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_lost_reply_leaves_the_write_applied(moto):
    moto.proxy.add(Rule(LoseReply(), op="PutObject"))
    with pytest.raises(ConnectionClosedError):
        moto.put()
    assert moto.held() == b"content"
    assert [(request.status, request.upstream_status) for request in moto.proxy.log] == [(None, 200)]


@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [
        (SLOW_DOWN, 503, "SlowDown"),
        (INTERNAL_ERROR, 500, "InternalError"),
        (CONFLICT, 409, "ConditionalRequestConflict"),
        (ACCESS_DENIED, 403, "AccessDenied"),
        (Refuse(403, "InvalidObjectState", "It is <archived> & asleep."), 403, "InvalidObjectState"),
    ],
)
def test_a_refusal_reads_like_s3s_and_is_not_applied(moto, refusal, status, code):
    moto.proxy.add(Rule(refusal, op="PutObject"))
    with pytest.raises(ClientError) as caught:
        moto.put("a&b")
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert answer["Error"]["Message"] == refusal.message
    assert moto.held("a&b") is None
    assert [(request.status, request.upstream_status) for request in moto.proxy.log] == [(status, None)]


def test_a_refusal_of_a_head_request_has_no_body(moto, connect):
    moto.put()
    moto.proxy.add(Rule(ACCESS_DENIED, op="HeadObject"))
    connection = connect(moto.proxy.url)
    connection.request("HEAD", f"/{moto.bucket}/k", headers=SIGNED)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (403, b"")
    # What the refusal had left behind would be read as the beginning of this answer.
    connection.request("GET", f"/{moto.bucket}/k", headers=SIGNED)
    assert connection.getresponse().read() == b"content"


def test_a_refusal_spares_the_body_of_a_client_that_waits_to_be_asked(moto):
    moto.proxy.add(Rule(SLOW_DOWN))
    with socket.create_connection(("127.0.0.1", int(moto.proxy.url.rpartition(":")[2])), timeout=10) as client:
        client.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        answer = client.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nConnection: close\r\n" in answer


def test_a_refusal_may_say_anything(moto, connect):
    moto.proxy.add(Rule(Refuse(418, body=b"short", headers=(("Retry-After", "7"), ("Content-Type", "text/plain")))))
    connection = connect(moto.proxy.url)
    connection.request("PUT", f"/{moto.bucket}/k", b"content", SIGNED)
    answer = connection.getresponse()
    assert (answer.status, answer.read(), answer.getheader("Retry-After")) == (418, b"short", "7")
    assert answer.getheader("Content-Type") == "text/plain"


def test_a_refusal_reads_like_googles(gcs_server, fault_proxy):
    proxy, bucket = fault_proxy(gcs_server), gcs_server.new_bucket()
    proxy.add(Rule(ACCESS_DENIED, op="objects.get"), Rule(Refuse(429, "SlowDown"), op="objects.insert"))
    raw = gcs_server.through(proxy.url).raw()
    with pytest.raises(urllib.error.HTTPError) as denied:
        raw.stat(bucket, "k")
    error = json.loads(denied.value.read())["error"]
    assert (denied.value.code, error["code"], error["errors"][0]["reason"]) == (403, 403, "forbidden")
    with pytest.raises(urllib.error.HTTPError) as slowed:
        raw.put(bucket, "k", b"content")
    assert json.loads(slowed.value.read())["error"]["errors"][0]["reason"] == "rateLimitExceeded"


def test_stripped_conditions_let_a_second_write_win(s3_server, fault_proxy):
    site = Site(s3_server, fault_proxy(s3_server))
    site.put(body=b"first", IfNoneMatch="*")
    assert status_of(lambda: site.put(body=b"second", IfNoneMatch="*")) == 412
    site.proxy.add(Rule(StripConditions()))
    site.put(body=b"second", IfNoneMatch="*")
    assert site.held() == b"second"
    assert site.proxy.log[-1].headers["if-none-match"] == "*"  # the log says what the client sent


def test_stripped_conditions_let_a_second_write_of_gcsfs_win(gcs_server, fault_proxy):
    from gcsfs import GCSFileSystem

    proxy, bucket = fault_proxy(gcs_server), gcs_server.new_bucket()
    filesystem = GCSFileSystem(**gcs_server.through(proxy.url).storage_options, skip_instance_cache=True)
    filesystem.pipe_file(f"{bucket}/k", b"first", mode="create")
    proxy.add(Rule(StripConditions(), op="objects.insert", times=None))
    filesystem.pipe_file(f"{bucket}/k", b"second", mode="create")
    assert gcs_server.raw().get(bucket, "k") == b"second"


@pytest.mark.parametrize("answer", [SLOW_DOWN, None])
def test_a_late_write_lands_after_its_client_was_answered(moto, answer):
    moto.proxy.add(Rule(Late(0.3, answer), op="PutObject"))
    with pytest.raises(ClientError if answer else ConnectionClosedError):
        moto.put()
    assert moto.held() is None
    moto.proxy.settle()
    assert moto.held() == b"content"
    assert (moto.proxy.log[0].status, moto.proxy.log[0].upstream_status) == (503 if answer else None, 200)
    assert moto.proxy.counts == {"PutObject": 1}


def test_a_late_write_keeps_its_condition(moto):
    moto.proxy.add(Rule(Late(0.2)))
    with pytest.raises(ClientError):
        moto.put(IfNoneMatch="*")
    moto.put(body=b"other", IfNoneMatch="*")
    moto.proxy.settle()
    assert moto.held() == b"other"
    assert moto.proxy.log[0].upstream_status == 412


@pytest.mark.parametrize("server", ["moto", "localstack"])
@pytest.mark.parametrize("place", ["start", "headers", "body"])
def test_a_write_that_breaks_before_its_end_is_not_applied(request, fault_proxy, server, place):
    site = Site(
        request.getfixturevalue(f"{server}_server"),
        request.getfixturevalue("fault_proxy")(request.getfixturevalue(f"{server}_server")),
    )
    site.proxy.add(Rule(Reset(place)))
    with pytest.raises(ConnectionClosedError):
        site.put(body=b"x" * 100_000)
    time.sleep(0.2)
    assert site.held() is None
    assert site.proxy.log[0].upstream_status is None


def test_a_write_that_breaks_at_its_end_may_have_been_applied(moto):
    moto.proxy.add(Rule(Reset("before_reply")))
    with pytest.raises(ConnectionClosedError):
        moto.put()
    wait_until(lambda: moto.held() == b"content")  # as moto does; no server has to
    assert (moto.proxy.log[0].status, moto.proxy.log[0].upstream_status) == (None, None)


def test_a_reply_breaks_in_its_middle(moto, connect):
    moto.put(body=b"0123456789")
    moto.proxy.add(Rule(Reset("reply")))
    connection = connect(moto.proxy.url)
    connection.request("GET", f"/{moto.bucket}/k", headers=SIGNED)
    answer = connection.getresponse()
    assert answer.read(5) == b"01234"
    with pytest.raises(ConnectionResetError):
        answer.read()


def test_a_reply_without_a_body_breaks_in_its_head(moto):
    moto.put()
    moto.proxy.add(Rule(Reset("reply")))
    with pytest.raises(ConnectionClosedError):
        moto.s3.head_object(Bucket=moto.bucket, Key="k")


def test_a_truncated_reply_keeps_its_content_length(moto, connect):
    moto.put(body=b"0123456789")
    moto.proxy.add(Rule(TruncateReply(), op="GetObject", times=2))
    connection = connect(moto.proxy.url)
    connection.request("GET", f"/{moto.bucket}/k", headers=SIGNED)
    answer = connection.getresponse()
    assert answer.getheader("Content-Length") == "10"
    with pytest.raises(http.client.IncompleteRead) as caught:
        answer.read()
    assert caught.value.partial == b"01234"
    with pytest.raises(ResponseStreamingError):
        moto.get()
    assert moto.get() == b"0123456789"


@pytest.mark.parametrize("fault", [AlterReply(), AlterReply(0)])
def test_an_altered_reply_differs_in_one_byte(moto, fault, connect):
    moto.put(body=b"0123456789")
    moto.proxy.add(Rule(fault, op="GetObject"))
    connection = connect(moto.proxy.url)
    connection.request("GET", f"/{moto.bucket}/k", headers=SIGNED)
    body = connection.getresponse().read()
    differing = [index for index in range(10) if body[index] != b"0123456789"[index]]
    assert (differing, len(body)) == ([fault.at if fault.at is not None else 5], 10)
    assert moto.held() == moto.get() == b"0123456789"


def test_an_altered_request_is_stored_by_a_server_that_checks_nothing(moto):
    moto.proxy.add(Rule(AlterRequest()))
    moto.put(body=b"0123456789")
    assert moto.held() == b"0123446789"


def test_an_altered_request_is_refused_by_a_server_that_checks(localstack_server, fault_proxy):
    site = Site(localstack_server, fault_proxy(localstack_server))
    site.proxy.add(Rule(AlterRequest()))
    with pytest.raises(ClientError, match=r"BadDigest|[Cc]hecksum"):
        site.put(body=b"0123456789", ChecksumAlgorithm="SHA256")
    assert site.held() is None


def test_content_framed_by_aws_is_altered_and_not_its_frame(moto, connect):
    body = b"a;chunk-signature=0\r\n0123456789\r\n0;chunk-signature=0\r\n\r\n"
    headers = SIGNED | {
        "Content-Encoding": "aws-chunked",
        "x-amz-decoded-content-length": "10",
        "x-amz-content-sha256": "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    }
    moto.proxy.add(Rule(AlterRequest()))
    connection = connect(moto.proxy.url)
    connection.request("PUT", f"/{moto.bucket}/k", body, headers)
    assert connection.getresponse().status == 200
    assert moto.held() == b"1123456789"


def test_content_of_a_multipart_upload_is_altered_and_not_its_metadata(gcs_server, fault_proxy, connect):
    proxy, bucket = fault_proxy(gcs_server), gcs_server.new_bucket()
    body = b'--x\r\nContent-Type: application/json\r\n\r\n{"name": "k"}\r\n'
    body += b"--x\r\nContent-Type: text/plain\r\n\r\n0123456789\r\n--x--\r\n"
    proxy.add(Rule(AlterRequest(), key="k"))
    connection = connect(proxy.url)
    path = f"/upload/storage/v1/b/{bucket}/o?uploadType=multipart"
    connection.request("POST", path, body, {"Content-Type": "multipart/related; boundary=x"})
    assert connection.getresponse().status == 200
    assert gcs_server.raw().get(bucket, "k") == b"1123456789"


def test_a_delayed_request_takes_longer(moto):
    moto.put()
    moto.proxy.add(Rule(Delay(0.2), op="GetObject"))
    began = time.monotonic()
    assert moto.get() == b"content"
    assert time.monotonic() - began >= 0.2


def test_a_skewed_date_is_off_by_what_was_asked(moto):
    moto.proxy.add(Rule(SkewDate(-3600), times=None))
    headers = moto.put()["ResponseMetadata"]["HTTPHeaders"]
    off = (parsedate_to_datetime(headers["date"]) - datetime.now(UTC)).total_seconds()
    assert -3610 < off < -3590
