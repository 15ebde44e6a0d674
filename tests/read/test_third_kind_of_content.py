"""A third kind of content is one class in the factory, and a row for its document: nothing else asks for its kind."""

from __future__ import annotations

import hashlib
import os

import pytest
from slices import DOCUMENT, SliceContent, SliceEntry, slices_of

from metamlflow import MetaMLFlowClient, Pointer, migrate
from metamlflow.cli.rows import entry_rows
from metamlflow.errors import IntegrityError, StoreFormatError
from metamlflow.format.entries import SPECIAL
from metamlflow.model.manifests import EmptyFolder
from metamlflow.model.names import ArtifactName
from metamlflow.store.ingest.sources import Source
from metamlflow.store.publish.publish import PublishRequest, publish
from metamlflow.store.read.content import KINDS
from metamlflow.testing import FaultyBackend
from metamlflow.testing.clients import client_on
from metamlflow_local import LocalBackend

LARGE = os.urandom(2_500_000)
FILES = {"a.csv": b"1,2\n", "deep/b.bin": LARGE, "deep/c.txt": b"three", "empty": b""}
PACK = b"".join(FILES.values())


class Taken(Source):
    """Items that are a version's already."""

    def __init__(self, items):
        self._items = items

    def walk(self, problems):
        yield from self._items


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    monkeypatch.setitem(KINDS, SliceEntry, SliceContent)
    monkeypatch.setitem(SPECIAL, SliceEntry, DOCUMENT)


def published(client, name, items):
    draft = PublishRequest(name=ArtifactName(name), source=Taken(items), artifact_type="dataset", metadata={})
    publish(client._store, draft)
    return client.get_artifact(name)


@pytest.fixture
def pack(client):
    (entry,) = client.register_artifact("pack", {"pack": PACK}).entries
    return entry


@pytest.fixture
def artifact(client, pack):
    return published(client, "sliced", slices_of(pack, FILES))


def test_it_is_listed_and_looked_up_like_others(artifact, raw):
    assert [entry.path for entry in artifact.entries] == list(FILES)
    entry = artifact.entries["deep/c.txt"]
    assert isinstance(entry, SliceEntry)
    assert entry in artifact.entries
    assert (artifact.size, len(artifact.entries)) == (len(PACK), 4)
    assert raw.manifest("sliced")["requires"] == ["slices"]


def test_it_is_shown_like_others(artifact):
    (first, *_) = artifact.to_json(entries=1)["entries"]
    assert (first["path"], first["key"], first["sha256"]) == ("a.csv", None, hashlib.sha256(b"1,2\n").hexdigest())
    assert "uri" not in first
    assert [row[3] for row in entry_rows(artifact, 1)] == [f"sha256:{first['sha256']}"]


def test_its_digest_is_that_of_the_same_files_stored(client, artifact):
    assert artifact.digest == client.register_artifact("stored", FILES).digest


def test_a_reader_that_does_not_know_it_refuses_the_version(client, artifact, store_folder, monkeypatch):
    monkeypatch.delitem(SPECIAL, SliceEntry)
    with pytest.raises(StoreFormatError, match="slices"):
        MetaMLFlowClient(store_folder).get_artifact("sliced")


def test_it_is_read_whole_and_in_ranges(artifact):
    assert {path: artifact.read_bytes(path) for path in FILES} == FILES
    with artifact.open("deep/b.bin") as stream:
        stream.seek(-1000, os.SEEK_END)
        assert stream.read() == LARGE[-1000:]
        stream.seek(1_000_000)
        assert stream.read(17) == LARGE[1_000_000:1_000_017]
        stream.seek(0)
        assert stream.read() == LARGE


def test_it_is_downloaded_and_copied_to_the_cache(artifact, tmp_path):
    artifact.download(tmp_path / "all")
    artifact.download(tmp_path / "one", path="deep/b.bin")
    assert {path: (tmp_path / "all" / path).read_bytes() for path in FILES} == FILES
    assert (tmp_path / "one/deep/b.bin").read_bytes() == LARGE
    assert artifact.local_path("deep/c.txt").read_bytes() == b"three"
    assert (artifact.local_path() / "deep/b.bin").read_bytes() == LARGE


