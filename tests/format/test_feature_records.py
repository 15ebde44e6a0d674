"""Lists of features between bytes and values: every wrong field is told, and nothing that is not known is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from metamlflow.errors import StoreFormatError
from metamlflow.format.features import StoreFeatures, decode_features, encode_features
from metamlflow.format.layout import features_key, parse_features_key

KEY = "features/9999999998.json"
GOOD = {
    "created_at": "2026-01-31T12:00:00Z",
    "format": 1,
    "read": ["packs", "zstd-2"],
    "record_id": "0123456789abcdef" * 2,
    "write": ["protections"],
}


def read(document: dict) -> StoreFeatures:
    return decode_features(json.dumps(document).encode(), KEY)


def test_a_list_is_written_as_the_page_says_and_read_again():
    features = StoreFeatures(("packs", "zstd-2"), ("protections",))
    data = encode_features(features, GOOD["record_id"], datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert data == (
        b'{"created_at":"2026-01-31T12:00:00.000000Z","format":1,"read":["packs","zstd-2"],'
        b'"record_id":"0123456789abcdef0123456789abcdef","write":["protections"]}\n'
    )
    assert decode_features(data, KEY) == features
    assert read(GOOD) == features
    assert read(GOOD).key == KEY


def test_the_newest_list_has_the_first_key():
    assert features_key(1) == KEY
    assert features_key(2) < features_key(1)
    assert parse_features_key(features_key(12)) == 12
    for key in (
        "features/1.json",
        "features/9999999999.json",
        "features/x/9999999998.json",
        "features/0000000000.json",
    ):
        assert parse_features_key(key) is None


WRONG = {
    "no name": {"read": ["packs", ""]},
    "upper case": {"write": ["Protections"]},
    "a digit first": {"read": ["2nd"]},
    "a line in a name": {"read": ["packs\n"]},
    "letters of elsewhere": {"read": ["päckchen"]},
    "a long name": {"read": ["p" * 65]},
    "a number": {"read": [1]},
    "a name that is null": {"write": [None]},
    "unsorted": {"read": ["zstd-2", "packs"]},
    "twice": {"write": ["protections", "protections"]},
    "too many": {"read": [f"f{number:04}" for number in range(1_001)]},
    "no array": {"read": "packs"},
    "an object": {"write": {"protections": True}},
    "null": {"read": None},
    "a newer format": {"format": 2},
    "no id": {"record_id": "x"},
    "no time": {"created_at": "yesterday"},
}


@pytest.mark.parametrize("name", WRONG)
def test_a_field_that_is_wrong_is_told_where_it_stands(name):
    with pytest.raises(StoreFormatError) as caught:
        read(GOOD | WRONG[name])
    assert caught.value.key == KEY
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(next(iter(WRONG[name])))


@pytest.mark.parametrize("field", GOOD)
def test_a_field_that_is_missing_is_told(field):
    with pytest.raises(StoreFormatError) as caught:
        read({name: value for name, value in GOOD.items() if name != field})
    assert caught.value.problems == (f"{field}: missing",)


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(StoreFormatError) as caught:
        read({"format": 1, "read": ["b", "a", 7], "write": None})
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "record_id", "created_at", "read[1]", "read[2]", "write",
    ]  # fmt: skip


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b"\xff", b'{"format":1,"format":1}', b"[" * 100_000])
def test_what_is_no_document_is_told(data):
    with pytest.raises(StoreFormatError, match=KEY):
        decode_features(data, KEY)


def test_the_longest_names_and_lists_are_read():
    names = [f"f{number:04}" for number in range(1_000)]
    assert read(GOOD | {"read": names, "write": ["a" * 64]}).read == tuple(names)
    assert not read(GOOD | {"read": [], "write": []})


def test_the_next_list_keeps_the_names_and_the_fields_that_nobody_here_knows():
    before = read(GOOD | {"delete": ["packs"], "note": {"by": "ada"}})
    after = before.united(StoreFeatures(("a", "packs"), ("zz",)))
    document = json.loads(encode_features(after, "f" * 32, datetime(2026, 2, 1, tzinfo=UTC)))
    assert document == GOOD | {
        "created_at": "2026-02-01T00:00:00.000000Z",
        "record_id": "f" * 32,
        "read": ["a", "packs", "zstd-2"],
        "write": ["protections", "zz"],
        "delete": ["packs"],
        "note": {"by": "ada"},
    }


def test_this_library_knows_no_feature_of_a_store():
    assert read(GOOD).unknown_to_readers() == (
        'read[0]: unknown feature "packs"',
        'read[1]: unknown feature "zstd-2"',
    )
    assert read(GOOD).unknown_to_writers()[2:] == ('write[0]: unknown feature "protections"',)
