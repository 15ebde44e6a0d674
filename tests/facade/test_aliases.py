"""Aliases: names for versions, moved by a record each."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from metamlflow.errors import (
    AliasMovedError,
    ArtifactNotFoundError,
    ConflictError,
    DamagedRecordWarning,
    InvalidInputError,
    InvalidNameError,
    StoreNotFoundError,
)


@pytest.fixture
def three(client):
    for number in range(3):
        client.register_artifact("model", str(number).encode())
    return client


def test_an_alias_stands_for_a_version_until_it_is_moved_or_removed(three):
    three.set_alias("model", "production", 1)
    assert three.get_artifact("model", "production").version == 1
    three.set_alias("model", "production", "latest")
    three.register_artifact("model", b"newer")
    assert three.get_artifact("model@production").version == 3
    three.set_alias("model", "previous", "production")
    three.set_alias("model", "production", None)
    assert three.get_artifact("model", "previous").version == 3
    with pytest.raises(ArtifactNotFoundError, match="no alias 'production'"):
        three.get_artifact("model", "production")


def test_each_move_is_a_record_of_its_own(three, store_folder):
    for version in (1, 2, 1):
        three.set_alias("model", "Best", version)
    records = sorted(path.name for path in (store_folder / "artifacts/model/_aliases/!best").iterdir())
    assert records == ["9999999996.json", "9999999997.json", "9999999998.json"]


@pytest.mark.parametrize("alias", ["latest", "7", "v7", "a/b", "", "ä", "-x"])
def test_what_could_be_taken_for_something_else_is_no_alias(three, alias):
    with pytest.raises(InvalidNameError):
        three.set_alias("model", alias, 1)


@pytest.mark.parametrize(("name", "version"), [("model", 9), ("modell", 1), ("modell", None), ("model", "nothing")])
def test_an_alias_of_nothing_is_refused(three, name, version):
    with pytest.raises(ArtifactNotFoundError):
        three.set_alias(name, "production", version)


def test_of_many_who_move_an_alias_at_once_all_are_recorded_and_one_holds(three, store_folder):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: three.set_alias("model", "raced", number % 3 + 1), range(24)))
    assert len(list((store_folder / "artifacts/model/_aliases/raced").iterdir())) == 24
    assert three.get_artifact("model", "raced").version in {1, 2, 3}


def test_v_and_a_number_is_that_number(three):
    assert three.get_artifact("model@v2").version == three.get_artifact("model", "v2").version == 2


def test_a_mistyped_alias_is_told_the_near_one_and_not_one_that_was_removed(three):
    three.set_alias("model", "production", 1)
    three.set_alias("model", "production", 2)
    three.set_alias("model", "productive", 2)
    three.set_alias("model", "productive", None)
    with pytest.raises(ArtifactNotFoundError) as caught:
        three.get_artifact("model@prodction")
    assert caught.value.hint == "Did you mean 'production'? It has the alias 'production', and the versions 3, 2, 1."
    assert caught.value.suggestions == ("production", "3", "2", "1")


def test_a_damaged_alias_does_not_hide_that_another_does_not_exist(three, store_folder):
    three.set_alias("model", "production", 1)
    (record,) = (store_folder / "artifacts/model/_aliases/production").iterdir()
    record.chmod(0o644)
    record.write_bytes(b"no JSON")
    with pytest.raises(ArtifactNotFoundError, match="no alias 'prodXction'"):
        three.get_artifact("model@prodXction")


def test_one_version_is_told_as_one(client):
    client.register_artifact("model", b"1")
    with pytest.raises(ArtifactNotFoundError, match=r"It has the version 1\."):
        client.get_artifact("model", 2)


def newest(store_folder, alias: str = "production") -> dict:
    """The newest record of an alias, past the code under test."""
    record = min((store_folder / f"artifacts/model/_aliases/{alias}").iterdir())
    return json.loads(record.read_text("utf-8"))


def damage(store_folder, alias: str, number: int = 1) -> None:
    record = store_folder / f"artifacts/model/_aliases/{alias}/{9_999_999_999 - number}.json"
    record.chmod(0o644)
    record.write_bytes(b"no JSON")


# --- each change is kept ----------------------------------------------------------------------------------------------


def test_a_change_says_who_made_it_when_why_and_with_what(three, store_folder, monkeypatch):
    monkeypatch.setenv("METAMLFLOW_USER", "ada")
    before = datetime.now(UTC)
    change = three.set_alias("model", "production", 2, note="Größer ist besser.\nSiehe oben.")
    record = newest(store_folder)
    assert (record["created_by"], record["version"]) == ("ada", 2)
    assert record["note"] == "Größer ist besser.\nSiehe oben."
    assert record["writer"].startswith("metamlflow ")
    assert (change.number, change.version, change.reference) == (1, 2, "model@production")
    assert before <= change.created_at <= datetime.now(UTC)
    assert three.alias_history("model", "production") == [change]
    assert pickle.loads(pickle.dumps(change)) == change


def test_the_history_has_every_change_the_oldest_first_and_removals_too(three, monkeypatch):
    for user, version, note in (("ada", 1, None), ("bob", 3, "better"), ("ada", 1, "worse")):
        monkeypatch.setenv("METAMLFLOW_USER", user)
        three.set_alias("model", "production", version, note=note)
    three.remove_alias("model", "production", note="not served any more")
    found = three.alias_history("model", "production")
    assert [(change.number, change.version, change.created_by, change.note) for change in found] == [
        (1, 1, "ada", None),
        (2, 3, "bob", "better"),
        (3, 1, "ada", "worse"),
        (4, None, "ada", "not served any more"),
    ]
    three.set_alias("model", "production", 2)
    assert [change.version for change in three.alias_history("model", "production")] == [1, 3, 1, None, 2]
    assert found[3].to_json()["version"] is None
    assert repr(found[3]).startswith("<AliasChange model@production removed: ")


def test_a_note_adds_no_line_and_no_markup(three):
    change = three.set_alias("model", "production", 1, note="<script>\x1b[31m\nsecond line")
    assert "\n" not in repr(change)
    assert "\x1b" not in repr(change) + change._repr_html_()
    assert "<script>" not in change._repr_html_()


def test_a_record_of_before_that_says_no_more_than_a_version_is_read(three, store_folder):
    three.set_alias("model", "production", 1)
    record = store_folder / "artifacts/model/_aliases/production/9999999997.json"
    record.write_text(
        json.dumps({"format": 1, "record_id": "0" * 32, "created_at": "2024-01-01T00:00:00Z", "version": 3})
    )
    change = three.alias_history("model", "production")[1]
    assert (change.version, change.created_by, change.note, change.writer) == (3, None, None, None)
    assert three.get_artifact("model@production").version == 3


def test_the_history_of_what_never_was_is_an_error_that_names_what_there_is(three):
    three.set_alias("model", "production", 1)
    with pytest.raises(ArtifactNotFoundError, match="no alias 'prodction'") as caught:
        three.alias_history("model", "prodction")
    assert caught.value.suggestions[0] == "production"
    with pytest.raises(ArtifactNotFoundError, match="Did you mean 'model'"):
        three.alias_history("modle", "production")
    with pytest.raises(InvalidNameError):
        three.alias_history("model", "latest")


# --- compare and set --------------------------------------------------------------------------------------------------


def test_an_alias_is_moved_only_from_the_version_that_is_expected(three):
    with pytest.raises(AliasMovedError, match="stands for no version, and not for version 1"):
        three.set_alias("model", "production", 2, expected=1)
    assert three.set_alias("model", "production", 1, expected=0).number == 1
    with pytest.raises(ConflictError, match="stands for version 1, and not for none") as caught:
        three.set_alias("model", "production", 2, expected=0)
    assert (caught.value.current, caught.value.expected) == (1, 0)
    assert (caught.value.name, caught.value.alias) == ("model", "production")
    assert three.set_alias("model", "production", 2, expected=1).number == 2
    assert pickle.loads(pickle.dumps(caught.value)).current == 1


def test_a_removed_alias_stands_for_none(three):
    three.set_alias("model", "production", 1)
    with pytest.raises(AliasMovedError, match="stands for version 1, and not for version 2"):
        three.remove_alias("model", "production", expected=2)
    assert three.remove_alias("model", "production", expected=1).version is None
    with pytest.raises(AliasMovedError, match="stands for no version, and not for version 1"):
        three.remove_alias("model", "production", expected=1)
    assert three.set_alias("model", "production", 2, expected=0).number == 3


@pytest.mark.parametrize("remove", [True, False])
def test_an_alias_that_is_not_there_cannot_be_removed(three, remove):
    def call(name, alias):
        return three.remove_alias(name, alias) if remove else three.set_alias(name, alias, None)

    three.set_alias("model", "production", 1)
    with pytest.raises(ArtifactNotFoundError, match="no alias 'produktion'") as caught:
        call("model", "produktion")
    assert "Did you mean 'production'?" in caught.value.hint
    with pytest.raises(ArtifactNotFoundError, match="no artifact 'modell'"):
        call("modell", "production")
    call("model", "production")
    with pytest.raises(ArtifactNotFoundError, match="no alias 'production'"):
        call("model", "production")


def test_an_alias_of_a_version_that_was_pruned_is_removed_all_the_same(three, raw):
    three.set_alias("model", "production", 3)
    for version in (1, 2, 3):
        raw.prune("model", version)
    three.remove_alias("model", "production")
    assert three.aliases("model") == {}


@pytest.mark.parametrize("expected", [-1, True, "1", 1.0])
def test_an_expectation_is_a_number(three, expected):
    for call in (
        lambda: three.set_alias("model", "a", 1, expected=expected),
        lambda: three.remove_alias("model", "a", expected=expected),
    ):
        with pytest.raises(InvalidInputError, match="expected is the number of a version, or 0"):
            call()
    with pytest.raises(InvalidInputError, match="cannot be removed"):
        three.remove_alias("model", "a", expected=0)


@pytest.mark.parametrize("note", ["", "x" * 5001, "ü" * 2501, "\ud800", 7])
def test_a_note_that_no_reader_would_take_is_refused_and_nothing_is_written(three, store_folder, note):
    with pytest.raises(InvalidInputError, match=r"^note: "):
        three.set_alias("model", "production", 1, note=note)
    assert not (store_folder / "artifacts/model/_aliases").exists()
    three.set_alias("model", "production", 1, note="ü" * 2500)


def test_a_dry_run_tells_the_change_and_writes_nothing(three, raw):
    three.set_alias("model", "production", 1)
    before = raw.keys()
    change = three.set_alias("model", "production", "latest", expected=1, note="why", dry_run=True)
    assert (change.number, change.version, change.note) == (2, 3, "why")
    assert three.remove_alias("model", "production", dry_run=True).version is None
    with pytest.raises(AliasMovedError):
        three.set_alias("model", "production", 2, expected=3, dry_run=True)
    with pytest.raises(ArtifactNotFoundError):
        three.remove_alias("model", "other", dry_run=True)
    assert raw.keys() == before


def test_no_call_on_aliases_makes_a_store(client, store_folder):
    for call in (
        lambda: client.set_alias("model", "production", 1),
        lambda: client.remove_alias("model", "production"),
        lambda: client.alias_history("model", "production"),
        lambda: client.set_alias("model", "production", 1, dry_run=True),
    ):
        with pytest.raises(StoreNotFoundError):
            call()
    assert not store_folder.exists()


# --- where they are shown ---------------------------------------------------------------------------------------------


def test_an_artifact_knows_the_aliases_that_stand_for_it_now(three):
    artifact = three.get_artifact("model", 2)
    assert artifact.aliases == ()
    for alias in ("staging", "Production", "old"):
        three.set_alias("model", alias, 2)
    three.set_alias("model", "old", 1)
    assert artifact.aliases == ("Production", "staging")
    assert pickle.loads(pickle.dumps(artifact)).aliases == ("Production", "staging")
    assert three.get_artifact("model", 1).aliases == ("old",)


def test_a_list_has_the_aliases_as_of_then_if_asked(three):
    three.register_artifact("model/part", b"other")
    three.register_artifact("Model", b"other")
    three.set_alias("model", "production", 3)
    three.set_alias("model", "staging", 1)
    three.set_alias("model/part", "production", 1)
    listed = three.list_artifacts("model", include_aliases=True)
    assert [artifact.aliases for artifact in listed] == [("staging",), (), ("production",)]
    found = {artifact.name: artifact.aliases for artifact in three.list_artifacts(include_aliases=True)}
    assert found == {"Model": (), "model": ("production",), "model/part": ("production",)}
    three.remove_alias("model", "staging")
    assert listed[0].aliases == ("staging",)
    assert pickle.loads(pickle.dumps(listed[0])).aliases == ()


def test_a_wrong_alias_is_told_the_ones_that_there_are(three):
    for alias in ("staging", "canary", "champion"):
        three.set_alias("model", alias, 1)
    three.remove_alias("model", "canary")
    with pytest.raises(ArtifactNotFoundError) as caught:
        three.get_artifact("model@prod")
    assert caught.value.hint == "It has the aliases 'champion', 'staging', and the versions 3, 2, 1."
    assert caught.value.suggestions == ("champion", "staging", "3", "2", "1")
    with pytest.raises(ArtifactNotFoundError) as caught:
        three.get_artifact("model@Stagin")
    assert caught.value.hint.startswith("Did you mean 'staging'? It has the aliases 'champion', 'staging', and")


# --- hostile and damaged records --------------------------------------------------------------------------------------


def test_a_damaged_record_is_left_out_with_a_warning_and_hides_no_other(three, store_folder):
    for alias in ("broken", "production"):
        three.set_alias("model", alias, 1)
    three.set_alias("model", "production", 2)
    damage(store_folder, "broken")
    damage(store_folder, "production")
    for look in (
        lambda: three.aliases("model"),
        lambda: dict.fromkeys(three.get_artifact("model", 2).aliases, 2),
        lambda: dict.fromkeys(three.list_artifacts("model", include_aliases=True)[1].aliases, 2),
    ):
        with pytest.warns(DamagedRecordWarning, match="left out of the aliases.*_aliases/broken/"):
            assert look() == {"production": 2}
    with pytest.warns(DamagedRecordWarning, match="left out of the aliases"):
        three.list_artifacts(include_aliases=True)
    with pytest.warns(DamagedRecordWarning, match="left out of the history"):
        assert [change.number for change in three.alias_history("model", "production")] == [2]


def test_keys_that_spell_no_alias_are_ignored(three, store_folder):
    three.set_alias("model", "production", 1)
    record = json.dumps(newest(store_folder)).encode()
    for alias in ("latest", "7", "v7", "Upper", "a/b", "production/deep"):
        folder = store_folder / "artifacts/model/_aliases" / alias
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "9999999998.json").write_bytes(record)
    (store_folder / "artifacts/model/_aliases/production/x.json").write_bytes(b"")
    assert three.aliases("model") == {"production": 1}
    assert three.list_artifacts(include_aliases=True)[0].aliases == ()
    assert len(three.alias_history("model", "production")) == 1


def test_a_newest_record_that_is_damaged_is_never_written_over(three, store_folder):
    three.set_alias("model", "production", 1)
    damage(store_folder, "production")
    for call in (lambda: three.set_alias("model", "production", 2), lambda: three.remove_alias("model", "production")):
        with pytest.raises(Exception, match="alias record"):
            call()
