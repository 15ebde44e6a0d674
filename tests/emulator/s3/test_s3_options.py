"""What a user may ask for: s3fs's own options, none of them dropped, and what goes along with each request."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable

import fsspec
import pytest

from metamlflow.errors import InvalidInputError, MetaMLFlowError, UnsupportedStoreError
from metamlflow.testing import blob_of
from metamlflow_s3 import open_backend
from metamlflow_s3.engines import ENGINE_VARIABLE
from metamlflow_s3.options import KNOWN
from metamlflow_s3.uploads import PART_BYTES

REFUSED = {
    "unknown": ({"encryption": "yes"}, "encryption"),
    "region": ({"region_name": "eu-central-1"}, "client_kwargs"),
    "role": ({"role_arn": "arn:aws:iam::1:role/x"}, "profile"),
    "asynchronous": ({"asynchronous": True}, "asynchronous"),
    "loop": ({"loop": object()}, "loop"),
    "no-mapping": ({"client_kwargs": "eu-central-1"}, "client_kwargs is a str"),
    "endpoint-without-scheme": ({"endpoint_url": "localhost:9000"}, "http://localhost:9000"),
    "endpoint-twice": ({"endpoint_url": "http://a", "client_kwargs": {"endpoint_url": "http://b"}}, "Give each once"),
    "config-in-client": ({"client_kwargs": {"config": object()}}, "config_kwargs"),
}

URLS = [
    "s3://",
    "s3:///prefix",
    "gs://bucket",
    "s3://user:password@bucket/x",
    "s3:bucket",
    "s3://bu cket/x",
    "s3://b?x=y",
]

LATE = {
    "client": {"client_kwargs": {"no_such_argument": "hush"}},
    "config": {"config_kwargs": {"no_such_setting": "hush"}},
    "both-names": {"key": "a", "username": "b"},
    "addressing": {"config_kwargs": {"s3": {"addressing_style": "sideways"}}},
}


@pytest.mark.parametrize(("options", "named"), REFUSED.values(), ids=list(REFUSED))
def test_an_option_that_would_be_ignored_or_fail_late_is_refused(options, named):
    with pytest.raises(InvalidInputError) as caught:
        open_backend("s3://bucket/prefix", options)
    assert named in str(caught.value)


@pytest.mark.parametrize("options", LATE.values(), ids=list(LATE))
def test_an_option_that_the_client_refuses_is_told_as_one(options):
    with pytest.raises(InvalidInputError) as caught:
        open_backend("s3://bucket/prefix", options).stat("a")
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("url", URLS)
def test_a_url_without_a_bucket_is_refused(url):
    with pytest.raises(InvalidInputError) as caught:
        open_backend(url, {})
    assert "password" not in str(caught.value)


def test_buckets_that_cannot_hold_a_store_are_refused():
    with pytest.raises(UnsupportedStoreError, match="lists its keys in no order"):
        open_backend("s3://name--usw2-az1--x-s3/prefix", {})
    with pytest.raises(InvalidInputError, match="alias"):
        open_backend("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/name/prefix", {})


def test_every_option_of_the_installed_s3fs_is_known():
    from aiobotocore.session import AioSession
    from s3fs import S3FileSystem

    named = {name for kind in (S3FileSystem, AioSession) for name in inspect.signature(kind.__init__).parameters}
    assert named - KNOWN == {"self", "kwargs", "asynchronous", "loop"}
    assert KNOWN - named == {"listings_expiry_time", "max_paths", "skip_instance_cache", "use_listings_cache"}


@pytest.mark.parametrize("url", ["s3://bucket/some/prefix", "s3://bucket/some/prefix/", "s3://bucket//some/prefix"])
def test_slashes_around_the_prefix_do_not_matter(url):
    backend = open_backend(url, {"anon": True})
    assert backend.url == "s3://bucket/some/prefix"
    assert backend.url_of("a/b.json") == "s3://bucket/some/prefix/a/b.json"
    assert backend.max_key_bytes == 1024 - len("some/prefix/")


def test_a_bucket_alone_is_a_root(moto_root):
    backend = open_backend(f"s3://{moto_root.bucket}", moto_root.options)
    backend.create("a", b"1")
    found = moto_root.server.raw().get_object(Bucket=moto_root.bucket, Key="a")["Body"].read()
    assert (backend.url, found) == (f"s3://{moto_root.bucket}", b"1")


def test_a_prefix_may_hold_awkward_characters_and_have_neighbours(root):
    awkward = "a store [1] {x} %20 +é#?&"
    root.write(f"{awkward}.json", b"a neighbour")
    root.write(f"{awkward}!/below.json", b"another")
    backend = open_backend(f"{root.url}/{awkward}", root.options)
    backend.create("a!b/c@1.json", b"1")
    backend.put("blob", blob_of(LARGE))
    assert [info.key for info in backend.list_objects()] == ["a!b/c@1.json", "blob"]
    assert [info.key for info in backend.list_objects(after="a!b/c@1.json")] == ["blob"]
    with fsspec.open(backend.url_of("a!b/c@1.json"), "rb", **root.options) as reader, backend.open("blob") as blob:
        assert (reader.read(), blob.read()) == (b"1", LARGE)
    assert open_backend(backend.url, root.options).delete(["a!b/c@1.json", "blob", "never"]) == []
    assert len(root.keys()) == 2


def test_a_bucket_is_never_created(moto_root):
    name = moto_root.server.fresh_name()
    with pytest.raises(MetaMLFlowError):
        type(moto_root)(moto_root.server, name, "x").client().register_artifact("a", b"1")
    assert name not in [bucket["Name"] for bucket in moto_root.server.raw().list_buckets()["Buckets"]]


@pytest.mark.parametrize("place", ["top-level", "client_kwargs", "profile"])
def test_an_endpoint_is_taken_wherever_s3fs_takes_it(moto_root, place, tmp_path, monkeypatch):
    url = moto_root.server.url
    profile = (
        f"[profile lab]\nregion = us-east-1\nendpoint_url = {url}\naws_access_key_id = a\naws_secret_access_key = b\n"
    )
    (tmp_path / "config").write_text(profile)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    keys = {"key": "test", "secret": "test", "token": "test", "use_ssl": False, "default_block_size": 6 * 2**20}
    options = {
        "top-level": {**keys, "endpoint_url": url},
        "client_kwargs": {**keys, "client_kwargs": {"endpoint_url": url, "region_name": "us-east-1"}},
        "profile": {"profile": "lab"},
    }
    backend = open_backend(moto_root.url, options[place])
    backend.create("a", b"1")
    assert (moto_root.read("a"), backend.filesystem.cat_file(backend.url_of("a"))) == (b"1", b"1")


def test_the_file_system_that_is_handed_on_is_as_its_user_set_it_up(moto_root):
    backend = moto_root.open(default_block_size=6 * 2**20, default_cache_type="none", use_listings_cache=True)
    backend.create("a", b"1")
    handed = backend.filesystem
    assert handed is backend.filesystem
    assert (handed.default_block_size, handed.default_cache_type, handed.retries) == (6 * 2**20, "none", 5)
    assert handed.dircache.use_listings_cache is False, "a listing may never come from a cache"


# --- what goes along --------------------------------------------------------------------------------------------------

LARGE = bytes(PART_BYTES) + b"and a second part"
VERBS: dict[str, Callable] = {
    "PutObject": lambda backend: backend.create("a", b"1"),
    "PutObject of a blob": lambda backend: backend.put("b", blob_of(b"2")),
    "multipart": lambda backend: backend.put("c", blob_of(LARGE)),
    "GetObject": lambda backend: (backend.read("a"), backend.open("a").close()),
    "HeadObject": lambda backend: backend.stat("a"),
    "ListObjectsV2": lambda backend: list(backend.list_objects()),
    "DeleteObjects": lambda backend: backend.delete(["a"]),
}


@pytest.fixture
def by_s3fs(monkeypatch):
    """What goes along is looked at as it leaves the s3fs client; test_s3_engines.py compares the other one with it."""
    monkeypatch.setenv(ENGINE_VARIABLE, "s3fs")


def sent_by(backend, verb) -> dict[str, dict[str, str]]:
    """The headers of each operation's last request, as they leave the client."""
    sent: dict[str, dict[str, str]] = {}

    def note(request, event_name, **_):
        sent[event_name.rpartition(".")[2]] = {k.lower(): _text(v) for k, v in request.headers.items()}

    backend._connection.call("head_bucket")  # which makes the client
    backend._connection.client.meta.events.register("before-send.s3", note)
    VERBS[verb](backend)
    return sent


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@pytest.mark.usefixtures("by_s3fs")
@pytest.mark.parametrize("verb", VERBS)
def test_requester_pays_goes_along_with_every_request(moto_root, verb):
    moto_root.open().create("other" if verb == "PutObject" else "a", b"1")
    sent = sent_by(moto_root.open(requester_pays=True), verb)
    assert sent
    assert {name: headers.get("x-amz-request-payer") for name, headers in sent.items()} == dict.fromkeys(
        sent, "requester"
    )


