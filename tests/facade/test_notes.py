"""Notes: title, description and tags that change at any time, while the version that they are on stays as it is."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.errors import (
    ArtifactNotFoundError,
    ArtifactPrunedError,
    DamagedRecordWarning,
    InvalidInputError,
    InvalidNameError,
    StoreFormatError,
    StoreNotFoundError,
)
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_state
from metamlflow.store.catalog.clock import utc_now
from metamlflow.types import Notes

ODD_NAMES = ["Model", "a.json/b.json/c", "A.JSON/x", "v1/v2", "x.tomb.json", "notes/v1"]


@pytest.fixture
def two(client):
    client.register_artifact("model", b"1")
    client.register_artifact("model", b"2")
    client.set_alias("model", "best", 1)
    return client


def records(store_folder, name="model") -> dict[str, dict]:
    """The note records below a name, past the code under test."""
    folder = store_folder / "artifacts" / name / "_notes"
    return {path.relative_to(folder).as_posix(): json.loads(path.read_bytes()) for path in folder.rglob("*.json")}


def prune(store_folder, version, state="pruned") -> None:
    manifest = store_folder / f"artifacts/model/_versions/{9_999_999_999 - version:010d}_v{version}.json"
    record = encode_state(state, digest_of(manifest.read_bytes()), "f" * 32, utc_now())
    manifest.with_suffix(".state-9999999998.json").write_bytes(record)


def test_a_change_is_one_record_with_all_fields_and_who_made_it(two, store_folder, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    notes = two.annotate("model@1", title="Churn", tags={"team": "crm", "reviewed": ""})
    assert two.annotate("model@1", description="# Why\nBecause.", tags={"reviewed": None}).number == 2
    assert (notes.title, notes.description, notes.tags) == ("Churn", None, {"team": "crm", "reviewed": ""})
    found = records(store_folder)
    assert sorted(found) == ["v1/9999999997.json", "v1/9999999998.json"]
    newest = found["v1/9999999997.json"]
    assert newest.pop("writer").startswith("metamlflow ")
    assert len(newest.pop("record_id")) == 32
    assert newest.pop("created_at").endswith("Z")
    assert newest == {
        "format": 1,
        "created_by": "ada",
        "title": "Churn",
        "description": "# Why\nBecause.",
        "tags": {"team": "crm"},
    }


def test_what_is_not_named_stays_and_an_empty_text_removes(two):
    two.annotate("model@1", title="a", description="b", tags={"c": "d", "e": "f"})
    assert two.annotate("model@1", title="").to_json()["title"] is None
    after = two.annotate("model@1", tags={"c": None, "nobody has it": None})
    assert (after.title, after.description, after.tags) == (None, "b", {"e": "f"})
    after = two.annotate("model@1", description="", tags={"e": None})
    assert not after
    assert after.number == 4


def test_a_change_that_changes_nothing_writes_nothing(two, store_folder):
    first = two.annotate("model@1", title="a", tags={"b": "c"})
    assert two.annotate("model@1", title="a", description="", tags={"b": "c", "x": None}) == first
    assert two.annotate("model", tags={"x": None}).number == 0
    assert sorted(records(store_folder)) == ["v1/9999999998.json"]


def test_a_name_and_each_of_its_versions_have_notes_of_their_own(two):
    for target in ("model", "model@1", "model@2"):
        two.annotate(target, title=target)
    assert [two.notes(target).title for target in ("model", "model@1", "model@2")] == ["model", "model@1", "model@2"]
    assert [notes.version for notes in two.notes_history("model")] == [None]
    assert [two.get_artifact("model", number).notes.title for number in (1, 2)] == ["model@1", "model@2"]


def test_every_way_to_name_a_version_leads_to_its_notes(two, store_folder):
    artifact = two.get_artifact("model", 1)
    model = two.register_artifact("made", b"m", inputs=[artifact])
    targets = ["model@1", "model@v1", "model@best", artifact, Dataset(artifact), model.inputs[0]]
    for number, target in enumerate(targets, start=1):
        assert two.annotate(target, title=str(number)).number == number
        assert two.notes(target).title == artifact.notes.title == str(number)
    assert len(two.notes_history(artifact)) == len(targets)
    assert two.annotate("model@latest", title="newest").version == 2
    assert {key.partition("/")[0] for key in records(store_folder)} == {"v1", "v2"}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_and_capitals_have_notes_too(client, store_folder, name):
    client.register_artifact(name, b"1")
    client.annotate(name, title="name")
    client.annotate(f"{name}@1", title="version")
    assert client.notes(name).title == "name"
    assert client.get_artifact(name).notes.title == "version"
    keys = [path.relative_to(store_folder).as_posix() for path in store_folder.rglob("*/_notes/**/*.json")]
    assert len(keys) == 2
    assert all(key == key.lower() for key in keys)


def test_a_name_that_is_the_folder_of_another_shares_no_notes(client):
    for name in ("a", "a/b"):
        client.register_artifact(name, b"1")
        client.annotate(name, title=name)
    assert [client.notes(name).title for name in ("a", "a/b")] == ["a", "a/b"]


def test_notes_change_no_byte_of_the_version_and_nothing_that_vouches_for_it(two, store_folder):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    artifact = two.get_artifact("model", 1)
    artifact.sign(key)
    before = {path: path.read_bytes() for path in store_folder.rglob("*") if path.is_file()}
    two.annotate(artifact, title="x", description="y", tags={"z": ""})
    two.annotate("model", title="x")
    assert {path: path.read_bytes() for path in before} == before
    again = two.get_artifact("model", 1, require_signature=key.public_key())
    assert again == artifact
    assert (again.manifest_digest, again.created_by) == (artifact.manifest_digest, artifact.created_by)
    assert again.verify(lineage=True)
    assert two.history("model")
    (record,) = store_folder.rglob("_notes/v1/*.json")
    record.chmod(0o644)
    record.write_bytes(b"no JSON")
    assert two.verify_all()
    assert again.read_bytes() == b"1"


@pytest.mark.parametrize("state", ["pruned", "absent"])
def test_a_version_without_its_bytes_keeps_its_notes_and_gets_new_ones(two, store_folder, state):
    two.annotate("model@1", title="before")
    prune(store_folder, 1, state)
    with pytest.raises(ArtifactPrunedError):
        two.get_artifact("model", 1)
    for target in ("model@1", "model@best"):
        assert two.notes(target).title == "before"
    assert two.annotate("model@1", description="why it was given up").title == "before"
    prune(store_folder, 2, state)
    assert two.annotate("model", title="all gone").title == "all gone"
    with pytest.raises(ArtifactPrunedError):
        two.annotate("model@latest", title="x")


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("model@3", ArtifactNotFoundError),
        ("model@nothing", ArtifactNotFoundError),
        ("nobody", ArtifactNotFoundError),
        ("nobody@1", ArtifactNotFoundError),
        ("mode", ArtifactNotFoundError),
        ("model@", InvalidNameError),
        ("model@0", InvalidNameError),
        ("", InvalidNameError),
        ("../x", InvalidNameError),
        (7, InvalidInputError),
        (None, InvalidInputError),
        (["model@1"], InvalidInputError),
    ],
    ids=str,
)
def test_notes_on_what_does_not_exist_are_refused_and_nothing_is_written(two, store_folder, target, error):
    for call in (two.notes, two.notes_history, lambda target: two.annotate(target, title="x")):
        with pytest.raises(error):
            call(target)
    assert records(store_folder) == {}


def test_a_mistyped_name_is_told_the_near_one(two):
    with pytest.raises(ArtifactNotFoundError) as caught:
        two.annotate("modle", title="x")
    assert caught.value.suggestions == ("model",)


def test_a_version_of_another_store_is_refused(two, tmp_path):
    other = MetaMLFlowClient(tmp_path / "other").register_artifact("model", b"1")
    with pytest.raises(InvalidInputError, match="in another store"):
        two.annotate(other, title="x")


def test_annotating_creates_no_store(tmp_path):
    client = MetaMLFlowClient(tmp_path / "nothing")
    for call in (client.notes, client.notes_history, lambda target: client.annotate(target, title="x")):
        with pytest.raises(StoreNotFoundError):
            call("model@1")
    assert not (tmp_path / "nothing").exists()


def test_a_name_without_a_version_has_no_notes(client, store_folder):
    client.register_artifact("other", b"1")
    (store_folder / "names/model.json").write_bytes((store_folder / "names/other.json").read_bytes())
    (store_folder / "artifacts/model/_notes").mkdir(parents=True)
    note = {"format": 1, "record_id": "f" * 32, "created_at": "2026-01-31T12:00:00Z", "created_by": "eve", "title": "x"}
    (store_folder / "artifacts/model/_notes/9999999998.json").write_text(json.dumps(note))
    with pytest.raises(ArtifactNotFoundError):
        client.notes("model")


def test_fields_of_a_later_version_survive_a_change(two, store_folder):
    two.annotate("model@1", title="a")
    path = store_folder / "artifacts/model/_notes/v1/9999999997.json"
    later = records(store_folder)["v1/9999999998.json"] | {"colour": {"hex": [1, None]}, "title": "later"}
    path.write_text(json.dumps(later))
    assert two.annotate("model@1", description="mine").title == "later"
    assert records(store_folder)["v1/9999999996.json"]["colour"] == {"hex": [1, None]}


def test_a_damaged_newest_record_is_told_and_never_written_over_and_hides_no_other(two, store_folder):
    for title in ("first", "second", "third"):
        two.annotate("model@1", title=title)
    for damaged, left in ((3, [1, 2]), (2, [1])):
        path = store_folder / f"artifacts/model/_notes/v1/{9_999_999_999 - damaged}.json"
        path.chmod(0o644)
        path.write_bytes(b'{"format":1}')
        for call in (two.notes, lambda target: two.annotate(target, title="x")):
            with pytest.raises(StoreFormatError, match="created_by: missing"):
                call("model@1")
        with pytest.warns(DamagedRecordWarning, match="left out of the history") as caught:
            assert [notes.number for notes in two.notes_history("model@1")] == left
        assert caught[0].filename == __file__
    assert len(records(store_folder)) == 3


def test_files_of_others_among_notes_are_nobodys_business(two, store_folder):
    two.annotate("model", title="a")
    for key in (".DS_Store", "!x", "0.json", "v1/readme", "v01/9999999990.json", "9999999999.json", "99999999980.json"):
        path = store_folder / "artifacts/model/_notes" / key
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"?")
    for number in range(40):
        (store_folder / f"artifacts/model/_notes/.hidden-{number}").write_bytes(b"?")
    assert two.annotate("model", tags={"b": ""}).number == 2
    assert two.notes("model@1").number == 0
    assert [notes.number for notes in two.notes_history("model")] == [1, 2]


def test_notes_and_their_artifact_cross_to_other_processes(two):
    two.annotate("model@1", title="a", tags={"b": "c"})
    artifact = pickle.loads(pickle.dumps(two.get_artifact("model", 1)))
    notes = artifact.notes
    assert pickle.loads(pickle.dumps(notes)) == copy.deepcopy(notes) == notes
    assert hash(notes) == hash(copy.deepcopy(notes))
    assert isinstance(notes, Notes)
    assert pickle.loads(pickle.dumps(two)).annotate(artifact, title="b").number == 2


def test_what_a_caller_does_with_its_tags_and_with_those_returned_has_no_effect(two):
    tags = {"a": "b"}
    notes = two.annotate("model@1", tags=tags)
    tags["c"] = "d"
    notes.tags["e"] = "f"
    assert two.notes("model@1").tags == {"a": "b"}


TEXTS = ["'; DROP TABLE", "a=b", "$int", "<script>", "\u202e", "ß\u0301", "🜚", " ", "null", "\\", '"', "/../", "{}"]


def test_tags_of_any_text_come_back_as_they_were(two):
    tags = {text: f"{text}\n\x1b\0" for text in TEXTS}
    assert two.annotate("model@1", tags=tags).tags == tags
    assert two.notes("model@1").tags == tags
    (only,) = two.notes_history("model@1")
    assert only.tags == tags
