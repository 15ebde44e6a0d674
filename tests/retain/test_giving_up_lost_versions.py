"""A version whose manifest is lost for good is given up by an explicit word, and erased a grace later."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from aging_store import DAY, GRACE, LAST, Meanwhile, blob_of, version_key, writes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from metamlflow.errors import ArtifactErasedError, ArtifactNotFoundError, ConflictError, IntegrityError
from metamlflow.testing import MemoryBackend
from metamlflow.testing.clients import client_on

OF_NOTHING = f"sha256:{hashlib.sha256(b'').hexdigest()}"


@pytest.fixture
def old(store):
    client = store.client()
    for content in (b"one", b"two", b"three", b"four", b"five"):
        client.register_artifact("a", content)
    store.passes(GRACE + DAY)
    return store


def vanish(store, *versions):
    return [store.bucket.objects.pop(version_key("a", version)) for version in versions]


def give_up(store, version):
    with pytest.raises(ConflictError, match=f"a@{version} was given up on .* can be erased from"):
        store.client().erase(f"a@{version}", "the disk", lost=True)


def tomb(store, version):
    return json.loads(store.read(version_key("a", version, ".tomb")))


@pytest.mark.parametrize("version", [1, 2, 4])
def test_it_is_given_up_and_a_grace_later_erased_and_then_collected(old, version):
    digest = old.digest("a", version)
    before = old.digest("a", version - 1) if version > 1 else None
    vanish(old, version)
    with pytest.raises(IntegrityError):
        old.client().collect_garbage()
    give_up(old, version)
    old.passes(GRACE - timedelta(seconds=10))
    give_up(old, version)
    with pytest.raises(IntegrityError):
        old.client().collect_garbage()
    old.passes(DAY)
    report = old.client().erase(f"a@{version}", "the disk", lost=True)
    assert report.manifest_digest == digest
    said = tomb(old, version)
    assert (said["manifest_digest"], said["previous"], said["reason"]) == (digest, before, "the disk")
    old.passes(timedelta(seconds=2))
    assert old.client().collect_garbage().deleted == 1
    assert old.client().history("a")
    assert old.client().fsck().ok
    with pytest.raises(ArtifactErasedError, match="the disk"):
        old.client().get_artifact("a", version)
    assert old.client().erase(f"a@{version}", None, lost=True).ok  # once more


def test_a_publish_that_saw_it_live_before_it_vanished_keeps_its_content(old):
    def vanishes_and_is_given_up():
        vanish(old, 2)
        give_up(old, 2)

    publish = old.faulty(Meanwhile(verb="create", key="*_v6.json", act=vanishes_and_is_given_up))
    old.client(publish).register_artifact("a", b"two")
    old.passes(GRACE + DAY)
    old.client().erase("a@2", None, lost=True)
    old.passes(DAY)
    old.client().collect_garbage()
    assert old.client().get_artifact("a", 6).read_bytes() == b"two"


def test_without_the_word_it_is_not_found_and_told_what_to_do(old):
    vanish(old, 2)
    faulty = old.faulty()
    with pytest.raises(ArtifactNotFoundError) as caught:
        old.client(faulty).erase("a@2", "oops")
    assert "--lost" in caught.value.hint
    assert writes(faulty) == []


@pytest.mark.parametrize(("version", "error"), [(2, ConflictError), (6, ArtifactNotFoundError)])
def test_a_version_that_is_there_or_never_was_is_not_given_up(old, version, error):
    faulty = old.faulty()
    with pytest.raises(error):
        old.client(faulty).erase(f"a@{version}", None, lost=True)
    assert writes(faulty) == []


def test_the_newest_of_all_cannot_be_told_from_one_that_never_was(old):
    vanish(old, 5)
    with pytest.raises(ArtifactNotFoundError):
        old.client().erase("a@5", None, lost=True)
    assert old.client().collect_garbage(dry_run=True)


def test_a_dry_run_writes_nothing_and_says_how_it_goes_on(old):
    vanish(old, 2)
    faulty = old.faulty()
    with pytest.raises(ConflictError, match="can be erased a grace later"):
        old.client(faulty).erase("a@2", None, lost=True, dry_run=True)
    assert writes(faulty) == []
    give_up(old, 2)
    old.passes(GRACE + DAY)
    assert old.client().erase("a@2", None, lost=True, dry_run=True).dry_run
    assert version_key("a", 2, ".tomb") not in old.listed()


def test_of_several_in_a_row_the_highest_goes_first_and_what_nobody_knows_is_the_digest_of_nothing(old):
    three = old.digest("a", 3)
    vanish(old, 2, 3)
    with pytest.raises(ConflictError, match="a@3 vanished as well"):
        old.client().erase("a@2", None, lost=True)
    for version in (3, 2):
        give_up(old, version)
        old.passes(GRACE + DAY)
        assert old.client().erase(f"a@{version}", None, lost=True)
    assert (tomb(old, 3)["manifest_digest"], tomb(old, 3)["previous"]) == (three, OF_NOTHING)
    assert (tomb(old, 2)["manifest_digest"], tomb(old, 2)["previous"]) == (OF_NOTHING, old.digest("a", 1))
    assert old.client().history("a")
    assert old.client().fsck().ok
    old.passes(DAY)
    assert old.client().collect_garbage().deleted == 2


@pytest.fixture
def nameless(old):
    """Two lost neighbours that were given up; nothing tells the digest of the first, and a model was made of it."""
    client = old.client()
    with client.run("train"):
        used = client.get_artifact("a@2")
        used.read_bytes()
        client.register_artifact("model", b"model", inputs=[used])
    used.sign(Ed25519PrivateKey.from_private_bytes(b"k" * 32))
    old.lost = vanish(old, 2, 3)
    for version in (3, 2):
        give_up(old, version)
        old.passes(GRACE + DAY)
        if version == 3:
            old.client().erase("a@3", None, lost=True)
    return old


def test_who_used_or_signed_a_version_whose_digest_is_lost_contradicts_nothing(nameless):
    client = nameless.client()
    client.erase("a@2", None, lost=True)
    assert tomb(nameless, 2)["manifest_digest"] == OF_NOTHING
    assert [finding.kind for finding in client.fsck().faults] == []
    assert client.history("a").ok
    lineage = client.get_artifact("model").verify("stat", lineage=True)
    assert [finding.status for finding in lineage.findings] == ["unverifiable"]


def test_a_version_that_comes_back_below_one_whose_tomb_does_not_know_its_digest_is_sound_and_is_repaired(nameless):
    nameless.bucket.objects[version_key("a", 2)] = nameless.lost[0]
    assert tomb(nameless, 3)["previous"] == OF_NOTHING
    assert nameless.client().history("a").ok
    assert nameless.client().fsck().ok
    assert nameless.client().get_artifact("a@2").read_bytes() == b"two"
    donor = client_on(MemoryBackend())
    donor.register_artifact("x", b"two")
    blob = nameless.bucket.objects.pop(blob_of(b"two"))
    assert nameless.client().repair("a@2", donor).ok
    assert nameless.read(blob_of(b"two")) == blob.data


@pytest.mark.parametrize("holder", ["alias", "protection"])
def test_one_that_is_held_is_not_given_up(old, holder):
    if holder == "alias":
        old.client().set_alias("a", "best", 2)
    else:
        old.client().protect("a@2")
    vanish(old, 2)
    faulty = old.faulty()
    with pytest.raises(ConflictError, match=r"alias best|protected"):
        old.client(faulty).erase("a@2", None, lost=True)
    assert writes(faulty) == []


def test_a_state_of_another_manifest_is_taken_back_first(old):
    old.set_state("a", 2, "pruned", digest=old.digest("a", 3))
    vanish(old, 2)
    old.passes(GRACE + DAY)
    give_up(old, 2)
    assert version_key("a", 2, f".state-{LAST - 3:010d}") in old.listed()


def test_one_that_was_pruned_before_it_vanished_needs_to_wait_no_longer(old):
    old.prune("a", 2)
    old.passes(GRACE + DAY)
    vanish(old, 2)
    assert old.client().erase("a@2", None, lost=True)


def test_one_that_is_brought_back_while_it_is_given_up_is_not_erased(old):
    (manifest,) = vanish(old, 2)
    give_up(old, 2)
    old.passes(GRACE + DAY)

    def comes_back():
        old.bucket.objects[version_key("a", 2)] = manifest

    backend = old.faulty(Meanwhile(verb="read", key="*_v2.state-*", act=comes_back))
    with pytest.raises(ConflictError, match="it is in the store"):
        old.client(backend).erase("a@2", None, lost=True)
    assert version_key("a", 2, ".tomb") not in old.listed()
    assert blob_of(b"two") in old.blobs()


def test_over_one_that_is_brought_back_later_the_tomb_holds(old):
    (manifest,) = vanish(old, 2)
    give_up(old, 2)
    old.passes(GRACE + DAY)
    old.client().erase("a@2", None, lost=True)
    old.bucket.objects[version_key("a", 2)] = manifest
    with pytest.raises(ArtifactErasedError):
        old.client().get_artifact("a", 2)
    old.passes(GRACE + DAY)
    assert old.client().collect_garbage().manifests == (version_key("a", 2),)
