"""Erased versions, hidden names and states of other manifests in a bucket, written there with boto3."""

from __future__ import annotations

import hashlib
import json

import pytest

from metamlflow.errors import ArtifactErasedError, ArtifactPrunedError

ORIGIN = {"format": 1, "record_id": "e" * 32, "created_at": "2026-02-03T04:05:06Z"}


def key_of(version: int, what: str = "") -> str:
    return f"artifacts/data/_versions/{9_999_999_999 - version:010d}_v{version}{what}.json"


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def erase(root, version: int) -> str:
    manifest = root.read(key_of(version))
    said = {"name": "data", "version": version, "created_by": "officer", "reason": "asked for"}
    said |= {"manifest_digest": digest_of(manifest), "previous": json.loads(manifest)["previous"]}
    root.write(key_of(version, ".tomb"), json.dumps(ORIGIN | said).encode())
    root.server.raw().delete_object(**root.name(key_of(version)))
    return said["manifest_digest"]


def set_state(root, version: int, state: str, manifest: bytes) -> None:
    record = ORIGIN | {"state": state, "manifest_digest": digest_of(manifest)}
    root.write(key_of(version, ".state-9999999998"), json.dumps(record).encode())


@pytest.mark.parametrize("erased", [[2], [3], [1, 2, 3]], ids=str)
def test_numbers_of_erased_versions_stay_taken_and_the_chain_holds(moto_root, erased):
    stale = moto_root.client()
    for number in (1, 2, 3):
        stale.register_artifact("data", b"%d" % number)
    digests = {number: erase(moto_root, number) for number in erased}
    fresh = moto_root.client()
    for number in erased:
        with pytest.raises(ArtifactErasedError):
            fresh.get_artifact("data", number)
    assert stale.register_artifact("data", b"by a stale client").version == 4
    assert fresh.register_artifact("data", b"by another one").version == 5
    assert fresh.list_versions("data") == [*(n for n in (1, 2, 3) if n not in erased), 4, 5]
    assert moto_root.client().history("data").ok
    if 3 in erased:
        assert moto_root.read_json(key_of(4))["previous"] == digests[3]


def test_an_idempotency_key_of_an_erased_version_is_spent(moto_root):
    client = moto_root.client()
    client.register_artifact("data", b"1", idempotency_key="job")
    client.register_artifact("data", b"2")
    erase(moto_root, 1)
    before = moto_root.keys()
    with pytest.raises(ArtifactErasedError):
        moto_root.client().register_artifact("data", b"1", idempotency_key="job")
    assert moto_root.keys() == before


def test_a_state_hides_the_manifest_that_it_speaks_of_and_no_other(moto_root):
    client = moto_root.client()
    for number in (1, 2):
        client.register_artifact("data", b"%d" % number)
    set_state(moto_root, 2, "absent", b"another manifest")
    assert moto_root.client().get_artifact("data").version == 2
    set_state(moto_root, 2, "absent", moto_root.read(key_of(2)))
    assert moto_root.client().get_artifact("data").version == 1
    with pytest.raises(ArtifactPrunedError):
        moto_root.client().get_artifact("data", 2)


def test_a_hidden_name_is_told_by_the_one_listing_of_names(moto_root):
    client = moto_root.client()
    for name in ("data", "model"):
        client.register_artifact(name, b"1")
    moto_root.write("names/data!/9999999998.json", json.dumps(ORIGIN | {"state": "hidden"}).encode())
    assert client.list_names() == ["model"]
    assert client.list_names(include_hidden=True) == ["data", "model"]
    assert client.get_artifact("data").read_bytes() == b"1"
