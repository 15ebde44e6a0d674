"""Next versions of what is only pointed to: as the data is now, with stronger evidence, with the bytes stored."""

from __future__ import annotations

import hashlib

import pytest
from lakesides import NEW, OLD, SAME_SIZE, STRENGTHS, Place, documents, held_in

from metamlflow.artifacts import Pointer
from metamlflow.errors import PointerDriftError, SourceNotFoundError

pytestmark = pytest.mark.emulator

FILES = {"a.csv": OLD, "b.csv": NEW, "sub/c.csv": b""}


def fill(place: Place) -> None:
    for name, data in FILES.items():
        place.put(name, data)


def pins(artifact) -> dict[str, tuple]:
    return {entry.path: (entry.uri, entry.version, entry.evidence.etag) for entry in artifact.entries}


# --- refresh ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["", "**/*.csv"], ids=["prefix", "glob"])
def test_a_refresh_tells_what_was_added_removed_and_modified(place: Place, tmp_path, target):
    fill(place)
    place.put("keep.csv", b"stays")
    first = place.client(tmp_path).register_pointer("lake", place.uri(target), metadata={"owner": "team"})
    place.put("a.csv", SAME_SIZE)
    place.delete("b.csv")
    place.put("sub/new.csv", b"new")
    refresh = first.refresh()
    changes, second = refresh.changes, refresh.artifact
    assert (changes.added, changes.removed, changes.modified) == (["sub/new.csv"], ["b.csv"], ["a.csv"])
    assert changes.counts == {"added": 1, "removed": 1, "modified": 1}
    assert (second.version, second.metadata) == (2, {"owner": "team"})
    content = {entry.path: second.read_bytes(entry.path) for entry in second.entries}
    assert content == {"a.csv": SAME_SIZE, "keep.csv": b"stays", "sub/c.csv": b"", "sub/new.csv": b"new"}
    assert pins(first)["keep.csv"] == pins(second)["keep.csv"]
    assert second.verify("stat")


def test_a_refresh_of_what_did_not_change_publishes_nothing(place: Place, tmp_path):
    fill(place)
    client = place.client(tmp_path)
    for number, evidence in enumerate((None, *STRENGTHS), 1):
        artifact = client.register_pointer("lake", place.uri(), evidence=evidence)
        refresh = artifact.refresh()
        assert not refresh, evidence
        assert refresh.artifact.version == artifact.version, evidence
        assert len(documents(tmp_path)) == number, evidence


def test_a_refresh_keeps_the_evidence_of_what_did_not_change_and_gathers_it_of_what_did(place: Place, tmp_path):
    fill(place)
    first = place.client(tmp_path).register_pointer("lake", place.uri(), evidence="full")
    place.put("b.csv", SAME_SIZE)
    second = first.refresh().artifact
    assert {entry.strength for entry in second.entries} == {"full"}
    assert second.entries["a.csv"] == first.entries["a.csv"]
    assert second.entries["b.csv"].sha256 == hashlib.sha256(SAME_SIZE).hexdigest()


def test_a_refresh_of_a_place_where_nothing_is_left_registers_nothing(plain_place: Place, tmp_path):
    fill(plain_place)
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri())
    for name in FILES:
        plain_place.delete(name)
    with pytest.raises(SourceNotFoundError):
        artifact.refresh()
    assert len(documents(tmp_path)) == 1


# --- strengthen -------------------------------------------------------------------------------------------------------


def test_stronger_evidence_keeps_the_pins_even_after_a_change(versioned_place: Place, tmp_path):
    fill(versioned_place)
    first = versioned_place.client(tmp_path).register_pointer("lake", versioned_place.uri(), evidence="stat")
    versioned_place.put("a.csv", SAME_SIZE)
    versioned_place.delete("b.csv")
    for number, strength in enumerate(("checksum", "full"), 2):
        first = first.strengthen(strength)
        assert first.version == number
        assert {entry.strength for entry in first.entries} == {strength}
    second = first
    assert {path: pin[1] for path, pin in pins(second).items()} == {
        entry.path: entry.version for entry in versioned_place.client(tmp_path).get_artifact("lake@1").entries
    }
    assert {entry.path: entry.sha256 for entry in second.entries} == {
        path: hashlib.sha256(data).hexdigest() for path, data in FILES.items()
    }
    assert second.strengthen("full") is second