def test_a_good_one_is_verified_at_each_level(artifact):
    assert artifact.verify("stat")
    assert artifact.verify("full").bytes == len(PACK)
    assert {finding.status for finding in artifact.verify("checksum").findings} == {"unverifiable"}


def test_what_is_damaged_is_told_and_never_handed_out(artifact, raw, pack, tmp_path):
    raw.overwrite(raw.root / pack.key, PACK[:1000] + bytes([PACK[1000] ^ 1]) + PACK[1001:])
    (finding,) = artifact.verify("full").findings
    assert (finding.path, finding.status, finding.key) == ("deep/b.bin", "modified", pack.key)
    assert artifact.read_bytes("deep/c.txt") == b"three"
    for read in (artifact.read_bytes, lambda path: artifact.download(tmp_path / "there", path=path)):
        with pytest.raises(IntegrityError):
            read("deep/b.bin")


@pytest.mark.parametrize("level", ["stat", "checksum", "full"])
def test_what_is_missing_is_told_at_each_level(artifact, raw, pack, level):
    (raw.root / pack.key).unlink()
    findings = artifact.verify(level).findings
    assert {(finding.status, finding.key) for finding in findings} == {("missing", pack.key)}
    assert [finding.path for finding in findings] == list(FILES)


def test_one_look_serves_all_files_of_a_pack(artifact, store_folder, pack):
    backend = FaultyBackend(LocalBackend(store_folder))
    assert client_on(backend).get_artifact("sliced").verify("stat")
    assert backend.calls.count(("stat", pack.key)) == 1


def test_a_migration_brings_its_pack_once_and_changes_nothing(client, artifact, pack, tmp_path):
    expected = migrate(client, tmp_path / "other", names=["sliced"], dry_run=True)
    report = migrate(client, tmp_path / "other", names=["sliced"])
    (version,) = report.versions
    assert (version.status, version.objects, version.bytes) == ("migrated", 1, len(PACK))
    assert expected.ok
    there = MetaMLFlowClient(tmp_path / "other").get_artifact("sliced")
    assert there.manifest_digest == artifact.manifest_digest
    assert there.verify("full")
    assert (tmp_path / "other" / pack.key).read_bytes() == PACK
    assert {version.status for version in migrate(client, tmp_path / "other", names=["sliced"]).versions} <= {"present"}


def test_the_next_version_relies_on_the_same_pack(client, artifact, pack, tmp_path):
    migrate(client, tmp_path / "other", names=["sliced"])
    published(client, "sliced", slices_of(pack, FILES)[1:])
    (version,) = [v for v in migrate(client, tmp_path / "other", names=["sliced"]).versions if v.version == 2]
    assert (version.status, version.objects) == ("migrated", 0)


def test_a_repair_puts_its_pack_back(client, artifact, raw, pack, tmp_path):
    migrate(client, tmp_path / "other", names=["sliced"])
    raw.overwrite(raw.root / pack.key, PACK[:-3])
    assert client.repair("sliced", source=tmp_path / "other").ok
    assert (raw.root / pack.key).read_bytes() == PACK


def test_files_take_its_place_and_it_takes_theirs(client, artifact, pack, raw):
    client.register_artifact("sliced", {**FILES, "deep/c.txt": b"3"})
    client.register_artifact("sliced", FILES)
    again = published(client, "sliced", slices_of(pack, FILES))
    assert (again.version, again.digest) == (4, artifact.digest)
    assert raw.blob_path(LARGE, ".bin").is_file()  # what lies in a pack is no blob to rely on


def test_beside_pointers_it_is_taken_over_as_it_is(client, pack, tmp_path):
    data = tmp_path / "lake/p.bin"
    data.parent.mkdir()
    data.write_bytes(b"pointed")
    (pointer,) = client.register_artifact("pointer", {"z/p.bin": Pointer(data)}).entries
    mixed = published(client, "mixed", [EmptyFolder("0"), *slices_of(pack, FILES), pointer])
    strong = mixed.strengthen("full")
    stored = strong.materialize()
    assert [type(entry) for entry in strong.entries][:4] == [SliceEntry] * 4
    assert stored.entries["z/p.bin"].sha256 == hashlib.sha256(b"pointed").hexdigest()
    assert stored.read_bytes("deep/b.bin") == LARGE
    assert [type(entry) for entry in stored.entries][:4] == [SliceEntry] * 4
    assert stored.verify("full")
