"""An erasure takes a version away for good, tells what stays, and goes on where it was cut off."""

from __future__ import annotations

import json
from datetime import timedelta
from fnmatch import fnmatch

import pytest
from aging_store import DAY, GRACE, LAST, Meanwhile, blob_of, version_key, writes

from metamlflow.errors import (
    AccessDeniedError,
    ArtifactErasedError,
    ArtifactNotFoundError,
    ConflictError,
    InvalidInputError,
    StoreFormatError,
)
from metamlflow.testing import Crash, Crashed, FailBefore, MemoryBackend, StoredObject, simulated_crash

SECOND = timedelta(seconds=1)
SECRET = b"born in 1815"
MANIFEST, TOMB = version_key("a", 2), version_key("a", 2, ".tomb")


@pytest.fixture
def old(store):
    """Three versions with notes; the second was pruned longer ago than the grace, and its metadata are personal."""
    client = store.client()
    for content, metadata in ((b"one", {}), (b"two", {"name": "ada", "secret": SECRET.decode()}), (b"three", {})):
        client.register_artifact("a", content, metadata=metadata)
    for title in ("first", "second", SECRET.decode()):
        client.annotate("a@2", title=title)
        client.annotate("a@3", title=title.upper())
    store.write(f"signatures/a/_v2/{'b' * 64}.json", b"{}")
    store.write(f"signatures/a/_v3/{'b' * 64}.json", b"{}")
    store.write("cache/index", SECRET)
    store.prune("a", 2)
    store.passes(GRACE + 2 * SECOND)
    return store


def left_of_it(store):
    """Keys that a reader of the bucket finds something of the version in, but for what is meant to stay."""
    about = {key for key in store.listed() if "/v2/" in key or "/_v2/" in key or key.startswith("cache/")}
    return about | {key for key in store.listed() if SECRET in store.read(key)} | ({MANIFEST} & store.listed())


def assert_erased(store, number=3):
    assert left_of_it(store) == set()
    with pytest.raises(ArtifactErasedError, match="asked for"):
        store.client().get_artifact("a", 2)
    assert store.client().list_versions("a") == [1, 3]
    assert store.client().register_artifact("a", b"next").version == number + 1
    history = store.client().history("a")
    assert all(entry.follows is not False for entry in history.entries) if hasattr(history, "entries") else True


def test_a_version_goes_with_its_notes_and_signatures_and_what_a_cache_has(old):
    kept = {key for key in old.listed() if "v3" in key or "v1" in key}
    report = old.client().erase("a@2", "asked for")
    assert [it.kind for it in report.goes] == ["manifest", "note", "note", "note", "signature", "cache"]
    assert (report.ok, report.failed, report.manifest_from) == (True, [], None)
    tomb = json.loads(old.read(TOMB))
    assert (tomb["reason"], tomb["manifest_digest"]) == ("asked for", report.manifest_digest)
    assert kept <= old.listed()
    assert old.client().get_artifact("a", 3).notes.title == SECRET.decode().upper()
    assert_erased(old)


def test_its_content_is_freed_by_the_next_collection(old):
    old.client().erase("a@2", "asked for")
    old.passes(SECOND)
    assert old.client().collect_garbage().deleted == 1
    assert blob_of(b"two") not in old.blobs()


def test_notes_go_from_the_oldest_to_the_newest_so_that_none_comes_to_hold_again(old):
    report = old.client().erase("a@2", "asked for")
    notes = [it.key for it in report.goes if it.kind == "note"]
    assert notes == [f"artifacts/a/_notes/v2/{LAST - number}.json" for number in (1, 2, 3)]


