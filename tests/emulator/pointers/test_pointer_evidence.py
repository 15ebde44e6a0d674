"""What is recorded of data that stays where it is, by what was asked for and by what its server holds."""

from __future__ import annotations

import hashlib
import json
import zlib
from dataclasses import replace

import boto3
import google_crc32c
import pytest
from awscrt.checksums import crc64nvme
from botocore.config import Config
from lakesides import OLD, STRENGTHS, GCSPlace, Place, S3Place, documents, held_in
from proxy_faults import Refuse, Rule

from metamlflow.errors import EvidenceUnavailableError, IntegrityError

pytestmark = pytest.mark.emulator

PATH = "data.bin"
PARTS = [b"a" * 5 * 1024 * 1024, b"the rest"]
DIGESTS = {
    "sha256": lambda data: hashlib.sha256(data).hexdigest(),
    "sha1": lambda data: hashlib.sha1(data, usedforsecurity=False).hexdigest(),
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "crc64nvme": lambda data: f"{crc64nvme(data):016x}",
    "crc32c": lambda data: f"{google_crc32c.value(data):08x}",
    "crc32": lambda data: f"{zlib.crc32(data):08x}",
}
ALGORITHMS = ("SHA256", "SHA1", "CRC64NVME", "CRC32C", "CRC32")


def digests(data: bytes, *names: str) -> dict[str, str]:
    return {name: DIGESTS[name](data) for name in names}


def the_only(artifact):
    [entry] = artifact.entries
    return entry


def test_the_digests_here_are_those_of_the_catalogues():
    """Their check values, of ``123456789``: else the tests below could agree with one another on a wrong digest."""
    assert digests(b"123456789", "crc64nvme", "crc32c", "crc32") == {
        "crc64nvme": "ae8b14860a799888",
        "crc32c": "e3069283",
        "crc32": "cbf43926",
    }


# --- what servers hold ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", ["localstack", "moto"])
def test_the_checksum_that_s3_holds_is_recorded_by_default(new_place, tmp_path, server):
    place = new_place(server)
    client = place.client(tmp_path)
    for algorithm in ALGORITHMS:
        place.put(PATH, OLD, ChecksumAlgorithm=algorithm)
        for asked in (None, "checksum"):
            entry = the_only(client.register_pointer("lake", place.uri(PATH), evidence=asked))
            expected = digests(OLD, algorithm.lower())
            assert (entry.strength, entry.evidence.held, entry.evidence.computed) == ("checksum", expected, {})


@pytest.mark.parametrize("server", ["localstack", "moto"])
def test_the_checksum_that_boto3_sends_by_itself_is_recorded(new_place, tmp_path, server):
    place = new_place(server)
    place.put(PATH, OLD)
    entry = the_only(place.client(tmp_path).register_pointer("lake", place.uri(PATH)))
    assert entry.evidence.held == digests(OLD, "crc32")


def test_the_digests_of_gcs_are_recorded_by_default(new_place, tmp_path):
    place = new_place("gcs")
    place.put(PATH, OLD)
    client = place.client(tmp_path)
    for target in (PATH, "", "*.bin"):
        entry = the_only(client.register_pointer("lake", place.uri(target)))
        assert (entry.strength, entry.evidence.held) == ("checksum", digests(OLD, "md5", "crc32c")), target


@pytest.mark.parametrize("algorithm", ["SHA256", "SHA1", "CRC32C", "CRC32"])
def test_a_checksum_over_the_digests_of_parts_is_recorded_as_such(faithful: S3Place, tmp_path, algorithm):
    faithful.put_in_parts(PATH, PARTS, algorithm, "COMPOSITE")
    name = algorithm.lower()
    of_parts = b"".join(bytes.fromhex(DIGESTS[name](part)) for part in PARTS)
    artifact = faithful.client(tmp_path).register_pointer("lake", faithful.uri(PATH))
    entry = the_only(artifact)
    assert entry.evidence.held == {f"{name}-composite": f"{DIGESTS[name](of_parts)}-{len(PARTS)}"}
    assert (entry.strength, entry.sha256, entry.crc32c) == ("checksum", None, None)
    assert artifact.read_bytes() == b"".join(PARTS)
    assert [bool(artifact.verify(level)) for level in STRENGTHS] == [True] * 3


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32C", "CRC32"])
def test_a_checksum_over_all_of_an_upload_in_parts_is_a_digest_of_the_content(faithful: S3Place, tmp_path, algorithm):
    faithful.put_in_parts(PATH, PARTS, algorithm, "FULL_OBJECT")
    entry = the_only(faithful.client(tmp_path).register_pointer("lake", faithful.uri(PATH)))
    assert entry.evidence.held == digests(b"".join(PARTS), algorithm.lower())


