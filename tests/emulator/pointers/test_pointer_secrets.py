"""Whose credentials are used for what is pointed to, and that none of them gets anywhere."""

from __future__ import annotations

import io
import logging
import pickle
import traceback
from pathlib import Path

import pytest
from lakesides import OLD, SAME_SIZE, Place, S3Place, held_in
from proxy_faults import ACCESS_DENIED, Refuse, Rule

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AccessDeniedError, InvalidInputError, MetaMLFlowError, StorageError

pytestmark = pytest.mark.emulator

SECRET = "S3cretKeyThatNobodyMayRead0123456789abcd"
TOKEN = "T0kenThatNobodyMayReadEither0123456789"


def options(url: str, key: str, **more) -> dict:
    return {"key": key, "secret": SECRET, "endpoint_url": url, "client_kwargs": {"region_name": "us-east-1"}, **more}


def keys_used(proxy) -> set[str]:
    """The access keys that requests were signed with."""
    headers = [request.headers["authorization"] for request in proxy.log]
    return {header.partition("Credential=")[2].partition("/")[0] for header in headers}


# --- whose ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two(new_place, fault_proxy):
    """A place, another one, and a proxy before both."""
    first, second = new_place("moto"), new_place("moto")
    for place in (first, second):
        place.put("data.bin", OLD)
    return first, second, fault_proxy(first.server)


def used_for(client: MetaMLFlowClient, place: Place, proxy) -> set[str]:
    artifact = client.register_pointer("lake", place.uri())
    artifact.verify("full")
    client.register_pointer("lake", place.uri("data.bin")).read_bytes()
    proxy_keys = keys_used(proxy)
    proxy.reset()
    return proxy_keys


def test_options_hold_by_the_longest_beginning_of_the_uri_then_by_scheme(two, tmp_path):
    first, second, proxy = two
    sources = {
        "s3": options(proxy.url, "by-scheme"),
        f"s3://{first.bucket}/": options(proxy.url, "by-bucket"),
        f"s3://{first.bucket}/{first.prefix}deep/": options(proxy.url, "by-prefix"),
    }
    first.put("deep/data.bin", OLD)
    client = MetaMLFlowClient(tmp_path / "store", source_options=sources)
    assert used_for(client, first, proxy) >= {"by-bucket"}
    assert used_for(client, second, proxy) == {"by-scheme"}
    assert client.register_pointer("deep", first.uri("deep/data.bin")).read_bytes() == OLD
    assert keys_used(proxy) == {"by-prefix"}


def test_a_store_s_own_options_hold_where_none_are_given_for_its_scheme(two, tmp_path):
    first, _, proxy = two
    client = MetaMLFlowClient(f"s3://{first.bucket}/store", storage_options=options(proxy.url, "of-the-store"))
    assert used_for(client, first, proxy) == {"of-the-store"}


def test_options_of_a_scheme_hold_for_the_lake_and_the_store_keeps_its_own(two, tmp_path):
    first, second, proxy = two
    client = MetaMLFlowClient(
        f"s3://{first.bucket}/store",
        storage_options=options(proxy.url, "of-the-store"),
        source_options={"s3": options(proxy.url, "of-the-lake")},
    )
    client.create_store()
    assert keys_used(proxy) == {"of-the-store"}
    proxy.reset()
    client.register_pointer("lake", second.uri("data.bin")).read_bytes()
    by_bucket = {request.operation.bucket: set() for request in proxy.log}
    for request in proxy.log:
        by_bucket[request.operation.bucket].add(request.headers["authorization"].split("/")[0].partition("=")[2])
    assert by_bucket == {first.bucket: {"of-the-store"}, second.bucket: {"of-the-lake"}}


def test_an_artifact_that_was_pickled_reads_with_the_same_credentials(two, tmp_path):
    first, _, proxy = two
    client = MetaMLFlowClient(tmp_path / "store", source_options={"s3": options(proxy.url, "travelling")})
    artifact = pickle.loads(pickle.dumps(client.register_pointer("lake", first.uri("data.bin"))))
    proxy.reset()
    assert artifact.read_bytes() == OLD
    assert keys_used(proxy) == {"travelling"}


# --- denied -----------------------------------------------------------------------------------------------------------

DENIED = {
    "denied": (ACCESS_DENIED, AccessDeniedError),
    "unknown-key": (Refuse(403, "InvalidAccessKeyId", "The key does not exist in our records."), AccessDeniedError),
    "wrong-secret": (Refuse(403, "SignatureDoesNotMatch", "The signature does not match."), AccessDeniedError),
    # To a HEAD there is no body that could say so.
    "expired": (Refuse(400, "ExpiredToken", "The provided token has expired."), StorageError),
}


@pytest.mark.parametrize(("answer", "kind"), DENIED.values(), ids=list(DENIED))
def test_credentials_that_do_not_hold_are_told_and_shown_nowhere(
    new_place, fault_proxy, tmp_path, caplog, answer, kind
):
    place = new_place("moto")
    place.put("data.bin", OLD)
    proxy = fault_proxy(place.server)
    sources = {"s3": options(proxy.url, "nobody", token=TOKEN)}
    client = MetaMLFlowClient(tmp_path / "store", source_options=sources)
    artifact = client.register_pointer("lake", place.uri("data.bin"))
    proxy.add(Rule(answer, times=None))
    calls = {
        "object": lambda: client.register_pointer("lake", place.uri("data.bin")),
        "prefix": lambda: client.register_pointer("lake", place.uri()),
        "glob": lambda: client.register_pointer("lake", place.uri("*.bin")),
        "read": artifact.read_bytes,
        "download": lambda: artifact.download(tmp_path / "out"),
        "refresh": artifact.refresh,
    }
    with caplog.at_level(logging.DEBUG, logger="metamlflow"):
        for name, call in calls.items():
            with pytest.raises(kind) as caught:
                call()
            shown = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
            assert no_secret("".join(shown)), name
            assert caught.value.hint, name
    assert no_secret(caplog.text)