def test_a_dry_run_changes_nothing_and_lists_the_same(old):
    backend, before = old.faulty(), dict(old.bucket.objects)
    plan = old.client(backend).erase("a@2", "asked for", dry_run=True)
    assert (writes(backend), old.bucket.objects) == ([], before)
    assert plan.goes == old.client().erase("a@2", "asked for").goes
    assert plan.dry_run


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_version_that_was_pruned_too_short_ago_is_refused_with_the_time(store, dry_run):
    store.client().register_artifact("a", b"one")
    store.prune("a", 1)
    since = store.now + GRACE + SECOND
    store.passes(GRACE)
    with pytest.raises(ConflictError, match=f"can be erased from {since:%Y-%m-%d %H:%M:%S} UTC on"):
        store.client().erase("a@1", "x", dry_run=dry_run)
    store.passes(SECOND)
    assert store.client().erase("a@1", "x", dry_run=dry_run).ok


def test_a_live_version_and_one_whose_state_speaks_of_another_manifest_are_refused(old):
    with pytest.raises(ConflictError, match="is live"):
        old.client().erase("a@1", "x")
    old.set_state("a", 2, "restored", 2)
    with pytest.raises(ConflictError, match="is live"):
        old.client().erase("a@2", "x")
    old.set_state("a", 3, "absent", digest=f"sha256:{'0' * 64}")
    old.passes(GRACE + DAY)
    with pytest.raises(ConflictError, match="is live"):
        old.client().erase("a@3", "x")


def test_a_version_that_an_alias_names_is_refused(old):
    old.write_json(f"artifacts/a/_aliases/best/{LAST - 1}.json", version=2)
    with pytest.raises(ConflictError, match="the alias best stands for a@2"):
        old.client().erase("a@2", "x")
    old.client().set_alias("a", "best", 3)
    assert old.client().erase("a@2", "x").ok


def test_a_protected_version_is_refused(old):
    old.write_json(f"protections/a/_v2/{LAST - 1}.json", created_by="ada")
    for dry_run in (True, False):
        with pytest.raises(ConflictError, match="a@2 is protected"):
            old.client().erase("a@2", "x", dry_run=dry_run)
    old.client().unprotect("a@2")
    assert old.client().erase("a@2", "x").ok


@pytest.mark.parametrize("reference", ["a", "a@latest", "a@best"])
def test_a_version_is_named_by_its_number(old, reference):
    with pytest.raises(InvalidInputError, match="by its number"):
        old.client().erase(reference, "x")


def test_a_version_that_never_was_is_told(old):
    with pytest.raises(ArtifactNotFoundError):
        old.client().erase("a@7", "x")
    with pytest.raises(ArtifactNotFoundError):
        old.client().erase("nobody@1", "x")


def test_a_store_with_anything_unknown_is_left_as_it_is(old):
    old.write("packs/00/x", b"?")
    before = dict(old.bucket.objects)
    with pytest.raises(StoreFormatError, match="does not know"):
        old.client().erase("a@2", "x")
    assert old.bucket.objects == before


def test_what_stays_is_told(old):
    client = old.client()
    for name in ("b", "c"):
        client.register_artifact(name, {"x": b"young", f"y{name}": name.encode()})
    with client.run("train", params={"who": "ada"}):
        client.register_artifact("model", b"weights", inputs=["a@3"])
    for name, version in (("a", 3), ("b", 1), ("model", 1)):
        old.prune(name, version)
    old.passes(GRACE + DAY)
    stays = {it.what: it.why for it in client.erase("a@2", "x").stays}
    assert stays["1 object with content of its own, 3 bytes"] == "the next collection frees them (`metamlflow gc`)"
    assert "copies in other stores" in stays
    stays = {it.what: it.why for it in client.erase("b@1", "x").stays}
    assert stays["1 object with content that others share"] == "kept for c@1"
    stays = {it.what: it.why for it in client.erase("a@3", "x").stays}
    assert any("1 version that were made from it" in what for what in stays)
    stays = {it.what: it.why for it in client.erase("model@1", "x").stays}
    assert stays["1 object with content of its own, 7 bytes"] == "the next collection frees them (`metamlflow gc`)"
    assert any("the run that registered it" in what for what in stays)


def protected_and_over(store, note):
    """Two protections of a@2, which is live meanwhile, and their ends; all with a note."""
    client = store.client()
    store.set_state("a", 2, "restored", 2)
    for _ in range(2):
        client.protect("a@2", note=note)
    client.protect("a@3", note="stays")
    client.unprotect("a@2", note=note)
    store.set_state("a", 2, "pruned", 3)
    store.passes(GRACE + DAY)


