"""Signature records: what is written is read back, and base64 has one spelling, whatever Python's decoder takes."""

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from stored_documents import as_bytes

from metamlflow.errors import StoreFormatError
from metamlflow.format.signatures import SignatureRecord, decode_signature, encode_signature

PUBLIC, SIGNED = bytes(range(32)), bytes(range(100, 164))
GOOD = {
    "format": 1,
    "record_id": "0123456789abcdef0123456789abcdef",
    "created_at": "2026-01-31T12:00:00Z",
    "algorithm": "ed25519",
    "manifest_digest": f"sha256:{'5' * 64}",
    "key_id": hashlib.sha256(PUBLIC).hexdigest(),
    "public_key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "signature": base64.b64encode(SIGNED).decode(),
}
KEY = f"signatures/model/_v1/{GOOD['key_id']}.json"


def test_a_record_is_read_and_written():
    record = decode_signature(as_bytes(GOOD), KEY)
    assert record == SignatureRecord(
        record_id=GOOD["record_id"],
        created_at=datetime(2026, 1, 31, 12, tzinfo=UTC),
        manifest_digest=GOOD["manifest_digest"],
        key_id=GOOD["key_id"],
        public_key=PUBLIC,
        signature=SIGNED,
    )
    assert decode_signature(encode_signature(record), KEY) == record


WRONG = {
    "no padding": {"public_key": GOOD["public_key"].rstrip("=")},
    "padding twice": {"public_key": GOOD["public_key"] + "="},
    "bits that no byte has": {"public_key": GOOD["public_key"].replace("8=", "9=")},
    "a line break at the end": {"public_key": GOOD["public_key"] + "\n"},
    "a space inside": {"public_key": GOOD["public_key"].replace("AAEC", "AA EC")},
    "the alphabet of URLs": {"signature": base64.urlsafe_b64encode(b"\xff" * 64).decode()},
    "31 bytes": {"public_key": base64.b64encode(PUBLIC[1:]).decode()},
    "65 bytes": {"signature": base64.b64encode(SIGNED + b"x").decode()},
    "no bytes": {"signature": ""},
    "letters of another script": {"signature": "\uff21" * 88},
    "hex": {"public_key": PUBLIC.hex()},
}


@pytest.mark.parametrize("case", WRONG)
def test_another_spelling_of_the_bytes_is_refused(case):
    (field,) = WRONG[case]
    with pytest.raises(StoreFormatError) as caught:
        decode_signature(as_bytes(GOOD | WRONG[case]), KEY)
    assert [problem.partition(", got")[0] for problem in caught.value.problems] == [
        f"{field}: expected {32 if field == 'public_key' else 64} bytes in base64"
    ]


def test_an_id_that_is_not_the_digest_of_the_key_and_an_unknown_algorithm_are_refused():
    with pytest.raises(StoreFormatError, match=r"key_id: expected .*, the SHA-256 of the public key"):
        decode_signature(as_bytes(GOOD | {"key_id": "0" * 64}), KEY)
    with pytest.raises(StoreFormatError, match="algorithm: expected 'ed25519'"):
        decode_signature(as_bytes(GOOD | {"algorithm": "ed448"}), KEY)
