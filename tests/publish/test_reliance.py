"""When content that lies in the store may be relied on, and when it is stored again: the safety of every collection."""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.catalog.store import Store

GRACE = timedelta(hours=2)
FRESH_KEY = r"blobs/sha256/[0-9a-f]{2}/[0-9a-f]{64}-[0-9a-f]{32}(\.[a-z0-9.]+)?"


@pytest.fixture
def short(client):
    """The client of a store whose grace is two hours: content is young for one."""
    client.create_store(grace=GRACE)
    return client


def age(path, **age):
    written = time.time() - timedelta(**age).total_seconds()
    os.utime(path, (written, written))
    return path.stat()


def key_of(artifact, path=None):
    return next(entry.key for entry in artifact.entries if path in {None, entry.path})


@pytest.mark.parametrize("minutes", [0, 30, 58])
def test_young_content_in_place_is_relied_on_and_left_as_it_is(short, raw, minutes):
    short.register_artifact("first", b"content")
    before = age(raw.blob_path(b"content"), minutes=minutes)
    artifact = short.register_artifact("second", b"content")
    assert key_of(artifact) == str(raw.blob_path(b"content").relative_to(raw.root))
    assert len(raw.blobs()) == 1
    after = raw.blob_path(b"content").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize("minutes", [62, 119, 121, 10_000])
def test_old_content_that_no_version_of_the_name_has_is_stored_under_a_fresh_key(short, raw, minutes):
    short.register_artifact("first", {"t.csv": b"content"})
    before = age(raw.blob_path(b"content", ".csv"), minutes=minutes)
    artifact = short.register_artifact("second", {"t.csv": b"content", "u.csv": b"content"})
    key = key_of(artifact)
    assert re.fullmatch(FRESH_KEY, key)
    assert key.endswith(".csv")
    assert (raw.root / key).read_bytes() == b"content"
    assert key_of(artifact, "u.csv") == key  # once, however often the publish needs it
    assert raw.blob_path(b"content", ".csv").stat().st_mtime_ns == before.st_mtime_ns
    assert artifact.verify()


def test_each_publish_makes_a_fresh_key_of_its_own(short, raw):
    short.register_artifact("first", b"content")
    age(raw.blob_path(b"content"), days=1)
    keys = {key_of(short.register_artifact(name, b"content")) for name in ("second", "third")}
    assert len(keys) == 2


def test_content_of_the_version_before_is_relied_on_however_old(short, raw):
    first = short.register_artifact("a", {"x": b"content", "y": b"1"})
    age(raw.blob_path(b"content"), days=400)
    second = short.register_artifact("a", {"x": b"content", "y": b"2"})
    assert key_of(second, "x") == key_of(first, "x")
    assert not [key for key in raw.blobs() if "-" in key]


def test_a_fresh_key_of_the_version_before_is_relied_on_too(short, raw):
    short.register_artifact("other", b"content")
    age(raw.blob_path(b"content"), days=1)
    first = short.register_artifact("a", b"content")
    age(raw.root / key_of(first), days=1)
    second = short.register_artifact("a", b"content")
    assert key_of(second) == key_of(first)
    assert re.fullmatch(FRESH_KEY, key_of(second))
    assert short.register_artifact("a", b"content", if_unchanged="reuse") == second


def test_content_of_a_pruned_version_is_not_relied_on_when_it_is_old(short, raw):
    short.register_artifact("a", b"content")
    raw.prune("a", 1)
    age(raw.blob_path(b"content"), days=1)
    assert re.fullmatch(FRESH_KEY, key_of(short.register_artifact("a", b"content")))


@pytest.mark.parametrize("left", [b"", b"cont", b"content and more"])
def test_content_of_the_wrong_length_in_place_is_not_relied_on(short, raw, left):
    short.register_artifact("first", b"content")
    raw.overwrite(raw.blob_path(b"content"), left)
    artifact = short.register_artifact("second", b"content")
    assert re.fullmatch(FRESH_KEY, key_of(artifact))
    assert artifact.verify()


def test_an_old_list_of_files_is_stored_again_for_another_name(short, raw):
    content = {f"{number:05}": b"same" for number in range(513)}
    short.register_artifact("first", content)
    for shard in raw.manifest("first")["shards"]:
        age(raw.root / shard["key"], days=1)
    short.register_artifact("second", content)
    shards = raw.manifest("second")["shards"]
    assert all(re.fullmatch(FRESH_KEY, shard["key"]) for shard in shards)
    assert not {shard["key"] for shard in shards} & {shard["key"] for shard in raw.manifest("first")["shards"]}


def test_the_default_grace_gives_three_and_a_half_days(client, raw):
    client.register_artifact("first", b"content")
    age(raw.blob_path(b"content"), days=3.4)
    assert not re.fullmatch(FRESH_KEY, key_of(client.register_artifact("second", b"content")))
    age(raw.blob_path(b"content"), days=3.6)
    assert re.fullmatch(FRESH_KEY, key_of(client.register_artifact("third", b"content")))


@dataclass
class Watch:
    """A clock that tells the seconds it is given, then the last of them for ever, and runs something once."""

    seconds: list[float]
    event: object = None
    asked: int = field(default=0)

    def __call__(self):
        self.asked += 1
        if self.asked == 2 and self.event:
            self.event()
        return self.seconds.pop(0) if len(self.seconds) > 1 else self.seconds[0]


def test_a_publish_that_takes_longer_than_half_the_grace_starts_its_checks_again(short, raw, store_folder):
    short.register_artifact("first", b"content")
    # Between the check and the commit: what a collector is allowed to do once half the grace is over.
    watch = Watch([0, 3601, 3602], event=raw.blob_path(b"content").unlink)
    slow = MetaMLFlowClient._on(Store(f"file://{store_folder}", {}, clock=Clock(elapsed=watch)))
    artifact = slow.register_artifact("second", b"content")
    assert artifact.read_bytes() == b"content"