def test_protections_that_are_over_go_with_their_notes_each_before_its_end(old):
    protected_and_over(old, SECRET.decode())
    before = old.listed("protections/a/_v2/")
    assert len(before) == 4
    backend = old.faulty()
    report = old.client(backend).erase("a@2", "asked for")
    assert {it.key for it in report.goes if it.kind == "protection"} == before
    assert old.listed("protections/") == {f"protections/a/_v3/{LAST - 1}.json"}
    deleted = [call.key for call in backend.calls if call.verb == "delete" and call.key.startswith("protections/")]
    assert [("end" in key, key.split("/")[-1][:10]) for key in deleted] == [
        (ends, str(LAST - number)) for number in (1, 2) for ends in (False, True)
    ]
    assert_erased(old)


def test_a_protection_that_comes_while_it_is_erased_goes_as_well(old):
    protected_and_over(old, "audit")

    def too_late():
        old.write_json(f"protections/a/_v2/{LAST - 3}.json", created_by="eve", note=SECRET.decode())
        old.write_json(f"protections/a/_v2/{LAST - 3}.end.json", created_by="eve")

    backend = old.faulty(Meanwhile(verb="delete", key=f"protections/a/_v2/{LAST - 2}.end.json", act=too_late))
    assert old.client(backend).erase("a@2", "asked for").ok
    assert old.listed("protections/a/_v2/") == set()


def test_each_state_record_with_a_note_is_told_since_it_stays(old):
    key = version_key("a", 2, f".state-{LAST - 1:010d}")
    said = json.loads(old.read(key))
    old.bucket.objects[key] = StoredObject(
        json.dumps(said | {"note": "ada\nasked"}).encode(), old.bucket.objects[key].modified
    )
    (told,) = [it for it in old.client().erase("a@2", "asked for", dry_run=True).stays if "note" in it.what]
    assert (key in told.what, told.what.endswith(r"ada\nasked")) == (True, True)
    assert key in old.listed()


@pytest.mark.full
def test_an_erasure_that_is_killed_at_any_call_is_ended_by_the_same_call(old):
    start, rehearsal = dict(old.bucket.objects), old.faulty()
    old.client(rehearsal).erase("a@2", "asked for")
    moments = [(nth, when) for nth in range(1, len(rehearsal.calls) + 1) for when in ("before", "after")]
    assert len(moments) >= 50
    for nth, when in moments:
        old.bucket.objects.clear()
        old.bucket.objects.update(start)
        client = old.client(old.faulty(Crash(nth=nth, when=when, crash=simulated_crash)))
        with pytest.raises(Crashed):
            client.erase("a@2", "asked for")
        if MANIFEST not in old.listed():
            assert TOMB in old.listed(), "no manifest is ever gone without its tomb"
        assert old.client().erase("a@2", "asked for").ok
        assert_erased(old)


def test_erasing_again_changes_nothing_and_keeps_the_first_reason(old):
    old.client().erase("a@2", "asked for")
    before = dict(old.bucket.objects)
    report = old.client().erase("a@2", "another")
    assert (report.ok, report.goes, report.reason) == (True, [], "asked for")
    assert old.bucket.objects == before


def test_of_two_erasures_at_once_both_end_and_one_reason_holds(old):
    other = Meanwhile(verb="create", key=TOMB, act=lambda: old.client().erase("a@2", "asked for first"))
    report = old.client(old.faulty(other)).erase("a@2", "asked for later")
    assert (report.ok, report.reason) == (True, "asked for first")
    assert_erased(old)


@pytest.mark.parametrize("key", [MANIFEST, "artifacts/a/_notes/v2/*", "signatures/*", "cache/*"])
def test_what_may_not_be_deleted_is_named_and_the_rest_goes(old, key):
    denied = FailBefore(verb="delete", key=key, times=None, error=lambda at: AccessDeniedError("no", key=at))
    report = old.client(old.faulty(denied)).erase("a@2", "asked for")
    held = {it.key for it in report.failed}
    assert held
    assert all(fnmatch(each, key) for each in held)
    assert left_of_it(old) == held
    assert not report
    assert old.client().erase("a@2", "asked for").ok
    assert_erased(old)


