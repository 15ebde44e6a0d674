"""Signature records between bytes and values."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from metamlflow.format.documents import FORMAT, dump, format_instant, pattern, shown
from metamlflow.format.layout import key_id_of_signature_key
from metamlflow.format.manifests import is_digest, is_record_id
from metamlflow.format.records import open_record

ALGORITHM = "ed25519"
_PUBLIC_BYTES, _SIGNATURE_BYTES = 32, 64
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
        public_key=_bytes(fields.text("public_key", _base64(_PUBLIC_BYTES))),
        signature=_bytes(fields.text("signature", _base64(_SIGNATURE_BYTES))),
    )
    if not problems.found and record.key_id != (key_id := hashlib.sha256(record.public_key).hexdigest()):
        fields.note("key_id", f"expected {key_id}, the SHA-256 of the public key")
    elif not problems.found and record.key_id != (said := key_id_of_signature_key(key)):
        fields.note("key_id", f"expected {shown(said)}, as the key of the record has it, got {record.key_id}")
    problems.raise_if_any("signature record")
    return record


def _base64(size: int) -> Callable[[str], str | None]:
    """Return a check for so many bytes in base64 (RFC 4648, section 4): padded, and as an encoder writes it."""

    def problem(value: str) -> str | None:
        return None if len(_bytes(value)) == size else f"expected {size} bytes in base64"

    return problem


def _bytes(value: str) -> bytes:
    """Decode base64, or return nothing: Python reads what no encoder writes, and its versions differ in what."""
    try:
        data = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""
    return data if base64.b64encode(data).decode() == value else b""
