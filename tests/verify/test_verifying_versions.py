"""Verification: every level, every kind of damage, and a report that machines can read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import IntegrityError, InvalidInputError, StoreFormatError
from metamlflow.store.catalog.store import Store
from metamlflow.testing import MemoryBackend

CONTENT = {"a": b"aaa", "b": b"bbb", "c": b"ccc", "d": b"x" * 2_000_000}


@pytest.fixture
def artifact(client):
    return client.register_artifact("name", CONTENT)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def found(report):
    return [(finding.path, finding.status) for finding in report.findings]


@pytest.mark.parametrize(("level", "read"), [("full", 2_000_009), ("stat", 0)])
def test_a_good_version_verifies(artifact, level, read):
    report = artifact.verify(level)
    assert report
    assert report.ok
    assert (report.name, report.version, report.level, report.files, report.bytes) == ("name", 1, level, 4, read)
    assert report.findings == ()
    report.raise_if_failed()


def test_a_local_disk_holds_no_checksums_and_that_is_said_for_each_file(artifact):
    report = artifact.verify("checksum")
    assert not report
    assert found(report) == [(path, "unverifiable") for path in CONTENT]
    assert all("use level full" in finding.actual for finding in report.findings)


def test_full_finds_everything_and_names_it(artifact, raw):
    flipped = b"x" * 1_999_999 + b"y"
    raw.overwrite(raw.blob_path(b"aaa"), b"aab")
    raw.blob_path(b"bbb").unlink()
    raw.overwrite(raw.blob_path(b"ccc"), b"cc")
    raw.overwrite(raw.blob_path(CONTENT["d"]), flipped)
    report = artifact.verify()
    assert not report
    assert found(report) == [("a", "modified"), ("b", "missing"), ("c", "modified"), ("d", "modified")]
    assert [(f.expected, f.actual) for f in report.findings] == [
        (f"sha256:{sha256(b'aaa')}", f"sha256:{sha256(b'aab')}"),
        (f"sha256:{sha256(b'bbb')}", "missing"),
        ("3 bytes", "2 bytes"),
        (f"sha256:{sha256(CONTENT['d'])}", f"sha256:{sha256(flipped)}"),
    ]
    assert [raw.root / f.key for f in report.findings] == [raw.blob_path(data) for data in CONTENT.values()]


def test_stat_finds_what_presence_and_size_tell(artifact, raw):
    raw.overwrite(raw.blob_path(b"aaa"), b"aab")
    raw.blob_path(b"bbb").unlink()
    raw.overwrite(raw.blob_path(b"ccc"), b"cccc")
    assert found(artifact.verify("stat")) == [("b", "missing"), ("c", "modified")]


def test_what_cannot_be_read_is_a_finding_and_not_the_end(open_folder, as_nobody):
    client = MetaMLFlowClient(open_folder / "store")
    artifact = client.register_artifact("name", {"a": b"aaa", "b": b"bbb"})
    (open_folder / "store" / next(iter(artifact.entries)).key).chmod(0)
    report = as_nobody(artifact.verify)
    assert found(report) == [("a", "unreadable")]
    assert "denied" in report.findings[0].actual


def test_a_failed_report_can_be_raised_with_all_in_its_message(artifact, raw):
    raw.overwrite(raw.blob_path(b"aaa"), b"aab")
    raw.blob_path(b"ccc").unlink()
    with pytest.raises(IntegrityError, match="name@1 is not as it was registered") as caught:
        artifact.verify().raise_if_failed()
    error = caught.value
    assert (error.path, error.expected, error.actual) == ("a", f"sha256:{sha256(b'aaa')}", f"sha256:{sha256(b'aab')}")
    assert "c: missing" in str(error)


def test_a_report_is_json(artifact, raw):
    raw.blob_path(b"bbb").unlink()
    key = str(raw.blob_path(b"bbb").relative_to(raw.root))
    finding = {
        "path": "b",
        "status": "missing",
        "key": key,
        "expected": f"sha256:{sha256(b'bbb')}",
        "actual": "missing",
    }
    assert json.loads(json.dumps(artifact.verify().to_json())) == {
        "name": "name",
        "version": 1,
        "level": "full",
        "ok": False,
        "files": 4,
        "bytes": 2_000_006,
        "counts": {"ok": 3, "modified": 0, "missing": 1, "unreadable": 0, "unverifiable": 0},
        "findings": [finding],
    }


@pytest.mark.parametrize("level", ["", "FULL", "quick", None, 3])
def test_an_unknown_level_is_told_which_there_are(artifact, level):
    with pytest.raises(InvalidInputError, match="use 'full', 'checksum', 'stat'"):
        artifact.verify(level)


# --- manifests and lists of files ------------------------------------------------------------------------------------


def test_a_manifest_that_changed_since_it_was_loaded_is_a_finding(artifact, raw):
    place = raw.manifest_path("name", 1)
    raw.overwrite(place, place.read_bytes().replace(b'"type":"file"', b'"type":"fake"'))
    report = artifact.verify("stat")
    assert found(report) == [("", "modified")]
    assert report.findings[0].expected == artifact.manifest_digest
    assert raw.root / report.findings[0].key == place
    place.unlink()
    assert found(artifact.verify("stat")) == [("", "missing")]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data.replace(b'"size":3', b'"size":4', 1),
        lambda data: data.replace(b'"path":"a"', b'"path":"../a"'),
        lambda data: data.replace(b'"path":"a"', b'"path":"z"'),
        lambda data: data.replace(b'"version":1', b'"version":2'),
        lambda data: data.replace(b'"name":"name"', b'"name":"other"'),
        lambda data: data.replace(b'"format":1', b'"format":2'),
        lambda data: data.replace(b'"requires":[]', b'"requires":["later"]'),
    ],
)
def test_a_damaged_manifest_is_refused_with_its_key_and_reasons(client, artifact, raw, damage):
    place = raw.manifest_path("name", 1)
    raw.overwrite(place, damage(place.read_bytes()))
    for call in (lambda: client.get_artifact("name"), lambda: client.get_artifact("name", 1)):
        with pytest.raises(StoreFormatError) as caught:
            call()
        assert raw.root / caught.value.key == place
        assert caught.value.problems


@pytest.fixture
def large(client):
    return client.register_artifact("name", {f"{number:05}": b"same" for number in range(4_100)})


def test_a_damaged_list_of_files_is_found_and_stops_every_use(client, raw, large, tmp_path):
    shard = raw.manifest("name")["shards"][0]
    place = raw.root / shard["key"]
    data = place.read_bytes()
    raw.overwrite(place, data.replace(b'"00001"', b'"0000x"'))
    (finding,) = large.verify("stat").findings
    assert (finding.path, finding.status, finding.key) == ("", "modified", shard["key"])
    assert finding.expected == f"sha256:{shard['sha256']}"
    for use in (lambda a: a.download(tmp_path / "out"), lambda a: list(a.entries), lambda a: a.read_bytes("00001")):
        with pytest.raises(IntegrityError, match="list of files is damaged"):
            use(client.get_artifact("name"))
    assert not (tmp_path / "out").exists()
    place.unlink()
    (finding,) = large.verify("stat").findings
    assert (finding.status, finding.actual) == ("missing", "missing")
    with pytest.raises(IntegrityError, match="list of files is missing"):
        client.get_artifact("name").entries.find("00001")


class ChecksumBackend(MemoryBackend):
    """A backend whose server holds digests, as object stores do."""

    held: dict

    def _info(self, key, stored):
        return replace(super()._info(key, stored), checksums=self.held.get(key, {}))


def test_checksum_compares_what_the_storage_holds():
    backend = ChecksumBackend()
    backend.held = {}
    client = MetaMLFlowClient._on(Store(backend.url, {}, backend=backend))
    artifact = client.register_artifact("name", {"a": b"aaa", "b": b"bbb", "c": b"ccc", "d": b"ddd"})
    a, b, c, d = artifact.entries
    backend.held = {
        a.key: {"sha256": a.sha256},
        b.key: {"crc32c": b.crc32c, "md5": "whatever"},
        c.key: {"crc32c": "00000000"},
        d.key: {"sha256": "0" * 64, "crc32c": d.crc32c},
    }
    report = artifact.verify("checksum")
    assert found(report) == [("c", "modified"), ("d", "modified")]
    assert report.findings[0].actual == "crc32c:00000000"
    assert report.findings[1].expected == f"sha256:{d.sha256}"
    assert report.bytes == 0
