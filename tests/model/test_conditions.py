"""Conditions on versions: strict about types, never executed, and errors that point at the place."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metamlflow.errors import InvalidInputError
from metamlflow.model.condition_fields import FIELDS, IN_SEARCH
from metamlflow.model.condition_terms import Several
from metamlflow.model.conditions import Condition

FACTS = {
    "name": "team/model",
    "version": 3,
    "artifact_type": "model",
    "kind": "file",
    "created_at": datetime(2026, 1, 15, 12, tzinfo=UTC),
    "created_by": "ada",
    "size": 1_000,
    "files": 1,
    "folders": 0,
    "digest": "sha256:0",
    "artifact_id": "x",
    "run": None,
    "writer": None,
    "metadata": {
        "accuracy": 0.4,
        "rows": 2**60,
        "stage": "dev",
        "ok": True,
        "none": None,
        "nan": math.nan,
        "inf": math.inf,
        "tags": ["a", "b", 3],
        "deep": {"er": {"x": 1}, "a-b": 2},
        "odd key": {"'": 1},
        "and": 1,
        "long": "x" * 1_001,
    },
    "input": Several(["features", "features@2", "raw", "raw@1"]),
    "column": Several(["age", "odd key"]),
    "columns": {"age": "int64", "odd key": "string"},
}


def answer(text: str) -> bool | None:
    return Condition.parse(text).answer(FACTS).holds


HOLD = [
    "metadata.accuracy < 0.5",
    "metadata.accuracy<=.4",
    "0.5 > metadata.accuracy",
    "metadata.accuracy != 0.5",
    "metadata.accuracy == 4e-1",
    "metadata.accuracy > -1",
    "metadata.rows == 1152921504606846976",
    "metadata.rows > 1152921504606846975",
    "metadata.inf > 1000",
    'metadata.stage == "dev"',
    "metadata.stage < 'prod'",
    "metadata.ok",
    "metadata.ok == true",
    "not metadata.ok == False",
    "metadata.none == null",
    "metadata.stage != null",
    "run == null",
    "metadata.deep.er.x == 1",
    "metadata.deep.a-b == 2",
    "metadata['odd key'][\"'\"] == 1",
    "metadata['odd key']['\\''] == 1",
    "metadata.and == 1",
    "'a' in metadata.tags",
    "3 in metadata.tags",
    "version in [1, 2, 3]",
    "version in (3,)",
    "version not in [1, 2]",
    "artifact_type in ['model', 'dataset'] and size >= 1_0",
    "created_at < '2026-02-01'",
    "created_at >= '2026-01-15T12:00:00Z'",
    "created_at > '2026-01-15T12:30:00+01:00'",
    "created_at in ['2026-01-15T12:00:00Z']",
    "metadata.lost < 1 or size == 1000",
    "size == 1000 or metadata.lost < 1",
    "not (size == 1 or size == 2)",
    "not not size == 1000",
    "size == 1 and size == 2 or version == 3",
    "version == 3 or size == 1 and size == 2",
    "metadata.rows == metadata.rows",
    " \n size\t== 1000 ",
    "size = 1000",
    "type = 'model'",
    "name matches 'team/*'",
    "name matches '**del'",
    "name matches 'team/model'",
    "name not matches 'other/*'",
    "metadata.stage matches 'd?v'",
    "input = 'features@2'",
    "input = 'features'",
    "'features@2' in input",
    "input in ['nothing', 'raw@1']",
    "input not in ['nothing']",
    "input != 'features@3'",
    "input matches 'feat*@2'",
    "input not matches 'x*'",
    "input != null",
    "column = 'age'",
    "columns.age = 'int64'",
    "columns['odd key'] matches 'str*'",
]
DO_NOT = [
    "metadata.accuracy < 0.4",
    "metadata.accuracy > 0.4",
    "metadata.stage == null",
    "not metadata.ok",
    "version in []",
    "version not in [3]",
    "metadata.lost < 1 and size == 1",
    "size == 1 and metadata.lost < 1",
    "created_at > '2026-02-01'",
    "version == 3 and (size == 1 or size == 2)",
    "name matches 'team'",
    "name matches '*'",
    "input = 'features@3'",
    "input != 'features@2'",
    "input not in ['features@2']",
    "input = null",
    "column not in ['age']",
    "not input matches '**'",
]
NOBODY_KNOWS = {
    "metadata.lost < 1": "it has no metadata.lost",
    "not metadata.lost < 1": "it has no metadata.lost",
    "metadata.lost": "it has no metadata.lost",
    "metadata.lost != 'x'": "it has no metadata.lost",
    "metadata.deep.er.y == 1": "it has no metadata.deep.er.y",
    "metadata.stage.x == 1": "it has no metadata.stage.x",
    "metadata.lost < 1 and size == 1000": "it has no metadata.lost",
    "metadata.lost < 1 or size == 1": "it has no metadata.lost",
    "1 in metadata.lost": "it has no metadata.lost",
    "metadata.stage < 1": "metadata.stage: a text is compared with a number",
    "metadata.stage == 1": "metadata.stage: a text is compared with a number",
    "metadata.stage != 1": "metadata.stage: a text is compared with a number",
    "metadata.accuracy < '0.5'": "metadata.accuracy: a number is compared with a text",
    "metadata.ok == 1": "metadata.ok: true or false is compared with a number",
    "metadata.ok < true": "metadata.ok is true or false, which has no order",
    "metadata.nan < 1": "metadata.nan is not a number (NaN)",
    "not metadata.nan == 1": "metadata.nan is not a number (NaN)",
    "metadata.none < 1": "metadata.none is null",
    "metadata.tags < 1": "metadata.tags: a list is compared with a number",
    "metadata.tags < metadata.tags": "metadata.tags is a list, which has no order",
    "metadata.deep == 1": "metadata.deep: an object is compared with a number",
    "metadata.accuracy": "metadata.accuracy is a number, not true or false",
    "'dev' in metadata.stage": "metadata.stage is a text, not a list",
    "'a' not in metadata.stage": "metadata.stage is a text, not a list",
    "metadata.stage not in [1, 2]": "metadata.stage: a text is compared with a number",
    "columns.lost = 'int64'": "it has no columns.lost",
    "input < 'a'": "input may have several values, which have no order",
    "input = 2": "input: a text is compared with a number",
    "version matches '3*'": "version: a number is compared with a pattern",
    "metadata.long matches '**'": "metadata.long has more than 1,000 characters",
    "run matches '*'": "run: null is compared with a pattern",
    "'z' not in metadata.tags": "metadata.tags: a text is compared with a number",
}


@pytest.mark.parametrize("text", HOLD)
def test_it_holds(text):
    if "_0" in text:
        with pytest.raises(InvalidInputError):
            Condition.parse(text)
        return
    assert answer(text) is True


@pytest.mark.parametrize("text", DO_NOT)
def test_it_does_not_hold(text):
    assert answer(text) is False


@pytest.mark.parametrize("text", NOBODY_KNOWS)
def test_what_cannot_be_told_neither_holds_nor_does_its_negation(text):
    found = Condition.parse(text).answer(FACTS)
    assert (found.holds, found.reason) == (None, NOBODY_KNOWS[text])
    negated = Condition.parse(f"not ({text})").answer(FACTS)
    assert not negated
    assert negated.holds is None


WRONG = {
    "": (1, "expected a field or a value"),
    "size": (None, ""),
    "size <": (7, "expected a field or a value"),
    "size matches 1": (14, "expected a pattern in quotes"),
    "name matches ''": (14, "expected a pattern of 1 to"),
    "'a' matches name": (1, "expected a field before 'matches'"),
    "name not 'a'": (6, "expected 'and', 'or' or the end"),
    "alias = 'production'": (1, "unknown field 'alias'"),
    "tags.team = 'a'": (1, "unknown field 'tags.team'"),
    "accuracy < 1": (1, "unknown field 'accuracy'"),
    "metadata < 1": (1, "unknown field 'metadata'"),
    "size.x == 1": (1, "unknown field 'size.x'"),
    "1 < 2": (1, "expected a field on one side"),
    "'a'": (4, "expected a comparison"),
    "0 < size < 9": (10, "expected 'and'"),
    "(size < 1": (10, "expected ')'"),
    "size < 1)": (9, "expected 'and', 'or' or the end"),
    "size < 1 size": (10, "expected 'and', 'or' or the end"),
    "size < 'a": (8, "a text without its end"),
    "size ! 1": (6, "expected a field, a value or a comparison"),
    "size in 3": (9, "expected a list"),
    "size in 'abc'": (9, "expected a list"),
    "size in [1, size]": (13, "expected a value"),
    "size in [1,": (12, "expected a value"),
    "size in [1 2]": (12, "expected ']'"),
    "size and": (9, "expected a field or a value"),
    "size not 1": (6, "expected 'and', 'or' or the end"),
    "created_at < 'soon'": (14, "expected a date or time"),
    "created_at in ['soon']": (15, "expected a date or time"),
    "size < 1e999": (8, "a number that is too large"),
    "size < 1x": (8, "expected a field, a value or a comparison"),
    "name == 'a\\q'": (9, "unknown escape"),
    "__import__('os').system('x')": (17, "expected a field, a value or a comparison"),
    "__import__('os')": (1, "unknown field"),
    "metadata.__class__.__base__ ()": (29, "expected 'and'"),
    "size < 1; size > 2": (9, "expected a field, a value or a comparison"),
    "größe < 1": (3, "expected a field, a value or a comparison"),
}


@pytest.mark.parametrize("text", [text for text, (place, _) in WRONG.items() if place is not None])
def test_a_malformed_condition_is_refused_with_its_place(text):
    place, problem = WRONG[text]
    with pytest.raises(InvalidInputError) as caught:
        Condition.parse(text, "where")
    first, shown, marker = caught.value.message.split("\n")[:3]
    assert first.startswith(f"where: {problem}")
    assert first.endswith(f"at character {place}:")
    assert (shown, marker) == (f"  {text}", " " * (place + 1) + "^")


@pytest.mark.parametrize("text", ["not " * 60 + "size", "(" * 60 + "size", "size == " + "9" * 500, "x" * 10_001])
def test_a_condition_of_any_length_and_depth_is_refused_and_crashes_nothing(text):
    with pytest.raises(InvalidInputError):
        Condition.parse(text)


@given(st.text(max_size=60) | st.lists(st.sampled_from([*HOLD, "(", ")", "and", "not", "in", "[", "'"])).map(" ".join))
def test_any_text_is_read_or_refused(text):
    try:
        found = Condition.parse(text)
    except InvalidInputError:
        return
    assert found.answer(FACTS).holds in {True, False, None}


def test_every_field_that_is_documented_is_one_of_a_version():
    from dataclasses import fields

    from metamlflow.model.manifests import Manifest

    assert set(FIELDS) <= {field.name for field in fields(Manifest)} | {"writer", "saved_as"}


def test_a_search_may_also_ask_for_aliases_and_notes():
    facts = {
        **FACTS,
        "alias": Several(["production"]),
        "tag": Several(["team"]),
        "tags": {"team": "fraud"},
        "title": None,
    }
    for text in ("alias = 'production'", "tag = 'team'", "tags.team = 'fraud'", "title = null", "alias not in ['x']"):
        assert Condition.parse(text, words=IN_SEARCH).answer(facts).holds is True, text
    assert Condition.parse("alias = null", words=IN_SEARCH).answer(facts).holds is False
    assert Condition.parse("tags.other = 'x'", words=IN_SEARCH).answer(facts).holds is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("metdata.accuracy > 0.9", "metadata.accuracy"),
        ("column.age = 'int64'", "columns.age"),
        ("sise > 1", "size"),
        ("metadata", "metadata.<name>"),
    ],
)
def test_the_error_for_a_mistyped_field_tells_the_field_that_was_meant(text, meant):
    with pytest.raises(InvalidInputError) as caught:
        Condition.parse(text)
    assert f"Did you mean '{meant}'?" in str(caught.value)


@pytest.mark.parametrize("given_text", [5, None, b"size > 1", ["size > 1"]])
def test_a_condition_that_is_no_text_is_refused(given_text):
    with pytest.raises(InvalidInputError, match=f"expected a text, got {type(given_text).__name__}") as caught:
        Condition.parse(given_text, "where")
    assert "metadata.accuracy < 0.5" in caught.value.hint
