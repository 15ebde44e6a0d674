"""Content of the store that a version only points to is kept for it, whatever its URI calls the store's root."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from aging_store import DAY, GRACE, blob_of, version_key

from metamlflow.format.blob_uris import blob_keys_in_uri
from metamlflow.testing import MemoryBackend

CONTENT = b"pointed"
KEY = blob_of(CONTENT, ".csv")
FILE = KEY.rpartition("/")[2]
FRESH = f"blobs/sha256/ab/{'ab' * 32}-{'1' * 32}.tar.gz"

SPELLINGS = {
    "the root as it is spelled": "{url}/{key}",
    "a link to the folder": "file:///link/to/store/{key}",
    "a link to a folder within it": "file:///link/{file}",
    "a mount of the content": "file:///mnt/sha256/{dir}/{file}",
    "steps up": "file:///store/blobs/../blobs/./sha256//{dir}/{file}",
    "an endpoint": "https://bucket.s3.eu-central-1.amazonaws.com/{key}",
    "an endpoint, and a version": "https://bucket.s3.amazonaws.com/{key}?versionId=3sL4kqtJlcpXroDTDmJ",
    "a generation": "gs://bucket/{key}#1700000000000000",
    "a fragment": "https://example.org/{key}#part",
    "a root with a query's sign": "file:///a%20b?c/{key}",
    "an encoded key": "https://storage.googleapis.com/storage/v1/b/bucket/o/{encoded}?alt=media",
    "an encoded key in lower case": "https://example.org/o/{encoded_lower}",
    "an encoded letter": "file:///store/{first_encoded}",
    "a key as a parameter": "https://example.org/get?object={encoded}&alt=media",
    "a key encoded twice": "https://example.org/fetch?url=https%3A%2F%2Fx%2F{encoded_twice}%3Falt%3Dmedia",
    "a key of an access point": "https://point-123456789012.s3-accesspoint.eu-central-1.amazonaws.com/{key}",
    "a bucket as a path": "https://s3.eu-central-1.amazonaws.com/bucket/{key}",
    "another scheme": "s3a://bucket/{key}",
    "a slash at its end": "https://bucket.s3.amazonaws.com/{key}/",
    "more that looks like an extension": "https://example.org/{key}.v2",
    "more that looks like a version": "file:///snapshots/{key}.~1~",
    "a name that runs into it": "https://example.org/objects/0123abc{file}",
    "a disk that folds case": "file:///STORE/{upper}",
}


def spelled(how: str, url: str = "memory://bucket", key: str = KEY) -> str:
    folder, _, file = key.rpartition("/")
    parts = {"dir": folder.rpartition("/")[2], "encoded": key.replace("/", "%2F"), "upper": key.upper()}
    first = f"{folder}/%{ord(file[0]):x}{file[1:]}"
    lower = key.replace("/", "%2f")
    parts["encoded_twice"] = key.replace("/", "%252f")
    return SPELLINGS[how].format(url=url, key=key, file=file, first_encoded=first, encoded_lower=lower, **parts)


def points_to(store: Any, uri: str, *, evidence: dict[str, Any] | None = None, sharded: bool = False) -> None:
    """Make version 1 of p one that points to a place: written by hand, as another program may."""
    store.client().register_artifact("p", b"x")
    manifest = json.loads(store.read(version_key("p", 1)))
    pointer = {"path": "data.csv", "size": 7, "uri": uri}
    pointer |= evidence or {"evidence": "stat", "etag": "x"}
    known = ["data.csv", 7, None, uri, None, "x", None] if evidence is None else ["data.csv", 7, "12" * 32]
    manifest |= {"entries": [pointer], "requires": ["pointers"], "size": 7}
    if sharded:
        line = json.dumps(pointer, separators=(",", ":")).encode() + b"\n"
        key = blob_of(line)
        store.write(key, line)
        shard = {"first": "data.csv", "count": 1, "size": len(line), "sha256": hashlib.sha256(line).hexdigest()}
        manifest["shards"] = [shard | {"key": key}]
        del manifest["entries"]
    lines = json.dumps(known, separators=(",", ":")) + "\n"
    manifest["digest"] = f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    store.write(version_key("p", 1), json.dumps(manifest).encode())


def is_kept(store: Any) -> bool:
    """Collect once all is old, and tell; the usage that was told before must agree with what goes."""
    store.passes(GRACE + DAY)
    usage = store.client().usage()
    report = store.client().collect_garbage()
    assert usage.complete
    assert usage.collectable == report.freed
    assert usage.missing == 0
    return KEY in store.blobs()


@pytest.mark.parametrize("how", SPELLINGS)
def test_every_spelling_of_a_place_in_the_store_gives_the_key_of_its_blob(how):
    for key in (KEY, FRESH, blob_of(b"plain")):
        assert key in blob_keys_in_uri(spelled(how, key=key))


@pytest.mark.parametrize(
    "uri",
    ["s3://bucket/data.csv", f"s3://bucket/{'ab' * 31}.csv", f"s3://b/{'ab' * 32}xyz", "file:///store/blobs/sha256/"],
)
def test_a_uri_without_the_name_of_a_blob_keeps_none(uri):
    assert blob_keys_in_uri(uri) == set()


@pytest.mark.parametrize("how", ["the root as it is spelled", "a link to the folder", "an endpoint, and a version"])
def test_content_that_a_live_version_points_to_is_kept_and_is_not_collectable(store, how):
    points_to(store, spelled(how, MemoryBackend(store.bucket).url))
    store.write(KEY, CONTENT)
    assert is_kept(store)


def test_content_of_a_pruned_version_is_kept_for_a_live_one_that_points_to_it(store):
    store.client().register_artifact("a", {"data.csv": CONTENT})
    store.client().register_artifact("a", b"new")
    points_to(store, spelled("a link to the folder"))
    store.prune("a", 1)
    assert is_kept(store)


def test_a_pointer_with_a_digest_keeps_what_it_leads_to(store):
    points_to(store, spelled("an endpoint"), evidence={"evidence": "full", "computed": {"sha256": "12" * 32}})
    store.write(KEY, CONTENT)
    assert is_kept(store)


def test_a_pointer_in_a_list_of_files_keeps_what_it_leads_to(store):
    points_to(store, spelled("an encoded key"), sharded=True)
    store.write(KEY, CONTENT)
    assert is_kept(store)


def test_a_version_that_was_given_up_points_no_more(store):
    points_to(store, spelled("a link to the folder"))
    store.write(KEY, CONTENT)
    store.client().register_artifact("p", b"new")
    store.prune("p", 1)
    assert not is_kept(store)


def test_where_a_pointer_leads_to_content_that_is_not_there_nothing_is_called_missing(store):
    points_to(store, spelled("a link to the folder"))
    assert not [found for found in store.client().fsck().findings if found.key == KEY]
    assert not is_kept(store)


def test_while_a_version_in_its_grace_points_to_content_it_waits_with_that_version(store):
    points_to(store, spelled("a link to the folder"))
    store.write(KEY, CONTENT)
    store.passes(GRACE + DAY)
    store.client().register_artifact("p", b"new")
    store.prune("p", 1)
    usage, plan = store.client().usage(), store.client().collect_garbage(dry_run=True)
    assert usage.collectable == plan.bytes
    assert f"{store.now + GRACE:%Y-%m-%d}" in plan.waiting
    assert KEY not in {each.key for each in plan.objects()}
