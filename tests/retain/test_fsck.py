"""fsck finds what is wrong with a store, names nothing that is sound, and mends what can be mended."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
from planted import HEALS, PLANTS, Planter, build, key_of_version, numbered, pruned, record

from metamlflow.errors import InvalidInputError, StoreNotFoundError
from metamlflow.store.retain.fsck.kinds import KINDS


def told(report) -> set[tuple[str, str]]:
    return {(finding.kind, finding.key) for finding in report.findings}


def contents(root) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("level", ["stat", "checksum", "full"])
def test_a_sound_store_has_no_findings_and_nothing_is_written(client, planter, level):
    before = contents(planter.root)
    report = client.fsck(level=level)
    # A disk holds no digests, and one note says so.
    assert report.counts == ({"blob-unverifiable": 1} if level == "checksum" else {})
    assert report.ok
    assert report.exit_code == 0
    assert (report.versions, report.bytes > 0) == (37, level == "full")
    assert contents(planter.root) == before


@pytest.mark.parametrize("name", PLANTS)
def test_each_fault_is_found_and_nothing_else(client, planter, name):
    expected = set(PLANTS[name](planter))
    report = client.fsck()
    assert told(report) == expected
    (finding,) = report.findings
    assert finding.severity == KINDS[finding.kind].severity
    assert finding.means
    assert finding.remedy
    assert finding.message
    assert report.ok == (finding.severity == "note")
    assert not report.mended


def heal(client, planter, honest):
    expected = {name: set(plant(planter)) for name, plant in PLANTS.items()}
    report = client.fsck()
    assert set().union(*expected.values()) <= told(report)
    assert not report
    planned = client.fsck(source=honest, dry_run=True)
    healed = client.fsck(source=honest)
    mended = {(finding.kind, finding.key) for finding in healed.mended}
    curable = set().union(*(expected[name] for name in HEALS))
    assert mended == curable, Counter(finding.reason for finding in healed.findings if finding.mendable)
    assert {(finding.kind, finding.key) for finding in planned.mended} <= curable
    assert not curable & told(client.fsck())
    return expected, curable


def test_all_faults_are_found_at_once_and_twenty_of_them_heal_from_a_copy(client, planter, honest):
    expected, curable = heal(client, planter, honest)
    assert len(expected) >= 30
    assert len(curable) >= 20


@pytest.mark.full
def test_thirty_faults_among_ten_thousand_blobs_are_found_and_twenty_heal(client, store_folder, tmp_path):
    build(store_folder, 10_000)
    shutil.copytree(store_folder, tmp_path / "copy")
    sound = client.fsck()
    assert sound.findings == ()
    assert sound.blobs >= 10_000
    expected, curable = heal(client, Planter(store_folder), tmp_path / "copy")
    assert len(expected) >= 30
    assert len(curable) >= 20


def test_a_repair_without_a_source_writes_what_the_store_itself_tells(client, planter):
    for name in ("a lost name record", "a record of another name", "a missing edge", "a damaged edge"):
        list(PLANTS[name](planter))
    lost = planter.delete(planter.blob("data", 1))
    before = contents(planter.root)
    planned = client.fsck(level="stat", repair=True, dry_run=True)
    assert contents(planter.root) == before
    assert not planned.ok
    report = client.fsck(level="stat", repair=True)
    assert told(report) == told(planned)
    assert [finding.key for finding in report.findings if not finding.mended] == [lost]
    assert "no source" in next(finding.reason for finding in report.findings if finding.key == lost)
    after = contents(planter.root)
    assert before.keys() <= after.keys()  # nothing is deleted
    assert after["edges/model/_v1/report@1"] == after["edges/data/_v2/model@1"] == b'{"format":1}\n'
    assert b'"name":"renamed"' in after["names/renamed.json"]
    assert "second" in client.list_names()
    assert told(client.fsck()) == {("blob-missing", lost)}


def test_a_folder_is_a_source_and_wrong_bytes_are_never_written(client, planter, tmp_path):
    client.get_artifact("data@1").download(tmp_path / "good")
    good, bad = planter.blob("data", 1, 0), planter.blob("data", 1, 1)
    planter.write(good, b"damaged")
    planter.write(bad, b"damaged")
    (tmp_path / "good/1.csv").chmod(0o600)
    (tmp_path / "good/1.csv").write_bytes(b"forged")
    report = client.fsck(source=tmp_path / "good")
    assert {finding.key: finding.mended for finding in report.findings} == {good: True, bad: False}
    assert planter.read(good) == b"0 of 1"
    assert planter.read(bad) == b"damaged"


def test_what_is_young_may_be_work_under_way(client, planter):
    digest = f"sha256:{'1' * 64}"
    planter.write("names/soon.json", record(name="soon"), age=60)
    planter.write("edges/data/_v1/soon@1", b'{"format":1}\n', age=60)
    planter.write(
        key_of_version("fourth", 4, "state-9999999998.json"), record(state="absent", manifest_digest=digest), age=60
    )
    claim = record(version=4, artifact_id="7a0c3f6e-9f4b-4c1d-8e2a-5b6c7d8e9f00")
    planter.write(f"artifacts/third/_idempotency/{'b' * 64}/9999999998.json", claim, age=60)
    planter.write("blobs/sha256/ab/" + "ab" * 32, b"garbage is no fault")
    report = client.fsck()
    assert report.ok
    assert report.counts == {"claim-open": 1, "name-without-version": 1, "state-without-version": 1}


def test_a_gap_in_a_series_and_an_object_of_nobody_are_notes(client, planter):
    planter.write(numbered("artifacts/data/_aliases/best/", 5), record(version=1))
    planter.write("names/Upper.json", b"{}")
    report = client.fsck()
    assert report.ok
    assert report.counts == {"foreign-object": 1, "series-gap": 1}


def test_of_policies_and_collections_nothing_but_the_newest_holds(client, planter):
    for prefix in ("policies/", "collections/"):
        planter.write(numbered(prefix, 1), b"?")
        planter.write(numbered(prefix, 4), planter.read(numbered(prefix, 2)))
    report = client.fsck()
    assert report.ok
    assert report.counts == {"policies-unreadable": 1, "collection-unreadable": 1, "series-gap": 2}


def test_protections_of_what_is_left_out_or_erased_and_ends_without_a_beginning_harm_nobody(client, planter):
    planter.write(numbered("protections/old/_v2/", 1), record(created_by="ada"))
    planter.document(key_of_version("old", 1, "state-9999999998.json"), state="absent")
    planter.write(numbered("protections/old/_v1/", 1), record(created_by="ada"))
    planter.delete(numbered("protections/data/_v4/", 1))
    report = client.fsck()
    assert report.ok
    assert report.counts == {"protection-not-live": 2, "protection-missing": 1}


def test_a_protection_that_is_over_holds_nothing_so_its_version_may_be_pruned(client, planter):
    pruned(planter, "data", 4)
    assert client.fsck(level="stat").counts == {}


def test_an_altered_newest_manifest_is_told_by_who_used_it(client, planter):
    planter.document(key_of_version("model", 1), created_by="mallory")
    report = client.fsck()
    assert report.counts == {"manifest-contradicted": 1, "signature-of-another": 1}


def test_a_damaged_entry_of_the_local_cache_is_found(client, planter):
    path = client.get_artifact("data@1").local_path("0.csv")
    path.chmod(0o600)
    path.write_bytes(b"0 of 2")
    (finding,) = client.fsck(level="stat").findings
    assert finding.kind == "local-cache-damaged"
    assert finding.key in str(path)


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "deep"}, {"sample": 0}, {"sample": "1"}, {"sample": "101%"}, {"sample": True}, {"seed": "a"},
        {"subset": (0, 3)}, {"subset": (4, 3)}, {"subset": "1/x"}, {"subset": "3"}, {"dry_run": True},
        {"objects_per_second": 0}, {"source": 5}, {"sample": "1.5"},
        {"source_options": {"key": "a"}}, {"source_options": {"key": "a"}, "repair": True},
    ],
)  # fmt: skip
def test_wrong_arguments_are_refused(client, planter, wrong):
    with pytest.raises(InvalidInputError):
        client.fsck(**wrong)


def test_a_place_without_a_store_is_no_sound_store(client):
    with pytest.raises(StoreNotFoundError):
        client.fsck()


def test_a_report_is_shown_as_text_page_and_json(client, planter):
    planter.delete(planter.blob("data", 1))
    planter.write("artifacts/data/_votes/<b>.json", b"{}")
    report = client.fsck()
    assert "2 faults" in repr(report)
    assert "&lt;b&gt;" in report._repr_html_()
    document = report.to_json()
    assert (document["ok"], document["counts"]) == (False, {"blob-missing": 1, "unknown-key": 1})
    assert document["findings"][0]["name"] == "data"
    assert report.__rich__().row_count == 2
