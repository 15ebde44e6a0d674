"""A signature is over the manifest as stored, and counts only for keys that are trusted."""

from __future__ import annotations

import base64
import json
import traceback

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ConflictError, InvalidInputError, SignatureError


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def artifact(client):
    return client.register_artifact("model", b"weights")


def private_pem(key) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def public_pem(key) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def record_of(raw) -> dict:
    (path,) = raw.root.glob("signatures/model/_v1/*.json")
    return json.loads(path.read_bytes())


def rewrite(raw, **changes) -> None:
    (path,) = raw.root.glob("signatures/model/_v1/*.json")
    raw.overwrite(path, json.dumps(json.loads(path.read_bytes()) | changes).encode())


def test_a_signature_is_over_the_digest_of_the_manifest_as_stored(artifact, key, raw):
    signature = artifact.sign(key)
    record = record_of(raw)
    assert record["manifest_digest"] == artifact.manifest_digest
    assert record["key_id"] == signature.key_id
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(record["public_key"]))
    message = f"metamlflow manifest signature 1\n{artifact.manifest_digest}\n".encode()
    public.verify(base64.b64decode(record["signature"]), message)  # raises if it is not good


@pytest.mark.parametrize("form", ["object", "pem", "path", "text path"])
def test_keys_are_taken_as_objects_pem_and_files(client, artifact, key, tmp_path, form):
    (tmp_path / "private.pem").write_bytes(private_pem(key))
    (tmp_path / "public.pem").write_bytes(public_pem(key))
    private, public = {
        "object": (key, key.public_key()),
        "pem": (private_pem(key), public_pem(key)),
        "path": (tmp_path / "private.pem", tmp_path / "public.pem"),
        "text path": (str(tmp_path / "private.pem"), str(tmp_path / "public.pem")),
    }[form]
    artifact.sign(private)
    assert client.get_artifact("model", require_signature=public) == artifact


def test_signing_twice_with_one_key_changes_nothing_and_two_keys_stand_side_by_side(client, artifact, key, raw):
    first, again = artifact.sign(key), artifact.sign(key)
    assert (again.key_id, again.created_at) == (first.key_id, first.created_at)
    other = Ed25519PrivateKey.generate()
    artifact.sign(other)
    assert len(list(raw.root.glob("signatures/model/_v1/*.json"))) == 2
    assert {signature.public_key for signature in artifact.signatures} == {
        key.public_key().public_bytes_raw(),
        other.public_key().public_bytes_raw(),
    }
    for trusted in (
        [key.public_key()],
        [other.public_key()],
        [Ed25519PrivateKey.generate().public_key(), key.public_key()],
    ):
        assert client.get_artifact("model", require_signature=trusted) == artifact


def test_a_version_that_nobody_who_is_trusted_has_signed_is_refused(client, artifact, key):
    stranger = Ed25519PrivateKey.generate()
    with pytest.raises(SignatureError, match="is not signed"):
        client.get_artifact("model", require_signature=key.public_key())
    artifact.sign(stranger)
    with pytest.raises(SignatureError, match="by 1 other key"):
        client.get_artifact("model@1", require_signature=key.public_key())
    client.register_artifact("model", b"other weights")
    artifact.sign(key)
    with pytest.raises(SignatureError):  # the signature is of version 1
        client.get_artifact("model", require_signature=key.public_key())


ALTERED = {
    "the signature": {"signature": base64.b64encode(bytes(64)).decode()},
    "the digest": {"manifest_digest": "sha256:" + "0" * 64},
    "the key": {"public_key": base64.b64encode(bytes(32)).decode()},
    "a key too short": {"public_key": base64.b64encode(bytes(3)).decode()},
    "the algorithm": {"algorithm": "none"},
    "no base64": {"signature": "§"},
}


@pytest.mark.parametrize("changes", ALTERED.values(), ids=ALTERED)
def test_an_altered_signature_counts_for_nothing(client, artifact, key, raw, changes):
    artifact.sign(key)
    rewrite(raw, **changes)
    assert artifact.signatures == []
    with pytest.raises(SignatureError):
        client.get_artifact("model", require_signature=key.public_key())
    with pytest.raises(ConflictError, match="is not a signature of this key"):
        artifact.sign(key)


def test_a_manifest_that_was_altered_after_it_was_signed_is_refused(artifact, key, raw, store_folder):
    artifact.sign(key)
    path = raw.manifest_path("model", 1)
    raw.overwrite(path, path.read_bytes().replace(b'"type":"file"', b'"type":"fake"'))
    with pytest.raises(SignatureError):
        MetaMLFlowClient(store_folder).get_artifact("model", require_signature=key.public_key())


REFUSED = {
    "no key at all": [],
    "another kind of thing": 3,
    "no PEM": b"hello",
    "a file that is not there": "no/such/file.pem",
    "another kind of key": public_pem(X25519PrivateKey.generate()),
}


@pytest.mark.parametrize("trusted", REFUSED.values(), ids=REFUSED)
def test_what_is_no_public_key_is_refused(client, artifact, trusted):
    with pytest.raises(InvalidInputError):
        client.get_artifact("model", require_signature=trusted)


def test_what_is_no_private_key_is_refused_and_not_shown(artifact, key, raw):
    for bad in (b"SECRETSECRET", 3, "no/such/file.pem", public_pem(key), private_pem(X25519PrivateKey.generate())):
        with pytest.raises(InvalidInputError) as caught:
            artifact.sign(bad)
        assert "SECRET" not in str(caught.value)
    assert not list(raw.root.glob("signatures/**/*.json"))


def test_a_key_that_is_given_as_text_is_taken_and_one_that_is_none_is_in_no_traceback(client, artifact, key):
    artifact.sign(private_pem(key).decode())
    assert client.get_artifact("model", require_signature=public_pem(key).decode()) == artifact
    for bad in ("-----BEGIN PRIVATE KEY-----\nHUSH", "HUSH" * 1000, "HUSH\0"):
        with pytest.raises(InvalidInputError) as caught:
            artifact.sign(bad)
        assert "HUSH" not in "".join(traceback.format_exception(caught.value))
