"""Every call that meets an erased version says so, and gives nothing of it back."""

from __future__ import annotations

import json
import shutil

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.errors import ArtifactErasedError


@pytest.fixture
def erased(client, raw) -> MetaMLFlowClient:
    """A store in which the second version of ``data`` was erased, and a model was made from it."""
    client.register_artifact("data", {"a.csv": b"1"})
    client.register_artifact("data", {"a.csv": b"personal"})
    client.register_artifact("data", {"a.csv": b"3"})
    client.register_artifact("model", b"weights", inputs=["data@2"])
    return client


def test_what_was_loaded_before_says_that_it_is_erased_once_its_bytes_are_gone(erased, raw, tmp_path):
    loaded = erased.get_artifact("data", 2)
    raw.erase("data", 2)
    raw.blob_path(b"personal", ".csv").unlink()
    with pytest.raises(ArtifactErasedError):
        loaded.read_bytes("a.csv")
    with pytest.raises(ArtifactErasedError):
        loaded.download(tmp_path / "here")


@pytest.mark.parametrize("gone", [True, False])
def test_an_erased_version_is_not_compared_whether_its_record_is_gone_or_not(erased, raw, gone):
    used = erased.get_artifact("model").inputs[0]
    manifest = raw.manifest_path("data", 2).read_bytes()
    raw.erase("data", 2)
    if not gone:
        raw.manifest_path("data", 2).write_bytes(manifest)
    for one, other in (("data@1", "data@2"), ("data@2", "data@1"), ("data@1", used)):
        with pytest.raises(ArtifactErasedError):
            erased.diff(one, other)
    for publish in (
        lambda: erased.copy("data@2", "copy"),
        lambda: erased.update_metadata("data@2", {"a": 1}, expected=3),
    ):
        with pytest.raises(ArtifactErasedError):
            publish()


def test_an_erased_version_cannot_be_signed(erased, raw):
    ed25519 = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.ed25519")
    loaded = erased.get_artifact("data", 2)
    raw.erase("data", 2)
    before = raw.keys()
    with pytest.raises(ArtifactErasedError):
        loaded.sign(ed25519.Ed25519PrivateKey.generate())
    assert raw.keys() == before


def test_an_erased_version_is_not_put_back_by_a_repair(erased, raw, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(raw.root, copy)
    loaded = erased.get_artifact("data", 2)
    raw.erase("data", 2)
    before = raw.keys()
    for wanted in ("data@2", loaded):
        with pytest.raises(ArtifactErasedError):
            erased.repair(wanted, MetaMLFlowClient(copy))
        assert raw.keys() == before
    raw.manifest_path("data", 2).write_text("{}")  # by somebody who was paused
    with pytest.raises(ArtifactErasedError):
        erased.repair("data@2", MetaMLFlowClient(copy))
    assert raw.manifest_path("data", 2).read_text() == "{}"


def test_a_manifest_before_an_erased_version_is_put_back_by_what_that_one_recorded(erased, raw, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(raw.root, copy)
    raw.erase("data", 2)
    raw.manifest_path("data", 1).unlink()
    assert erased.repair("data@1", MetaMLFlowClient(copy)).ok
    assert erased.get_artifact("data", 1).read_bytes("a.csv") == b"1"


def test_an_input_that_was_erased_is_told_as_such(erased, raw):
    raw.erase("data", 2)
    lineage = erased.lineage("model")
    (problem,) = [node.facts["problem"] for node in lineage if node.kind == "missing"]
    assert "data@2 was erased by officer" in problem
    report = erased.get_artifact("model").verify(lineage=True)
    (finding,) = report.findings
    assert (finding.status, finding.actual) == ("unverifiable", "erased on 2024-01-01")
    with pytest.raises(ArtifactErasedError):
        erased.register_artifact("other", b"x", inputs=["data@2"])


def test_an_erased_input_whose_record_names_another_manifest_is_no_erased_input(erased, raw):
    raw.erase("data", 2)
    tomb = raw.manifest_path("data", 2).with_name("9999999997_v2.tomb.json")
    tomb.write_text(json.dumps(json.loads(tomb.read_text()) | {"manifest_digest": f"sha256:{'0' * 64}"}))
    (finding,) = erased.get_artifact("model").verify(lineage=True).findings
    assert finding.status == "modified"


def test_verifying_everything_passes_over_erased_versions(erased, raw):
    raw.erase("data", 2)
    raw.blob_path(b"personal", ".csv").unlink()
    assert erased.verify_all().ok
