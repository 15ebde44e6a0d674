"""The doctor finds what is wrong with a bucket, says what to do, and changes nothing."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from proxy_faults import ACCESS_DENIED, Refuse, Rule, SkewDate, StripConditions

import metamlflow_gcs
import metamlflow_s3
from metamlflow import MetaMLFlowClient
from metamlflow.cli.entry import run
from metamlflow.store.cache.file_cache import FileCache
from metamlflow.store.catalog.store import Store
from metamlflow.store.doctor import Check, examine
from metamlflow_s3.uploads import PART_BYTES

PREFIX = "some/team"


class Place:
    """A prefix in a fresh bucket of a server."""

    def __init__(self, server: Any, cache: Any, **bucket: Any) -> None:
        self.server, self.cache = server, FileCache(cache)
        self.bucket = server.new_bucket(**bucket)
        self.scheme, self.module = ("gs", metamlflow_gcs) if server.name == "gcs" else ("s3", metamlflow_s3)
        self.url = f"{self.scheme}://{self.bucket}/{PREFIX}"

    def store(self, server: Any = None, **options: Any) -> Store:
        given = {**(server or self.server).storage_options, **options}
        return Store(self.url, {}, backend=self.module.open_backend(self.url, given))

    def filled(self) -> Place:
        MetaMLFlowClient._on(self.store()).register_artifact("x", b"content")
        return self

    def checks(self, server: Any = None, **options: Any) -> dict[str, Check]:
        made = list(examine(self.store(server, **options), self.cache))
        found = {check.name: check for check in made}
        assert len(found) == len(made)
        return found

    def etags(self) -> dict[str, Any]:
        listed = self.server.raw().list_objects_v2(Bucket=self.bucket).get("Contents", ())
        return {item["Key"]: (item["ETag"], item["LastModified"]) for item in listed}


@pytest.fixture
def moto(moto_server, tmp_path) -> Place:
    return Place(moto_server, tmp_path)


@pytest.fixture
def gcs(gcs_server, tmp_path) -> Place:
    return Place(gcs_server, tmp_path)


def bad(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.verdict for name, check in checks.items() if check.verdict not in {"ok", "unknown"}}


# --- any bucket -------------------------------------------------------------------------------------------------------


def test_a_good_store_on_s3_passes_every_check_and_is_left_as_it_was(s3_server, tmp_path):
    place = Place(s3_server, tmp_path).filled()
    before = place.etags()
    checks = place.checks()
    assert bad(checks) == {}
    assert checks["conditional-writes-s3fs"].verdict == "ok"
    assert checks["permissions"].found.startswith("get: yes, list: yes, put: yes")
    assert place.etags() == before


def test_a_good_store_on_gcs_passes_every_check_but_for_its_access_lists(gcs):
    checks = gcs.filled().checks()
    assert bad(checks) == {"uniform-access": "warning"}
    assert checks["conditional-writes-json-api"].verdict == "ok"
    assert checks["bucket"].found == "it exists, in US-CENTRAL1 (region), storage class STANDARD"


@pytest.mark.parametrize("kind", ["moto", "gcs"])
def test_where_there_is_no_store_none_is_made(request, kind, fault_proxy):
    place = request.getfixturevalue(kind)
    proxy = fault_proxy(place.server)
    checks = place.checks(place.server.through(proxy.url))
    assert checks["store"].verdict == "warning"
    assert checks["listing"].verdict == "ok"
    assert {check.verdict for name, check in checks.items() if name.startswith("conditional")} == {"unknown"}
    assert set(proxy.methods) <= {"GET", "HEAD", "POST"}  # STS is asked by a POST
    assert "objects.insert" not in proxy.counts


def test_the_probe_writes_the_marker_conditionally_and_nothing_else_is_written(moto, fault_proxy):
    proxy = fault_proxy(moto.filled().server)
    moto.checks(moto.server.through(proxy.url))
    writes = [entry for entry in proxy.log if entry.method in {"PUT", "DELETE"}]
    assert [(entry.op, entry.key, entry.status) for entry in writes] == [
        ("PutObject", f"{PREFIX}/metamlflow.json", 412)
    ] * 2, "by each engine"


@pytest.mark.parametrize(("kind", "write"), [("moto", "PutObject"), ("gcs", "objects.insert")])
def test_a_storage_that_ignores_conditions_fails_and_the_marker_stays_the_same(request, kind, write, fault_proxy):
    place = request.getfixturevalue(kind).filled()
    proxy = fault_proxy(place.server)
    proxy.add(Rule(StripConditions(), op=write, times=None))
    marker = place.store().backend.read("metamlflow.json")
    probes = [c for n, c in place.checks(place.server.through(proxy.url)).items() if n.startswith("conditional")]
    assert [probe.verdict for probe in probes] == ["failed"] * (2 if kind == "moto" else 1)
    assert all(probe.remedy for probe in probes)
    assert place.store().backend.read("metamlflow.json") == marker


@pytest.mark.parametrize(("kind", "write"), [("moto", "PutObject"), ("gcs", "objects.insert")])
def test_a_reader_is_told_that_it_is_one(request, kind, write, fault_proxy):
    place = request.getfixturevalue(kind).filled()
    proxy = fault_proxy(place.server)
    proxy.add(Rule(ACCESS_DENIED, op=write, times=None))
    checks = place.checks(place.server.through(proxy.url))
    assert checks["permissions"].verdict == "warning"
    assert "put: no" in checks["permissions"].found
    assert "failed" not in bad(checks).values()


@pytest.mark.parametrize(("kind", "read"), [("moto", "GetObject"), ("gcs", "objects.media")])
def test_checks_go_on_after_one_that_fails(request, kind, read, fault_proxy):
    place = request.getfixturevalue(kind).filled()
    proxy = fault_proxy(place.server)
    proxy.add(Rule(ACCESS_DENIED, op=read, times=None))
    checks = place.checks(place.server.through(proxy.url))
    assert (checks["store"].verdict, checks["permissions"].verdict) == ("failed", "failed")
    assert "get: no, list: yes" in checks["permissions"].found
    assert checks["bucket"].verdict == checks["lifecycle"].verdict == "ok"


@pytest.mark.parametrize("kind", ["moto", "gcs"])
def test_a_bucket_that_does_not_exist_is_a_failure(request, kind):
    place = request.getfixturevalue(kind)
    place.url = f"{place.scheme}://no-{place.bucket}/x"
    checks = place.checks()
    assert (checks["store"].verdict, checks["bucket"].verdict) == ("failed", "failed")
    assert "does not exist" in checks["bucket"].found


@pytest.mark.full
@pytest.mark.parametrize("kind", ["moto", "gcs"])
def test_an_endpoint_that_nobody_serves_ends_it_soon(request, kind):
    place = request.getfixturevalue(kind)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        begun = time.monotonic()
        checks = place.checks(place.server.through(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert bad(checks) == {"store": "failed"}
    assert checks["bucket"].found == "not asked, since the storage does not answer"
    assert time.monotonic() - begun < 20


SKEWS = {"ahead": (-1200, "failed"), "behind": (1200, "failed"), "a-little": (120, "warning"), "hardly": (20, "ok")}


@pytest.mark.parametrize(("kind", "op"), [("moto", "HeadBucket"), ("gcs", "objects.list")])
@pytest.mark.parametrize(("seconds", "verdict"), SKEWS.values(), ids=SKEWS)
def test_a_wrong_clock_is_found(request, kind, op, seconds, verdict, fault_proxy):
    place = request.getfixturevalue(kind)
    proxy = fault_proxy(place.server)
    proxy.add(Rule(SkewDate(seconds), op=op, times=None))
    assert place.checks(place.server.through(proxy.url))["clock"].verdict == verdict


# --- S3 ---------------------------------------------------------------------------------------------------------------


def test_the_clock_is_read_from_a_refusal_too(moto, fault_proxy):
    proxy = fault_proxy(moto.server)
    now = datetime.now(UTC) - timedelta(hours=1)
    refusal = Refuse(403, "AccessDenied", headers=(("Date", f"{now:%a, %d %b %Y %H:%M:%S} GMT"),))
    proxy.add(Rule(refusal, op="HeadBucket", times=None))
    assert moto.checks(moto.server.through(proxy.url))["clock"].verdict == "failed"


def test_whose_the_credentials_are_is_asked_where_they_are_used(moto):
    found = moto.checks()["credentials"].found
    assert found.startswith("arn:aws:sts::123456789012:")
    assert found.endswith("credentials from the storage options")


def test_a_server_without_sts_leaves_it_unknown_whose_they_are(localstack_server, tmp_path):
    credentials = Place(localstack_server, tmp_path).checks()["credentials"]
    assert credentials.verdict == "unknown"


def test_missing_credentials_are_a_failure(moto, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    checks = moto.checks(key=None, secret=None)
    assert checks["credentials"].verdict == checks["store"].verdict == "failed"


def test_no_credentials_are_needed_where_none_are_wanted(moto):
    assert moto.checks(key=None, secret=None, anon=True)["credentials"].verdict == "ok"


def test_another_region_is_told_with_what_to_set(moto):
    bucket = moto.checks(client_kwargs={"region_name": "eu-central-1"})["bucket"]
    assert bucket.verdict == "warning"
    assert "'region_name': 'us-east-1'" in bucket.remedy


def test_relaxed_checksums_are_told(moto):
    relaxed = {"request_checksum_calculation": "when_required"}
    assert moto.checks(config_kwargs=relaxed)["checksums"].verdict == "warning"


def test_old_versions_that_nobody_removes_are_told(moto_server, tmp_path):
    place = Place(moto_server, tmp_path, versioned=True)
    assert place.checks()["versioning"].verdict == "warning"
    put_rule(place, NoncurrentVersionExpiration={"NoncurrentDays": 30})
    assert bad(place.checks()) == {"store": "warning"}


def test_a_default_retention_blocks_collecting(moto):
    name = moto.server.fresh_name()
    moto.server.raw().create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    moto.url = f"s3://{name}/x"
    assert moto.checks()["object-lock"].verdict == "ok"
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 3}}
    locked = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    moto.server.raw().put_object_lock_configuration(Bucket=name, ObjectLockConfiguration=locked)
    lock = moto.checks()["object-lock"]
    assert (lock.verdict, lock.found) == ("warning", "new objects are kept for 3 days (GOVERNANCE)")


def put_rule(place: Place, **rule: Any) -> None:
    whole = {"ID": "tidy", "Status": "Enabled", "Filter": {"Prefix": ""}} | rule
    place.server.raw().put_bucket_lifecycle_configuration(
        Bucket=place.bucket, LifecycleConfiguration={"Rules": [whole]}
    )


GONE = {"Expiration": {"Days": 30}}
RULES = {
    "expires-all": (GONE, "failed"),
    "expires-on-a-day": ({"Expiration": {"Date": datetime(2040, 1, 1, tzinfo=UTC)}}, "failed"),
    "expires-below-us": (GONE | {"Filter": {"Prefix": f"{PREFIX}/blobs/"}}, "failed"),
    "expires-above-us": (GONE | {"Filter": {"Prefix": "some/"}}, "failed"),
    "archives": ({"Transitions": [{"Days": 30, "StorageClass": "DEEP_ARCHIVE"}]}, "failed"),
    "moves-to-a-cheaper-class": ({"Transitions": [{"Days": 30, "StorageClass": "STANDARD_IA"}]}, "ok"),
    "elsewhere": (GONE | {"Filter": {"Prefix": "other/"}}, "ok"),
    "a-neighbour": (GONE | {"Filter": {"Prefix": f"{PREFIX}2"}}, "ok"),
    "tagged-objects": (GONE | {"Filter": {"Tag": {"Key": "a", "Value": "b"}}}, "ok"),
    "switched-off": (GONE | {"Status": "Disabled"}, "ok"),
    "delete-markers": ({"Expiration": {"ExpiredObjectDeleteMarker": True}}, "ok"),
    "uploads": ({"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}}, "ok"),
}


@pytest.mark.full
@pytest.mark.parametrize(("rule", "verdict"), RULES.values(), ids=RULES)
def test_lifecycle_rules_that_would_take_objects_away_fail(moto, rule, verdict):
    put_rule(moto, **rule)
    assert moto.checks()["lifecycle"].verdict == verdict


def test_unfinished_uploads_of_today_may_be_under_way(localstack_server, tmp_path):
    place = Place(localstack_server, tmp_path)
    place.server.raw().create_multipart_upload(Bucket=place.bucket, Key=f"{PREFIX}/blobs/a")
    uploads = place.checks()["unfinished-uploads"]
    assert (uploads.verdict, uploads.found) == ("ok", "1 unfinished, 0 of them begun more than a day ago")


def test_old_unfinished_uploads_are_told_with_the_command_that_ends_them(moto):
    """moto dates every upload to 2010."""
    raw = moto.server.raw()
    upload = raw.create_multipart_upload(Bucket=moto.bucket, Key=f"{PREFIX}/blobs/a b")["UploadId"]
    raw.create_multipart_upload(Bucket=moto.bucket, Key="elsewhere")
    check = moto.checks()["unfinished-uploads"]
    assert check.verdict == "warning"
    assert check.found.startswith("1 unfinished, 1 of them")
    assert f"--key '{PREFIX}/blobs/a b' --upload-id {upload} --endpoint-url" in check.remedy


def test_settings_that_may_not_be_seen_are_unknown(moto, fault_proxy):
    proxy = fault_proxy(moto.filled().server)
    proxy.add(*(Rule(ACCESS_DENIED, op=op, times=None) for op in ("GetBucket*", "ListMultipartUploads")))
    checks = moto.checks(moto.server.through(proxy.url))
    unknown = {name for name, check in checks.items() if check.verdict == "unknown"}
    assert unknown == {"versioning", "object-lock", "lifecycle", "unfinished-uploads", "encryption"}


def test_the_command_ends_with_1_if_a_check_failed(moto, monkeypatch, capsys):
    options = moto.server.storage_options | {"secret": "hush-hush"}
    monkeypatch.setenv("METAMLFLOW_STORAGE_OPTIONS", json.dumps(options))
    assert run(["doctor", "--store", moto.filled().url]) == 0
    put_rule(moto, **GONE)
    capsys.readouterr()
    assert run(["doctor", "--store", moto.url, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert [check["name"] for check in document["checks"] if check["verdict"] == "failed"] == ["lifecycle"]
    assert "hush-hush" not in json.dumps(document)


def test_every_write_meets_the_condition_that_the_policy_for_writers_demands(moto, fault_proxy):
    proxy = fault_proxy(moto.server)
    client = MetaMLFlowClient._on(moto.store(moto.server.through(proxy.url)))
    client.register_artifact("x", {"small": b"1", "large": bytes(PART_BYTES + 1)})
    creating = [entry for entry in proxy.log if entry.op in {"PutObject", "CompleteMultipartUpload"}]
    assert {entry.op for entry in creating} == {"PutObject", "CompleteMultipartUpload"}
    assert {entry.headers.get("if-none-match") for entry in creating} == {"*"}
    others = {entry.op for entry in proxy.log if entry.method in {"PUT", "POST", "DELETE"}}
    assert others - {"PutObject", "CompleteMultipartUpload"} == {"CreateMultipartUpload", "UploadPart"}


# --- GCS --------------------------------------------------------------------------------------------------------------


def rule_of(action: str, **condition: Any) -> dict[str, Any]:
    return {"lifecycle": {"rule": [{"action": {"type": action}, "condition": condition}]}}


# As the API documents them; the emulator keeps few of them.
SETTINGS = {
    "expires-all": (rule_of("Delete", age=30), "lifecycle", "failed"),
    "expires-above-us": (rule_of("Delete", age=30, matchesPrefix=["a/", "some/"]), "lifecycle", "failed"),
    "elsewhere": (rule_of("Delete", age=30, matchesPrefix=["other/"]), "lifecycle", "ok"),
    "old-versions": (rule_of("Delete", numNewerVersions=3), "lifecycle", "ok"),
    "uploads": (rule_of("AbortIncompleteMultipartUpload", age=1), "lifecycle", "ok"),
    "versions": ({"versioning": {"enabled": True}}, "versioning", "warning"),
    "versions-that-expire": (
        {"versioning": {"enabled": True}, **rule_of("Delete", daysSinceNoncurrentTime=9)},
        "versioning",
        "ok",
    ),
    "versions-that-expire-elsewhere": (
        {"versioning": {"enabled": True}, **rule_of("Delete", isLive=False, matchesPrefix=["other/"])},
        "versioning",
        "warning",
    ),
    "retention": ({"retentionPolicy": {"retentionPeriod": "86400", "isLocked": True}}, "retention", "warning"),
    "holds": ({"defaultEventBasedHold": True}, "retention", "warning"),
    "soft-delete": ({"softDeletePolicy": {"retentionDurationSeconds": "604800"}}, "soft-delete", "ok"),
    "uniform": ({"iamConfiguration": {"uniformBucketLevelAccess": {"enabled": True}}}, "uniform-access", "ok"),
}


@pytest.mark.parametrize(("settings", "name", "verdict"), SETTINGS.values(), ids=SETTINGS)
def test_settings_of_a_gcs_bucket(gcs, fault_proxy, settings, name, verdict):
    proxy = fault_proxy(gcs.server)
    proxy.add(Rule(Refuse(200, body=json.dumps(settings).encode()), op="buckets.get", times=None))
    assert gcs.checks(gcs.server.through(proxy.url))[name].verdict == verdict
    assert proxy.counts["buckets.get"] == 1


def test_settings_of_a_gcs_bucket_that_may_not_be_seen_are_unknown_and_asked_for_once(gcs, fault_proxy):
    proxy = fault_proxy(gcs.filled().server)
    proxy.add(Rule(ACCESS_DENIED, op="buckets.get", times=None))
    checks = gcs.checks(gcs.server.through(proxy.url))
    assert {checks[name].verdict for name in ("bucket", "versioning", "lifecycle", "encryption")} == {"unknown"}
    assert bad(checks) == {}
    assert proxy.counts["buckets.get"] == 1


HELD = {
    "all": (("get", "list", "create", "delete"), "ok"),
    "no-delete": (("get", "list", "create"), "ok"),
    "read": (("get", "list"), "warning"),
}


@pytest.mark.parametrize(("held", "verdict"), HELD.values(), ids=HELD)
def test_permissions_on_gcs_are_asked_for(gcs, fault_proxy, held, verdict):
    proxy = fault_proxy(gcs.server)
    answer = {"permissions": [f"storage.objects.{name}" for name in held]}
    proxy.add(Rule(Refuse(200, body=json.dumps(answer).encode()), op="iam.get", times=None))
    assert gcs.checks(gcs.server.through(proxy.url))["iam-permissions"].verdict == verdict
