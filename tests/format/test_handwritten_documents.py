"""Documents written by hand from SPEC.md, read by the code: so the two agree without one being made from the other."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from stored_documents import DATA, INLINE, SHARDED, read

from metamlflow.errors import StoreFormatError
from metamlflow.format.entries import decode_shard
from metamlflow.format.manifests import decode_manifest, digest_of, encode_manifest, record_id_of
from metamlflow.format.records import (
    Claim,
    StateRecord,
    decode_alias,
    decode_claim,
    decode_marker,
    decode_state,
    encode_alias,
    encode_name,
    encode_state,
)
from metamlflow.model.manifests import EmptyFolder, Entry, Input, content_digest
from metamlflow.model.metadata import decode
from metamlflow.model.names import ArtifactName
from metamlflow.model.paths import OrderCheck

HELLO = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
TABLE = "492d5ea496056f1a6a6592241032fab764c321596317930b4fa0e1e8bc3b7470"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ID = "0123456789abcdef0123456789abcdef"


def test_every_field_of_a_handwritten_manifest_is_read():
    manifest = read(INLINE)
    assert manifest.record_id == ID
    assert manifest.artifact_id == "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00"
    assert (manifest.name, manifest.version) == ("Fraud/features", 3)
    assert (manifest.artifact_type, manifest.kind) == ("dataset", "folder")
    assert manifest.created_at == NOON + timedelta(milliseconds=250)
    assert manifest.created_by == "ada"
    assert (manifest.size, manifest.files, manifest.folders) == (14, 2, 1)
    assert manifest.items == (
        Entry("README", 6, HELLO, "353dd8be", f"blobs/sha256/58/{HELLO}", executable=True),
        EmptyFolder("data/empty"),
        Entry(
            'data/größe "x".csv',
            8,
            TABLE,
            "499d87c5",
            f"blobs/sha256/49/{TABLE}-fedcba9876543210fedcba9876543210.csv",
            extra={"colour": "of a later version"},
        ),
    )
    assert manifest.shards is None
    metadata = decode(manifest.metadata)
    assert metadata["rows"] == 1
    assert metadata["big"] == 2**53 + 1
    assert metadata["$odd"] != metadata["$odd"]  # NaN
    assert manifest.inputs == (
        Input(
            ArtifactName("raw/Events"),
            12,
            "sha256:b3f172a0557dbf60d9cef6c313619df5e0acc4cb434907e40c7601afc09cc8fd",
            "training",
        ),
    )
    assert (manifest.schema, manifest.run, manifest.code) == (None, None, None)
    assert manifest.previous == "sha256:34bc421a4835d6fe081cb62cb50c7ad18b8cc3adf6314e77a0cc6c0d588be764"
    assert manifest.extra == {"weather": ["unknown", "fields", "survive"]}


def test_a_manifest_says_which_program_wrote_it_or_does_not():
    assert read(INLINE).writer is None
    stored = json.loads(INLINE) | {"writer": "other-tool 2.1"}
    manifest = read(json.dumps(stored).encode())
    assert manifest.writer == "other-tool 2.1"
    assert json.loads(encode_manifest(manifest))["writer"] == "other-tool 2.1"
    assert read(json.dumps(stored | {"writer": None}).encode()) == read(INLINE)
    with pytest.raises(StoreFormatError, match="writer: expected a string, got 7"):
        read(json.dumps(stored | {"writer": 7}).encode())


@pytest.mark.parametrize("missing", [{}, {"crc32c": None}])
def test_an_entry_without_a_crc32c_is_read_and_written_as_it_is(missing):
    stored = json.loads(INLINE)
    del stored["entries"][0]["crc32c"]
    stored["entries"][0] |= missing
    manifest = read(json.dumps(stored).encode())
    assert [item.crc32c for item in manifest.items if isinstance(item, Entry)] == [None, "499d87c5"]
    assert manifest.digest == content_digest(manifest.items)
    written = encode_manifest(manifest)
    assert b'"crc32c":"499d87c5"' in written
    assert "crc32c" not in json.loads(written)["entries"][0]
    assert read(written) == manifest


def test_a_document_survives_being_written_again_with_its_unknown_fields():
    assert read(encode_manifest(read(INLINE))) == read(INLINE)


def test_the_stored_form_is_compact_sorted_utf_8_with_one_newline():
    data = encode_manifest(read(INLINE))
    assert data.startswith(b'{"artifact_id":"7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00","code":null,"created_at":')
    assert '"path":"data/größe \\"x\\".csv"'.encode() in data
    assert b'"created_at":"2026-01-31T12:00:00.250000Z"' in data
    assert data.endswith(b'"weather":["unknown","fields","survive"]}\n')
    assert data.count(b"\n") == 1


def test_the_content_digest_is_the_hash_of_lines_that_anyone_can_write():
    lines = f'["README",6,"{HELLO}"]\n["data/empty"]\n["data/größe \\"x\\".csv",8,"{TABLE}"]\n'
    manifest = read(INLINE)
    assert manifest.digest == f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    assert manifest.digest == content_digest(manifest.items)


def test_the_manifest_digest_is_over_the_bytes_as_stored():
    assert digest_of(INLINE) == f"sha256:{hashlib.sha256(INLINE).hexdigest()}"
    assert digest_of(INLINE) != digest_of(encode_manifest(read(INLINE)))


def test_a_handwritten_sharded_manifest_and_its_shards_are_read():
    manifest = decode_manifest(SHARDED, "artifacts/big/_versions/9999999998_v1.json", ArtifactName("big"), 1)
    order = OrderCheck()
    items = []
    for number, shard in enumerate(manifest.shards, start=1):
        data = (DATA / f"shard_{number}.jsonl").read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (shard.size, shard.sha256)
        items += decode_shard(data, shard, order)
    assert [item.path for item in items] == ["README", "data/empty", "data/x.csv"]
    assert content_digest(items) == manifest.digest
    assert manifest.items is None


def test_a_handwritten_marker_is_read():
    marker = decode_marker(
        b'{"format": 1, "requires": [], "store_id": "ffffffffffffffffffffffffffffffff",'
        b' "record_id": "0123456789abcdef0123456789abcdef",'
        b' "created_at": "2026-01-31T12:00:00Z", "grace_seconds": 604800, "later": 1}'
    )
    assert (marker.store_id, marker.record_id) == ("f" * 32, ID)
    assert (marker.created_at, marker.grace) == (NOON, timedelta(days=7))


def test_handwritten_small_records_are_read():
    origin = f'"format": 1, "record_id": "{ID}", "created_at": "2026-01-31T12:00:00Z"'
    version_2 = "artifacts/a/_versions/9999999997_v2"
    digest = f"sha256:{'a' * 64}"
    for number, state in (("9999999998", "pruned"), ("9999999997", "restored"), ("9999999996", "absent")):
        text = f'{{{origin}, "state": "{state}", "manifest_digest": "{digest}"}}'
        assert decode_state(text.encode(), f"{version_2}.state-{number}.json") == StateRecord(state, digest)
    assert decode_alias(f'{{{origin}, "version": 2}}'.encode(), "k") == 2
    assert decode_alias(f'{{{origin}, "version": null}}'.encode(), "k") is None
    claim = f'{{{origin}, "version": 4, "artifact_id": "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00"}}'
    assert decode_claim(claim.encode(), "k") == Claim(4, ID, "7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00")


def test_small_records_are_written_byte_for_byte_as_the_specification_shows():
    origin = f'"created_at":"2026-01-31T12:00:00.000000Z","format":1,%s"record_id":"{ID}"'
    assert encode_alias(2, ID, NOON).decode() == f'{{{origin % ""},"version":2}}\n'
    said = encode_alias(2, ID, NOON, created_by="ada", note="why", writer="metamlflow 1").decode()
    assert json.loads(said) == json.loads(encode_alias(2, ID, NOON)) | {
        "created_by": "ada",
        "note": "why",
        "writer": "metamlflow 1",
    }
    assert encode_alias(None, ID, NOON).decode() == f'{{{origin % ""},"version":null}}\n'
    digest = f"sha256:{'a' * 64}"
    of = f'"manifest_digest":"{digest}",'
    assert encode_state("absent", digest, ID, NOON).decode() == f'{{{origin % of},"state":"absent"}}\n'
    name = '"name":"Fraud/features",'
    assert encode_name("Fraud/features", ID, NOON).decode() == f"{{{origin % name}}}\n"


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (INLINE, ID),
        (b'{"record_id": "anything"}', "anything"),
        (b'{"record_id": 7}', None),
        (b"{}", None),
        (b"[]", None),
        (b"\xff", None),
        (b"", None),
        (b'{"record_id": "cut', None),
    ],
)
def test_whose_record_it_is_can_be_told_of_any_bytes(data, found):
    assert record_id_of(data) == found


def test_an_error_names_the_key_and_survives_a_process_boundary():
    import pickle

    with pytest.raises(StoreFormatError) as caught:
        read(b"")
    error = pickle.loads(pickle.dumps(caught.value))
    assert error.key == caught.value.key == "artifacts/!fraud/features/_versions/9999999996_v3.json"
    assert error.problems == caught.value.problems


def test_the_example_in_the_specification_is_a_manifest():
    page = (DATA.parents[2] / "docs" / "SPEC.md").read_text()
    example = page.partition("```json\n")[2].partition("```")[0].encode()
    manifest = decode_manifest(example, "key", ArtifactName("Greeting"), 1)
    stored = b"".join(line.strip() for line in example.splitlines()) + b"\n"
    assert encode_manifest(manifest) == stored