@pytest.mark.usefixtures("by_s3fs")
def test_encryption_goes_along_with_everything_that_is_written(moto_root):
    key = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    encrypt = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key, "BucketKeyEnabled": True, "Tagging": "team=a"}
    backend = pickle.loads(pickle.dumps(moto_root.open(s3_additional_kwargs=encrypt)))
    writes = {**sent_by(backend, "PutObject"), **sent_by(backend, "multipart")}
    for operation in ("PutObject", "CreateMultipartUpload"):
        headers = writes[operation]
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == key
        assert headers["x-amz-tagging"] == "team=a"
    assert "x-amz-server-side-encryption" not in {**sent_by(backend, "GetObject"), **sent_by(backend, "HeadObject")}
    for name in ("a", "c"):
        assert (moto_root.head(name)["ServerSideEncryption"], moto_root.head(name)["SSEKMSKeyId"]) == ("aws:kms", key)


@pytest.mark.usefixtures("by_s3fs")
def test_a_key_of_the_customer_s_own_goes_along_with_reads_and_writes(moto_root):
    secret = "0123456789abcdef0123456789abcdef"
    own = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": secret}
    backend = moto_root.open(s3_additional_kwargs=own)
    for verb in ("PutObject", "multipart", "GetObject", "HeadObject"):
        for operation, headers in sent_by(backend, verb).items():
            expected = operation not in {"CompleteMultipartUpload", "AbortMultipartUpload"}
            assert not expected or headers["x-amz-server-side-encryption-customer-algorithm"] == "AES256", operation
            assert secret not in str(headers), "in its base64 form only"


