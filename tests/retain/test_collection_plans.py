"""A plan is carried out as it says: nothing is deleted that it does not list, and nothing that is needed by then."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from aging_store import DAY, GRACE, AgingStore, Meanwhile, blob_of, version_key

from metamlflow.errors import InvalidInputError
from metamlflow.testing import StoredObject


@pytest.fixture
def old(store):
    """Four versions, of which two were pruned longer ago than the grace."""
    for content in (b"one", b"two", b"three", b"four"):
        store.client().register_artifact("a", content)
    store.prune("a", 1)
    store.prune("a", 2)
    store.passes(GRACE + DAY)
    return store


def by_call(store, plan, path):
    return plan.apply()


def by_argument(store, plan, path):
    return store.client().collect_garbage(plan=plan)


def by_file(store, plan, path):
    plan.save(path / "plan")
    return store.client().collect_garbage(plan=path / "plan")


@pytest.mark.parametrize("apply", [by_call, by_argument, by_file])
def test_only_what_was_planned_and_is_garbage_still_is_deleted(old, tmp_path, apply):
    old.write(blob_of(b"early"), b"early")
    plan = old.client().collect_garbage(dry_run=True)
    assert plan.blobs == 2
    old.set_state("a", 1, "restored", 2)
    old.passes(GRACE + DAY)
    report = apply(old, plan, tmp_path)
    assert old.blobs() == {blob_of(each) for each in (b"one", b"three", b"four", b"early")}
    assert (report.deleted, report.freed) == (1, 3)
    assert (report.blobs, report.bytes, [it.reference for it in report.owners]) == (1, 3, ["a@2"]), "and told"
    assert old.client().collect_garbage().deleted == 1, "what came later is garbage all the same"


def test_an_object_that_was_put_again_is_not_that_of_the_plan(old):
    plan = old.client().collect_garbage(dry_run=True)
    old.bucket.objects[blob_of(b"two")] = StoredObject(b"two", old.now)
    old.passes(GRACE + DAY)
    assert plan.apply().deleted == 1
    assert blob_of(b"two") in old.blobs()


def test_a_plan_counts_the_manifests_that_the_collection_deletes(old):
    old.bury("a", 1, leaves_manifest=True)
    old.passes(GRACE + DAY)
    plan = old.client().collect_garbage(dry_run=True)
    assert plan.manifests == (version_key("a", 1),)
    size = len(old.read(version_key("a", 1)))
    assert f"2 objects and 6 bytes of garbage, 1 manifest of erased versions with {size} bytes; " in plan.summary()
    assert plan.to_json()["manifest_bytes"] == size
    seen = []
    report = old.client().collect_garbage(plan=plan, progress=seen.append)
    assert report.deleted == plan.blobs + len(plan.manifests)
    assert report.freed == plan.bytes + plan.manifest_bytes == report.bytes + report.manifest_bytes
    assert {(last := seen[-1]).files, last.total_files} == {3}
    assert {last.bytes, last.total_bytes} == {report.freed}
    assert f"1 manifest of erased versions with {size} bytes; 3 deleted" in report.summary()


def test_manifests_alone_are_told_and_counted_too(old):
    old.client().collect_garbage()
    old.bury("a", 1, leaves_manifest=True)
    size = len(old.read(version_key("a", 1)))
    old.passes(GRACE)
    seen = []
    report = old.client().collect_garbage(progress=seen.append)
    assert (report.blobs, report.manifest_bytes, report.deleted, report.freed) == (0, size, 1, size)
    assert (seen[-1].files, seen[-1].total_files, seen[-1].total_bytes) == (1, 1, size)


@pytest.mark.parametrize("grace", [timedelta.max, timedelta(days=10**6), 30, "30d", timedelta.min], ids=str)
@pytest.mark.parametrize("dry_run", [True, False])
def test_a_grace_that_is_none_is_refused_and_nothing_is_deleted(old, grace, dry_run):
    before = old.listed()
    with pytest.raises(InvalidInputError, match="grace"):
        old.client().collect_garbage(grace=grace, dry_run=dry_run)
    assert old.listed() == before


def test_a_plan_tells_whose_content_goes_and_why(old):
    plan = old.client().collect_garbage(dry_run=True)
    assert [(it.reference, it.blobs, it.bytes) for it in plan.owners] == [("a@1", 1, 3), ("a@2", 1, 3)]
    assert all(it.reason.startswith("it was pruned on 2026-03-01") for it in plan.owners)
    assert [(it.reference, it.bytes) for it in plan.names] == [("a", 6)]
    found = list(plan.objects())
    assert {it.key for it in found} == {blob_of(b"one"), blob_of(b"two")}
    assert {it.deletable_from - it.modified for it in found} == {GRACE + timedelta(seconds=1)}
    assert {it.key for it in plan.largest} == {it.key for it in plan.oldest} == {it.key for it in found}
    assert plan.versions == {"dead": 2, "live": 2}
    assert (plan.kept_blobs, plan.kept_bytes) == (2, 9)
    document = json.loads(json.dumps(plan.to_json()))
    assert (document["blobs"], document["dry_run"], document["plan_id"]) == (2, True, plan.plan_id)
    assert "a@1" in plan._repr_html_()
    assert repr(plan) == "<CollectionPlan ok: 2 objects and 6 bytes of garbage; 0 objects deletable later>"


def test_two_plans_of_one_moment_have_one_id_and_of_another_garbage_another(old):
    ids = [old.client().collect_garbage(dry_run=True).plan_id for _ in range(2)]
    assert ids[0] == ids[1]
    old.set_state("a", 1, "restored", 2)
    assert old.client().collect_garbage(dry_run=True).plan_id != ids[0]


def test_a_plan_lists_the_manifest_below_an_old_tomb_and_only_then_it_goes(old):
    old.bury("a", 1, leaves_manifest=True)
    early = old.client().collect_garbage(dry_run=True)
    old.passes(GRACE / 2 + DAY)
    late = old.client().collect_garbage(dry_run=True)
    early.apply()
    assert version_key("a", 1) in old.listed()
    late.apply()
    assert version_key("a", 1) not in old.listed()


def test_the_plan_of_another_store_is_refused(old):
    other = AgingStore()
    other.client().register_artifact("a", b"x")
    with pytest.raises(InvalidInputError, match="another store"):
        other.client().collect_garbage(plan=old.client().collect_garbage(dry_run=True))


@pytest.mark.parametrize("text", ["", "{}", "no json", '{"file": "metamlflow collection plan 1"}', "damaged"])
def test_a_file_that_is_no_plan_is_refused(old, tmp_path, text):
    path = tmp_path / "plan"
    if text == "damaged":
        old.client().collect_garbage(dry_run=True).save(path)
        text = path.read_text().replace("blobs/sha256", "artifacts")
    path.write_text(text)
    with pytest.raises(InvalidInputError, match="is not one of a collection"):
        old.client().collect_garbage(plan=path)
    assert len(old.blobs()) == 4


OBJECT = ["blobs/sha256/00/x", 1, 1.0, None, None, 0]
ODD = [5, None, True, "x", [], {}, 1e300, -1e300, float("nan"), float("inf"), 10**30]
HEAD = {"store_id": "s", "grace_seconds": 604800.0, "manifests": [], "uploads": []}


def refused(old, path, text):
    path.write_text(text)
    with pytest.raises(InvalidInputError, match=r"^plan: .* is not one of a collection"):
        old.client().collect_garbage(plan=path)
    assert len(old.blobs()) == 4


@pytest.mark.parametrize("field", range(7))
def test_a_plan_with_an_object_of_other_fields_is_refused(old, tmp_path, field):
    old.client().collect_garbage(dry_run=True).save(tmp_path / "plan")
    head = (tmp_path / "plan").read_text().splitlines()[0]
    fitting = {0: (), 1: (5, 10**30), 2: (5, 10**9), 3: ("x", None), 4: ("x", None), 5: (5, 10**30), 6: ()}[field]
    lines = [[*OBJECT[:field], odd, *OBJECT[field + 1 :]] for odd in ODD if odd is True or odd not in fitting]
    for line in [*lines, OBJECT[:field] + OBJECT[field + 1 :] if field < 6 else {}, field]:
        refused(old, tmp_path / "plan", f"{head}\n{json.dumps(line)}\n")


@pytest.mark.parametrize("field", HEAD)
def test_a_plan_with_a_first_line_of_other_fields_is_refused(old, tmp_path, field):
    old.client().collect_garbage(dry_run=True).save(tmp_path / "plan")
    head = json.loads((tmp_path / "plan").read_text().splitlines()[0])
    assert head.keys() >= HEAD.keys()
    fitting = {"store_id": "x", "grace_seconds": 5}.get(field, [])
    for odd in [each for each in ODD if each is True or each != fitting]:
        refused(old, tmp_path / "plan", json.dumps(head | {field: odd}))
    if isinstance(fitting, list):
        refused(old, tmp_path / "plan", json.dumps(head | {field: [5]}))
    del head[field]
    refused(old, tmp_path / "plan", json.dumps(head))


@pytest.mark.parametrize("plan", [5, b"plan", 1.5, ["plan"], object()], ids=lambda plan: type(plan).__name__)
def test_what_is_neither_a_plan_nor_a_path_is_refused(old, plan):
    with pytest.raises(InvalidInputError, match=r"^plan: "):
        old.client().collect_garbage(plan=plan)


@pytest.mark.parametrize("grace", [5, 0, "30d", False, timedelta.max, timedelta()], ids=str)
def test_with_a_plan_too_a_grace_that_is_none_is_refused(old, tmp_path, grace):
    plan = old.client().collect_garbage(dry_run=True)
    plan.save(tmp_path / "plan")
    for each in (plan, tmp_path / "plan"):
        with pytest.raises(InvalidInputError, match="grace"):
            old.client().collect_garbage(plan=each, grace=grace)
    assert len(old.blobs()) == 4


@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_text("{}\n5\n")])
def test_a_plan_whose_file_changes_while_it_is_carried_out_is_refused(old, tmp_path, change):
    path = tmp_path / "plan"
    old.client().collect_garbage(dry_run=True).save(path)
    meanwhile = Meanwhile(verb="list_objects", key="blobs/*", act=lambda: change(path))
    with pytest.raises(InvalidInputError, match=r"^plan: "):
        old.client(old.faulty(meanwhile)).collect_garbage(plan=path)
    assert len(old.blobs()) == 4


def test_a_plan_and_a_dry_run_exclude_one_another(old):
    with pytest.raises(InvalidInputError, match="not both"):
        old.client().collect_garbage(dry_run=True, plan="x")


def test_a_plan_is_kept_after_it_was_carried_out_and_finds_nothing_then(old):
    plan = old.client().collect_garbage(dry_run=True)
    assert plan.apply().deleted == 2
    assert plan.apply().deleted == 0
    assert len(list(plan.objects())) == 2
