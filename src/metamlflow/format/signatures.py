"""Signature records between bytes and values."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from metamlflow.format.documents import FORMAT, dump, format_instant, pattern
from metamlflow.format.manifests import is_digest, is_record_id
from metamlflow.format.records import open_record

ALGORITHM = "ed25519"
_CONTEXT = b"metamlflow manifest signature 1\n"
_is_key_id = pattern(r"[0-9a-f]{64}", "64 lower-case hex digits")


@dataclass(frozen=True, slots=True)
class SignatureRecord:
    """What was signed, by which key, and the signature.

    Attributes:
        record_id: of this record.
        created_at: when, by the signer's clock, in UTC.
        manifest_digest: what was signed.
        key_id: the SHA-256 of the raw public key, in hex.
        public_key: 32 bytes. It says who can have signed, not who may.
        signature: 64 bytes.
    """

    record_id: str
    created_at: datetime
    manifest_digest: str
    key_id: str
    public_key: bytes
    signature: bytes


def signed_message(manifest_digest: str) -> bytes:
    """Return the bytes that a signature is over: they cannot be taken for anything else that a key signs."""
    return _CONTEXT + manifest_digest.encode() + b"\n"


def encode_signature(record: SignatureRecord) -> bytes:
    """Return the bytes of a signature record."""
    return dump(
        {
            "algorithm": ALGORITHM,
            "created_at": format_instant(record.created_at),
            "format": FORMAT,
            "key_id": record.key_id,
            "manifest_digest": record.manifest_digest,
            "public_key": base64.b64encode(record.public_key).decode(),
            "record_id": record.record_id,
            "signature": base64.b64encode(record.signature).decode(),
        }
    )


def decode_signature(data: bytes, key: str) -> SignatureRecord:
    """Read a signature record; whether the signature is good is not looked at.

    Raises:
        StoreFormatError: it is damaged, or made by an algorithm that is not known.
    """
    fields, problems = open_record(data, key, "signature record")
    fields.text("algorithm", lambda value: None if value == ALGORITHM else f"expected {ALGORITHM!r}")
    record = SignatureRecord(
        record_id=fields.text("record_id", is_record_id),
        created_at=fields.instant("created_at"),
        manifest_digest=fields.text("manifest_digest", is_digest),
        key_id=fields.text("key_id", _is_key_id),
        public_key=_bytes(fields.text("public_key", _is_base64)),
        signature=_bytes(fields.text("signature", _is_base64)),
    )
    problems.raise_if_any("signature record")
    return record


def _is_base64(value: str) -> str | None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return "expected base64"
    return None


def _bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""
