"""Metadata that were copied from the version before although what they speak of changed."""

from __future__ import annotations

import warnings

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ConflictError, InvalidInputError, StaleMetadataError, StaleMetadataWarning

FIRST = b"feature_1,feature_2\n0.5,1\n"
WIDER = b"feature_1,feature_2,new_feature\n0.5,1,2.0\n"
OTHER_ROWS = b"feature_1,feature_2\n0.7,3\n"
TEXTS = b"feature_1,feature_2\nx,1\n"
NARROWER = b"feature_1\n0.5\n"

METADATA = {
    "processing_script": "data_preprocessing_v1.py",
    "transformation_steps": ["handle_missing", "normalize_features"],
    "schema_version": "1.0",
    "created_by": "data_engineer_alpha",
}
# What the tutorial changes for its second version.
BUMPED = METADATA | {
    "processing_script": "data_preprocessing_v2.py",
    "transformation_steps": ["handle_missing", "normalize_features", "add_new_feature"],
    "schema_version": "1.1",
}


def register(client, content, metadata, **options):
    return client.register_artifact("features", {"data.csv": content}, "dataset", metadata, **options)


def told_of(client, content, metadata, **options) -> list[warnings.WarningMessage]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        register(client, content, metadata, **options)
    return caught


QUIET = {
    "the tutorial's second version": (WIDER, BUMPED),
    "a new column and a bumped schema_version alone": (WIDER, METADATA | {"schema_version": "1.1"}),
    "other rows and another script": (OTHER_ROWS, METADATA | {"processing_script": "v2.py"}),
    "other rows and another step": (OTHER_ROWS, METADATA | {"transformation_steps": ["handle_missing"]}),
    "the same again": (FIRST, METADATA),
    "the same with other metadata": (FIRST, BUMPED),
    "a new column and no schema_version now": (WIDER, {"owner": "ada"}),
    "no metadata now": (WIDER, {}),
}


@pytest.mark.parametrize(("content", "metadata"), QUIET.values(), ids=QUIET)
def test_metadata_that_were_brought_up_to_date_are_not_told_of(client, content, metadata):
    register(client, FIRST, METADATA)
    assert told_of(client, content, metadata) == []


STALE_SCHEMA = {
    "a column more": (WIDER, "column 'new_feature' is new"),
    "a column less": (NARROWER, "column 'feature_2' is gone"),
    "a column of another type": (TEXTS, "column 'feature_1' was .* and is .*"),
}


@pytest.mark.parametrize(("content", "told"), STALE_SCHEMA.values(), ids=STALE_SCHEMA)
def test_another_schema_under_the_old_schema_version_warns_and_names_the_column(client, raw, content, told):
    register(client, FIRST, METADATA)
    with pytest.warns(StaleMetadataWarning, match=rf"^features: .* version 1 \({told}\).* still '1\.0'"):
        register(client, content, BUMPED | {"schema_version": "1.0"})
    assert raw.manifest("features", 2)["metadata"]["schema_version"] == "1.0"


def test_other_content_under_the_same_script_steps_and_schema_version_warns(client):
    register(client, FIRST, METADATA)
    (warning,) = told_of(client, OTHER_ROWS, METADATA)
    assert (warning.category, warning.filename) == (StaleMetadataWarning, __file__)
    told = str(warning.message)
    assert told.startswith("features: the content differs from version 1")
    assert all(name in told for name in ("processing_script", "transformation_steps", "schema_version"))


def test_both_are_told_where_both_are_so(client):
    register(client, FIRST, METADATA)
    schema, content = told_of(client, WIDER, METADATA)
    assert "'new_feature' is new" in str(schema.message)
    assert "the content differs" in str(content.message)


def test_many_changes_are_counted_and_not_all_named(client):
    register(client, b"id\n1\n", METADATA)
    wide = ",".join(f"c{number}" for number in range(100))
    told = str(told_of(client, f"id,{wide}\n1,{wide}\n".encode(), BUMPED | {"schema_version": "1.0"})[0].message)
    assert "column 'c0' is new" in told
    assert "and 90 more" in told
    assert len(told) < 1000


NEVER_TOLD = {
    "no metadata": {},
    "other fields": {"owner": "ada", "rows": 1},
    "a script alone": {"processing_script": "v1.py"},
    "a script and steps": {"processing_script": "v1.py", "transformation_steps": []},
    "fields that are almost so called": {"schema-version": "1.0", "script": "v1.py"},
}


@pytest.mark.parametrize("metadata", NEVER_TOLD.values(), ids=NEVER_TOLD)
def test_metadata_without_the_fields_are_never_told_of(client, metadata):
    register(client, FIRST, metadata)
    assert told_of(client, WIDER, metadata) == []
    assert told_of(client, b"\0no table", metadata) == []


def test_it_is_the_version_before_that_counts(client):
    register(client, FIRST, METADATA)
    register(client, WIDER, BUMPED)
    assert told_of(client, FIRST, METADATA) == [], "back to the first, metadata and all"
    (warning,) = told_of(client, WIDER, METADATA | {"processing_script": "v3.py"})
    assert "version 3" in str(warning.message)


def test_a_first_version_is_compared_with_nothing(client):
    assert told_of(client, FIRST, METADATA) == []


def test_content_without_a_schema_is_held_to_its_digest_alone(client):
    register(client, b"\0\1", {"schema_version": "1.0"})
    assert told_of(client, b"\0\2", {"schema_version": "1.0"}) == []
    register(client, b"\0\3", METADATA)
    assert [str(warning.message).partition(" version")[0] for warning in told_of(client, b"\0\4", METADATA)] == [
        "features: the content differs from"
    ]


# --- what a client does about it --------------------------------------------------------------------------------------


def test_a_client_may_ignore_it(store_folder, client):
    register(client, FIRST, METADATA)
    assert told_of(MetaMLFlowClient(store_folder, stale_metadata="ignore"), WIDER, METADATA) == []


@pytest.mark.parametrize(("content", "told"), [(WIDER, "'new_feature' is new"), (OTHER_ROWS, "the content differs")])
def test_a_client_may_take_it_for_an_error_and_then_nothing_is_registered(store_folder, raw, client, content, told):
    register(client, FIRST, METADATA)
    strict = MetaMLFlowClient(store_folder, stale_metadata="error")
    with pytest.raises(StaleMetadataError, match=told) as caught:
        register(strict, content, METADATA)
    assert isinstance(caught.value, ConflictError)
    assert "nothing was registered" in caught.value.message
    assert len(raw.manifests()) == 1
    assert register(strict, content, BUMPED).version == 2


def test_an_error_leaves_no_edge_behind(store_folder, raw, client):
    source = client.register_artifact("source", b"1")
    register(client, FIRST, METADATA)
    with pytest.raises(StaleMetadataError):
        register(MetaMLFlowClient(store_folder, stale_metadata="error"), WIDER, METADATA, inputs=[source])
    assert not (raw.root / "edges").exists()


def test_a_version_that_is_reused_is_not_told_of(client):
    register(client, FIRST, METADATA)
    assert told_of(client, FIRST, METADATA, if_unchanged="reuse") == []


@pytest.mark.parametrize("wrong", ["raise", None, True, ""])
def test_another_word_for_it_is_refused(store_folder, wrong):
    with pytest.raises(InvalidInputError, match="stale_metadata is 'warn', 'ignore' or 'error'"):
        MetaMLFlowClient(store_folder, stale_metadata=wrong)
