"""A deletion that fails stops no other one, is named, and is not reported as done."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from aging_store import DAY, GRACE, Meanwhile, blob_of

from metamlflow.backend import DeleteFailure
from metamlflow.errors import AccessDeniedError, ConflictError, StorageUnavailableError
from metamlflow.testing import Crash, Crashed, FailBefore, Fault, LostReply, simulated_crash

COUNT = 10
DELETIONS = "metamlflow.store.retain.collecting.deletions"


@pytest.fixture
def many(store, monkeypatch):
    """Ten pieces of garbage, of a version and of none, that are deleted two at a time."""
    monkeypatch.setattr(f"{DELETIONS}.BATCH", 2)
    client = store.client()
    client.register_artifact("a", {f"f{n}": b"%d" % n for n in range(COUNT - 1)})
    client.register_artifact("a", b"live")
    store.prune("a", 1)
    store.write(blob_of(b"left"), b"left")
    store.passes(GRACE + DAY)
    return store


@dataclass(frozen=True, kw_only=True)
class Refused(Fault):
    """A deletion of which the storage refuses some keys, and does the rest."""

    verb: str = "delete"
    times: int | None = None
    keys: frozenset[str] = frozenset()

    def strike(self, apply, where, around):
        kept = {key: around.inner.bucket.objects[key] for key in self.keys & set(where.split())}
        failures = apply()
        around.inner.bucket.objects.update(kept)
        return [*failures, *(DeleteFailure(key, AccessDeniedError(f"{key} is held", key=key)) for key in kept)]


def test_one_denied_deletion_is_named_with_its_version_and_the_others_go_on(many):
    held = blob_of(b"3")
    report = many.client(many.faulty(Refused(keys=frozenset({held})))).collect_garbage()
    assert (report.blobs, report.deleted, report.failures, report.ok) == (COUNT, COUNT - 1, 1, False)
    assert [(it.key, it.reference, it.unclear) for it in report.failed] == [(held, "a@1", False)]
    assert "is held" in report.failed[0].reason
    assert report.stopped is None
    assert many.blobs() == {held, blob_of(b"live")}
    assert report.freed == report.bytes - 1
    document = json.loads(json.dumps(report.to_json()))
    assert (document["failures"], document["failed"][0]["reference"]) == (1, "a@1")
    assert "is held" in report._repr_html_()


def test_after_a_batch_that_failed_the_next_ones_are_tried(many):
    lost = FailBefore(verb="delete", nth=2, error=lambda at: AccessDeniedError(at, key=at))
    report = many.client(many.faulty(lost)).collect_garbage()
    assert (report.deleted, report.failures, report.stopped) == (COUNT - 2, 2, None)
    assert len(many.blobs()) == 3


@pytest.mark.parametrize("error", [AccessDeniedError, StorageUnavailableError])
def test_three_failed_batches_in_a_row_stop_it(many, monkeypatch, error):
    monkeypatch.setattr(f"{DELETIONS}.AT_A_TIME", 1)
    backend = many.faulty(FailBefore(verb="delete", nth=2, times=None, error=lambda at: error("is down", key=at)))
    report = many.client(backend).collect_garbage()
    assert (report.deleted, report.failures) == (2, 6)
    assert "3 batches in a row failed" in report.stopped
    assert sum(call.verb == "delete" for call in backend.calls) == 4
    assert all(it.unclear == (error is StorageUnavailableError) for it in report.failed)
    assert len(many.blobs()) == COUNT - 2 + 1


def test_what_is_reported_as_deleted_is_gone_and_what_was_not_is_there_whatever_fails(many):
    faults = [LostReply(verb="delete", nth=2), FailBefore(verb="delete", nth=4)]
    before = many.blobs()
    report = many.client(many.faulty(*faults)).collect_garbage()
    gone = before - many.blobs()
    unclear = {it.key for it in report.failed if it.unclear}
    assert report.deleted == COUNT - 4
    assert len(gone - unclear) == report.deleted
    assert isinstance(report.failed, list)
    assert len(unclear) == 4


def test_an_object_that_is_gone_already_is_not_counted(many):
    class Gone(Fault):
        def strike(self, apply, where, around):
            around.inner.bucket.objects.pop(where.split()[1])
            return apply()

    report = many.client(many.faulty(Gone(verb="delete", nth=1))).collect_garbage()
    assert (report.deleted, report.left, report.failures) == (COUNT - 1, 1, 0)


@pytest.mark.full
def test_a_collection_that_is_killed_at_any_call_leaves_every_live_version_and_the_next_one_ends_it(many):
    """Fifty moments and more: before and after each call of the backend, the deletions among them."""
    rehearsal = many.faulty()
    start = dict(many.bucket.objects)
    many.client(rehearsal).collect_garbage()
    ended = many.blobs()
    moments = [(nth, when) for nth in range(1, len(rehearsal.calls) + 1) for when in ("before", "after")]
    assert len(moments) >= 50
    for nth, when in moments:
        many.bucket.objects.clear()
        many.bucket.objects.update(start)
        now = many.now
        backend = many.faulty(Crash(nth=nth, when=when, crash=simulated_crash))
        with pytest.raises(Crashed):
            many.client(backend).collect_garbage()
        assert many.client().get_artifact("a", 2).read_bytes() == b"live"
        many.passes(GRACE / 8 + 2 * (DAY / 86_400))
        report = many.client().collect_garbage()
        assert report.ok
        assert many.blobs() == ended
        many.now = now


def test_a_ctrl_c_while_it_deletes_leaves_an_end_that_says_so(many):
    def interrupt(progress):
        if progress.total_files and progress.files:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        many.client().collect_garbage(progress=interrupt)
    newest = min(many.listed("collections/"))
    assert json.loads(many.read(newest)) | {"phase": "ended", "unclear": True} == json.loads(many.read(newest))
    many.passes(GRACE / 16 + DAY)
    assert many.client().collect_garbage().ok
    assert many.blobs() == {blob_of(b"live")}


def interrupt(progress):
    if progress.total_files and progress.files:
        raise KeyboardInterrupt


def another_begins(many):
    def take():
        many.passes(GRACE / 32)  # so the turn is to be renewed before the next batch
        many.write_json("collections/9999999997.json", phase="begun", collection="7" * 32, created_by="somebody")

    return many.faulty(Meanwhile(verb="delete", nth=2, act=take))


@pytest.mark.parametrize(
    ("backend", "progress", "error"),
    [
        (lambda many: many.faulty(), interrupt, KeyboardInterrupt),
        (another_begins, None, ConflictError),
        (lambda many: many.faulty(FailBefore(verb="delete", nth=3)), interrupt, KeyboardInterrupt),
    ],
    ids=["ctrl-c", "another collection begins", "ctrl-c and a failure"],
)
def test_a_collection_that_is_cut_off_tells_of_all_that_it_deleted_also_in_the_batches_under_way(
    many, backend, progress, error
):
    before = many.blobs()
    with pytest.raises(error) as caught:
        many.client(backend(many)).collect_garbage(progress=progress)
    (note,) = caught.value.__notes__
    gone = len(before - many.blobs())
    assert gone >= 4, "more than one batch"
    assert note.startswith(f"{gone} objects deleted by then")


def test_progress_counts_versions_objects_and_deletions(many):
    seen = []
    many.client().collect_garbage(progress=seen.append)
    assert {it.operation for it in seen} == {"collect"}
    assert (seen[-1].files, seen[-1].total_files) == (COUNT, COUNT)
    assert seen[-1].bytes == seen[-1].total_bytes