def put_without_checksum(place: S3Place, key: str) -> None:
    config = Config(request_checksum_calculation="when_required")
    access = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=place.server.url, config=config, **access)
    client.put_object(**place.named(key), Body=OLD)


@pytest.mark.parametrize("target", [PATH, ""], ids=["object", "prefix"])
def test_where_no_checksum_is_held_the_error_names_the_choices_and_nothing_is_registered(new_place, tmp_path, target):
    place = new_place("moto")  # LocalStack computes a CRC64NVME, as S3 does
    put_without_checksum(place, PATH)
    client = place.client(tmp_path)
    client.create_store()
    before = held_in(tmp_path)
    with pytest.raises(EvidenceUnavailableError) as caught:
        client.register_pointer("lake", place.uri(target), evidence="checksum")
    assert (caught.value.asked, caught.value.choices) == ("checksum", ("full", "stat"))
    assert place.uri(PATH) in str(caught.value)
    assert documents(tmp_path) == {}
    assert [name for name in held_in(tmp_path) if name not in before and "names/" not in name] == []
    assert the_only(client.register_pointer("lake", place.uri(target))).strength == "stat"
    assert the_only(client.register_pointer("lake", place.uri(target), evidence="full")).strength == "full"


def test_the_checksum_that_a_server_adds_by_itself_is_recorded(faithful: S3Place, tmp_path):
    put_without_checksum(faithful, PATH)
    entry = the_only(faithful.client(tmp_path).register_pointer("lake", faithful.uri(PATH), evidence="checksum"))
    assert entry.evidence.held == digests(OLD, "crc64nvme")


def test_a_composite_object_of_gcs_is_read_and_checked_by_its_crc32c(new_place, fault_proxy, tmp_path):
    place: GCSPlace = new_place("gcs")
    place.put("1", OLD)
    place.put("2", b"more")
    name = f"{place.prefix}{PATH}".replace("/", "%2F")
    body = {"sourceObjects": [{"name": f"{place.prefix}{part}"} for part in "12"], "destination": {}}
    place.raw.ask("POST", f"/storage/v1/b/{place.bucket}/o/{name}/compose", json.dumps(body).encode())
    resource = place.raw.stat(place.bucket, f"{place.prefix}{PATH}")
    resource.pop("md5Hash")  # the emulator adds one; GCS has none of a composite object
    proxy = fault_proxy(place.server)
    answer = Refuse(200, body=json.dumps({**resource, "componentCount": 2}).encode())
    proxy.add(Rule(answer, op="objects.get", times=None))
    artifact = place.client(tmp_path, proxy).register_pointer("lake", place.uri(PATH))
    content = OLD + b"more"
    assert the_only(artifact).evidence.held == digests(content, "crc32c")
    assert artifact.read_bytes() == content
    assert [bool(artifact.verify(level)) for level in ("checksum", "full")] == [True, True]


def test_an_empty_object_has_evidence_of_each_strength(plain_place: Place, tmp_path):
    plain_place.put(PATH, b"")
    client = plain_place.client(tmp_path)
    for strength in STRENGTHS:
        artifact = client.register_pointer("lake", plain_place.uri(PATH), evidence=strength)
        assert (the_only(artifact).strength, the_only(artifact).size) == (strength, 0)
        assert artifact.verify("full")
    assert the_only(artifact).evidence.computed == digests(b"", "sha256", "crc32c")


# --- what is computed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [PATH, "", "*.bin"], ids=["object", "prefix", "glob"])
def test_full_evidence_is_computed_from_every_byte(plain_place: Place, tmp_path, target):
    plain_place.put(PATH, OLD)
    entry = the_only(plain_place.client(tmp_path).register_pointer("lake", plain_place.uri(target), evidence="full"))
    assert entry.evidence.computed == digests(OLD, "sha256", "crc32c")
    assert (entry.sha256, entry.crc32c) == (DIGESTS["sha256"](OLD), DIGESTS["crc32c"](OLD))
    # Of an object that was put at once the ETag is the MD5 on these servers: proven, it is a digest.
    assert entry.evidence.held["md5"] == DIGESTS["md5"](OLD)