@pytest.mark.parametrize("strength", ["checksum", "full"])
def test_evidence_is_not_made_stronger_of_data_that_changed(plain_place: Place, tmp_path, strength):
    fill(plain_place)
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri(), evidence="stat")
    plain_place.put("a.csv", SAME_SIZE)
    with pytest.raises(PointerDriftError) as caught:
        artifact.strengthen(strength)
    assert (caught.value.path, caught.value.key) == ("a.csv", plain_place.uri("a.csv"))
    assert len(documents(tmp_path)) == 1


# --- materialize ------------------------------------------------------------------------------------------------------


def test_what_is_stored_of_a_pointer_has_the_digest_of_the_same_content(place: Place, tmp_path):
    fill(place)
    client = place.client(tmp_path)
    strong = client.register_pointer("lake", place.uri()).strengthen("full")
    stored = strong.materialize()
    assert [entry.key is not None for entry in stored.entries] == [True] * len(FILES)
    assert stored.pointed == ()
    same = client.register_artifact("copy", dict(FILES))
    assert strong.digest == stored.digest == same.digest
    for name in FILES:
        place.delete(name)
    assert {entry.path: stored.read_bytes(entry.path) for entry in stored.entries} == FILES
    assert stored.verify()
    assert stored.materialize() is stored


def test_a_changed_object_is_not_stored(plain_place: Place, tmp_path):
    fill(plain_place)
    artifact = plain_place.client(tmp_path).register_pointer("lake", plain_place.uri())
    plain_place.put("a.csv", SAME_SIZE)
    with pytest.raises(PointerDriftError):
        artifact.materialize()
    assert len(documents(tmp_path)) == 1


def test_the_pinned_version_is_stored_although_the_data_changed(versioned_place: Place, tmp_path):
    fill(versioned_place)
    artifact = versioned_place.client(tmp_path).register_pointer("lake", versioned_place.uri())
    versioned_place.put("a.csv", SAME_SIZE)
    assert artifact.materialize().read_bytes("a.csv") == OLD


# --- mixed ------------------------------------------------------------------------------------------------------------


def mixed(place: Place, folder):
    fill(place)
    place.put("more/d.csv", b"d")
    content = {
        "readme.md": b"stored here",
        "lake": Pointer(place.uri("sub/")),
        "one.csv": Pointer(place.uri("a.csv"), "full"),
        "globbed": Pointer(place.uri("more/*.csv"), "stat"),
    }
    return place.client(folder).register_artifact("mixed", content)


def test_stored_files_and_pointers_stand_side_by_side(place: Place, tmp_path):
    artifact = mixed(place, tmp_path)
    expected = {"globbed/d.csv": b"d", "lake/c.csv": b"", "one.csv": OLD, "readme.md": b"stored here"}
    assert {entry.path: artifact.read_bytes(entry.path) for entry in artifact.entries} == expected
    folder = artifact.download(tmp_path / "out")
    assert {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*") if f.is_file()} == expected
    assert artifact.verify()
    assert artifact.entries["readme.md"].key
    assert not any((tmp_path / "store" / name).read_bytes() == OLD for name in held_in(tmp_path))


def test_a_refresh_of_a_mixture_keeps_what_is_stored(place: Place, tmp_path):
    artifact = mixed(place, tmp_path)
    place.put("a.csv", SAME_SIZE)
    place.put("sub/e.csv", b"e")
    refresh = artifact.refresh()
    assert (refresh.changes.added, refresh.changes.modified) == (["lake/e.csv"], ["one.csv"])
    assert refresh.changes.removed == []
    assert refresh.artifact.read_bytes("readme.md") == b"stored here"
    assert refresh.artifact.entries["one.csv"].strength == "full"
    stored = refresh.artifact.materialize()
    assert stored.version == 3
    assert stored.read_bytes("one.csv") == SAME_SIZE
