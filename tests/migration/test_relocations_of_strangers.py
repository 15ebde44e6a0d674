"""A relocation moves what it was proven for: no pointer of another store, and no signed version by a weak digest."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import sys
import zlib

import pytest
from full_stores import files_of

from metamlflow import MetaMLFlowClient, migrate
from metamlflow.errors import MissingDependencyError, PointerDriftError, StoreFormatError

GOOD = b"id,amount\n1,10\n2,20\n"


def crc32_forgery(content: bytes, start: bytes) -> bytes:
    """Return other content of the same size and CRC-32 that begins with ``start``."""
    table = []
    for number in range(256):
        value = number
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
        table.append(value)
    by_top = {value >> 24: number for number, value in enumerate(table)}
    prefix = start.ljust(len(content) - 4, b" ")
    wanted = zlib.crc32(content) ^ 0xFFFFFFFF
    for _ in range(4):
        index = by_top[wanted >> 24]
        wanted = ((wanted ^ table[index]) << 8 | index) & 0xFFFFFFFF
    forged = prefix + (wanted ^ zlib.crc32(prefix) ^ 0xFFFFFFFF).to_bytes(4, "little")
    assert (len(forged), zlib.crc32(forged)) == (len(content), zlib.crc32(content))
    return forged


@pytest.fixture
def client(tmp_path):
    return MetaMLFlowClient(tmp_path / "store", cache_dir=tmp_path / "cache")


@pytest.fixture
def lake(tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/data.csv").write_bytes(GOOD)
    return tmp_path / "lake"


def register(tmp_path, lake, held):
    """Register the lake's file so that nothing but ``held`` is known of its content."""
    client = MetaMLFlowClient(tmp_path / "store")
    client.register_pointer("events", lake / "data.csv", evidence="full")
    (path,) = (tmp_path / "store/artifacts/events/_versions").glob("*_v1.json")
    manifest = json.loads(path.read_bytes())
    entry = manifest["entries"][0]
    del entry["computed"]
    entry |= {"evidence": "checksum", "held": held}
    manifest["pointers"][0]["evidence"] = "checksum"
    path.unlink()
    path.write_text(json.dumps(manifest))
    try:
        MetaMLFlowClient(tmp_path / "store").get_artifact("events")
    except StoreFormatError as error:
        right, wrong = re.findall(r"sha256:[0-9a-f]{64}", str(error))
        path.write_text(path.read_text().replace(wrong, right))
    return MetaMLFlowClient(tmp_path / "store", cache_dir=tmp_path / "cache")


def record_by_hand(store, old, new):
    """Write a relocation past the library, which would have looked at the new place."""
    folder = store / "relocations"
    folder.mkdir(exist_ok=True)
    number = 9_999_999_998 - len(list(folder.iterdir()))
    record = {"format": 1, "record_id": f"{number:032x}", "created_at": "2026-01-31T12:00:00Z"}
    (folder / f"{number}.json").write_text(json.dumps(record | {"old": f"file://{old}/", "new": f"file://{new}/"}))


@pytest.fixture
def forged(tmp_path, lake):
    """A folder with a file that has the CRC-32 of the lake's, and a relocation that leads there."""
    folder = tmp_path / "forged"
    folder.mkdir()
    (folder / "data.csv").write_bytes(crc32_forgery(GOOD, b"evil"))
    return folder


