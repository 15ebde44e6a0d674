"""A listing is whole and in order, or an error: whatever a server says about where it goes on."""

from __future__ import annotations

import time

import pytest
from listing_server import ListingServer

from metamlflow.errors import AccessDeniedError, ObjectNotFoundError, StorageError
from metamlflow_s3 import obstore_engine, open_backend
from metamlflow_s3.engines import ENGINE_VARIABLE
from metamlflow_s3.external import open_external

# In the middle of a page and at its end: what clients and servers encode, and do not.
NAMES = [f"p/{name}{number:02}" for name in ("a%3A", "b+", "c d", "e:", "ü", "%2B%20") for number in range(7)]
SAFE = [f"p/{number:03}" for number in range(42)]
WAYS = ["store-obstore", "store-s3fs", "lake-versions", "lake-objects"]


def listed(server, way, monkeypatch, *, after="") -> list[str]:
    monkeypatch.setenv(ENGINE_VARIABLE, "s3fs" if way == "store-s3fs" else "auto")
    if way.startswith("store"):
        backend = open_backend("s3://bucket", server.options)
        return [info.key for info in backend.list_objects("p/", after=after)]
    lake = open_external("s3://bucket", server.options)
    if way == "lake-objects":
        refused = AccessDeniedError("no")
        return [seen.name for seen in lake._plain_listing("p/", after, refused, none_kept=False)]
    return [seen.name for seen in lake.list_objects("p/", after=after)]


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("defect", ["", "raw-marker", "no-marker"])
def test_a_listing_goes_on_from_the_last_key_whatever_the_server_says(way, defect, monkeypatch):
    # obstore takes a page of less than 1,000 that says nothing more for the last one, and shows nothing of it.
    names, page = NAMES, 10
    if (way, defect) == ("store-obstore", "no-marker"):
        names, page = [f"{name}.{number:03}" for name in NAMES for number in range(50)], 1000
    with ListingServer(names, defect, page) as server:
        assert listed(server, way, monkeypatch) == sorted(names)
        assert listed(server, way, monkeypatch, after=sorted(names)[8]) == sorted(names)[9:]


@pytest.mark.full
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "defect",
    [
        "ignores-where-to-go-on",
        "begins-with-the-last-key-again",
        "goes-back",
        "no-order",
        "leaves-the-prefix",
        "objects-without-names",
        "pages-without-end",
    ],
)
def test_a_listing_that_cannot_be_whole_is_an_error_and_comes_to_an_end(way, defect, monkeypatch):
    monkeypatch.setattr(obstore_engine, "_PAGE_SECONDS", 0.5)
    began = time.monotonic()
    with ListingServer(SAFE, defect) as server, pytest.raises(StorageError) as caught:
        listed(server, way, monkeypatch)
    assert "list" in caught.value.message
    assert caught.value.hint
    assert time.monotonic() - began < 20


def test_objects_whose_versions_are_not_listed_are_listed_without(monkeypatch):
    with ListingServer(NAMES, "no-versions") as server:
        assert listed(server, "lake-versions", monkeypatch) == sorted(NAMES)


def test_versions_that_are_kept_and_not_listed_are_an_error(monkeypatch):
    with ListingServer(NAMES, "versions-hidden") as server, pytest.raises(StorageError, match="no versions of objects"):
        listed(server, "lake-versions", monkeypatch)


def test_a_prefix_without_objects_is_empty_and_costs_one_request_more(monkeypatch):
    with ListingServer(["q"]) as server:
        assert listed(server, "lake-versions", monkeypatch) == []
        assert server.asked == 2


def versioned(server, count) -> tuple[str, list[tuple[str, str, bool]]]:
    """Fill a bucket whose pages break off within the versions of a key; return what boto3 finds in it, in order."""
    bucket, raw = server.new_bucket(versioned=True), server.raw()
    for number in range(count):
        for _ in range(3):
            raw.put_object(Bucket=bucket, Key=f"p/{number % 4}+ %3A{number:03}", Body=b"1")
    raw.delete_object(Bucket=bucket, Key="p/1+ %3A001")
    found = []
    for page in raw.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix="p/"):
        found += [(item["Key"], item["VersionId"], item["IsLatest"]) for item in page.get("Versions", ())]
    return bucket, found


def test_pages_that_break_off_within_a_key_lose_no_version(moto_server, monkeypatch):
    bucket, expected = versioned(moto_server, 21)
    monkeypatch.setattr("metamlflow_s3.listings.PAGE", 5)
    lake = open_external(f"s3://{bucket}", moto_server.storage_options)
    found = [(seen.name, seen.version, seen.current) for seen in lake.list_objects("p/", older=True)]
    assert sorted(found) == sorted(expected)
    assert len(found) == 63
    assert [seen.name for seen in lake.list_objects("p/")] == sorted({name for name, _, latest in expected if latest})


def test_a_page_that_is_damaged_on_its_way_is_an_error_of_ours(moto_root, fault_proxy):
    """A name of an object, or a date, that was altered: never a bare KeyError."""
    with ListingServer(SAFE, "objects-without-names") as server, pytest.raises(StorageError):
        list(open_external("s3://bucket", server.options).list_objects("p/"))
    with pytest.raises(ObjectNotFoundError):
        open_external(f"s3://{moto_root.bucket}", moto_root.options).head("absent")
