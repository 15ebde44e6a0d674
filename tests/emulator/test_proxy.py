"""The fault proxy passes everything on as it came, and counts exactly."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
import threading
import time
import tracemalloc
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from proxy import FaultProxy
from proxy_site import SIGNED, Site

MiB = 1024 * 1024


@pytest.fixture
def moto(moto_server, fault_proxy):
    """A bucket on moto, behind a proxy."""
    return Site(moto_server, fault_proxy(moto_server))


# --- passing on -------------------------------------------------------------------------------------------------------


def test_objects_go_through_and_come_back(s3_server, fault_proxy):
    site = Site(s3_server, fault_proxy(s3_server))
    body = gzip.compress(bytes(range(256)) * 100)
    site.put("a key/ü&+%.gz", body, Metadata={"x": "y"})
    assert site.held("a key/ü&+%.gz") == site.get("a key/ü&+%.gz") == body
    assert site.s3.head_object(Bucket=site.bucket, Key="a key/ü&+%.gz")["Metadata"] == {"x": "y"}
    assert [request.key for request in site.proxy.log] == ["a key/ü&+%.gz"] * 3


def test_a_server_sees_the_request_as_it_was_sent():
    with bare_server() as (client, listener):
        sent = b"PUT /b/k?x=%2F HTTP/1.1\r\nhOsT: bucket.example\r\nX-Odd:  two  \r\nContent-Length: 3\r\n\r\nabc"
        client.sendall(sent)
        server, _ = listener.accept()
        with server:
            assert received(server, len(sent)) == sent
            server.sendall(b"HTTP/1.1 204 Fine\r\nX-oDD: 1\r\n\r\n")
            assert client.recv(65536) == b"HTTP/1.1 204 Fine\r\nX-oDD: 1\r\n\r\n"


@contextmanager
def bare_server():
    """A proxy before nothing but a listening socket, and a client's socket connected to it."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(f"http://127.0.0.1:{listener.getsockname()[1]}") as proxy,
        socket.create_connection(address_of(proxy), timeout=10) as client,
    ):
        yield client, listener


def address_of(proxy) -> tuple[str, int]:
    return "127.0.0.1", int(proxy.url.rpartition(":")[2])


def test_chunks_go_both_ways_untouched():
    chunks = b"3;signature=1\r\nabc\r\n0\r\nx-trailer: 1\r\n\r\n"
    request = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    reply = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    with bare_server() as (client, listener):
        client.sendall(request)
        server, _ = listener.accept()
        with server:
            assert received(server, len(request)) == request
            server.sendall(reply)
            assert received(client, len(reply)) == reply


