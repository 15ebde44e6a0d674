"""Verification of what is only pointed to: each change is named with its status, and the rest is checked too."""

from __future__ import annotations

import pytest
from lakesides import NEW, OLD, SAME_SIZE, Place
from proxy_faults import ACCESS_DENIED, AlterReply, Rule

pytestmark = pytest.mark.emulator

LEVELS = ("stat", "checksum", "full")
# Up to eight files each is looked at; beyond that the listing is.
COUNTS = {"few": 6, "many": 30}
counts = pytest.mark.parametrize("count", COUNTS.values(), ids=list(COUNTS))
CHANGED, MISSING, REPLACED = "03.bin", "01.bin", "05.bin"


def filled(place: Place, count: int) -> list[str]:
    names = [f"{number:02d}.bin" for number in range(count)]
    place.put_many(names, OLD)
    return names


def statuses(report) -> dict[str, str]:
    return {finding.path: finding.status for finding in report.findings}


def change(place: Place) -> None:
    place.put(CHANGED, NEW)
    place.delete(MISSING)
    place.put(REPLACED, SAME_SIZE)


@pytest.mark.full
@counts
def test_every_level_names_what_changed_where_no_version_is_kept(plain_place: Place, tmp_path, count):
    filled(plain_place, count)
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri(), evidence="checksum")
    assert [artifact.verify(level).counts["ok"] for level in LEVELS] == [count] * 3
    change(plain_place)
    for level in LEVELS:
        report = artifact.verify(level)
        assert statuses(report) == {MISSING: "missing", CHANGED: "modified", REPLACED: "modified"}, level
        assert report.counts["ok"] == count - 3, level
        assert not report
        found = {finding.path: finding for finding in report.findings}
        assert {path: finding.key for path, finding in found.items()} == {path: plain_place.uri(path) for path in found}
        assert (found[CHANGED].expected, found[CHANGED].actual) == (f"{len(OLD)} bytes", f"{len(NEW)} bytes")
        assert found[MISSING].actual == "missing"
        assert found[REPLACED].expected != found[REPLACED].actual


@counts
def test_no_level_minds_changes_of_what_is_pinned(versioned_place: Place, tmp_path, count):
    filled(versioned_place, count)
    artifact = versioned_place.client(tmp_path).register_pointer("lake", versioned_place.uri(), evidence="checksum")
    change(versioned_place)
    assert {level: artifact.verify(level).findings for level in LEVELS} == dict.fromkeys(LEVELS, ())


@counts
def test_a_pinned_version_that_is_gone_is_found(new_place, tmp_path, count):
    place = new_place("localstack", versioned=True)
    filled(place, count)
    artifact = place.client(tmp_path).register_pointer("lake", place.uri(), evidence="checksum")
    place.put(REPLACED, SAME_SIZE)
    for name in (REPLACED, MISSING):
        place.raw.delete_object(**place.named(name), VersionId=artifact.entries[name].version)
    for level in LEVELS:
        assert statuses(artifact.verify(level)) == {MISSING: "missing", REPLACED: "modified"}, level


@counts
def test_an_object_that_may_no_longer_be_read_is_unreadable_and_the_others_are_read(
    plain_place: Place, fault_proxy, tmp_path, count
):
    proxy = fault_proxy(plain_place.server)
    filled(plain_place, count)
    artifact = plain_place.client(tmp_path, proxy).register_pointer("lake", plain_place.uri(), evidence="full")
    proxy.add(Rule(ACCESS_DENIED, op=plain_place.words[1], key=f"*{CHANGED}", times=None))
    report = artifact.verify("full")
    assert statuses(report) == {CHANGED: "unreadable"}
    assert report.counts["ok"] == count - 1
    assert report.bytes == (count - 1) * len(OLD)
    assert artifact.verify("stat")


@counts
def test_an_object_that_may_no_longer_be_looked_at_is_unreadable(versioned_place: Place, fault_proxy, tmp_path, count):
    """At this level a listing tells too little on S3, and on GCS all there is."""
    place, proxy = versioned_place, fault_proxy(versioned_place.server)
    filled(place, count)
    artifact = place.client(tmp_path, proxy).register_pointer("lake", place.uri(), evidence="checksum")
    listing_tells = place.scheme == "gs" and count == COUNTS["many"]
    proxy.add(Rule(ACCESS_DENIED, op=place.words[0], key=f"*{CHANGED}", times=None))
    expected = {} if listing_tells else {CHANGED: "unreadable"}
    assert statuses(artifact.verify("checksum")) == expected


def test_where_the_listing_is_refused_each_object_is_looked_at(place: Place, fault_proxy, tmp_path):
    proxy = fault_proxy(place.server)
    names = filled(place, COUNTS["many"])
    artifact = place.client(tmp_path, proxy).register_pointer("lake", place.uri())
    place.put(CHANGED, NEW)
    proxy.add(Rule(ACCESS_DENIED, op="*ist*", times=None))
    expected = {} if place.versioned else {CHANGED: "modified"}
    proxy.reset()
    assert statuses(artifact.verify("stat")) == expected
    assert proxy.counts[place.words[0]] >= len(names)


@pytest.mark.parametrize("level", ["full", "read"])
def test_a_bit_that_turned_over_on_the_way_is_read_again(plain_place: Place, fault_proxy, tmp_path, level):
    proxy = fault_proxy(plain_place.server)
    plain_place.put("data.bin", OLD)
    artifact = plain_place.client(tmp_path, proxy).register_pointer("lake", plain_place.uri("data.bin"))
    proxy.add(Rule(AlterReply(), op=plain_place.words[1]))
    proxy.reset()
    found = artifact.verify("full").findings if level == "full" else artifact.read_bytes()
    assert found == (() if level == "full" else OLD)
    assert proxy.counts[plain_place.words[1]] == 2


def test_evidence_that_has_no_digest_is_unverifiable_at_level_checksum(plain_place: Place, tmp_path):
    filled(plain_place, 3)
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri(), evidence="stat")
    assert set(statuses(artifact.verify("checksum")).values()) == {"unverifiable"}
    assert [bool(artifact.verify(level)) for level in ("stat", "full")] == [True, True]


def test_verify_all_checks_what_is_stored_and_what_is_pointed_to(plain_place: Place, tmp_path):
    filled(plain_place, COUNTS["many"])
    client = plain_place.client(tmp_path)
    client.register_artifact("stored", b"in the store")
    client.register_pointer("tree", plain_place.uri())
    client.register_pointer("one", plain_place.uri(CHANGED))
    assert client.verify_all()
    change(plain_place)
    found = client.verify_all(level="stat")
    assert {report.name: len(report.findings) for report in found.reports} == {"one": 1, "stored": 0, "tree": 3}
    assert found.exit_code == 1


def test_a_bucket_that_is_gone_is_no_reason_to_stop(new_place, quick_pauses, tmp_path):
    gone, kept = new_place("moto"), new_place("moto")
    for place in (gone, kept):
        filled(place, 3)
    client = kept.client(tmp_path)
    for name, place in {"a": gone, "b": kept}.items():
        client.register_pointer(name, place.uri())
    for number in range(3):
        gone.delete(f"{number:02d}.bin")
    gone.raw.delete_bucket(Bucket=gone.bucket)
    for level in ("stat", "full"):
        found = client.verify_all(level=level)
        assert [report.counts["ok"] for report in found.reports] == [0, 3], level
