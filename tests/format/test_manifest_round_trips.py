"""What is written is read back as it was; what is damaged on the way is refused and does nothing else."""

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from manifest_strategies import HEX32, NAMES, manifests
from stored_documents import DATA, INLINE, read

from metamlflow.errors import InvalidMetadataError, StoreFormatError
from metamlflow.format.entries import decode_shard, encode_shard
from metamlflow.format.manifests import decode_manifest, encode_manifest, record_id_of
from metamlflow.format.records import (
    STATES,
    Claim,
    Marker,
    StateRecord,
    decode_alias,
    decode_claim,
    decode_marker,
    decode_state,
    encode_alias,
    encode_claim,
    encode_marker,
    encode_state,
)
from metamlflow.format.runs import encode_input
from metamlflow.model.manifests import Entry, Input, Manifest, Shard
from metamlflow.model.names import MAX_VERSION, ArtifactName

MOMENTS = st.datetimes(min_value=datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 (given a zone)
ID, NOON = "0123456789abcdef0123456789abcdef", datetime(2026, 1, 31, 12, tzinfo=UTC)
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@QUICK
@given(manifests())
def test_a_manifest_is_read_back_as_it_was_written(manifest: Manifest):
    data = encode_manifest(manifest)
    assert decode_manifest(data, "key", manifest.name, manifest.version) == manifest
    assert record_id_of(data) == manifest.record_id


@QUICK
@given(manifests())
def test_a_parser_that_has_nothing_but_doubles_reads_every_number_as_it_is(manifest: Manifest):
    data = encode_manifest(manifest)
    assert json.loads(data, parse_int=float) == json.loads(data)


@pytest.mark.parametrize(
    "data",
    [
        encode_marker(Marker(record_id=ID, store_id=ID, created_at=NOON, grace=timedelta(seconds=10**10))),
        encode_state("absent", f"sha256:{'0' * 64}", ID, NOON),
        encode_alias(MAX_VERSION, ID, NOON),
        encode_claim(Claim(MAX_VERSION, ID, str(UUID(ID))), NOON),
        encode_input(Input(ArtifactName("a"), MAX_VERSION, f"sha256:{'0' * 64}"), ID, NOON),
        encode_shard([Entry("a", 2**53 - 1, "0" * 64, None, f"blobs/sha256/00/{'0' * 64}")]),
    ],
    ids=["marker", "state", "alias", "claim", "input", "item"],
)
def test_so_it_does_with_the_largest_numbers_of_every_record(data: bytes):
    assert json.loads(data, parse_int=float) == json.loads(data)


@pytest.mark.full
@QUICK
@given(manifests())
def test_equal_manifests_are_written_as_equal_bytes(manifest: Manifest):
    data = encode_manifest(manifest)
    assert encode_manifest(decode_manifest(data, "key", manifest.name, manifest.version)) == data


@QUICK
@given(HEX32, HEX32, MOMENTS, st.integers(1, 10**9))
def test_a_marker_is_read_back_as_it_was_written(record_id, store_id, moment, seconds):
    marker = Marker(record_id=record_id, store_id=store_id, created_at=moment, grace=timedelta(seconds=seconds))
    assert decode_marker(encode_marker(marker)) == marker


@QUICK
@given(HEX32, MOMENTS, st.none() | st.integers(1, MAX_VERSION), st.uuids())
def test_small_records_are_read_back_as_they_were_written(record_id, moment, version, artifact_id):
    assert decode_alias(encode_alias(version, record_id, moment), "key") == version
    for state in STATES:
        digest = f"sha256:{record_id * 2}"
        assert decode_state(encode_state(state, digest, record_id, moment), "key") == StateRecord(state, digest)
    claim = Claim(version or 1, record_id, str(artifact_id))
    assert decode_claim(encode_claim(claim, moment), "key") == claim


def damaged(data: bytes) -> st.SearchStrategy[bytes]:
    """``data`` with some bytes replaced, cut out, doubled, or its end cut off."""
    places = st.integers(0, len(data) - 1)

    def replace(found: list[tuple[int, int]]) -> bytes:
        changed = bytearray(data)
        for place, value in found:
            changed[place] = value
        return bytes(changed)

    def cut(ends: tuple[int, int]) -> bytes:
        return data[: min(ends)] + data[max(ends) :]

    def double(ends: tuple[int, int]) -> bytes:
        return data[: max(ends)] + data[min(ends) :]

    spans = st.tuples(places, places)
    return st.one_of(
        st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=4).map(replace),
        # Digits and structure characters make documents that are JSON still, and wrong in their fields.
        st.lists(st.tuples(places, st.sampled_from(b'0123456789{}[]":,-etfn\\')), min_size=1, max_size=2).map(replace),
        spans.map(cut),
        spans.map(double),
        places.map(lambda end: data[:end]),
    )


@settings(QUICK, max_examples=400)
@given(damaged(INLINE))
def test_a_damaged_manifest_is_read_or_refused_and_nothing_else(data: bytes):
    manifest = None
    with suppress(StoreFormatError):
        manifest = read(data)
    assert manifest is None or read(encode_manifest(manifest)) == manifest


@settings(QUICK, max_examples=150)
@given(damaged((DATA / "shard_1.jsonl").read_bytes()))
def test_a_damaged_shard_is_read_or_refused_and_nothing_else(data: bytes):
    shard = Shard("README", 2, 248, "5e" * 32, "blobs/sha256/5e/" + "5e" * 32)
    with suppress(StoreFormatError):
        assert len(decode_shard(data, shard)) == 2


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_and_nothing_else(data: bytes):
    with pytest.raises(StoreFormatError):
        read(data)
    with pytest.raises(StoreFormatError):
        decode_marker(data)
    record_id_of(data)


@pytest.mark.full
@QUICK
@given(manifests(), NAMES)
def test_a_manifest_under_another_name_or_number_is_refused(manifest: Manifest, name):
    data = encode_manifest(manifest)
    with pytest.raises(StoreFormatError, match="version: expected"):
        decode_manifest(data, "key", manifest.name, manifest.version % MAX_VERSION + 1)
    if name != manifest.name:
        with pytest.raises(StoreFormatError, match="name: expected"):
            decode_manifest(data, "key", name, manifest.version)


def test_a_manifest_that_no_reader_would_take_is_not_written():
    manifest = read(INLINE)
    too_much = {f"text {i}": "x" * 1_000_000 for i in range(70)}
    fields = {name: getattr(manifest, name) for name in Manifest.__dataclass_fields__}
    with pytest.raises(InvalidMetadataError, match="more than 67,108,864"):
        encode_manifest(Manifest(**fields | {"metadata": too_much}))
