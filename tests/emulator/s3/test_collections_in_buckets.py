"""Collections in buckets: what is deleted, with which requests, and what a server may do to them."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from proxy_faults import LoseReply, Refuse, Rule

from metamlflow.errors import ConflictError, IntegrityError

sys.path.insert(0, str(Path(__file__).parents[2] / "retain"))
from test_collecting_races import (
    assert_everybody_was_told_the_truth,
    assert_nothing_was_lost,
    race,
    race_of_everybody,
    write_marker,
)

GRACE = 5  # seconds; a deletion is sent only within a 32nd of it, and a machine may be busy for longer than 30 ms


def blob_of(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"blobs/sha256/{digest[:2]}/{digest}"


@pytest.fixture
def aged():
    """Fill a root with a live version and so many pieces of garbage, older than the grace."""

    def fill(root, garbage: int = 3):
        write_marker(root.write, GRACE)
        root.client().register_artifact("a", b"live")
        for number in range(garbage):
            root.write(blob_of(b"%d" % number), b"%d" % number)
        wait_until_old(root)
        return root

    return fill


def wait_until_old(root) -> None:
    """Wait until what was just written is older than the grace by the server's clock."""
    import time

    time.sleep(GRACE + 2.1)


def collected(root, **options):
    return root.client(**options).collect_garbage(unsafe=True)


@pytest.mark.parametrize("options", [{}, {"requester_pays": False, "use_ssl": False}], ids=["fast", "plain"])
def test_garbage_goes_with_one_request_and_what_is_live_stays(root, aged, options):
    aged(root)
    report = collected(root)
    assert (report.deleted, report.freed, report.ok) == (3, 3, True)
    assert root.keys("blobs/") == [blob_of(b"live")]
    assert root.client().get_artifact("a").read_bytes() == b"live"


def test_in_a_versioned_bucket_the_version_that_was_judged_goes_for_good(root, aged):
    root.server.raw().put_bucket_versioning(Bucket=root.bucket, VersioningConfiguration={"Status": "Enabled"})
    aged(root)
    report = collected(root)
    assert report.deleted == 3
    found = root.server.raw().list_object_versions(Bucket=root.bucket, Prefix=f"{root.prefix}/blobs/")
    assert [item["Key"].removeprefix(f"{root.prefix}/") for item in found["Versions"]] == [blob_of(b"live")]
    assert found.get("DeleteMarkers", []) == []
    assert any(note.startswith("versioning: on") for note in report.notes)


@pytest.mark.parametrize("fault", [LoseReply(), Refuse(500, "InternalError")], ids=["lost-reply", "500"])
def test_a_deletion_is_sent_once_whatever_becomes_of_it(proxied, aged, fault):
    root, proxy = proxied
    aged(root)
    proxy.add(Rule(fault, op="DeleteObjects", times=1))
    before = proxy.counts["DeleteObjects"]
    report = collected(root)
    assert proxy.counts["DeleteObjects"] - before == 1
    assert (report.deleted, report.failures, {it.unclear for it in report.failed}) == (0, 3, {True})
    newest = min(root.keys("collections/"))
    assert root.read_json(newest)["unclear"] is True


def test_many_pieces_of_garbage_are_looked_at_by_pages_before_they_are_deleted(proxied, aged):
    root, proxy = proxied
    aged(root, 60)
    before = proxy.counts.copy()
    report = collected(root)
    made = proxy.counts - before
    assert (report.deleted, report.ok, root.keys("blobs/")) == (60, True, [blob_of(b"live")])
    assert (made["DeleteObjects"], made["DeleteObject"]) == (1, 0)
    assert made["HeadObject"] < 12


def test_in_a_versioned_bucket_many_pieces_go_for_good_too(root, aged):
    root.server.raw().put_bucket_versioning(Bucket=root.bucket, VersioningConfiguration={"Status": "Enabled"})
    aged(root, 30)
    assert collected(root).deleted == 30
    found = root.server.raw().list_object_versions(Bucket=root.bucket, Prefix=f"{root.prefix}/blobs/")
    assert [item["Key"].removeprefix(f"{root.prefix}/") for item in found["Versions"]] == [blob_of(b"live")]
    assert found.get("DeleteMarkers", []) == []


def test_a_denied_deletion_of_a_single_key_is_sent_once_too(proxied, aged):
    root, proxy = proxied
    aged(root)
    proxy.add(Rule(Refuse(403, "AccessDenied"), op="DeleteObjects"), Rule(LoseReply(), op="DeleteObject", times=1))
    before = proxy.counts["DeleteObject"]
    report = collected(root)
    assert proxy.counts["DeleteObject"] - before == 3
    assert (report.deleted, report.failures) == (2, 1)


