"""One server, one way to it, one trust: what the three HTTP clients find in the environment never tells them apart."""

from __future__ import annotations

import os

import pytest
from fsspec.config import conf
from proxy_faults import Refuse, Rule

from metamlflow import MetaMLFlowClient
from metamlflow.errors import StorageError
from metamlflow.testing import blob_of
from metamlflow_s3.engines import ENGINE_VARIABLE
from metamlflow_s3.uploads import PART_BYTES

ENGINES = ["auto", "s3fs"]
KEYS = {"key": "test", "secret": "test"}
REGION = {"client_kwargs": {"region_name": "us-east-1"}}
CONTENT = {"small": b"small", "large": b"x" * (PART_BYTES + 1)}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
TRUST = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """None to begin with: whoever runs the tests may have some."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.upper() in PROXIES or name in TRUST:
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def sides(moto_root, fault_proxy):
    """Two addresses, both of which would serve: the one that is meant, and another one."""
    return moto_root, fault_proxy(moto_root.server), fault_proxy(moto_root.server)


def work(url, options, engine, monkeypatch, *, expected="obstore"):
    """Make requests of every client: small and large content, listings, pointers."""
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    client = MetaMLFlowClient(url, storage_options=options, source_options={"s3": options})
    artifact = client.register_artifact("a", dict(CONTENT))
    assert {path: artifact.read_bytes(path) for path in CONTENT} == CONTENT
    assert [found.version for found in client.list_artifacts("a")] == [1]
    pointer = client.register_pointer("p", f"{url}/blobs/")
    assert pointer.version == 1
    used = "s3fs" if client._store.backend._engine.fast is None else "obstore"
    assert used == (expected if engine == "auto" else "s3fs"), client._store.backend._engine.reason
    return client


def of_each_client(proxy) -> None:
    """Large parts went here, so did small objects, listings and what s3fs asks."""
    assert {"PutObject", "UploadPart", "ListObjectsV2", "CompleteMultipartUpload"} <= set(proxy.counts)


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "region"),
    [("AWS_ENDPOINT_URL_S3", REGION), ("AWS_ENDPOINT_URL_S3", {}), ("AWS_ENDPOINT_URL", REGION), ("AWS_ENDPOINT", {})],
    ids=["s3-region", "s3", "all-region", "obstore"],
)
def test_the_endpoint_that_was_given_is_the_only_one_that_is_asked(sides, name, region, engine, monkeypatch):
    root, right, wrong = sides
    monkeypatch.setenv(name, wrong.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    work(root.url, {**KEYS, **region, "endpoint_url": right.url}, engine, monkeypatch)
    of_each_client(right)
    assert wrong.log == []


CALLS = {
    "read": lambda backend: backend.read("there"),
    "fetch": lambda backend: backend.fetch("there", 0, 3),
    "open": lambda backend: backend.open("there"),
    "stat": lambda backend: backend.stat("there"),
    "list": lambda backend: list(backend.list_objects()),
    "create": lambda backend: backend.create("new", b"a secret"),
    "put": lambda backend: backend.put("large", blob_of(CONTENT["large"])),
}


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_is_redirected_to_another_host_is_an_error_and_goes_nowhere(sides, status, engine, monkeypatch):
    root, right, wrong = sides
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    root.write("there", b"content")
    place = wrong.url.replace("127.0.0.1", "localhost")
    right.add(Rule(Refuse(status, "Redirect", headers=(("Location", f"{place}/stolen"),)), times=None))
    for name, call in CALLS.items():
        with pytest.raises(StorageError):
            call(root.through(right).open())
        assert wrong.log == [], name


@pytest.mark.parametrize("engine", ENGINES)
def test_the_endpoint_of_client_kwargs_is_the_only_one_that_is_asked(sides, engine, monkeypatch):
    root, right, wrong = sides
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", wrong.url)
    given = {"client_kwargs": {"region_name": "us-east-1", "endpoint_url": right.url}}
    work(root.url, {**KEYS, **given}, engine, monkeypatch)
    of_each_client(right)
    assert wrong.log == []


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("given", ["variable", "profile", "ignored"])
def test_without_one_all_clients_ask_where_the_aws_tools_would(sides, given, engine, monkeypatch, tmp_path):
    root, right, wrong = sides
    profile = f"[default]\nregion = us-east-1\nendpoint_url = {wrong.url}\nservices = here\n"
    services = f"[services here]\ns3 =\n  endpoint_url = {right.url}\n"
    (tmp_path / "config").write_text(profile + services)
    options = dict(KEYS)
    if given == "variable":
        monkeypatch.setenv("AWS_ENDPOINT_URL", wrong.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", right.url)
    if given == "ignored":
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", wrong.url)
        monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
        options["endpoint_url"] = right.url
    work(root.url, options, engine, monkeypatch)
    of_each_client(right)
    assert wrong.log == []


@pytest.mark.parametrize("engine", ENGINES)
def test_what_fsspec_is_configured_to_add_holds_for_all_clients(sides, engine, monkeypatch):
    root, right, wrong = sides
    encrypted = {"ServerSideEncryption": "AES256"}
    monkeypatch.setitem(conf, "s3", {**KEYS, "endpoint_url": right.url, "s3_additional_kwargs": encrypted})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", wrong.url)
    work(root.url, dict(REGION), engine, monkeypatch)
    of_each_client(right)
    assert wrong.log == []
    begun = [request for request in right.log if request.op in {"PutObject", "CreateMultipartUpload"}]
    assert {request.headers.get("x-amz-server-side-encryption") for request in begun} == {"AES256"}


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("name", "host"), [("HTTP_PROXY", "127.0.0.1"), ("http_proxy", "localhost"), ("ALL_PROXY", "localhost")]
)
def test_whoever_wants_no_proxy_has_none(sides, name, host, engine, monkeypatch):
    root, right, proxy = sides
    monkeypatch.setenv(name, proxy.url)
    address = right.url.replace("127.0.0.1", host)
    options = {**KEYS, **REGION, "endpoint_url": address, "config_kwargs": {"proxies": {}}}
    work(root.url, options, engine, monkeypatch)
    of_each_client(right)
    assert proxy.log == []


@pytest.mark.full
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("region", [REGION], ids=["region"])
@pytest.mark.parametrize(
    ("variables", "proxied"),
    [
        ({"HTTP_PROXY": "proxy"}, True),
        ({"HTTP_PROXY": "proxy", "NO_PROXY": "127.0.0.1"}, False),
        ({"HTTP_PROXY": "proxy", "NO_PROXY": "127.0.0.0/8"}, True),  # as the AWS tools: they know no networks here
        ({"ALL_PROXY": "proxy"}, False),
        ({"HTTPS_PROXY": "proxy"}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_all_clients_take_the_same_way_through_or_past_a_proxy(sides, variables, proxied, region, engine, monkeypatch):
    root, right, proxy = sides
    for name, value in variables.items():
        monkeypatch.setenv(name, proxy.url if value == "proxy" else value)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # The proxy of this test serves what comes to it by itself, so nothing arrives at the right server through it.
    work(root.url, {**KEYS, **region, "endpoint_url": right.url}, engine, monkeypatch)
    of_each_client(proxy if proxied else right)
    assert (right if proxied else proxy).log == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_proxy_that_was_given_goes_before_that_of_the_environment(sides, engine, monkeypatch, fault_proxy):
    root, right, wrong = sides
    given = fault_proxy(root.server)
    monkeypatch.setenv("HTTP_PROXY", wrong.url)
    options = {**KEYS, **REGION, "endpoint_url": right.url, "config_kwargs": {"proxies": {"http": given.url}}}
    work(root.url, options, engine, monkeypatch)
    of_each_client(given)
    assert (right.log, wrong.log) == ([], [])


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_PROXY_URL", "http://127.0.0.1:9"),
        ("AWS_SSE_KMS_KEY_ID", "another"),
        ("AWS_USER_AGENT", "another"),
        ("AWS_HTTP2_ONLY", "true"),
        ("AWS_RANDOMIZE_ADDRESSES", "true"),
        ("AWS_PROXY_EXCLUDES", "127.0.0.1"),
    ],
)
def test_what_obstore_alone_would_read_leaves_all_to_s3fs_and_doctor_names_it(sides, name, value, monkeypatch):
    root, right, _ = sides
    monkeypatch.setenv(name, value)
    client = work(root.url, {**KEYS, **REGION, "endpoint_url": right.url}, "auto", monkeypatch, expected="s3fs")
    (engine,) = [check for check in client._store.backend.examinations("a") if check.name == "engine"]
    assert name in engine.look().found


def test_a_variable_that_obstore_does_not_know_changes_nothing(sides, monkeypatch):
    root, right, _ = sides
    for name in ("AWS_LAMBDA_FUNCTION_NAME", "AWS_EXECUTION_ENV", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "another")
    work(root.url, {**KEYS, **REGION, "endpoint_url": right.url}, "auto", monkeypatch)
    signed = [request.headers for request in right.log if "authorization" in request.headers]
    assert all("Credential=test/" in headers["authorization"] for headers in signed)
    assert all("x-amz-security-token" not in headers for headers in signed)


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE"])
def test_over_tls_all_clients_trust_the_same_authorities(name, monkeypatch, tmp_path):
    """Of these, obstore reads the first two by itself, and s3fs the others: then s3fs makes all requests."""
    from metamlflow_s3 import open_backend

    options = {**KEYS, **REGION, "endpoint_url": "https://127.0.0.1:1"}
    assert open_backend("s3://bucket/a", options)._engine.reason is None
    monkeypatch.setenv(name, str(tmp_path))
    reason = open_backend("s3://bucket/a", options)._engine.reason
    assert name in reason or "CA bundle" in reason
