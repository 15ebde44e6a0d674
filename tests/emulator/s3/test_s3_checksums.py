"""What a checksum is compared with, and what it is not: no range, no digest of digests, and not where it is relaxed."""

from __future__ import annotations

import pytest
from proxy_faults import AlterReply, Refuse, Rule

from metamlflow import MetaMLFlowClient
from metamlflow.backend.tags import same_tag
from metamlflow.errors import (
    AccessDeniedError,
    IntegrityError,
    ObjectNotFoundError,
    StorageError,
    StoreNotFoundError,
    UnsupportedStoreError,
)
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.doctor import examine
from metamlflow_s3 import open_backend
from metamlflow_s3.engines import ENGINE_VARIABLE
from metamlflow_s3.error_table import answered
from metamlflow_s3.external import open_external
from metamlflow_s3.uploads import PART_BYTES

MODE = "x-amz-checksum-mode"
RELAXED = {"config_kwargs": {"request_checksum_calculation": "when_required"}}


@pytest.fixture(params=["auto", "s3fs"], ids=["obstore", "s3fs"], autouse=True)
def engine(request, monkeypatch) -> str:
    monkeypatch.setenv(ENGINE_VARIABLE, request.param)
    return request.param


def test_content_that_was_damaged_once_on_its_way_is_asked_for_again(proxied):
    root, proxy = proxied
    artifact = root.client().register_artifact("a", b"plain content")
    proxy.add(Rule(AlterReply(), op="GetObject", key="*blobs/*"))
    assert artifact.read_bytes() == b"plain content"
    assert proxy.counts["GetObject"] >= 2


def test_content_that_is_damaged_where_it_lies_is_told_as_that(proxied):
    root, _ = proxied
    artifact = root.client().register_artifact("a", b"plain content")
    (blob,) = root.keys("blobs/")
    root.write(blob, b"other content")
    with pytest.raises(IntegrityError, match="damaged in the store"):
        artifact.read_bytes()


def test_own_content_is_read_without_asking_for_a_checksum(proxied):
    root, proxy = proxied
    artifact = root.client().register_artifact("a", {"small": b"1", "large": b"x" * (PART_BYTES + 1)})
    proxy.reset()
    assert len(artifact.read_bytes("large")) == PART_BYTES + 1
    assert artifact.read_bytes("small") == b"1"
    read = [request for request in proxy.log if request.op == "GetObject" and "blobs/" in request.key]
    assert read
    assert all(MODE not in request.headers for request in read)


def test_where_checksums_are_relaxed_nothing_asks_for_them(proxied):
    root, proxy = proxied
    backend = root.open(**RELAXED)
    backend.create("a", b"1")
    assert (backend.read("a"), backend.stat("a").size) == (b"1", 1)
    lake = open_external(f"s3://{root.bucket}", {**root.options, **RELAXED})
    seen = lake.head(f"{root.prefix}/a")
    assert lake.read(seen, 0, 1) == b"1"
    assert {request.op for request in proxy.log} >= {"HeadObject", "GetObject"}
    assert all(MODE not in request.headers for request in proxy.log)


def test_a_range_is_compared_with_no_checksum_of_the_whole_even_if_the_options_ask(proxied):
    root, _ = proxied
    root.server.raw().put_object(**root.name("a"), Body=b"0123456789", ChecksumAlgorithm="SHA256")
    supported = {"config_kwargs": {"response_checksum_validation": "when_supported"}}
    assert root.open(**supported).read("a", 2, 5) == b"234"
    with root.open(**supported).open("a") as reader:
        reader.seek(7)
        assert reader.read() == b"789"


def test_a_checksum_over_parts_that_says_so_nowhere_is_none_of_the_content(proxied):
    root, _ = proxied
    raw, place = root.server.raw(), root.name("a")
    upload = raw.create_multipart_upload(**place, ChecksumAlgorithm="SHA256")["UploadId"]
    part = raw.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"text", ChecksumAlgorithm="SHA256")
    parts = [{"PartNumber": 1, "ETag": part["ETag"], "ChecksumSHA256": part["ChecksumSHA256"]}]
    raw.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    assert raw.head_object(**place, ChecksumMode="ENABLED")["ETag"].endswith('-1"')
    assert root.open().stat("a").checksums == {}
    lake = open_external(f"s3://{root.bucket}", root.options)
    seen = lake.head(place["Key"])
    assert set(seen.held) <= {"sha256-composite"}
    assert lake.read(seen, 0, 4) == b"text"