def test_an_etag_of_an_upload_in_parts_is_no_md5(faithful: S3Place, tmp_path):
    faithful.put_in_parts(PATH, PARTS, "CRC32", "COMPOSITE")
    entry = the_only(faithful.client(tmp_path).register_pointer("lake", faithful.uri(PATH), evidence="full"))
    assert set(entry.evidence.held) == {"crc32-composite"}
    assert entry.evidence.computed == digests(b"".join(PARTS), "sha256", "crc32c")


def test_an_etag_is_no_digest_before_the_content_was_read(faithful: S3Place, tmp_path):
    faithful.put(PATH, OLD)
    entry = the_only(faithful.client(tmp_path).register_pointer("lake", faithful.uri(PATH), evidence="stat"))
    assert (entry.strength, entry.evidence.digests) == ("stat", {})
    assert entry.evidence.etag == f'"{DIGESTS["md5"](OLD)}"'


def test_the_manifest_says_what_the_entry_says(place: Place, tmp_path):
    place.put(PATH, OLD)
    client = place.client(tmp_path)
    for strength in STRENGTHS:
        made = client.register_pointer("lake", place.uri(), evidence=strength)
        read = place.client(tmp_path).get_artifact("lake")
        assert the_only(read) == replace(the_only(made))
        assert (read.digest, read.pointed) == (made.digest, made.pointed)
    assert {len(document["entries"]) for document in documents(tmp_path).values()} == {1}


# --- what is expected -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DIGESTS)
@pytest.mark.parametrize("strength", ["stat", "full"])
def test_an_expected_digest_is_compared_before_anything_is_registered(new_place, tmp_path, name, strength):
    place = new_place("localstack")
    place.put(PATH, OLD)
    client = place.client(tmp_path)
    right, wrong = f"{name}:{DIGESTS[name](OLD)}", f"{name}:{DIGESTS[name](b'else')}"
    with pytest.raises(IntegrityError) as caught:
        client.register_pointer("lake", place.uri(PATH), evidence=strength, expected=wrong)
    assert (caught.value.expected, caught.value.actual) == (wrong, right)
    assert documents(tmp_path) == {}
    entry = the_only(client.register_pointer("lake", place.uri(PATH), evidence=strength, expected=right))
    assert entry.evidence.digests[name] == DIGESTS[name](OLD)


@pytest.mark.parametrize("name", ["sha256", "md5"])
def test_an_expected_digest_is_compared_on_every_server(plain_place: Place, tmp_path, name):
    plain_place.put(PATH, OLD)
    client = plain_place.client(tmp_path)
    with pytest.raises(IntegrityError):
        client.register_pointer("lake", plain_place.uri(PATH), expected=f"{name}:{DIGESTS[name](b'else')}")
    assert documents(tmp_path) == {}
    client.register_pointer("lake", plain_place.uri(PATH), expected=f"{name}:{DIGESTS[name](OLD)}")
    assert len(documents(tmp_path)) == 1


# --- versions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [PATH, ""], ids=["object", "prefix"])
def test_the_null_version_is_no_pin(new_place, tmp_path, target):
    """What is written while versioning is suspended is overwritten in place, so ``null`` would name other bytes."""
    place: S3Place = new_place("localstack", versioned=True)
    place.put(PATH, b"kept as an older version")
    suspended = {"Status": "Suspended"}
    place.raw.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration=suspended)
    place.put(PATH, OLD)
    assert place.raw.head_object(**place.named(PATH))["VersionId"] == "null"
    artifact = place.client(tmp_path).register_pointer("lake", place.uri(target))
    assert the_only(artifact).version is None
    assert "null" not in json.dumps([d["entries"] for d in documents(tmp_path).values()]).replace(": null", "")
    assert artifact.read_bytes(the_only(artifact).path) == OLD
    assert [bool(artifact.verify(level)) for level in ("stat", "full")] == [True, True]
