"""The scripts in examples/migration between a folder, S3 and GCS, and what artifacts point to along with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient

SCRIPTS = Path(__file__).parents[2] / "examples/migration"


@pytest.fixture
def run(moto_server, gcs_server, tmp_path):
    """Run a script with the credentials and endpoints of the servers where users have theirs."""
    options = moto_server.storage_options
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": options["key"],
        "AWS_SECRET_ACCESS_KEY": options["secret"],
        "AWS_ENDPOINT_URL": moto_server.url,
        "AWS_DEFAULT_REGION": "us-east-1",
        # The pointers of the first store, which is local, lead to files also when they have come to a bucket.
        "METAMLFLOW_POINTER_POLICY": json.dumps({tmp_path.as_uri(): "allow"}),
        "MIRROR_DESTINATION_OPTIONS": json.dumps(gcs_server.storage_options),
    }

    def run(script, *arguments) -> str:
        command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.full
def test_a_store_goes_from_a_folder_to_s3_to_gcs_and_back_to_s3_with_its_lake(tmp_path, moto_server, gcs_server, run):
    source = MetaMLFlowClient(tmp_path / "source")
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake/a b.csv").write_text("a\n1\n")
    (tmp_path / "lake/large.bin").write_bytes(bytes(range(256)) * 20_000)
    source.register_artifact("features", {"a.csv": b"1"})
    source.register_artifact("features", {"a.csv": b"2"})
    source.register_pointer("lake", tmp_path / "lake", evidence="full")
    s3, gcs, back, lake = f"s3://{moto_server.new_bucket()}/p", f"gs://{gcs_server.new_bucket()}/p", "", ""
    back, lake = (f"s3://{moto_server.new_bucket()}/{name}" for name in ("p", "lake"))
    assert "3 migrated" in run("local_to_s3.py", tmp_path / "source", s3)
    assert "1 absent, 2 migrated" in run("s3_to_gcs.py", s3, gcs, "--latest-only", "--gcs-endpoint-url", gcs_server.url)
    assert "1 migrated, 2 present" in run("s3_to_gcs.py", s3, gcs, "--gcs-endpoint-url", gcs_server.url)
    run("gcs_to_s3.py", gcs, back, "--lake", lake, "--gcs-endpoint-url", gcs_server.url)
    client = MetaMLFlowClient(
        back, storage_options=moto_server.storage_options, source_options={"s3": moto_server.storage_options}
    )
    for path in (tmp_path / "lake").iterdir():
        path.unlink()
    assert client.get_artifact("lake").read_bytes("a b.csv") == b"a\n1\n"
    assert client.verify_all()
    assert [entry.uri.startswith(lake) for entry in client.get_artifact("lake").entries] == [True, True]
    assert client.get_artifact("features", 1).read_bytes("a.csv") == b"1"


@pytest.mark.full
def test_a_mirror_at_night_and_its_every_byte(moto_server, gcs_server, run):
    s3, gcs = f"s3://{moto_server.new_bucket()}/p", f"gs://{gcs_server.new_bucket()}/p"
    client = MetaMLFlowClient(s3, storage_options=moto_server.storage_options)
    client.register_artifact("model", b"1")
    assert "1 migrated" in run("nightly_mirror.py", s3, gcs)
    client.register_artifact("model", b"2")
    assert "1 migrated, 1 present" in run("nightly_mirror.py", s3, gcs)
    assert "2 present" in run("nightly_mirror.py", s3, gcs, "--every-byte")