class Gathering(MemoryBackend):
    """A storage whose listings are in no order."""

    gathers_listings = True


def test_where_listings_are_in_no_order_the_manifest_goes_when_its_tomb_is_old(old):
    def client():
        return old.client(Gathering(old.bucket))

    report = client().erase("a@2", "asked for")
    assert report.manifest_from == old.now + GRACE / 2 + SECOND
    assert (MANIFEST in old.listed(), [it.kind for it in report.goes].count("manifest")) == (True, 0)
    with pytest.raises(ArtifactErasedError):
        client().get_artifact("a", 2)
    old.passes(GRACE / 2)
    assert client().erase("a@2", "asked for").manifest_from is not None
    old.passes(SECOND)
    assert [it.kind for it in client().erase("a@2", "asked for").goes] == ["manifest"]
    assert_erased(old)


def test_a_manifest_that_waits_for_its_deletion_is_no_fault_until_it_is_overdue(old):
    def client():
        return old.client(Gathering(old.bucket))

    client().erase("a@2", "asked for")
    assert MANIFEST in old.listed()
    assert (client().history("a").ok, client().verify_all().ok) == (True, True)
    old.passes(GRACE - SECOND)
    assert client().history("a")
    old.passes(SECOND)
    (problem,) = client().history("a").problems
    assert "`metamlflow erase`" in problem.hint
    assert not client().verify_all()
    client().collect_garbage()
    assert client().history("a")


def test_a_manifest_that_was_written_after_the_tomb_is_told_at_once(old):
    client = old.client()
    erased = old.read(MANIFEST)
    client.erase("a@2", "asked for")
    old.passes(SECOND)
    old.write(MANIFEST, erased)
    (problem,) = client.history("a").problems
    assert problem.key == MANIFEST


def test_another_object_than_the_manifest_that_was_read_is_left(old):
    def replace():
        old.bucket.objects[MANIFEST] = StoredObject(b"{}", old.now)

    report = old.client(old.faulty(Meanwhile(verb="delete", key=MANIFEST, act=replace))).erase("a@2", "asked for")
    assert "another object" in report.failed[0].reason
    assert old.read(MANIFEST) == b"{}"


def test_an_older_collection_stops_or_keeps_what_the_version_named(old):
    """Its listing shows the version without a tomb; it was pruned too long ago to be kept, so it goes on."""
    erasure = Meanwhile(verb="read", key=MANIFEST, act=lambda: old.client().erase("a@2", "asked for"))
    assert old.client(old.faulty(erasure)).collect_garbage().deleted == 1
    assert_erased(old)


def test_a_report_says_all_of_it_as_json_and_as_a_page(old):
    report = old.client().erase("a@2", "asked for", dry_run=True)
    document = json.loads(json.dumps(report.to_json()))
    assert (document["name"], document["version"], document["dry_run"], document["ok"]) == ("a", 2, True, True)
    assert len(document["goes"]) == 6
    assert MANIFEST in report._repr_html_()
    assert repr(report) == "<ErasureReport ok: a@2: to be erased, 6 objects of it>"


def test_what_others_share_is_looked_for_in_what_is_kept_alone(old):
    client = old.client()
    for number in range(5):
        client.register_artifact("dead", b"%d" % number)
        old.prune("dead", number + 1)
    client.register_artifact("dead", b"live")
    old.passes(GRACE + DAY)
    backend = old.faulty()
    old.client(backend).erase("dead@1", "asked for", dry_run=True)
    read = [call.key for call in backend.calls if call.verb in {"read", "open"}]
    looked = {version: read.count(version_key("dead", version)) for version in range(2, 7)}
    assert looked == {2: 1, 3: 1, 4: 1, 5: 1, 6: 1}, "each is read to judge it, and not again for what it names"
