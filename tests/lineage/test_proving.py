"""Tamper evidence: what ``verify(lineage=True)`` and ``history`` find, and what nobody recorded yet."""

from __future__ import annotations

import hashlib
import json
import shutil
from itertools import pairwise

import pytest

from metamlflow.errors import ArtifactNotFoundError, IntegrityError
from metamlflow.testing import FaultyBackend, MemoryBackend, MemoryBucket, client_on

CHAIN = ("raw", "cleaned", "features", "model")
CHANGED = {"owner": "mallory"}


@pytest.fixture
def chain(client):
    """raw → cleaned → features → model."""
    for before, name in zip((None, *CHAIN), CHAIN, strict=False):
        client.register_artifact(name, name.encode(), inputs=[f"{before}@1"] if before else [])
    return client


def alter(raw, name, version=1, **changes) -> str:
    """Write another manifest, well formed, in the place of one; return the digest of what lay there."""
    path = raw.manifest_path(name, version)
    before = path.read_bytes()
    changed = json.loads(before) | (changes or {"metadata": CHANGED})
    raw.overwrite(path, json.dumps(changed, sort_keys=True, separators=(",", ":")).encode() + b"\n")
    return f"sha256:{hashlib.sha256(before).hexdigest()}"


# --- lineage ----------------------------------------------------------------------------------------------------------


def test_a_lineage_that_is_as_it_was_used_verifies(chain):
    report = chain.get_artifact("model").verify(lineage=True)
    assert report.ok
    assert report.findings == ()


@pytest.mark.parametrize("level", ["full", "stat"])
def test_an_altered_manifest_two_steps_up_is_found_and_named(chain, raw, level):
    recorded = alter(raw, "cleaned")
    key = raw.manifest_path("cleaned", 1).relative_to(raw.root).as_posix()
    artifact = chain.get_artifact("model")
    assert artifact.verify(level), "without lineage it is of no concern"
    report = artifact.verify(level, lineage=True)
    assert not report.ok
    (finding,) = report.findings
    assert (finding.status, finding.key, finding.expected) == ("modified", key, recorded)
    assert finding.actual == f"sha256:{hashlib.sha256(raw.manifest_path('cleaned', 1).read_bytes()).hexdigest()}"
    with pytest.raises(IntegrityError, match="cleaned"):
        report.raise_if_failed()


DAMAGES = {
    "deleted": (lambda path: path.unlink(), "missing"),
    "cut short": (lambda path: (path.chmod(0o644), path.write_bytes(path.read_bytes()[:-9])), "modified"),
    "emptied": (lambda path: (path.chmod(0o644), path.write_bytes(b"")), "modified"),
    "a folder in its place": (lambda path: (path.unlink(), path.mkdir()), "missing"),
}


