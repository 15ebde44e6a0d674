"""fsck and usage in buckets: faults are made past the code, found and mended, within the expected requests."""

from __future__ import annotations

import pytest

from metamlflow import MetaMLFlowClient, migrate

pytestmark = pytest.mark.emulator


@pytest.fixture
def bucket(moto_server) -> str:
    return moto_server.new_bucket()


@pytest.fixture
def client(moto_server, bucket) -> MetaMLFlowClient:
    return MetaMLFlowClient(f"s3://{bucket}/store", storage_options=moto_server.storage_options)


def test_faults_in_a_bucket_are_found_and_healed_from_a_folder(moto_server, bucket, client, tmp_path):
    data = client.register_artifact("data", {f"{n}.csv": b"%d" % n for n in range(6)})
    for version in (2, 3):
        client.register_artifact("data", {"0.csv": b"0", "v": b"%d" % version})
    client.register_artifact("made", b"m", inputs=[data])
    migrate(client, tmp_path / "copy")
    assert client.fsck().findings == client.fsck(level="stat").findings == ()
    assert client.fsck(level="checksum").ok
    raw = moto_server.raw()
    missing, cut, altered = (f"store/{data.entries[f'{n}.csv'].key}" for n in (1, 2, 3))
    manifest = "store/artifacts/data/_versions/9999999997_v2.json"
    for key in (missing, manifest, "store/names/data.json", "store/edges/data/_v1/made@1"):
        raw.delete_object(Bucket=bucket, Key=key)
    raw.put_object(Bucket=bucket, Key=cut, Body=b"")
    raw.put_object(Bucket=bucket, Key=altered, Body=b"9")
    raw.put_object(Bucket=bucket, Key="store/artifacts/data/_votes/1.json", Body=b"{}")
    expected = {
        ("blob-missing", missing),
        ("blob-size", cut),
        ("blob-altered", altered),
        ("version-missing", manifest),
        ("name-record-missing", "store/names/data.json"),
        ("edge-missing", "store/edges/data/_v1/made@1"),
        ("unknown-key", "store/artifacts/data/_votes/1.json"),
    }
    report = client.fsck()
    assert {(finding.kind, f"store/{finding.key}") for finding in report.findings} == expected
    assert {f"store/{finding.key}" for finding in client.fsck(level="checksum").findings} >= {missing, cut}
    healed = client.fsck(source=tmp_path / "copy")
    assert len(healed.mended) == 6, [finding.reason for finding in healed.findings]
    assert client.fsck().counts == {"unknown-key": 1}
    assert client.verify_all().ok
    assert raw.get_object(Bucket=bucket, Key=altered)["Body"].read() == b"3"


def test_the_space_of_a_bucket_is_that_of_its_objects(moto_server, bucket, client):
    client.register_artifact("data", {"a": b"a" * 100, "b": b"b" * 20})
    client.register_artifact("data", {"a": b"a" * 100})
    moto_server.raw().put_object(Bucket=bucket, Key="store/blobs/sha256/ab/" + "ab" * 32, Body=b"garbage")
    report = client.usage()
    assert [(v.bytes, v.frees, v.shared) for v in report.versions] == [(120, 20, 100), (100, 0, 100)]
    assert (report.bytes, report.live, report.garbage, report.garbage_old) == (127, 120, 7, 0)
