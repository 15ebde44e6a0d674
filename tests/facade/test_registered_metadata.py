"""Metadata at the façade: copied at once, fresh each time, exact where JSON is not, refused with its place."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from metamlflow.errors import InvalidMetadataError


def registered(client, metadata):
    """Metadata as a reader who comes later sees it."""
    client.register_artifact("a", b"1", metadata=metadata)
    return client.get_artifact("a").metadata


def test_a_dict_that_changes_later_does_not_change_what_was_registered(client):
    steps = ["one"]
    artifact = client.register_artifact("a", b"1", metadata={"steps": steps})
    steps.append("two")
    assert artifact.metadata == client.get_artifact("a").metadata == {"steps": ["one"]}


def test_a_dict_that_changes_while_it_is_registered_does_not_either(client):
    metadata = {"n": 1}
    artifact = client.register_artifact("a", b"1", metadata=metadata, progress=lambda _: metadata.update(n=2))
    assert artifact.metadata == {"n": 1}


def test_each_look_gives_a_fresh_copy(client):
    artifact = client.register_artifact("a", b"1", metadata={"deep": {"list": [1]}})
    artifact.metadata["deep"]["list"].append(2)
    assert artifact.metadata == {"deep": {"list": [1]}}


def test_no_metadata_is_an_empty_dict(client):
    assert registered(client, None) == {}


def test_nan_and_infinities_come_back_and_the_manifest_stays_valid_json(client, raw):
    found = registered(client, {"loss": math.nan, "best": math.inf, "worst": [-math.inf]})
    assert math.isnan(found["loss"])
    assert (found["best"], found["worst"]) == (math.inf, [-math.inf])
    assert raw.manifest("a")["metadata"]["best"] == {"$float": "Infinity"}
    assert b"NaN," not in raw.manifest_path("a", 1).read_bytes()


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, -(2**64) - 1, 10**40])
def test_integers_of_any_size_come_back_exactly(client, number):
    assert registered(client, {"n": number}) == {"n": number}


def test_numpy_values_become_plain_ones(client):
    found = registered(
        client,
        {"i": np.int64(7), "f": np.float32(0.5), "b": np.True_, "a": np.arange(4).reshape(2, 2), "s": np.str_("x")},
    )
    assert found == {"i": 7, "f": 0.5, "b": True, "a": [[0, 1], [2, 3]], "s": "x"}
    assert [type(found[key]) for key in "ifbs"] == [int, float, bool, str]


def test_what_looks_like_our_own_notation_comes_back_as_it_was(client):
    tricky = {"$float": "NaN", "$$": {"$int": "1"}, "": None, "é\u0301\U0001f600": "<b>&"}
    assert registered(client, tricky) == tricky


def test_paths_and_moments_become_text(client):
    found = registered(client, {"p": Path("a/b"), "t": datetime(2024, 1, 2, tzinfo=UTC)})
    assert found == {"p": "a/b", "t": "2024-01-02T00:00:00Z"}


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        ({"model": object()}, "metadata.model"),
        ({"a": {"b": [1, b"raw"]}}, "metadata.a.b[1]"),
        ({"a": {(1, 2): 1}}, "metadata.a"),
        ({"a": "\ud800"}, "metadata.a"),
        ({"a": {1: "x", "1": "y"}}, "metadata.a.1"),
        ([("a", 1)], "metadata"),
        ("text", "metadata"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_its_place_and_nothing_is_written(client, store_folder, metadata, place):
    with pytest.raises(InvalidMetadataError) as caught:
        client.register_artifact("a", b"1", metadata=metadata)
    assert caught.value.place == place
    assert place in str(caught.value)
    assert not store_folder.exists()


def test_metadata_that_contains_itself_is_refused(client):
    loop: dict = {}
    loop["again"] = [loop]
    with pytest.raises(InvalidMetadataError, match=r"metadata\.again\[0\]"):
        client.register_artifact("a", b"1", metadata=loop)