@pytest.mark.usefixtures("by_s3fs")
def test_every_write_carries_its_condition_and_a_checksum_of_its_content(moto_root):
    sent = {**sent_by(moto_root.open(), "PutObject"), **sent_by(moto_root.open(), "multipart")}
    assert {name: headers.get("if-none-match") for name, headers in sent.items()} == {
        "PutObject": "*",
        "HeadObject": None,
        "CreateMultipartUpload": None,
        "UploadPart": None,
        "CompleteMultipartUpload": "*",
    }
    assert sent["PutObject"]["x-amz-checksum-sha256"] == "a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s="
    assert sent["CreateMultipartUpload"]["x-amz-checksum-type"] == "FULL_OBJECT"
    assert sent["UploadPart"]["x-amz-checksum-crc32c"]
    assert sent["CompleteMultipartUpload"]["x-amz-checksum-crc32c"]


@pytest.mark.usefixtures("by_s3fs")
def test_small_bodies_are_sent_without_asking_for_leave_first(moto_root):
    """It would cost each record a second round trip."""
    assert "expect" not in sent_by(moto_root.open(), "PutObject")["PutObject"]
    assert "expect" not in sent_by(moto_root.open(), "PutObject of a blob")["PutObject"]


@pytest.mark.usefixtures("by_s3fs")
@pytest.mark.parametrize("where", ["config_kwargs", "environment"])
def test_relaxed_checksums_leave_the_one_that_every_server_knows(moto_root, where, monkeypatch):
    """Servers from before 2025 refuse the newer ones."""
    options = {"config_kwargs": {"request_checksum_calculation": "when_required"}}
    if where == "environment":
        monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        options = {}
    backend = moto_root.open(**options)
    sent = {**sent_by(backend, "PutObject"), **sent_by(backend, "multipart")}
    newer = {"x-amz-checksum-sha256", "x-amz-checksum-crc32c", "x-amz-checksum-crc32", "x-amz-checksum-type"}
    assert [name for name, headers in sent.items() if newer & set(headers)] == []
    assert {name for name, headers in sent.items() if headers.get("content-md5")} == {"PutObject", "UploadPart"}
    assert sent["CompleteMultipartUpload"]["if-none-match"] == "*"
    assert moto_root.read("c") == LARGE
    assert backend.delete(["a", "c"]) == []


@pytest.mark.usefixtures("by_s3fs")
def test_a_deletion_carries_the_checksum_that_every_server_knows(moto_root):
    assert sent_by(moto_root.open(), "DeleteObjects")["DeleteObjects"]["content-md5"]


def test_a_server_without_if_match_is_spared_it(moto_root):
    moto_root.open().create("a", b"0123456789")
    backend = moto_root.open(local_expiry_check=True)
    with backend.open("a") as reader:
        sent = sent_by(backend, "HeadObject")
        reader.seek(5)
        assert reader.read() == b"56789"
    assert "if-match" not in sent["GetObject"]


def test_opening_imports_no_client_and_touches_no_network():
    code = (
        "import os, sys\n"
        "sys.addaudithook(lambda event, _: os._exit(9) if event.startswith('socket.') else None)\n"
        "from metamlflow_s3 import open_backend\n"
        "open_backend('s3://bucket/prefix', {'anon': True})\n"
        "print({'s3fs', 'aiobotocore', 'botocore', 'aiohttp'} & set(sys.modules))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