USES = {
    "read_bytes": lambda artifact, _: artifact.read_bytes(),
    "open": lambda artifact, _: artifact.open().read(),
    "local_path": lambda artifact, _: artifact.local_path().read_bytes(),
    "download": lambda artifact, folder: artifact.download(folder / "out").read_bytes(),
    "pickled": lambda artifact, _: pickle.loads(pickle.dumps(artifact)).read_bytes(),
    "materialize": lambda artifact, _: artifact.materialize().read_bytes(),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_signed_version_is_not_led_to_content_that_only_has_the_same_crc(tmp_path, lake, forged, use):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.generate()
    client = register(tmp_path, lake, {"crc32": f"{zlib.crc32(GOOD):08x}"})
    client.get_artifact("events").sign(key)
    record_by_hand(tmp_path / "store", lake, forged)
    signed = client.get_artifact("events", require_signature=key.public_key())
    assert use(signed, tmp_path) == GOOD
    assert signed.verify("full")
    assert signed.storage_path == f"file://{lake}/data.csv"
    shutil.rmtree(lake)
    with pytest.raises(PointerDriftError):
        client.get_artifact("events", 1, require_signature=key.public_key()).read_bytes()
    assert not client.get_artifact("events", 1, require_signature=key.public_key()).verify("full")


@pytest.mark.parametrize("name", ["crc32", "crc32c", "md5", "sha1"])
def test_no_digest_that_can_be_forged_moves_a_signed_version(tmp_path, lake, name):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.generate()
    value = {"crc32": 8, "crc32c": 8, "md5": 32, "sha1": 40}[name] * "0"
    register(tmp_path, lake, {name: value}).get_artifact("events").sign(key)
    record_by_hand(tmp_path / "store", lake, tmp_path / "nowhere")
    client = MetaMLFlowClient(tmp_path / "store")
    (entry,) = client.get_artifact("events", require_signature=key.public_key()).entries
    assert entry.uri == f"file://{lake}/data.csv"
    (entry,) = client.get_artifact("events").entries
    assert entry.uri == f"file://{tmp_path}/nowhere/data.csv"


def test_a_signed_version_with_a_sha256_follows_a_relocation(client, lake, tmp_path):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    key = ed25519.Ed25519PrivateKey.generate()
    client.register_pointer("events", lake / "data.csv", evidence="full").sign(key)
    shutil.move(lake, tmp_path / "moved")
    client.relocate(lake, tmp_path / "moved")
    signed = client.get_artifact("events", require_signature=key.public_key())
    assert signed.read_bytes() == GOOD
    assert signed.verify("full")


# --- a digest that cannot be computed here ----------------------------------------------------------------------------


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_a_moved_pointer_whose_digest_cannot_be_computed_is_not_read(tmp_path, lake, monkeypatch, use):
    client = register(tmp_path, lake, {"crc64nvme": "0" * 16})
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.csv").write_bytes(b"#" * len(GOOD))
    record_by_hand(tmp_path / "store", lake, tmp_path / "other")
    monkeypatch.setitem(sys.modules, "awscrt", None)
    with pytest.raises(MissingDependencyError, match=r"metamlflow\[crt\]"):
        use(client.get_artifact("events"), tmp_path)
    assert not (tmp_path / "out").exists()


def test_nor_is_its_evidence_strengthened_or_called_good(tmp_path, lake, monkeypatch):
    client = register(tmp_path, lake, {"crc64nvme": "0" * 16})
    record_by_hand(tmp_path / "store", lake, tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.csv").write_bytes(b"#" * len(GOOD))
    monkeypatch.setitem(sys.modules, "awscrt", None)
    with pytest.raises(MissingDependencyError):
        client.get_artifact("events").strengthen("full")
    assert not client.get_artifact("events").verify("full")


@pytest.mark.parametrize("name", ["sha1", "md5", "crc32"])
def test_evidence_is_strengthened_after_a_relocation_only_for_the_same_content(tmp_path, lake, name):
    client = register(tmp_path, lake, {name: {"sha1": 40, "md5": 32, "crc32": 8}[name] * "0"})
    record_by_hand(tmp_path / "store", lake, tmp_path / "other")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/data.csv").write_bytes(b"#" * len(GOOD))
    with pytest.raises(Exception, match=f"{name}:0000"):
        client.get_artifact("events").strengthen("full")
    assert len(client.list_artifacts("events")) == 1


# --- migrating --------------------------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path, lake):
    """Another store, which has its own pointer to the lake."""
    client = MetaMLFlowClient(tmp_path / "destination")
    client.register_pointer("own", lake / "data.csv", evidence="full")
    return client


def relocations(folder):
    return {path: data for path, data in files_of(folder).items() if path.startswith("relocations/")}


def test_a_relocation_that_no_migrated_version_uses_does_not_come(client, lake, own, tmp_path):
    client.register_artifact("plain", b"1")
    client.register_pointer("other", lake / "data.csv", evidence="full")
    shutil.copytree(lake, tmp_path / "copy")
    client.relocate(lake, tmp_path / "copy")
    report = migrate(client, own, ["plain"])
    assert report, report.problems
    assert relocations(tmp_path / "destination") == {}
    assert own.get_artifact("own").entries["data.csv"].uri == f"file://{lake}/data.csv"
    assert migrate(client, own)
    assert relocations(tmp_path / "destination") == relocations(tmp_path / "store")


def test_a_relocation_does_not_move_the_destinations_own_pointers_to_other_content(client, lake, own, tmp_path):
    client.register_pointer("events", lake / "data.csv", evidence="full")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/data.csv").write_bytes(b"#" * len(GOOD))
    record_by_hand(tmp_path / "store", lake, tmp_path / "elsewhere")
    report = migrate(client, own)
    assert not report
    assert len(report.problems) == 1
    assert "relocations=[" in report.problems[0]
    assert relocations(tmp_path / "destination") == {}
    assert own.get_artifact("own").read_bytes() == GOOD
    asked = migrate(client, own, relocations=[str(lake)])
    assert asked, asked.problems
    assert relocations(tmp_path / "destination") == relocations(tmp_path / "store")


def test_relocations_that_follow_each_other_come_in_their_order_and_strangers_between_them_do_not(
    client, lake, tmp_path
):
    client.register_pointer("events", lake / "data.csv", evidence="full")
    (tmp_path / "unrelated").mkdir()
    (tmp_path / "unrelated/x").write_bytes(b"1")
    client.register_pointer("unrelated", tmp_path / "unrelated/x", evidence="full")
    shutil.move(lake, tmp_path / "second")
    client.relocate(lake, tmp_path / "second")
    shutil.move(tmp_path / "unrelated", tmp_path / "moved")
    client.relocate(tmp_path / "unrelated", tmp_path / "moved")
    shutil.move(tmp_path / "second", tmp_path / "third")
    client.relocate(tmp_path / "second", tmp_path / "third")
    assert migrate(client, tmp_path / "there", ["events"])
    assert len(relocations(tmp_path / "there")) == 2
    copy = MetaMLFlowClient(tmp_path / "there").get_artifact("events")
    assert copy.read_bytes() == GOOD
    assert copy.entries["data.csv"].uri == f"file://{tmp_path}/third/data.csv"
