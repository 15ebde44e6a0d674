"""From a folder to S3, from there to GCS and back to a folder: nothing is lost and nothing changes."""

from __future__ import annotations

import json
import os

import pytest

from metamlflow import MetaMLFlowClient, Pointer, compare, migrate
from metamlflow.errors import ArtifactPrunedError
from metamlflow.format.layout import manifest_key, state_key
from metamlflow.format.manifests import digest_of
from metamlflow.format.records import encode_state
from metamlflow.model.names import ArtifactName
from metamlflow.store.catalog.clock import utc_now

MIB = 1024 * 1024
MANY = 5_000  # more than a manifest lists itself


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    (folder / "Sub").mkdir(parents=True)
    (folder / "empty").mkdir()
    (folder / "ü b#?.csv").write_text("a,b\n1,2\n")
    (folder / "Sub/none").write_bytes(b"")
    return folder


@pytest.fixture
def source(data, tmp_path):
    """A store with something of everything but large files."""
    client = MetaMLFlowClient(tmp_path / "source")
    client.register_artifact("Raw/Data", data, "dataset", {"owner": "ada", "Größe": [1, None]})
    client.register_artifact("many", {f"{number:05}": b"%d" % (number % 3) for number in range(MANY)})
    client.register_artifact("many", {f"{number:05}": b"%d" % (number % 4) for number in range(MANY)})
    client.register_artifact("mixed", {"own": b"1", "theirs": Pointer(data / "Sub/none", "full")})
    with client.run("train", params={"rate": 0.1}) as run:
        client.get_artifact("Raw/Data").read_bytes("ü b#?.csv")
        client.register_artifact("a.json/Model", b"weights", idempotency_key="job 1")
        run.log_metrics(loss=0.5)
    client.register_artifact("a.json/Model", b"better weights", inputs=["Raw/Data@1"])
    client.set_alias("a.json/Model", "Best", 1)
    client.set_alias("a.json/Model", "Best", 2)
    state = tmp_path / "source" / state_key(ArtifactName("a.json/Model"), 1, 1)
    digest = digest_of((tmp_path / "source" / manifest_key(ArtifactName("a.json/Model"), 1)).read_bytes())
    state.write_bytes(encode_state("pruned", digest, "0" * 32, utc_now()))
    for number in (2, 3):  # given back, and given up again: the bytes stay behind
        state.with_name(f"9999999998_v1.state-{9_999_999_999 - number:010d}.json").write_bytes(
            encode_state("restored" if number == 2 else "pruned", digest, f"{number:032}", utc_now())
        )
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
    with (tmp_path / "large").open("wb") as file:
        for number in range(256):
            file.write(number.to_bytes(1) * MIB)
    MetaMLFlowClient(source).register_artifact("Large", tmp_path / "large")
    unpruned = source / "blobs/sha256"
    weights = next(path for path in unpruned.rglob("*") if path.is_file() and path.read_bytes() == b"weights")
    weights.unlink()  # what was pruned is collected
    # One of its pointers leads to a file of this machine: on the way back to a folder, bucket readers must allow it.
    s3, gcs = (
        MetaMLFlowClient(
            f"{scheme}://{server.new_bucket()}/a",
            storage_options=server.storage_options,
            pointer_policy={"file": "allow"},
        )
        for scheme, server in (("s3", localstack_server), ("gs", gcs_server))
    )
    back = MetaMLFlowClient(tmp_path / "back")
    for here, there in ((MetaMLFlowClient(source), s3), (s3, gcs), (gcs, back)):
        report = migrate(here, there)
        assert report, str(report.to_json())[-1500:]
        assert report.counts == {"migrated": 7}
        assert compare(here, there) == []
    assert compare(source, back, full=True) == []
    assert gcs.verify_all(["Raw/Data", "Large"], level="checksum")
    assert files_of(tmp_path / "back") == files_of(source)
    assert back.verify_all()
    with pytest.raises(ArtifactPrunedError):
        back.get_artifact("a.json/Model", 1)
    assert back.lineage("Raw/Data").artifacts == MetaMLFlowClient(source).lineage("Raw/Data").artifacts
    again = migrate(s3, gcs)
    assert (again.counts, again.totals["bytes"]) == ({"present": 7}, 0)


def test_a_second_run_costs_listings_and_little_else(source, tmp_path, localstack_server, fault_proxy):
    proxy = fault_proxy(localstack_server)
    bucket = localstack_server.new_bucket()
    options = localstack_server.through(proxy.url).storage_options
    there = MetaMLFlowClient(f"s3://{bucket}/a", storage_options=options)
    migrate(source, there)
    proxy.reset()
    assert migrate(source, there)
    assert len(proxy.log) <= 3 * 4 + 8, proxy.counts  # at most one for each name, and some for the store


def test_the_command_line_migrates_to_a_bucket_and_compares(source, tmp_path, gcs_server, capsys, monkeypatch):
    from metamlflow.cli.entry import run

    for name in list(os.environ):
        if name.startswith("METAMLFLOW_"):
            monkeypatch.delenv(name)
    url = f"gs://{gcs_server.new_bucket()}/x"
    options = [f"{key}={json.dumps(value)}" for key, value in gcs_server.storage_options.items()]
    to = [part for option in options for part in ("--to-option", option)]
    assert run(["migrate", str(source), url, "--name", "mixed", "--name", "Raw/Data", *to]) == 0
    out = capsys.readouterr().out.splitlines()
    assert [line.split("\t")[:2] for line in out] == [["Raw/Data@1", "migrated"], ["mixed@1", "migrated"]]
    assert run(["compare", str(source), url, *to]) == 1
    assert "artifacts/many/" in capsys.readouterr().out
