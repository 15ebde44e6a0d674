"""Opening a store: what makes a folder one, and what is left alone because it is none."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from metamlflow.errors import (
    ConflictError,
    InvalidInputError,
    StoreFormatError,
    StoreNotFoundError,
    UnsupportedStoreError,
)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_first_write_creates_the_store(client, raw):
    client.register_artifact("a", b"1")
    marker = json.loads((raw.root / "metamlflow.json").read_bytes())
    assert marker["format"] == 1
    assert marker["grace_seconds"] == 7 * 24 * 3600


def test_a_store_may_be_created_ahead_and_again(client, raw):
    client.create_store(grace=timedelta(days=2))
    before = contents(raw.root)
    client.create_store()
    client.create_store(grace=timedelta(days=2))
    assert contents(raw.root) == before
    assert json.loads(before["metamlflow.json"])["grace_seconds"] == 2 * 24 * 3600


def test_the_grace_of_a_store_is_a_constant(client):
    client.create_store(grace=timedelta(days=2))
    with pytest.raises(ConflictError, match=r"2 days.*not 3 days"):
        client.create_store(grace=timedelta(days=3))


@pytest.mark.parametrize("grace", [timedelta(0), timedelta(seconds=59), timedelta(days=-1), timedelta(days=3651)])
def test_a_grace_has_bounds(client, store_folder, grace):
    with pytest.raises(InvalidInputError, match="grace"):
        client.create_store(grace=grace)
    assert not store_folder.exists()


@pytest.mark.parametrize(
    "other", ["notes.txt", ".git/config", "deep/er/file", "metamlflow.json.bak", "artifacts/x.json"]
)
def test_a_folder_that_holds_something_else_is_left_alone(client, store_folder, other):
    (store_folder / other).parent.mkdir(parents=True)
    (store_folder / other).write_bytes(b"mine")
    for write in (lambda: client.register_artifact("a", b"1"), client.create_store):
        with pytest.raises(StoreFormatError, match="holds something that is not a metamlflow store") as caught:
            write()
        assert caught.value.key == other
    with pytest.raises(StoreNotFoundError):
        client.get_artifact("a")
    assert contents(store_folder) == {other: b"mine"}


def test_a_folder_that_is_empty_becomes_a_store(client, store_folder):
    (store_folder / "empty").mkdir(parents=True)
    assert client.register_artifact("a", b"1").version == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "newer"),
        ({"format": 999}, "newer"),
        ({"requires": ["time-travel"]}, "time-travel(?s:.)*newer"),
        ({"format": 0}, "format"),
        ({"format": "1"}, "format"),
        ({"grace_seconds": -1}, "grace_seconds"),
        ({"store_id": "short"}, "store_id"),
        ({"created_at": "yesterday"}, "created_at"),
    ],
    ids=str,
)
def test_a_marker_that_cannot_be_understood_stops_reads_and_writes(client, raw, change, words):
    client.register_artifact("a", b"1")
    place = raw.root / "metamlflow.json"
    raw.overwrite(place, json.dumps(json.loads(place.read_bytes()) | change).encode())
    before = contents(raw.root)
    fresh = type(client)(raw.root)
    for call in (lambda: fresh.get_artifact("a"), fresh.list_artifacts, lambda: fresh.register_artifact("a", b"2")):
        with pytest.raises(StoreFormatError, match=words) as caught:
            call()
        assert caught.value.key == "metamlflow.json"
    assert contents(raw.root) == before


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b"x" * 1000, b"[" * 100_000])
def test_a_damaged_marker_is_an_error_that_names_it(client, raw, data):
    client.register_artifact("a", b"1")
    raw.overwrite(raw.root / "metamlflow.json", data)
    fresh = type(client)(raw.root)
    for call in (lambda: fresh.get_artifact("a"), lambda: fresh.register_artifact("a", b"2")):
        with pytest.raises(StoreFormatError, match=r"metamlflow\.json"):
            call()
    assert len(raw.manifests()) == 1


def test_unknown_fields_of_the_marker_are_no_obstacle(client, raw):
    client.create_store()
    place = raw.root / "metamlflow.json"
    raw.overwrite(place, json.dumps(json.loads(place.read_bytes()) | {"colour": "blue"}).encode())
    assert type(client)(raw.root).register_artifact("a", b"1").version == 1


def test_a_marker_that_vanished_is_not_replaced(client, raw):
    client.register_artifact("a", b"1")
    (raw.root / "metamlflow.json").unlink()
    with pytest.raises(StoreFormatError, match="something that is not a metamlflow store"):
        type(client)(raw.root).register_artifact("a", b"2")
    assert not (raw.root / "metamlflow.json").exists()


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_file_where_the_store_should_be_is_left_alone(tmp_path, client, below):
    (tmp_path / "file").write_bytes(b"mine")
    lost = type(client)(tmp_path / "file" / below)
    with pytest.raises(StoreNotFoundError):
        lost.get_artifact("a")
    with pytest.raises(UnsupportedStoreError, match="is not a folder"):
        lost.register_artifact("a", b"1")
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_a_store_reached_through_a_link_is_the_same_store(client, raw, tmp_path):
    client.register_artifact("a", b"1")
    (tmp_path / "link").symlink_to(raw.root)
    assert type(client)(tmp_path / "link").register_artifact("a", b"2").version == 2
    assert client.get_artifact("a").read_bytes() == b"2"


def test_a_store_in_a_folder_with_an_odd_name_works(client, tmp_path, folder):
    odd = type(client)(f"{tmp_path}/a b [x] {{y}} %20 é ;&#?", cache_dir=tmp_path / "cache2")
    artifact = odd.register_artifact("a", {"x": b"1", "y": b""})
    assert artifact.verify()
    assert (artifact.local_path() / "x").read_bytes() == b"1"
