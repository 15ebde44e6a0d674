"""Two engines, one store: the same bytes, attributes and refusals; and s3fs alone where obstore cannot be told all."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import os
import pickle
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from proxy_faults import ACCESS_DENIED, INTERNAL_ERROR, SLOW_DOWN, AlterReply, LoseReply, Refuse, Rule

from metamlflow import MetaMLFlowClient
from metamlflow.errors import AlreadyExistsError, ObjectNotFoundError, StorageUnavailableError
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.store import Store
from metamlflow_s3 import obstore_engine
from metamlflow_s3.engines import ENGINE_VARIABLE, untranslated
from metamlflow_s3.uploads import PART_BYTES

ENGINES = ["auto", "s3fs"]
CONTENT = {
    "empty": b"",
    "folder/small.csv": b"x,y\n1,2\n",
    "folder/Größe ✓.txt": b"text",
    "in one request.bin": bytes(range(256)) * 4096 * 7,
    "in parts.bin": bytes(range(256)) * 4096 * 9,
}
OF_A_MOMENT = {"ResponseMetadata", "LastModified", "VersionId"}


def counted_ids():
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):032x}"


def engine_of(backend) -> str:
    return "s3fs" if backend._engine.fast is None else "obstore"


def fill(root, engine, monkeypatch) -> None:
    """Do the same in every respect, time and chance included."""
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    clock = Clock(now=lambda: datetime(2026, 1, 2, tzinfo=UTC), new_id=counted_ids(), sleep=lambda _: None)
    backend = root.open()
    client = MetaMLFlowClient._on(Store(root.url, {}, backend=backend, clock=clock))
    client.register_artifact("team/Model", dict(CONTENT), "model", {"accuracy": 0.9})
    client.register_artifact("team/Model", {**CONTENT, "more": b"another"}, "model", idempotency_key="job 1")
    client.set_alias("team/Model", "production", 1)
    assert engine_of(backend) == {"auto": "obstore", "s3fs": "s3fs"}[engine]


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
        {
            "s3_additional_kwargs": {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": "arn:aws:kms:us-east-1:000000000000:key/00000000-0000-0000-0000-000000000000",
                "BucketKeyEnabled": True,
            }
        },
    ],
    ids=["plain", "sse-s3", "sse-kms"],
)
def test_both_engines_leave_the_same_bytes_with_the_same_attributes(request, new_root, extra, monkeypatch):
    # LocalStack looks for the KMS key, which no server here has; moto takes any.
    name = "moto" if "SSEKMSKeyId" in extra.get("s3_additional_kwargs", {}) else "localstack"
    server = request.getfixturevalue(f"{name}_server")
    seen = []
    for engine in ENGINES:
        root = new_root(server, **extra)
        fill(root, engine, monkeypatch)
        keys = root.keys()
        heads = {key: {n: v for n, v in root.head(key).items() if n not in OF_A_MOMENT} for key in keys}
        if name == "moto":  # it forgets checksums that come without a header that only SDKs send
            heads = {key: {n: v for n, v in head.items() if "Checksum" not in n} for key, head in heads.items()}
        seen.append(({key: root.read(key) for key in keys}, heads))
    assert len(seen[0][0]) > 10
    assert seen[0] == seen[1]


def sent(root, proxy, engine, monkeypatch) -> dict[tuple[str, str], list[dict[str, str]]]:
    """The headers that concern the object, of all requests to blobs and manifests."""
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    proxy.reset()
    backend = root.open()
    backend.create("artifacts/a", b"{}")
    backend.read("artifacts/a")
    backend.fetch("artifacts/a")
    list(backend.list_objects("artifacts/"))
    assert engine_of(backend) == {"auto": "obstore", "s3fs": "s3fs"}[engine]
    found: dict[tuple[str, str], list[dict[str, str]]] = {}
    for request in proxy.log:
        told = {
            name: value
            for name, value in request.headers.items()
            if re.match(
                r"x-amz-(server-side|request-payer|storage|tagging|acl|checksum-sha256|meta)|if-none-match", name
            )
        }
        found.setdefault((request.op, request.key), []).append(told)
    return found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"requester_pays": True},
        {"s3_additional_kwargs": {"ServerSideEncryption": "AES256"}},
        {"s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "a-key", "BucketKeyEnabled": True}},
    ],
    ids=["plain", "requester-pays", "sse-s3", "sse-kms"],
)
def test_what_a_user_asked_for_goes_along_with_every_request_of_either_engine(proxied, options, monkeypatch):
    root, proxy = proxied
    root.extra.update(options)
    by_obstore = sent(root, proxy, "auto", monkeypatch)
    told = {name for requests in by_obstore.values() for headers in requests for name in headers}
    assert told >= {"if-none-match", "x-amz-checksum-sha256"}
    assert ("x-amz-request-payer" in told) == ("requester_pays" in options)
    assert ("x-amz-server-side-encryption" in told) == ("s3_additional_kwargs" in options)
    root.server.raw().delete_object(**root.name("artifacts/a"))
    assert by_obstore == sent(root, proxy, "s3fs", monkeypatch)


# --- which engine -----------------------------------------------------------------------------------------------------

UNTRANSLATED = {
    "version_aware": {"version_aware": True},
    "cache_regions": {"cache_regions": True},
    "session_vars": {"session_vars": {}},
    "client_kwargs['verify']": {"client_kwargs": {"verify": False}},
    "client_kwargs['api_version']": {"client_kwargs": {"api_version": "2006-03-01"}},
    "config_kwargs['s3']['use_accelerate_endpoint']": {"config_kwargs": {"s3": {"use_accelerate_endpoint": False}}},
    "config_kwargs['signature_version']": {"config_kwargs": {"signature_version": "s3"}},
    "s3_additional_kwargs['Tagging']": {"s3_additional_kwargs": {"ServerSideEncryption": "AES256", "Tagging": "a=b"}},
    "s3_additional_kwargs['ACL']": {"s3_additional_kwargs": {"ServerSideEncryption": "AES256", "ACL": "private"}},
    "s3_additional_kwargs['SSECustomerKey']": {"s3_additional_kwargs": {"SSECustomerKey": "x" * 32}},
    "without a ServerSideEncryption": {"s3_additional_kwargs": {"SSEKMSKeyId": "a-key"}},
}


@pytest.mark.parametrize("named", UNTRANSLATED)
def test_an_option_that_obstore_cannot_be_told_leaves_everything_to_s3fs(named):
    assert named in untranslated({"key": "a", "secret": "b", **UNTRANSLATED[named]})


def test_s3fs_runs_and_a_log_line_and_doctor_say_so(moto_root, caplog):
    caplog.set_level(logging.INFO, "metamlflow")
    backend = moto_root.open(s3_additional_kwargs={"ServerSideEncryption": "AES256", "Tagging": "team=a"})
    backend.create("a", b"1")
    assert "s3fs makes all requests" in caplog.text
    assert "s3_additional_kwargs['Tagging']" in caplog.text
    raw = moto_root.server.raw().get_object_tagging(**moto_root.name("a"))
    assert raw["TagSet"] == [{"Key": "team", "Value": "a"}]
    (check,) = [check for check in backend.examinations("a") if check.name == "engine"]
    finding = check.look()
    assert finding.verdict == "warning"
    assert "s3_additional_kwargs['Tagging']" in finding.found


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        (ENGINE_VARIABLE, "s3fs", "is s3fs"),
        (ENGINE_VARIABLE, "rust", "neither auto nor s3fs"),
        ("AWS_SERVER_SIDE_ENCRYPTION", "aws:kms", "AWS_SERVER_SIDE_ENCRYPTION"),
        ("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required", "when_required"),
        ("AWS_PROXY_URL", "http://127.0.0.1:1", "AWS_PROXY_URL"),
    ],
)
def test_the_environment_may_leave_everything_to_s3fs(moto_root, variable, value, named, monkeypatch):
    monkeypatch.setenv(variable, value)
    backend = moto_root.open()
    backend.create("a", b"1")
    assert engine_of(backend) == "s3fs"
    assert named in backend._engine.reason


@pytest.mark.parametrize("value", ["true", "false"])
def test_what_obstore_would_take_from_the_environment_by_itself_is_overruled(moto_root, value, monkeypatch):
    for variable in (
        "AWS_SKIP_SIGNATURE",
        "AWS_UNSIGNED_PAYLOAD",
        "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
        "AWS_S3_EXPRESS",
    ):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_CHECKSUM_ALGORITHM", "CRC64NVME")
    monkeypatch.setenv("AWS_BUCKET", "another")
    backend = moto_root.open()
    backend.create("a", b"1")
    assert (engine_of(backend), backend._engine.fast._in_a_row, moto_root.read("a")) == ("obstore", 0, b"1")


def test_an_anonymous_reader_signs_nothing(proxied):
    root, proxy = proxied
    root.server.raw().put_object(**root.name("a"), Body=b"1", ACL="public-read")
    proxy.reset()
    backend = root.open(key=None, secret=None, anon=True)
    assert backend.fetch("a") == b"1"
    assert engine_of(backend) == "obstore"
    assert [request.headers.get("authorization") for request in proxy.log] == [None]


# --- credentials ------------------------------------------------------------------------------------------------------


def test_credentials_that_expire_are_taken_anew_from_the_session(proxied, monkeypatch, tmp_path):
    """As a role's are: the session renews them, and both engines sign with what it has now."""
    root, proxy = proxied
    script = tmp_path / "give"
    script.write_text(
        "#!/bin/sh\n"
        f"n=$(cat {tmp_path}/n 2>/dev/null || echo 0); n=$((n+1)); echo $n > {tmp_path}/n\n"
        'echo "{\\"Version\\": 1, \\"AccessKeyId\\": \\"KEY$n\\", \\"SecretAccessKey\\": \\"s\\", \\"SessionToken\\": '
        f'\\"t\\", \\"Expiration\\": \\"{(datetime.now(UTC) + timedelta(seconds=2)).isoformat()}\\"}}"\n'
    )
    script.chmod(0o755)
    (tmp_path / "config").write_text(f"[profile role]\nregion = us-east-1\ncredential_process = {script}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr(obstore_engine, "_ASKED_AGAIN", timedelta(seconds=1))
    root.write("a", b"1")
    backend = root.open(key=None, secret=None, profile="role", client_kwargs={})
    proxy.reset()
    for _ in range(3):
        assert backend.fetch("a") == b"1"
        time.sleep(0.15)  # within a tenth of a second obstore asks nobody twice
    assert engine_of(backend) == "obstore"
    keys = [re.search(r"Credential=(\w+)/", request.headers["authorization"])[1] for request in proxy.log]
    assert len(set(keys)) > 1, "they were renewed"
    assert all(request.headers["x-amz-security-token"] == "t" for request in proxy.log)


# --- answers that are not plain ---------------------------------------------------------------------------------------


def test_a_conflict_that_passes_is_not_taken_for_an_object_that_exists(proxied, impatient):
    root, proxy = proxied
    proxy.add(Rule(Refuse(409, "ConditionalRequestConflict"), op="PutObject"))
    root.open().create("a", b"1")
    assert (root.read("a"), proxy.counts["PutObject"]) == (b"1", 2)


def test_a_creation_with_an_unknown_outcome_is_not_repeated_by_the_other_engine(proxied, impatient):
    root, proxy = proxied
    backend = root.open()
    proxy.add(Rule(LoseReply(), op="PutObject"))
    with pytest.raises(StorageUnavailableError):
        backend.create("a", b"1")
    assert (root.read("a"), proxy.counts["PutObject"]) == (b"1", 1)
    with pytest.raises(AlreadyExistsError):
        backend.create("a", b"1")


@pytest.mark.parametrize("fault", [SLOW_DOWN, INTERNAL_ERROR, LoseReply()], ids=["503", "500", "lost"])
def test_what_passes_is_done_by_the_other_engine(proxied, impatient, fault):
    root, proxy = proxied
    root.write("a", b"1")
    root.write("folder/b", b"2")
    backend = root.open()
    for op in ("GetObject", "ListObjectsV2"):
        proxy.add(Rule(fault, op=op))
    assert bytes(backend.fetch("a")) == b"1"
    assert [info.key for info in backend.list_objects("folder/")] == ["folder/b"]
    assert engine_of(backend) == "obstore"
    with pytest.raises(ObjectNotFoundError, match=r"s3://.*/nothing"):
        backend.fetch("nothing")


def test_an_engine_that_fails_again_and_again_is_given_up(proxied, impatient):
    """A defect of it, or a server that only s3fs gets on with, costs three requests."""
    root, proxy = proxied
    root.write("a", b"1")
    backend = root.open()
    proxy.add(
        Rule(
            ACCESS_DENIED,
            op="GetObject",
            when=lambda r: "aiobotocore" not in r.headers["user-agent"].lower(),
            times=None,
        )
    )
    assert [bytes(backend.fetch("a")) for _ in range(5)] == [b"1"] * 5
    assert proxy.counts["GetObject"] == 3 + 5
    assert engine_of(backend) == "s3fs"
    assert "403" in backend._engine.reason


def test_a_folder_with_a_key_that_obstore_cannot_name_is_listed_in_full(moto_root):
    for key in ("f/a", "f/b//c", "f/d", "f/../e"):
        moto_root.write(key, b"1")
    assert [info.key for info in moto_root.open().list_objects("f/")] == ["f/../e", "f/a", "f/b//c", "f/d"]


def test_a_record_that_was_damaged_on_its_way_is_not_handed_out(faithful_root, fault_proxy):
    faithful_root.open().create("record", b'{"a": "plain text"}')
    proxy = fault_proxy(faithful_root.server)
    backend = faithful_root.through(proxy).open()
    proxy.add(Rule(AlterReply(), op="GetObject"))
    assert backend.read("record") == b'{"a": "plain text"}'
    assert proxy.counts["GetObject"] == 2


def test_an_etag_that_looks_like_an_md5_and_is_none_makes_s3fs_read_the_records(proxied, monkeypatch):
    """As KMS's are. No server here has such tags, so the engine is made to tell one."""
    root, proxy = proxied
    backend = root.open()
    backend.create("record", b"text")
    monkeypatch.setattr(backend._engine.fast, "read_whole", lambda *_: (b"text", f'"{"0" * 32}"', None))
    assert [backend.read("record") for _ in range(3)] == [b"text"] * 3
    assert {"aiobotocore" in r.headers["user-agent"].lower() for r in proxy.log if r.op == "GetObject"} == {True}
    assert proxy.counts["GetObject"] == 3


def test_an_etag_that_is_no_digest_at_all_costs_no_second_request(proxied):
    root, proxy = proxied
    raw, place = root.server.raw(), root.name("record")
    upload = raw.create_multipart_upload(**place)["UploadId"]
    part = raw.upload_part(**place, UploadId=upload, PartNumber=1, Body=b"text")
    raw.complete_multipart_upload(
        **place, UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    proxy.reset()
    assert root.open().read("record") == b"text"
    assert proxy.counts == {"GetObject": 1}


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_process_that_forks_after_use_works_in_parent_and_child(moto_root, engine, monkeypatch):
    monkeypatch.setenv(ENGINE_VARIABLE, engine)
    client = MetaMLFlowClient(moto_root.url, storage_options=moto_root.options)
    client.register_artifact("a", b"1")
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child():
        artifact = client.register_artifact("a", b"in the child")
        theirs.send((artifact.version, client.get_artifact("a").read_bytes(), engine_of(client._store.backend)))

    process = context.Process(target=child)
    process.start()
    assert client.register_artifact("b", b"in the parent meanwhile").version == 1
    assert ours.poll(60), "the child hangs"
    assert ours.recv() == (2, b"in the child", "s3fs")
    process.join(30)
    assert process.exitcode == 0
    assert client.get_artifact("a").read_bytes() == b"in the child"
    assert engine_of(client._store.backend) == {"auto": "obstore", "s3fs": "s3fs"}[engine]


def test_a_backend_is_sent_to_a_process_that_is_started_anew_with_its_engine(moto_root):
    backend = pickle.loads(pickle.dumps(moto_root.open()))
    backend.create("a", b"1")
    assert engine_of(backend) == "obstore"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_read_elsewhere, (backend,)) == (b"1", "obstore", True)


def _read_elsewhere(backend) -> tuple[bytes, str, bool]:
    return bytes(backend.fetch("a")), engine_of(backend), os.getpid() != os.getppid()


def test_large_content_takes_the_same_way_with_either_engine(proxied, monkeypatch):
    root, proxy = proxied
    from test_s3_transfers import blob_of

    asked = []
    for engine in ENGINES:
        monkeypatch.setenv(ENGINE_VARIABLE, engine)
        proxy.reset()
        assert root.open().put(f"large-{engine}", blob_of(bytes(PART_BYTES + 1)))
        asked.append(dict(proxy.counts))
    assert asked[0] == asked[1]
    assert asked[0]["UploadPart"] == 2
