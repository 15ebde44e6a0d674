"""fsck finds what is wrong with a store, names nothing that is sound, and mends what can be mended."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from planted import HEALS, PLANTS, Planter, build

from metamlflow import MetaMLFlowClient


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A sound store, to be copied."""
    folder = tmp_path_factory.mktemp("honest") / "store"
    build(MetaMLFlowClient(folder))
    return folder


@pytest.fixture
def planter(honest, store_folder) -> Planter:
    shutil.copytree(honest, store_folder)
    return Planter(store_folder)


def told(report) -> set[tuple[str, str]]:
    return {(finding.kind, finding.key) for finding in report.findings}


def contents(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("level", ["stat", "checksum", "full"])
def test_a_sound_store_has_no_findings(client, planter, level):
    before = contents(planter.root)
    report = client.fsck(level=level)
    if level == "checksum":
        assert set(report.counts) == {"blob-unverifiable"}  # a disk holds no digests
    else:
        assert report.findings == ()
    assert report.ok
    assert report.exit_code == 0
    assert report.versions == 37
    assert contents(planter.root) == before


@pytest.mark.parametrize("name", PLANTS)
def test_each_fault_is_found_and_nothing_else(client, planter, name):
    expected = set(PLANTS[name](planter))
    report = client.fsck()
    assert told(report) == expected
    for finding in report.findings:
        assert finding.means
        assert finding.remedy
        assert finding.message


def test_all_faults_are_found_at_once_and_twenty_of_them_heal_from_a_copy(client, planter, honest):
    expected = {name: set(plant(planter)) for name, plant in PLANTS.items()}
    report = client.fsck()
    assert set().union(*expected.values()) <= told(report)
    assert not report
    healed = client.fsck(source=honest)
    mended = {(finding.kind, finding.key) for finding in healed.mended}
    curable = set().union(*(expected[name] for name in HEALS))
    assert mended == curable, Counter(finding.reason for finding in healed.findings if finding.mendable)
    assert len(curable) >= 20
    assert not curable & told(client.fsck())
