"""Names that are hidden from listings, by records that the test writes itself."""

from __future__ import annotations

import json

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactNotFoundError

ORIGIN = {"format": 1, "record_id": "a" * 32, "created_at": "2026-02-03T04:05:06Z"}


@pytest.fixture
def names(client) -> MetaMLFlowClient:
    for name in ("data", "Team/Model", "data/parts"):
        client.register_artifact(name, b"content")
    return client


def set_visibility(raw, spelled: str, number: int, state: str) -> None:
    place = raw.root / f"names/{spelled}!/{9_999_999_999 - number:010d}.json"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(ORIGIN | {"state": state}))


@pytest.mark.parametrize(("name", "spelled"), [("data", "data"), ("Team/Model", "!team/!model")])
def test_a_hidden_name_is_listed_only_when_asked_for_and_read_as_before(names, raw, name, spelled):
    everything = ["Team/Model", "data", "data/parts"]
    for number in range(1, 13):  # beyond 9: numbers, not strings
        set_visibility(raw, spelled, number, "hidden" if number % 2 else "shown")
        expected = [other for other in everything if number % 2 == 0 or other != name]
        assert names.list_names() == expected
        assert [artifact.name for artifact in names.list_artifacts()] == sorted(expected)
    set_visibility(raw, spelled, 13, "hidden")
    assert names.list_names(include_hidden=True) == everything
    assert [artifact.name for artifact in names.list_artifacts(include_hidden=True)] == everything
    assert names.get_artifact(name).read_bytes() == b"content"
    assert [artifact.version for artifact in names.list_artifacts(name)] == [1]
    assert names.register_artifact(name, b"next").version == 2
    assert names.verify_all().ok


def test_a_hidden_name_is_not_offered_as_what_was_meant(names, raw):
    set_visibility(raw, "data", 1, "hidden")
    with pytest.raises(ArtifactNotFoundError) as caught:
        names.get_artifact("datas")
    assert "data" not in caught.value.suggestions


@pytest.mark.parametrize(
    "key", ["names/data!/1.json", "names/data!/0000000000.json", "names/Data!/9999999998.json", "names/data!/x/y.json"]
)
def test_a_key_that_names_no_such_record_hides_nothing(names, raw, key):
    place = raw.root / key
    place.parent.mkdir(parents=True)
    place.write_text(json.dumps(ORIGIN | {"state": "hidden"}))
    assert names.list_names() == ["Team/Model", "data", "data/parts"]