@pytest.mark.parametrize(("damage", "status"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_manifest_on_the_way_is_found(chain, raw, damage, status):
    damage(raw.manifest_path("raw", 1))
    findings = chain.get_artifact("model").verify(lineage=True).findings
    assert [(finding.status, finding.key.partition("/_")[0]) for finding in findings] == [(status, "artifacts/raw")]


def test_beyond_an_altered_manifest_nothing_is_believed(chain, raw):
    alter(raw, "features", inputs=[])
    alter(raw, "raw")
    (finding,) = chain.get_artifact("model").verify(lineage=True).findings
    assert "features" in finding.key


def test_the_version_itself_is_not_compared_with_anything(chain, raw):
    """Nobody has recorded its digest yet: that is the limit of it."""
    alter(raw, "model")
    artifact = chain.get_artifact("model")
    assert artifact.metadata == CHANGED
    assert artifact.verify(lineage=True)


def test_who_rewrites_all_of_it_consistently_is_not_found_and_a_digest_kept_elsewhere_tells(chain, raw):
    kept = chain.get_artifact("model").manifest_digest
    alter(raw, "raw")
    for source, consumer in pairwise(CHAIN):
        digest = hashlib.sha256(raw.manifest_path(source, 1).read_bytes()).hexdigest()
        alter(raw, consumer, inputs=[{"name": source, "version": 1, "manifest_digest": f"sha256:{digest}"}])
    artifact = chain.get_artifact("model")
    assert artifact.verify(lineage=True)
    assert artifact.manifest_digest != kept


def test_a_pruned_version_on_the_way_is_no_finding(chain, raw):
    raw.prune("cleaned", 1)
    assert chain.get_artifact("model").verify(lineage=True)


def test_each_manifest_on_the_way_is_read_once():
    bucket = MemoryBucket()
    maker = client_on(MemoryBackend(bucket))
    maker.register_artifact("base", b"0")
    for number in range(5):
        maker.register_artifact(f"middle-{number}", b"m", inputs=["base@1"])
    maker.register_artifact("top", b"t", inputs=[f"middle-{number}@1" for number in range(5)])
    backend = FaultyBackend(MemoryBackend(bucket))
    artifact = client_on(backend).get_artifact("top")
    backend.calls.clear()
    assert artifact.verify("stat", lineage=True)
    read = [call.key for call in backend.calls if call.verb == "read" and call.key.startswith("artifacts/")]
    assert len(read) == len(set(read)) == 1 + 6, "the version itself, and each that it was made from"


# --- history ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def row(client):
    """Four versions of ``table``."""
    for number in range(1, 5):
        client.register_artifact("table", b"%d" % number, metadata={"n": number})
    return client


def test_a_history_lists_each_version_with_the_digest_of_its_manifest(row, raw):
    history = row.history("table")
    assert history
    history.raise_if_failed()
    assert (history.name, [entry.version for entry in history.versions]) == ("table", [1, 2, 3, 4])
    for entry in history.versions:
        data = raw.manifest_path("table", entry.version).read_bytes()
        assert entry.manifest_digest == f"sha256:{hashlib.sha256(data).hexdigest()}"
        assert entry.created_at == row.get_artifact("table", entry.version).created_at
        assert entry.created_by == row.get_artifact("table", entry.version).created_by
        assert entry.available


def test_pruned_versions_stay_in_the_history(row, raw):
    raw.prune("table", 2)
    history = row.history("table")
    assert history.ok
    assert [entry.available for entry in history.versions] == [True, False, True, True]


def test_an_altered_version_is_found_by_the_one_after_it(row, raw):
    recorded = alter(raw, "table", 2)
    history = row.history("table")
    assert not history
    (problem,) = history.problems
    assert problem.message.startswith("table@2 was altered after table@3 was registered")
    assert problem.expected == recorded
    assert problem.key == raw.manifest_path("table", 2).relative_to(raw.root).as_posix()
    with pytest.raises(IntegrityError, match=r"table@2 was altered"):
        history.raise_if_failed()


def test_deleted_versions_are_each_named(row, raw):
    for version in (1, 3):
        raw.manifest_path("table", version).unlink()
    history = row.history("table")
    assert [entry.version for entry in history.versions] == [2, 4]
    assert [problem.message.partition(":")[0] for problem in history.problems] == [
        "table@1 is missing",
        "table@3 is missing",
    ]


def test_a_manifest_that_is_no_manifest_any_more_is_listed_without_facts(row, raw):
    raw.overwrite(raw.manifest_path("table", 2), b"{}")
    history = row.history("table")
    second = history.versions[1]
    assert (second.version, second.created_at, second.created_by) == (2, None, None)
    assert ["table@2 was altered" in problem.message for problem in history.problems] == [True]


def test_the_newest_alone_is_not_seen_until_the_next_is_registered(row, raw):
    recorded = alter(raw, "table", 4)
    assert row.history("table").ok, "nobody has recorded its digest yet"
    row.register_artifact("table", b"5")
    assert row.history("table").ok, "and the next one records it as it is then"
    assert raw.manifest("table", 5)["previous"] != recorded
    raw.manifest_path("table", 5).unlink()
    assert len(row.history("table").versions) == 4, "nor is it seen that the newest was deleted"


def test_a_name_that_does_not_exist_has_no_history(row, raw):
    with pytest.raises(ArtifactNotFoundError, match="Did you mean 'table'"):
        row.history("tabel")
    shutil.rmtree(raw.root / "artifacts")
    with pytest.raises(ArtifactNotFoundError):
        row.history("table")
