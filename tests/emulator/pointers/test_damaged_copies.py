"""A copy out of a bucket is compared with what the bucket says of the object, without a request for each small one."""

from __future__ import annotations

import os

import fsspec
import gcsfs
import pytest
import s3fs
from lakesides import LARGE, NEW, OLD
from test_copies_of_places import contents

from metamlflow.errors import IntegrityError, SourceChangedError

pytestmark = pytest.mark.emulator

WAYS = {
    "an object": lambda client, place: client.register_artifact("a", place.uri("x.bin")),
    "a mapping": lambda client, place: client.register_artifact("a", {"y": place.uri("x.bin")}),
    "a prefix": lambda client, place: client.register_artifact("a", place.uri()),
}


@pytest.fixture(params=["moto", "localstack", "gcs"])
def place(request, new_place):
    return new_place(request.param)


@pytest.fixture
def alter(monkeypatch):
    """Make the file systems of fsspec alter what they read: ``alter(change)``."""
    honest = fsspec.spec.AbstractBufferedFile.read

    def begin(change):
        for kind in (s3fs.core.S3File, gcsfs.core.GCSFile):
            monkeypatch.setattr(kind, "read", lambda file, size=-1: change(honest(file, size)))

    return begin


def flipped(data):
    if not data:
        return data
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def put(place, data, **more):
    place.put("x.bin", data, **({"ChecksumAlgorithm": "SHA256"} if place.scheme == "s3" else {}), **more)


@pytest.mark.full
@pytest.mark.parametrize("data", [b"1", OLD, os.urandom(LARGE)], ids=["one byte", "small", "large"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_what_was_damaged_on_its_way_is_not_registered(place, tmp_path, alter, way, data):
    put(place, data)
    client = place.client(tmp_path)
    assert set(contents(way(client, place)).values()) == {data}
    alter(flipped)
    with pytest.raises(IntegrityError, match="the content read does not match the digest of its server") as caught:
        way(client, place)
    assert caught.value.key == place.uri("x.bin")
    assert client.get_artifact("a").version == 1


@pytest.mark.parametrize("kind", ["FULL_OBJECT", "COMPOSITE"])
def test_an_upload_of_parts_is_compared_with_a_checksum_over_all_of_it(faithful, tmp_path, alter, kind):
    algorithm = "CRC32" if kind == "FULL_OBJECT" else "SHA256"
    faithful.put_in_parts("x.bin", [os.urandom(5 << 20), b"the end"], algorithm, kind)
    client = faithful.client(tmp_path)
    assert client.register_artifact("a", faithful.uri("x.bin")).read_bytes() == faithful.get("x.bin")
    alter(flipped)
    if kind == "FULL_OBJECT":
        with pytest.raises(IntegrityError, match="crc32"):
            client.register_artifact("a", faithful.uri("x.bin"))


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x"], ids=["shorter", "longer"])
def test_another_size_than_the_listing_told_is_refused(new_place, tmp_path, monkeypatch, change):
    place = new_place("moto")
    place.put("x.bin", OLD)
    client = place.client(tmp_path)
    honest = s3fs.S3FileSystem.find
    size = len(change(OLD))

    def find(filesystem, *arguments, **more):
        found = honest(filesystem, *arguments, **more)
        return {path: {**info, "size": size} for path, info in found.items()}

    monkeypatch.setattr(s3fs.S3FileSystem, "find", find)
    with pytest.raises(SourceChangedError, match=f"it had {size} bytes, and {len(OLD)} were read"):
        client.register_artifact("a", place.uri())


def test_an_object_that_is_replaced_while_it_is_copied_is_told_as_changed(place, tmp_path, alter, monkeypatch):
    monkeypatch.setattr(s3fs.S3FileSystem, "default_block_size", 5 << 20)  # as it is of gcsfs: so there are some ranges
    put(place, os.urandom(LARGE))
    client = place.client(tmp_path)
    replaced = []

    def replace(read):
        if not replaced:
            replaced.append(put(place, os.urandom(LARGE)))
        return read

    alter(replace)
    with pytest.raises(SourceChangedError, match=r"x\.bin changed while it was being registered: .*nothing was"):
        client.register_artifact("a", place.uri("x.bin"))
    assert replaced
    client.register_artifact("a", place.uri("x.bin"))
    assert client.get_artifact("a").read_bytes() == place.get("x.bin")


def test_what_came_since_an_earlier_copy_is_seen(place, tmp_path):
    for name in ("x.bin", "sub/y.bin"):
        place.put(name, OLD)
    client = place.client(tmp_path)
    assert contents(client.register_artifact("a", place.uri())) == {"x.bin": OLD, "sub/y.bin": OLD}
    place.put("sub/y.bin", NEW)
    place.put("sub/z.bin", NEW)
    there = {"x.bin": OLD, "sub/y.bin": NEW, "sub/z.bin": NEW}
    assert contents(client.register_artifact("a", place.uri())) == there
    assert contents(client.register_artifact("b", place.uri("sub/y.bin"))) == {"y.bin": NEW}
    place.delete("x.bin")
    assert contents(client.register_artifact("a", place.uri().rstrip("/"))).keys() == {"sub/y.bin", "sub/z.bin"}


@pytest.mark.parametrize("server", ["moto", "gcs"])
def test_a_copy_of_many_small_objects_takes_a_request_for_each(new_place, tmp_path, fault_proxy, server):
    place = new_place(server)
    place.put_many([f"{number:02}.bin" for number in range(30)], OLD)
    proxy = fault_proxy(place.server)
    place.client(tmp_path, proxy).register_artifact("a", place.uri())
    look, read, _ = place.words
    assert proxy.counts[read] == 30
    assert proxy.counts[look] <= 2
