"""From a folder to S3, from there to GCS and back to a folder: nothing is lost and nothing changes."""

from __future__ import annotations

import json
import os

import pytest

from metamlflow import MetaMLFlowClient, Pointer, compare, migrate

MANY = 4_150  # more than a manifest lists itself


@pytest.fixture
def source(tmp_path):
    data = tmp_path / "data"
    (data / "Sub").mkdir(parents=True)
    (data / "empty").mkdir()
    (data / "ü b#?.csv").write_text("a,b\n1,2\n")
    (data / "Sub/none").write_bytes(b"")
    with (data / "large.bin").open("wb") as file:
        for number in range(40):
            file.write(number.to_bytes(1) * 1024 * 1024)
    client = MetaMLFlowClient(tmp_path / "source")
    client.register_artifact("Raw/Data", data, "dataset", {"owner": "ada"})
    client.register_artifact("many", {f"{number:05}": b"%d" % (number % 3) for number in range(MANY)})
    client.register_artifact("mixed", {"own": b"1", "theirs": Pointer(data / "Sub/none", "full")})
    with client.run("train", params={"rate": 0.1}):
        client.get_artifact("Raw/Data").read_bytes("ü b#?.csv")
        client.register_artifact("model", b"weights")
    client.set_alias("model", "Best", 1)
    return tmp_path / "source"


def files_of(root) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "metamlflow.json" and ".tmp" not in path.parts
    }


def test_a_store_goes_round_through_both_clouds_and_comes_back_the_same(
    source, tmp_path, localstack_server, gcs_server
):
    s3 = MetaMLFlowClient(f"s3://{localstack_server.new_bucket()}/a", storage_options=localstack_server.storage_options)
    gcs = MetaMLFlowClient(f"gs://{gcs_server.new_bucket()}/b", storage_options=gcs_server.storage_options)
    back = MetaMLFlowClient(tmp_path / "back")
    for here, there in ((MetaMLFlowClient(source), s3), (s3, gcs), (gcs, back)):
        report = migrate(here, there)
        assert report, report.to_json()
        assert report.counts == {"migrated": 4}
        assert compare(here, there) == []
    assert gcs.verify_all("Raw/Data", level="checksum")
    assert files_of(tmp_path / "back") == files_of(source)
    assert back.verify_all()
    again = migrate(s3, gcs)
    assert (again.counts, again.to_json()["bytes"]) == ({"present": 4}, 0)


def test_a_second_run_costs_listings_and_little_else(source, tmp_path, localstack_server, fault_proxy):
    proxy = fault_proxy(localstack_server)
    bucket = localstack_server.new_bucket()
    options = localstack_server.through(proxy.url).storage_options
    there = MetaMLFlowClient(f"s3://{bucket}/a", storage_options=options)
    migrate(source, there)
    proxy.reset()
    assert migrate(source, there)
    assert len(proxy.log) <= 4 * 4 + 8, proxy.counts  # a few for each of the four names, and for the store


def test_the_command_line_migrates_to_a_bucket_and_compares(source, tmp_path, gcs_server, capsys, monkeypatch):
    from metamlflow.cli.running import run

    for name in list(os.environ):
        if name.startswith("METAMLFLOW_"):
            monkeypatch.delenv(name)
    url = f"gs://{gcs_server.new_bucket()}/x"
    options = [f"{key}={json.dumps(value)}" for key, value in gcs_server.storage_options.items()]
    to = [part for option in options for part in ("--to-option", option)]
    assert run(["migrate", str(source), url, "--name", "model", "--name", "Raw/Data", *to]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[:2] for line in out] == [["Raw/Data@1", "migrated"], ["model@1", "migrated"]]
    assert run(["compare", str(source), url, *to]) == 1
    assert "artifacts/many/" in capsys.readouterr().out
