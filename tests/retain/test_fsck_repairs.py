"""A repair of a store says `mended` of nothing that is not as it should be, and does each version once."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from planted import Planter, key_of_version

from metamlflow.format import entries as shards
from metamlflow.store.catalog import entries
from metamlflow.store.repair import repair

TOO_LARGE = b" " * (64 * 1024**2 + 1)


@pytest.fixture
def copy(planter, tmp_path):
    """A good copy, to be damaged as well."""
    shutil.copytree(planter.root, tmp_path / "copy")
    return Planter(tmp_path / "copy")


def fates(report) -> dict[str, bool]:
    return {finding.kind: finding.mended for finding in report.findings}


DAMAGES = {
    "lost": ("version-missing", lambda planter, key: planter.delete(key)),
    "unreadable": ("manifest-unreadable", lambda planter, key: planter.write(key, b"{")),
    "altered": ("manifest-altered", lambda planter, key: planter.document(key, created_by="mallory")),
}


@pytest.mark.parametrize(("kind", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_version_whose_manifest_is_back_and_whose_content_is_not_is_not_mended(client, planter, copy, kind, damage):
    blob = planter.blob("data", 1)
    damage(planter, key_of_version("data", 1))
    planter.delete(blob)
    copy.delete(blob)
    report = client.fsck(source=copy.root)
    assert not report.ok
    assert fates(report)[kind] is False
    (finding,) = (finding for finding in report.findings if finding.kind == kind)
    assert blob in finding.reason
    assert {(found.kind, found.key) for found in client.fsck().findings} == {("blob-missing", blob)}


def test_a_version_with_a_list_of_files_that_no_copy_has_is_not_mended(client, planter, copy):
    lost = [shard["key"] for shard in planter.manifest("wide", 1)["shards"]]
    planter.delete(key_of_version("wide", 1))
    for key in lost:
        planter.path(key).unlink()
        copy.path(key).unlink()
    report = client.fsck(source=copy.root)
    assert fates(report)["version-missing"] is False
    assert not report.ok


@pytest.fixture
def listed(client, planter, copy, monkeypatch) -> list[str]:
    """The lists of files of a version that has many, in both stores."""
    with monkeypatch.context() as patched:
        patched.setattr(shards, "MAX_SHARD_ITEMS", 60)
        client.register_artifact("many", {f"{n:05d}": b"%d" % (n % 400) for n in range(600)})
    shutil.copytree(planter.root, copy.root, dirs_exist_ok=True)
    found = [shard["key"] for shard in planter.manifest("many", 1)["shards"]]
    assert len(found) >= 10
    return found


@pytest.mark.full
@pytest.mark.parametrize("is_cured", [True, False], ids=["the copy is good", "the copy is damaged as well"])
def test_a_version_is_repaired_once_and_all_its_damaged_lists_of_files_share_the_result(
    client, planter, copy, listed, monkeypatch, is_cured
):
    calls = []
    verify = repair.verify
    monkeypatch.setattr(repair, "verify", lambda *arguments: calls.append(1) or verify(*arguments))
    for key in listed:
        planter.delete(key)
    if not is_cured:
        copy.write(listed[-1], b"damaged")
    report = client.fsck(source=copy.root)
    assert {finding.key for finding in report.findings} == set(listed)
    assert {finding.mended for finding in report.findings} == {is_cured}
    assert len({finding.reason for finding in report.findings}) == 1
    assert len(calls) == 2  # to find what is damaged, and again when the lists of files are back
    assert client.fsck().ok == is_cured


def test_content_is_put_back_with_one_read_of_each_list_of_files(client, planter, copy, listed, monkeypatch):
    lost = {entry.key for entry in client.get_artifact("many@1").entries}
    for key in lost:
        planter.path(key).unlink()
    reads = Counter()
    read_shard = entries.read_shard
    monkeypatch.setattr(
        entries, "read_shard", lambda store, shard: reads.update([shard.key]) or read_shard(store, shard)
    )
    report = client.fsck(level="stat", source=copy.root)
    assert {finding.key for finding in report.mended} == lost
    assert set(reads.values()) == {1}


@pytest.mark.full
@pytest.mark.parametrize(
    ("key", "kind"),
    [("edges/data/_v2/model@1", "edge-damaged"), ("names/renamed.json", "name-record-wrong")],
    ids=["an edge", "a name record"],
)
def test_a_record_that_is_too_large_to_be_read_is_written_anew(client, planter, key, kind):
    planter.write(key, TOO_LARGE)
    assert fates(client.fsck(level="stat", repair=True)) == {kind: True}
    assert client.fsck(level="stat").findings == ()
    assert len(planter.read(key)) < 1000


@pytest.mark.full
def test_a_manifest_that_is_too_large_to_be_read_comes_back_from_a_copy(client, planter, copy):
    planter.write(key_of_version("data", 1), TOO_LARGE)
    report = client.fsck(level="stat", source=copy.root)
    assert report.mended
    assert report.ok
    assert client.fsck().ok
