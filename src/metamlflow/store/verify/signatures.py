"""Signatures over manifests: ed25519 (RFC 8032), one record for each key, beside the version."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from metamlflow._looks import minute_text
from metamlflow.errors import (
    ConflictError,
    InvalidInputError,
    MissingDependencyError,
    SignatureError,
    StoreFormatError,
)
from metamlflow.format.layout import signature_key, signatures_prefix
from metamlflow.format.manifests import StoredManifest
from metamlflow.format.signatures import SignatureRecord, decode_signature, encode_signature, signed_message
from metamlflow.store.catalog.bounded import read_record
from metamlflow.store.catalog.records import create_exclusively, key_is_listed, read_if_listed, with_retries
from metamlflow.store.catalog.statuses import refuse_erased
from metamlflow.store.catalog.store import Store

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Signature:
    """A valid signature over a version's manifest, made with the private key of ``public_key``.

    Attributes:
        key_id: the SHA-256 of the raw public key, in hex: compare it with that of the key that you trust.
        public_key: 32 bytes.
        created_at: when it was made, by the signer's clock, in UTC; it is not signed.
    """

    key_id: str
    public_key: bytes
    created_at: datetime

    def __repr__(self) -> str:
        return f"<Signature of key {self.key_id[:16]}…, {minute_text(self.created_at)}>"


def sign(store: Store, loaded: StoredManifest, private_key: Any) -> Signature:
    """Sign a version's manifest; a second signature with the same key changes nothing.

    Raises:
        InvalidInputError: the key is not an ed25519 private key.
        ArtifactErasedError: the version was erased since it was loaded.
        ConflictError: the signature's key in the store holds something else.
        StorageError: the storage failed.
    """
    key = _private(private_key)
    public = key.public_key().public_bytes_raw()
    record = SignatureRecord(
        record_id=store.clock.new_id(),
        created_at=store.clock.now(),
        manifest_digest=loaded.digest,
        key_id=hashlib.sha256(public).hexdigest(),
        public_key=public,
        signature=key.sign(signed_message(loaded.digest)),
    )
    store.writable_marker()
    refuse_erased(store, loaded.manifest.name, loaded.manifest.version)
    place = signature_key(loaded.manifest.name, loaded.manifest.version, record.key_id)
    if create_exclusively(store.backend, place, encode_signature(record), record.record_id, store.clock) is not None:
        return Signature(record.key_id, public, record.created_at)
    for earlier in signatures_of(store, loaded):
        if earlier.public_key == public:
            return earlier
    raise ConflictError(
        f"{place} exists, but is not a signature of this key over this manifest",
        hint="Find out who wrote it; remove it, and sign again.",
    )


def signatures_of(store: Store, loaded: StoredManifest) -> list[Signature]:
    """Return the valid signatures over a version's manifest as it was loaded: one listing, and one read of each.

    A signature that is damaged, or over another manifest, is ignored.

    Raises:
        IntegrityError: the storage goes on listing one that it says does not exist.
    """
    prefix = signatures_prefix(loaded.manifest.name, loaded.manifest.version)

    def read(key: str) -> SignatureRecord:
        return decode_signature(with_retries(lambda: read_record(store.backend, key), store.clock), key)

    found = []
    for key in with_retries(lambda: [info.key for info in store.backend.list_objects(prefix)], store.clock):
        try:
            is_listed = partial(key_is_listed, store.backend, key, store.clock)
            record = read_if_listed(key, partial(read, key), is_listed, store.clock)
        except StoreFormatError:
            continue
        if record is not None and is_good(record, loaded.digest):
            found.append(Signature(record.key_id, record.public_key, record.created_at))
    return found


def require_signature(store: Store, loaded: StoredManifest, trusted: Any) -> None:
    """Refuse a version that none of the trusted keys has signed.

    Raises:
        SignatureError: none of them has signed it.
        InvalidInputError: one of them is not an ed25519 public key.
    """
    keys = public_keys(trusted)
    signed_by = {signature.public_key for signature in signatures_of(store, loaded)}
    if signed_by & keys:
        return
    name, version = loaded.manifest.name, loaded.manifest.version
    others = f"; it is signed by {len(signed_by)} other key(s)" if signed_by else ""
    raise SignatureError(
        f"{name}@{version} is not signed by a key that is trusted{others}",
        hint="Do not use it before you know why. Whoever registered it can sign it with `artifact.sign(key)`.",
        expected="a signature of " + ", ".join(sorted(hashlib.sha256(key).hexdigest()[:16] for key in keys)),
        actual="none",
    )


def public_keys(trusted: Any) -> set[bytes]:
    """Return the raw ed25519 public keys that a caller trusts.

    Raises:
        InvalidInputError: no key was given, or one of them is not an ed25519 public key.
    """
    keys = {_public(key) for key in _each(trusted)}
    if not keys:
        raise InvalidInputError("no key is trusted", hint="Give one or more ed25519 public keys.")
    return keys


def is_good(record: SignatureRecord, manifest_digest: str) -> bool:
    """Return whether a record is a valid signature over the manifest with this digest."""
    from cryptography.exceptions import InvalidSignature

    if record.manifest_digest != manifest_digest:
        return False
    try:
        key = _ed25519().Ed25519PublicKey.from_public_bytes(record.public_key)
        key.verify(record.signature, signed_message(manifest_digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _each(trusted: Any) -> Iterable[Any]:
    return trusted if isinstance(trusted, list | tuple | set | frozenset) else [trusted]


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingDependencyError(
            "cryptography is not installed", hint="pip install 'metamlflow[signatures]'", extra="signatures"
        ) from error
    return ed25519


def _private(key: Any) -> Any:
    ed25519 = _ed25519()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    pem = _pem(key)
    try:
        loaded = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError):
        raise InvalidInputError("the key is not a private key in PEM without a password") from None  # hides the key
    if not isinstance(loaded, ed25519.Ed25519PrivateKey):
        raise InvalidInputError(
            "this is a private key of another kind than ed25519", hint="Make one: openssl genpkey -algorithm ed25519"
        )
    return loaded


def _public(key: Any) -> bytes:
    ed25519 = _ed25519()
    if isinstance(key, bytes) and len(key) == _KEY_BYTES:
        return key
    if not isinstance(key, ed25519.Ed25519PublicKey):
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        pem = _pem(key)
        try:
            key = load_pem_public_key(pem)
        except (ValueError, TypeError):
            raise InvalidInputError("the key is not a public key in PEM") from None
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise InvalidInputError("this is a public key of another kind than ed25519")
    raw: bytes = key.public_bytes_raw()
    return raw


def _pem(key: Any) -> bytes:
    """Return the PEM of a key that is given as bytes, or as the path of a file."""
    if isinstance(key, bytes):
        return key
    if isinstance(key, str) and key.lstrip().startswith("-----BEGIN"):
        return key.encode()
    if not isinstance(key, str | os.PathLike):
        raise InvalidInputError(f"a key is a path, PEM in bytes or a key object, not {type(key).__name__}")
    try:
        return Path(os.fspath(key)).read_bytes()
    except (OSError, ValueError) as error:  # the alleged path may be the key itself, so it is not shown
        told = getattr(error, "strerror", None) or type(error).__name__
        raise InvalidInputError(f"the key file cannot be read: {told}") from None
