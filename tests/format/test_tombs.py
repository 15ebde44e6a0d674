"""The records of erased versions and of hidden names, read and written."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from manifest_strategies import HEX32, HEX64, NAMES

from metamlflow.errors import StoreFormatError
from metamlflow.format.tombs import Tomb, decode_tomb, decode_visibility, encode_tomb, encode_visibility
from metamlflow.model.names import MAX_VERSION, ArtifactName

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ORIGIN = {"format": 1, "record_id": "0" * 32, "created_at": "2026-01-31T12:00:00Z"}


@given(
    NAMES,
    st.integers(1, MAX_VERSION),
    HEX32,
    HEX64,
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
)
def test_the_record_of_an_erased_version_is_read_back_as_it_was_written(name, version, record_id, digest, reason):
    tomb = Tomb(
        record_id=record_id,
        created_at=NOON,
        created_by="ada",
        name=name,
        version=version,
        manifest_digest=f"sha256:{digest}",
        previous=None if version == 1 else f"sha256:{digest[::-1]}",
        reason=reason,
    )
    data = encode_tomb(tomb)
    assert decode_tomb(data, "key", name, version) == tomb
    assert json.loads(data, parse_int=float) == json.loads(data)


def test_it_is_written_byte_for_byte_as_the_specification_says():
    tomb = Tomb(
        record_id="0" * 32,
        created_at=NOON,
        created_by="ada",
        name=ArtifactName("Fraud/features"),
        version=1,
        manifest_digest=f"sha256:{'a' * 64}",
        previous=None,
    )
    digest, record_id = f"sha256:{'a' * 64}", "0" * 32
    assert encode_tomb(tomb).decode() == (
        '{"created_at":"2026-01-31T12:00:00.000000Z","created_by":"ada","format":1,'
        f'"manifest_digest":"{digest}","name":"Fraud/features","previous":null,"reason":null,'
        f'"record_id":"{record_id}","version":1}}\n'
    )


@pytest.mark.parametrize("name", ["", "b", "A", "a/b", None, 7])
def test_a_record_of_another_name_is_refused_and_of_none_at_all(name):
    document = ORIGIN | {"created_by": "", "name": name, "version": 1, "manifest_digest": f"sha256:{'a' * 64}"}
    with pytest.raises(StoreFormatError, match="name: "):
        decode_tomb(json.dumps(document).encode(), "key", ArtifactName("a"), 1)


def test_a_record_without_a_reason_has_none():
    document = ORIGIN | {"created_by": "", "name": "a", "version": 1, "manifest_digest": f"sha256:{'a' * 64}"}
    assert decode_tomb(json.dumps(document | {"later": 1}).encode(), "key", ArtifactName("a"), 1).reason is None


@pytest.mark.parametrize(("number", "state"), [(1, "hidden"), (2, "shown"), (MAX_VERSION, "shown")])
def test_a_record_that_hides_a_name_is_read_back_as_it_was_written(number, state):
    assert decode_visibility(encode_visibility(state, "0" * 32, NOON), "key", number) == state


@pytest.mark.parametrize(
    ("number", "changes", "problem"),
    [
        (1, {"state": "shown"}, "cannot be record 1"),
        (2, {"state": "hidden"}, "cannot be record 2"),
        (1, {"state": "gone"}, "expected one of hidden, shown"),
        (1, {"state": None}, "expected a string"),
        (1, {"state": "hidden", "record_id": "1"}, "record_id"),
        (1, {"state": "hidden", "created_at": "today"}, "created_at"),
        (1, {"state": "hidden", "format": 2}, "format"),
    ],
)
def test_a_record_that_hides_a_name_is_refused_if_it_is_damaged(number, changes, problem):
    with pytest.raises(StoreFormatError) as caught:
        decode_visibility(json.dumps(ORIGIN | changes).encode(), "key", number)
    assert problem in str(caught.value) + " ".join(caught.value.problems)
