"""What a collection tells of content that is lost, and of content that waits: of the version that matters."""

from __future__ import annotations

import itertools

import pytest
from aging_store import DAY, GRACE, Meanwhile, blob_of

from metamlflow.errors import IntegrityError

FILES = 1_200


def lost_last() -> bytes:
    """Content whose blob is listed after nearly all others."""
    return next(content for number in itertools.count() if "/ff/" in blob_of(content := b"lost %d" % number))


@pytest.fixture
def losing(store):
    """Two live versions whose content is lost: much of one, and the last blob of the other."""
    client = store.client()
    client.register_artifact("a", {f"f{number}": b"%d" % number for number in range(FILES)})
    client.register_artifact("b", lost_last())
    client.register_artifact("a", b"new")
    for number in range(FILES):
        store.bucket.objects.pop(blob_of(b"%d" % number), None)
    del store.bucket.objects[blob_of(lost_last())]
    store.write(blob_of(b"garbage"), b"garbage")
    store.passes(GRACE + DAY)
    return store


def test_much_that_a_version_of_another_state_misses_does_not_hide_what_a_live_one_misses(losing):
    meanwhile = Meanwhile(verb="list_objects", key="blobs/*", act=lambda: losing.prune("a", 1))
    before = losing.blobs()
    with pytest.raises(IntegrityError, match=r"\(1 blob\):\n  b@1: ") as caught:
        losing.client(losing.faulty(meanwhile)).collect_garbage()
    assert "a@1" not in str(caught.value)
    assert losing.blobs() == before


def test_whether_a_version_is_live_is_asked_once_however_much_it_misses(losing):
    backend = losing.faulty()
    with pytest.raises(IntegrityError, match=rf"\({FILES + 1:,} blobs\):\n  a@1: ") as caught:
        losing.client(backend).collect_garbage(dry_run=True)
    assert str(caught.value).count("is missing") == 20
    asked = [call.key for call in backend.calls if call.verb == "list_objects" and "_v1" in call.key]
    assert len(asked) == 2


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("files", [1, 600], ids=["in manifests", "in a list of files"])
def test_shared_content_waits_for_the_version_that_was_pruned_last(store, first, files):
    shared = {f"f{number}": b"%d" % number for number in range(files)}
    for version in (1, 2, 3):
        store.client().register_artifact("a", shared if version < 3 else b"live", idempotency_key=f"{version}")
    store.passes(DAY)
    store.prune("a", first)
    store.passes(3 * DAY)
    store.prune("a", 3 - first)
    pruned = store.now
    store.passes(DAY)
    plan = store.client().collect_garbage(dry_run=True)
    assert list(plan.waiting) == [f"{pruned + GRACE:%Y-%m-%d}"]
    store.passes(GRACE - 2 * DAY)
    assert store.client().collect_garbage(dry_run=True).blobs == 0
    store.passes(2 * DAY)
    assert store.client().collect_garbage().deleted == sum(blobs for blobs, _ in plan.waiting.values())
