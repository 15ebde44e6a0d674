"""Texts that look alike are shown so that a person can tell them apart."""

from __future__ import annotations

import unicodedata
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metamlflow import Dataset, MetaMLFlowClient
from metamlflow.errors import ArtifactNotFoundError, InvalidInputError, InvalidNameError, StaleMetadataWarning
from metamlflow.model.likeness import alike, quoted, told_apart
from metamlflow.model.names import ArtifactName, Reference
from metamlflow.model.paths import collisions

COMPOSED, DECOMPOSED = "é.txt", "e\u0301.txt"

ALIKE = {
    "normal forms": (COMPOSED, DECOMPOSED, r"'\xe9.txt'", r"'e\u0301.txt'"),
    "normal forms of Hangul": ("한", unicodedata.normalize("NFD", "한"), r"'\ud55c'", r"'\u1112\u1161\u11ab'"),
    "a Cyrillic letter": ("d\u0430ta", "data", r"'d\u0430ta'", "'data'"),
    "a Greek letter": ("l\u03bfg", "log", r"'l\u03bfg'", "'log'"),
    "a wide letter": ("data", "\uff44ata", "'data'", r"'\uff44ata'"),
    "a digit of another script": ("part-1", "part-\u0661", "'part-1'", r"'part-\u0661'"),
    "a blank of another kind": ("a b", "a\u00a0b", "'a b'", r"'a\xa0b'"),
    "a blank at the end": ("a", "a ", "'a'", "'a '"),
    "nothing to see": ("ab", "a\u200bb", "'ab'", r"'a\u200bb'"),
    "the other direction": ("ab", "\u202eab", "'ab'", r"'\u202eab'"),
    "a dash of another length": ("a-b", "a\u2010b", "'a-b'", r"'a\u2010b'"),
    "a mark on nothing": ("a", "a\u0332", "'a'", r"'a\u0332'"),
}


@pytest.mark.parametrize(("one", "other", "first", "second"), ALIKE.values(), ids=ALIKE)
def test_what_looks_alike_is_escaped_where_it_differs(one, other, first, second):
    assert told_apart(one, [other]) == (first, [second])
    assert quoted([one, other]) == [first, second]


SEEN = {
    "other letters": ("größe.csv", "grösse.csv"),
    "other signs": ("訓練.csv", "训练.csv"),
    "a longer name": ("データ", "データ新"),
    "case": ("README", "readme"),
    "nothing": (COMPOSED, COMPOSED),
    "a quotation mark": ("it's", "its"),
}


@pytest.mark.parametrize(("one", "other"), SEEN.values(), ids=SEEN)
def test_a_difference_that_can_be_seen_stays_readable(one, other):
    own, (shown,) = told_apart(one, [other])
    assert (own.strip("'\""), shown.strip("'\"")) == (one, other)


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_texts_that_differ_are_never_shown_as_one_normal_form(one, other):
    own, (shown,) = told_apart(one, [other])
    same = unicodedata.normalize("NFKC", own) == unicodedata.normalize("NFKC", shown)
    assert not same or one == other or not alike(one, other)


@pytest.mark.parametrize(
    ("asked", "there"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED), ("d\u0430ta.csv", "data.csv")]
)
def test_an_unknown_path_is_told_apart_from_its_look_alike(tmp_path, asked, there):
    client = MetaMLFlowClient(tmp_path / "store")
    artifact = client.register_artifact("a", {there: b"1", "zzz": b"", "yyy": b"", "xxx": b"", "www": b"", "vvv": b""})
    with pytest.raises(ArtifactNotFoundError) as caught:
        artifact.read_bytes(asked)
    assert caught.value.suggestions[0] == there, "the look-alike is found, however short the names are"
    own, (shown,) = told_apart(asked, [there])
    assert caught.value.message == f"a@1 has no file {own}"
    assert shown in caught.value.hint
    assert own != shown
    assert (own + shown).isascii()


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("bikes/r\u0456des", r"'\u0456' (U+0456 CYRILLIC SMALL LETTER"),
        ("rides\u200b", r"'\u200b' (U+200B ZERO WIDTH SPACE)"),
        ("ride\u0301s", r"'\u0301' (U+0301 COMBINING ACUTE ACCENT)"),
        ("rides ", "' '"),
    ],
)
def test_a_name_is_told_which_character_it_may_not_hold(name, odd):
    with pytest.raises(InvalidNameError) as caught:
        ArtifactName.parse(name)
    assert odd in caught.value.message
    if "/" not in name:
        with pytest.raises(InvalidNameError) as caught:
            Reference.parse("a", name)
        assert odd in caught.value.message


def test_columns_that_look_alike_are_told_apart(tmp_path):
    client = MetaMLFlowClient(tmp_path / "store")
    said = {"schema_version": "1"}
    client.register_artifact("t", {"t.csv": "é\n1\n".encode()}, "dataset", said)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.register_artifact("t", {"t.csv": "e\u0301\n1\n".encode()}, "dataset", said)
    (told,) = [str(warning.message) for warning in caught if warning.category is StaleMetadataWarning]
    assert r"column 'e\u0301' is new, column '\xe9' is gone" in told


def test_columns_of_two_files_are_told_apart(tmp_path):
    pytest.importorskip("pandas")
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_artifact("t", {"1.csv": "é\n1\n".encode(), "2.csv": "e\u0301\n1\n".encode()}, "dataset")
    with pytest.raises(InvalidInputError) as caught:
        Dataset.open(client, "t").to_pandas()
    assert r"'e\u0301', '\xe9'" in caught.value.message


def test_paths_that_a_disk_takes_for_one_are_told_apart():
    (group,) = collisions([COMPOSED, DECOMPOSED])
    assert quoted(group) == [r"'e\u0301.txt'", r"'\xe9.txt'"]
