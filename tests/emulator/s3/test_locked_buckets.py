"""A bucket with Object Lock loses nothing, whatever is called, and a collection says until when."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient

sys.path.insert(0, str(Path(__file__).parents[2] / "retain"))
from test_collecting_races import write_marker

pytestmark = pytest.mark.full
GRACE = 8  # seconds; a deletion is sent within a 32nd part of it, or not at all, and a server under load is slow
STATE = "artifacts/a/_versions/9999999998_v1.state-9999999998.json"
MANIFEST = "artifacts/a/_versions/9999999998_v1.json"


@pytest.fixture
def locked(localstack_server, new_root):
    """Make a root in a bucket with Object Lock: with a default retention in days, or none."""

    def make(days: int | None):
        root = new_root(localstack_server)
        raw = localstack_server.raw()
        bucket = f"{root.bucket}-locked"
        raw.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        if days:
            rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": days}}
            config = {"ObjectLockEnabled": "Enabled", "Rule": rule}
            raw.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=config)
        return type(root)(root.server, bucket, root.prefix)

    return make


def filled(root) -> MetaMLFlowClient:
    """A store with a live version, one that was pruned, and content that nothing names; all older than the grace."""
    write_marker(root.write, GRACE)
    client = root.client()
    client.register_artifact("a", b"pruned")
    client.register_artifact("a", b"live")
    client.annotate("a@1", title="noted")
    origin = {"format": 1, "record_id": "5" * 32, "created_at": "2026-01-01T00:00:00Z", "state": "pruned"}
    digest = f"sha256:{hashlib.sha256(root.read(MANIFEST)).hexdigest()}"
    root.write(STATE, json.dumps(origin | {"manifest_digest": digest}).encode())
    root.write(f"blobs/sha256/00/{'0' * 64}", b"left")
    time.sleep(GRACE + 2.2)  # and two seconds by which a server may round
    return root.client()


def versions(root) -> set[tuple[str, str]]:
    found = root.server.raw().list_object_versions(Bucket=root.bucket, Prefix=root.prefix)
    assert not found.get("DeleteMarkers"), "nor is anything hidden"
    return {(item["Key"], item["VersionId"]) for item in found["Versions"]}


def test_a_default_retention_is_waited_for_and_nothing_is_lost_whatever_is_called(locked):
    root = locked(days=1)
    client = filled(root)
    before = versions(root)
    plan = client.collect_garbage(dry_run=True, unsafe=True)
    assert plan.blobs == 0
    (day,) = plan.waiting
    assert plan.waiting[day] == (2, 10)
    until = datetime.now(UTC) + timedelta(days=1)
    assert day in {f"{until - timedelta(minutes=5):%Y-%m-%d}", f"{until:%Y-%m-%d}"}
    assert any(note.startswith("object-lock: new objects are kept for 1 days") for note in plan.notes)
    assert client.collect_garbage(unsafe=True).deleted == 0
    report = client.erase("a@1", "asked for")
    assert report.failed[0].kind == "manifest"
    assert "is locked until" in report.failed[0].reason
    assert before <= versions(root)


def test_an_object_with_a_lock_of_its_own_is_named_with_its_time_and_the_others_go(locked):
    root = locked(days=None)
    client = filled(root)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    held = root.name(f"blobs/sha256/00/{'0' * 64}")
    root.server.raw().put_object_retention(**held, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until})
    report = client.collect_garbage(unsafe=True)
    assert (report.deleted, report.failures, report.stopped) == (1, 1, None)
    assert f"is locked until {until:%Y-%m-%d %H:%M:%S} UTC" in report.failed[0].reason
    assert root.server.raw().head_object(**held)["ContentLength"] == 4


def test_a_legal_hold_is_named(locked):
    root = locked(days=None)
    client = filled(root)
    held = root.name(f"blobs/sha256/00/{'0' * 64}")
    root.server.raw().put_object_legal_hold(**held, LegalHold={"Status": "ON"})
    report = client.collect_garbage(unsafe=True)
    assert (report.deleted, report.failures) == (1, 1)
    assert "by a legal hold" in report.failed[0].reason