@pytest.mark.parametrize(("one", "other"), [('"a"', "a"), ('W/"a"', '"a"'), ("a", "a")])
def test_a_tag_is_the_same_with_and_without_quotes(one, other):
    assert same_tag(one, other)
    assert not same_tag(one, '"b"')


# --- definite refusals ------------------------------------------------------------------------------------------------

UNKNOWN = {
    "501": (Refuse(501, "NotImplemented"), "request_checksum_calculation"),
    "header": (Refuse(400, "InvalidArgument", "Unsupported header 'x-amz-checksum-sha256'"), "when_required"),
    "condition": (Refuse(501, "NotImplemented", "If-None-Match is not implemented"), "conditional writes"),
    "encryption": (Refuse(501, "NotImplemented", "x-amz-server-side-encryption"), "Leave the encryption"),
}


@pytest.mark.full
@pytest.mark.parametrize("name", UNKNOWN)
def test_a_request_that_the_server_does_not_know_is_told_at_once_with_the_option(proxied, name, tmp_path):
    root, proxy = proxied
    root.client().register_artifact("a", b"1")
    refusal, option = UNKNOWN[name]
    proxy.add(Rule(refusal, op="PutObject", times=None))
    proxy.reset()
    with pytest.raises(UnsupportedStoreError) as caught:
        root.client().register_artifact("a", b"2")
    assert option in (caught.value.hint or "")
    assert proxy.counts["PutObject"] <= 4, "it is not tried again and again"
    store = Store(root.url, {}, backend=root.open())
    verdicts = {check.name: check.verdict for check in examine(store, FileCache(tmp_path))}
    assert verdicts["conditional-writes-s3fs"] == "failed"


def test_a_definite_400_is_not_called_unknown(proxied):
    root, proxy = proxied
    root.client().register_artifact("a", b"1")
    proxy.add(Rule(Refuse(400, "InvalidRequest"), op="PutObject", key="*_versions/*", times=None))
    with pytest.raises(StorageError, match="InvalidRequest") as caught:
        root.client().register_artifact("a", b"2")
    assert type(caught.value) is StorageError


def test_a_message_says_no_none(engine):
    for error in ({"Code": "AccessDenied", "Message": None}, {"Code": None, "Message": None}, {}):
        told = answered({"Error": error, "ResponseMetadata": {"HTTPStatusCode": 403}})
        assert "None" not in str(told)


def test_a_missing_bucket_is_one_error_whatever_is_asked(moto_server):
    backend = open_backend("s3://there-is-none/ml", moto_server.storage_options)
    lake = open_external("s3://there-is-none", moto_server.storage_options)
    calls = {
        "read": lambda: backend.read("a"),
        "stat": lambda: backend.stat("a"),
        "open": lambda: backend.open("a"),
        "list": lambda: list(backend.list_objects("a/")),
        "create": lambda: backend.create("a", b"1"),
        "look": lambda: lake.head("a"),
        "list_objects": lambda: list(lake.list_objects("a/")),
        "client": lambda: MetaMLFlowClient("s3://there-is-none/m", storage_options=moto_server.storage_options)
        .register_artifact("a", b"x" * (PART_BYTES + 1)),
    }  # fmt: skip
    for name, call in calls.items():
        with pytest.raises(StoreNotFoundError) as caught:
            call()
        assert "bucket" in str(caught.value), name


# --- refused looks ----------------------------------------------------------------------------------------------------

LOOKS = {
    "read": lambda backend, key: backend.read(key),
    "range": lambda backend, key: backend.read(key, 1, 2),
    "stat": lambda backend, key: backend.stat(key),
    "open": lambda backend, key: backend.open(key).read(),
    "fetch": lambda backend, key: backend.fetch(key),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_that_is_refused_for_what_no_listing_shows_finds_nothing(proxied, look):
    """As radosgw answers whoever may list below a prefix alone."""
    root, proxy = proxied
    root.write("there", b"12345")
    backend = root.open()
    proxy.add(Rule(Refuse(403, "AccessDenied"), op="GetObject", times=None))
    proxy.add(Rule(Refuse(403, "AccessDenied"), op="HeadObject", times=None))
    with pytest.raises(ObjectNotFoundError, match="the listing lacks it"):
        LOOKS[look](backend, "ther")
    with pytest.raises(AccessDeniedError):
        LOOKS[look](backend, "there")
    proxy.add(Rule(Refuse(403, "AccessDenied"), op="ListObjects*", times=None))
    with pytest.raises(AccessDeniedError):
        LOOKS[look](backend, "ther")