def received(connection, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += connection.recv(size)
    return data


def test_a_reply_without_a_length_ends_with_the_connection():
    with bare_server() as (client, listener):
        client.sendall(b"GET /b/k HTTP/1.1\r\nHost: h\r\n\r\n")
        server, _ = listener.accept()
        with server:
            server.recv(65536)
            server.sendall(b"HTTP/1.0 200 OK\r\n\r\nabc")
        assert client.makefile("rb").read() == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"


def test_a_client_may_wait_to_be_asked_for_the_body(moto):
    with socket.create_connection(address_of(moto.proxy), timeout=10) as client:
        client.sendall(
            f"PUT /{moto.bucket}/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert client.recv(65536).startswith(b"HTTP/1.1 200")
    assert moto.held() == b"abc"


def test_a_refusal_in_place_of_the_question_for_the_body_arrives():
    with bare_server() as (client, listener):
        client.sendall(b"PUT /b/k HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        server, _ = listener.accept()
        with server:
            server.recv(65536)
            server.sendall(b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n")
            assert client.makefile("rb").readline() == b"HTTP/1.1 412 No\r\n"


def test_a_connection_serves_many_requests(moto, connect):
    moto.put()
    connection = connect(moto.proxy.url)
    for _ in range(3):
        connection.request("HEAD", f"/{moto.bucket}/k", headers=SIGNED)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"")
        assert connection.sock is not None
    assert moto.proxy.methods == {"PUT": 1, "HEAD": 3}


def test_multipart_uploads_go_through(moto):
    body = b"p" * (6 * MiB)
    upload = moto.s3.create_multipart_upload(Bucket=moto.bucket, Key="k")["UploadId"]
    named = {"Bucket": moto.bucket, "Key": "k", "UploadId": upload}
    parts = [
        {"PartNumber": number, "ETag": moto.s3.upload_part(**named, PartNumber=number, Body=part)["ETag"]}
        for number, part in ((1, body), (2, b"end"))
    ]
    moto.s3.complete_multipart_upload(**named, MultipartUpload={"Parts": parts})
    assert moto.held() == body + b"end"
    assert moto.proxy.counts == {"CreateMultipartUpload": 1, "UploadPart": 2, "CompleteMultipartUpload": 1}


def test_64_mib_stream_through_in_little_memory(gcs_server, fault_proxy, connect):
    # Not moto: it would need a second and gigabytes for each such object.
    proxy, bucket = fault_proxy(gcs_server), gcs_server.new_bucket()
    size = 64 * MiB
    block, expected = bytes(MiB), hashlib.sha256()
    for _ in range(64):
        expected.update(block)
    tracemalloc.start()
    try:
        connection = connect(proxy.url)
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name=large"
        connection.request("POST", path, iter([block] * 64), {"Content-Length": str(size)})
        answer = connection.getresponse()
        assert json.loads(answer.read())["size"] == str(size)
        connection.request("GET", f"/download/storage/v1/b/{bucket}/o/large?alt=media")
        answer, digest = connection.getresponse(), hashlib.sha256()
        while data := answer.read(MiB):
            digest.update(data)
        assert digest.hexdigest() == expected.hexdigest()
        assert tracemalloc.get_traced_memory()[1] < 8 * MiB
    finally:
        tracemalloc.stop()


def test_the_proxy_costs_little(gcs_server, fault_proxy, connect):
    """Loose on purpose: it is there to notice a delay of Nagle's kind, which is 40 ms."""
    proxy, bucket = fault_proxy(gcs_server), gcs_server.new_bucket()
    gcs_server.raw().put(bucket, "k", b"content")

    def best(url: str) -> float:
        connection = connect(url)
        times = []
        for _ in range(50):
            began = time.perf_counter()
            connection.request("GET", f"/storage/v1/b/{bucket}/o/k?alt=media")
            connection.getresponse().read()
            times.append(time.perf_counter() - began)
        return sorted(times)[len(times) // 4]

    assert best(proxy.url) - best(gcs_server.url) < 0.01


# --- counting ---------------------------------------------------------------------------------------------------------


def test_32_threads_are_counted_exactly(moto):
    def work(number: int) -> None:
        key = f"k{number}"
        moto.put(key, str(number).encode())
        assert moto.get(key) == str(number).encode()
        moto.s3.head_object(Bucket=moto.bucket, Key=key)

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(work, range(96)))
    assert moto.proxy.counts == {"PutObject": 96, "GetObject": 96, "HeadObject": 96}
    assert moto.proxy.methods == {"PUT": 96, "GET": 96, "HEAD": 96}
    assert Counter(request.status for request in moto.proxy.log) == {200: 288}
    assert {request.number for request in moto.proxy.log} == set(range(1, 289))


def test_operations_are_named_as_s3_names_them(moto):
    moto.put("a/1")
    here = {"Bucket": moto.bucket}
    moto.s3.list_objects_v2(**here, Prefix="a/")
    moto.s3.list_objects(**here)
    moto.s3.list_object_versions(**here)
    moto.s3.copy_object(**here, Key="a/2", CopySource={**here, "Key": "a/1"})
    moto.s3.delete_objects(**here, Delete={"Objects": [{"Key": "a/1"}]})
    moto.s3.delete_object(**here, Key="a/2")
    moto.s3.get_bucket_versioning(**here)
    moto.s3.list_buckets()
    assert [(request.op, request.key) for request in moto.proxy.log] == [
        ("PutObject", "a/1"),
        ("ListObjectsV2", "a/"),
        ("ListObjects", ""),
        ("ListObjectVersions", ""),
        ("CopyObject", "a/2"),
        ("DeleteObjects", ""),
        ("DeleteObject", "a/2"),
        ("GetBucketVersioning", ""),
        ("ListBuckets", ""),
    ]


def test_operations_of_gcsfs_are_named_as_google_names_them(gcs_server, fault_proxy):
    from gcsfs import GCSFileSystem

    proxy, bucket = fault_proxy(gcs_server), gcs_server.new_bucket()
    filesystem = GCSFileSystem(**gcs_server.through(proxy.url).storage_options, skip_instance_cache=True)
    filesystem.pipe_file(f"{bucket}/a/ü b", b"content", mode="create")
    assert filesystem.cat_file(f"{bucket}/a/ü b") == b"content"
    filesystem.ls(f"{bucket}/a", refresh=True)
    with filesystem.open(f"{bucket}/a/large", "wb", block_size=2**18) as file:
        file.write(bytes(2**19))
    names = {(request.op, request.key) for request in proxy.log}
    assert {("objects.insert", "a/ü b"), ("objects.media", "a/ü b"), ("objects.list", "a/")} <= names
    # The upload's address comes from the server: it has to lead through the proxy as well.
    assert {("resumable.start", "a/large"), ("resumable.upload", "a/large")} <= names
    assert gcs_server.raw().stat(bucket, "a/large")["size"] == str(2**19)
    assert proxy.log[0].target.count("ifGenerationMatch=0") == 1


def test_a_reset_forgets_what_was_counted(moto):
    moto.put()
    moto.proxy.reset()
    assert (moto.proxy.log, moto.proxy.counts) == ([], {})
    moto.put()
    assert moto.proxy.counts == {"PutObject": 1}


def test_the_log_keeps_conditions_checksums_and_who_asks(moto):
    moto.put(IfNoneMatch="*", ChecksumAlgorithm="SHA256")
    headers = moto.proxy.log[0].headers
    assert headers["if-none-match"] == "*"
    assert "x-amz-checksum-sha256" in headers
    assert "Credential=test/" in headers["authorization"]
    assert "accept-encoding" not in headers


# --- ending -----------------------------------------------------------------------------------------------------------


def test_closing_ends_connections_and_threads_and_frees_the_port(moto_server, connect):
    with FaultProxy(moto_server.url) as proxy:
        connection = connect(proxy.url)
        connection.request("GET", "/")
        connection.getresponse().read()
        own = [thread for thread in threading.enumerate() if thread.name == f"fault-proxy {proxy.url}"]
        assert len(own) == 2
    for thread in own:
        thread.join(5)
        assert not thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address_of(proxy))


def test_a_server_that_is_not_there_breaks_the_connection(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with FaultProxy(url) as proxy:
        connection = connect(proxy.url)
        connection.request("GET", "/b/k")
        with pytest.raises(ConnectionError):
            connection.getresponse()