def test_uploads_that_were_begun_before_the_grace_and_left_go_and_younger_ones_stay(faithful_root, aged):
    root = faithful_root  # of moto, all uploads are from 2010
    raw = root.server.raw()
    raw.create_multipart_upload(**root.name(blob_of(b"left")))
    elsewhere = raw.create_multipart_upload(Bucket=root.bucket, Key="not/ours")
    strangers = {"video/raw.mp4", "blobs/other", "blobs/sha256/00/left"}
    for key in strangers:
        raw.create_multipart_upload(**root.name(key))
    aged(root)
    raw.create_multipart_upload(**root.name(blob_of(b"young")))
    report = collected(root)
    assert report.uploads == (blob_of(b"left"),)
    left = {key.removeprefix(f"{root.prefix}/") for key in root.unfinished_uploads()}
    assert left == {blob_of(b"young"), *strangers}
    others = raw.list_multipart_uploads(Bucket=root.bucket)["Uploads"]
    assert elsewhere["UploadId"] in {upload["UploadId"] for upload in others}


def test_another_program_s_upload_below_the_root_of_the_store_stays(moto_root, aged):
    root = moto_root  # where all uploads are from 2010, and listed as they were begun
    raw = root.server.raw()
    for key in sorted(("video/raw.mp4", "blobs/other", blob_of(b"left"))):
        raw.create_multipart_upload(**root.name(key))
    aged(root)
    assert collected(root).uploads == (blob_of(b"left"),)
    left = {key.removeprefix(f"{root.prefix}/") for key in root.unfinished_uploads()}
    assert left == {"video/raw.mp4", "blobs/other"}


def test_a_dry_run_sends_no_request_that_writes(proxied, aged):
    root, proxy = proxied
    aged(root)
    before = proxy.counts.copy()
    plan = root.client().collect_garbage(dry_run=True, unsafe=True)
    assert plan.blobs == 3
    verbs = ("Put", "Delete", "Create", "Complete", "Abort", "Copy", "Upload")
    assert [op for op in proxy.counts - before if op.startswith(verbs)] == []


def test_content_that_is_missing_stops_it_in_a_bucket_as_well(moto_root, aged):
    aged(moto_root)
    moto_root.server.raw().delete_object(**moto_root.name(blob_of(b"live")))
    with pytest.raises(IntegrityError, match="a@1"):
        collected(moto_root)
    assert len(moto_root.keys("blobs/")) == 3


def test_a_version_that_vanished_stops_it_in_a_bucket_and_is_given_up_there(moto_root, aged):
    aged(moto_root)
    moto_root.client().register_artifact("a", b"next")
    moto_root.server.raw().delete_object(**moto_root.name("artifacts/a/_versions/9999999998_v1.json"))
    with pytest.raises(IntegrityError, match="a@1 has neither a manifest"):
        collected(moto_root)
    assert len(moto_root.keys("blobs/")) == 5
    with pytest.raises(ConflictError, match="given up"):
        moto_root.client().erase("a@1", None, lost=True)
    wait_until_old(moto_root)
    moto_root.client().erase("a@1", None, lost=True)
    collected(moto_root)
    assert moto_root.keys("blobs/") == [blob_of(b"next")]


def test_a_collection_under_way_elsewhere_is_waited_for(moto_root, aged):
    aged(moto_root)
    said = {"format": 1, "record_id": "5" * 32, "created_at": "2026-01-01T00:00:00Z", "created_by": "somebody"}
    record = said | {"phase": "begun", "collection": "5" * 32}
    moto_root.write("collections/9999999998.json", json.dumps(record).encode())
    with pytest.raises(ConflictError, match="somebody"):
        collected(moto_root)


def test_a_version_is_erased_in_a_bucket(root, aged):
    aged(root)
    manifest = root.read("artifacts/a/_versions/9999999998_v1.json")
    origin = {"format": 1, "record_id": "5" * 32, "created_at": "2026-01-01T00:00:00Z", "state": "pruned"}
    state = origin | {"manifest_digest": f"sha256:{hashlib.sha256(manifest).hexdigest()}"}
    root.client().annotate("a@1", title="noted")
    root.write("artifacts/a/_versions/9999999998_v1.state-9999999998.json", json.dumps(state).encode())
    wait_until_old(root)
    assert root.client().erase("a@1", "asked for").ok
    left = root.keys("artifacts/")
    assert [key.rpartition("_v1")[2] for key in left] == [".state-9999999998.json", ".tomb.json"]
    wait_until_old(root)
    assert collected(root).deleted >= 1
    assert root.keys("blobs/") == []


@pytest.mark.full
def test_no_live_version_loses_content_to_collectors_in_a_bucket(root):
    write_marker(root.write, 12)
    told = race(root.url, root.options, 50)
    assert assert_nothing_was_lost(root.client(), told) > 0


@pytest.mark.full
@pytest.mark.timeout(300)
def test_everybody_at_once_in_a_bucket_and_nothing_is_lost(root):
    there = replace(root, prefix=f"{root.prefix}-copy")
    for number, store in enumerate((root, there)):
        write_marker(store.write, 8, number)
    told = race_of_everybody(root.url, root.options, 40)
    assert_everybody_was_told_the_truth(root.client(), there.client(), told)