def no_secret(text: str) -> bool:
    return SECRET not in text and TOKEN not in text


# --- shown nowhere ----------------------------------------------------------------------------------------------------


def test_no_secret_is_stored_logged_or_shown(new_place, tmp_path):
    place: S3Place = new_place("moto")
    place.put("data.bin", OLD)
    sources = {"s3": options(place.server.url, "somebody", token=TOKEN)}
    client = MetaMLFlowClient(tmp_path / "store", source_options=sources, cache_dir=tmp_path / "cache")
    log, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(log), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        artifact = client.register_pointer("lake", place.uri(), metadata={"a": 1})
        artifact.local_path("data.bin")
        report = artifact.verify()
        artifact.strengthen("full")
        place.put("data.bin", SAME_SIZE)
        with pytest.raises(MetaMLFlowError) as caught:
            artifact.read_bytes("data.bin")
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    shown = [repr(client), str(client), repr(artifact), artifact._repr_html_(), str(report), repr(artifact.entries)]
    shown += [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
    assert no_secret("\n".join(shown))
    logged = log.getvalue()
    assert logged, "nothing was logged, so this looks at nothing"
    assert SECRET not in logged
    assert not [line for line in logged.splitlines() if TOKEN in line]
    written = [file for folder in ("store", "cache") for file in (tmp_path / folder).rglob("*") if file.is_file()]
    assert len(written) > len(held_in(tmp_path)) > 0
    assert not [str(file) for file in written if not no_secret(file.read_bytes().decode("latin-1"))]


SIGNED = {
    "user-info": "s3://AKIA:{secret}@{bucket}/data.bin",
    "signed": "s3://{bucket}/data.bin?X-Amz-Signature={secret}",
    "signed-v2": "s3://{bucket}/data.bin?AWSAccessKeyId=AKIA&Signature={secret}",
    "signed-gcs": "gs://{bucket}/data.bin?X-Goog-Signature={secret}",
    "session": "s3://{bucket}/data.bin?X-Amz-Security-Token={secret}",
    "token": "https://{bucket}.example/data.bin?token={secret}",
}


@pytest.mark.parametrize("uri", SIGNED.values(), ids=list(SIGNED))
def test_a_uri_with_a_secret_is_refused_without_showing_it(tmp_path: Path, uri):
    client = MetaMLFlowClient(tmp_path / "store")
    with pytest.raises(InvalidInputError) as caught:
        client.register_pointer("lake", uri.format(secret=SECRET, bucket="bucket"))
    assert "source_options" in caught.value.hint
    assert no_secret(str(caught.value) + repr(caught.value))
    assert not (tmp_path / "store").exists()


# --- listing versions -------------------------------------------------------------------------------------------------

NOT_TO_BE_HAD = {"denied": ACCESS_DENIED, "not-implemented": Refuse(501, "NotImplemented", "A header is not known.")}


@pytest.mark.parametrize("server", ["localstack", "moto"])
@pytest.mark.parametrize("answer", NOT_TO_BE_HAD.values(), ids=list(NOT_TO_BE_HAD))
def test_where_no_versions_are_kept_their_listing_is_not_needed(new_place, fault_proxy, tmp_path, server, answer):
    place = new_place(server)
    for number in range(12):
        place.put(f"{number:02d}.bin", OLD)
    proxy = fault_proxy(place.server)
    proxy.add(Rule(answer, op="ListObjectVersions", times=None))
    artifact = place.client(tmp_path, proxy).register_pointer("lake", place.uri())
    assert [entry.path for entry in artifact.entries] == [f"{number:02d}.bin" for number in range(12)]
    assert artifact.verify("stat")
    place.put("03.bin", SAME_SIZE)
    assert [finding.path for finding in artifact.verify("stat").findings] == ["03.bin"]


@pytest.mark.parametrize("server", ["localstack", "moto"])
def test_where_versions_are_kept_the_right_to_list_them_is_named(new_place, fault_proxy, tmp_path, server):
    place = new_place(server, versioned=True)
    place.put("data.bin", OLD)
    proxy = fault_proxy(place.server)
    proxy.add(Rule(ACCESS_DENIED, op="ListObjectVersions", times=None))
    client = place.client(tmp_path, proxy)
    for uri in (place.uri(), place.uri("*.bin")):
        with pytest.raises(AccessDeniedError) as caught:
            client.register_pointer("lake", uri)
        assert "s3:ListBucketVersions" in caught.value.hint
    assert client.register_pointer("lake", place.uri("data.bin")).entries["data.bin"].version


def test_a_first_object_from_before_versioning_does_not_hide_that_versions_are_kept(new_place, fault_proxy, tmp_path):
    place = new_place("localstack")
    place.put("a.bin", OLD)  # version "null"
    enabled = {"Status": "Enabled"}
    place.raw.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration=enabled)
    place.put("b.bin", OLD)  # has a version id
    proxy = fault_proxy(place.server)
    proxy.add(Rule(ACCESS_DENIED, op="ListObjectVersions", times=None))
    with pytest.raises(AccessDeniedError) as caught:
        place.client(tmp_path, proxy).register_pointer("lake", place.uri())
    assert "s3:ListBucketVersions" in caught.value.hint
