"""The scripts in examples/importing, on trees as the tools leave them; run as a user runs them."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metamlflow import MetaMLFlowClient

SCRIPTS = Path(__file__).parents[2] / "examples/importing"
BOTH = pytest.mark.parametrize("how", [(), ("--pointers", "--evidence", "full")], ids=["stored", "pointers"])


def run(script, *arguments, code=0) -> list[str]:
    command = [sys.executable, str(SCRIPTS / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == code, done.stderr
    return done.stdout.splitlines() if code == 0 else done.stderr.splitlines()


def put(path, data) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.full
@BOTH
def test_dated_folders_become_versions_in_the_order_of_their_dates_and_only_once(tmp_path, how):
    lake, store = tmp_path / "lake", tmp_path / "store"
    for day in ("2026-11-02", "2026-11-01", "date=2026-10-31"):
        put(lake / day / "part/a.csv", day.encode())
    put(lake / "2026-13-45/none", b"no date")
    put(lake / "README", b"no folder")
    first = run("dated_folders.py", lake, "sales/events", "--store", store, *how)
    assert [line.split("\t")[0] for line in first] == [f"sales/events@{number}" for number in (1, 2, 3)]
    put(lake / "20261103/part/a.csv", b"2026-11-03")
    assert len(run("dated_folders.py", lake, "sales/events", "--store", store, *how)) == 4
    client = MetaMLFlowClient(store)
    versions = client.list_artifacts("sales/events")
    assert [v.metadata["date"] for v in versions] == ["2026-10-31", "2026-11-01", "2026-11-02", "2026-11-03"]
    assert versions[1].read_bytes("part/a.csv") == b"2026-11-01"
    assert client.verify_all()
    assert bool(list(store.glob("blobs"))) == (not how)


def test_what_holds_no_dates_is_told(tmp_path):
    (tmp_path / "lake").mkdir()
    assert "no folder" in run("dated_folders.py", tmp_path / "lake", "x", "--store", tmp_path / "s", code=1)[0]
    assert "nothing at" in run("dated_folders.py", tmp_path / "none", "x", "--store", tmp_path / "s", code=1)[0]
    assert not (tmp_path / "s").exists()


@pytest.mark.full
@BOTH
def test_an_mlflow_tree_becomes_a_version_for_each_run_the_oldest_first(tmp_path, how):
    tree, store = tmp_path / "mlruns", tmp_path / "store"
    for age, (run_id, content) in enumerate({"f3a1": b"new", "0b2c": b"old"}.items()):
        put(tree / f"7/{run_id}/artifacts/plots/roc curve.svg", content)
        put(tree / f"7/{run_id}/artifacts/notes.txt", content)
        put(tree / f"7/{run_id}/meta.yaml", b"run_id: x")
        put(tree / f"7/models/m-{run_id}/artifacts/MLmodel", content)
        for path in tree.rglob("*"):
            if run_id in str(path) and path.is_file():
                os.utime(path, (2_000_000_000 - age, 2_000_000_000 - age))
    lines = run("mlflow_artifacts.py", tree, "--store", store, *how)
    assert len(lines) == 6
    assert run("mlflow_artifacts.py", tree, "--store", store, *how) == lines
    client = MetaMLFlowClient(store)
    assert [a.name for a in client.list_artifacts()] == ["mlflow/7/model", "mlflow/7/notes.txt", "mlflow/7/plots"]
    plots = client.list_artifacts("mlflow/7/plots")
    assert [(v.metadata["mlflow_run_id"], v.read_bytes("roc curve.svg")) for v in plots] == [
        ("0b2c", b"old"),
        ("f3a1", b"new"),
    ]
    model = client.get_artifact("mlflow/7/model")
    assert (model.artifact_type, model.metadata["mlflow_model_id"]) == ("model", "m-f3a1")
    assert client.get_artifact("mlflow/7/notes.txt").read_bytes() == b"new"
    assert client.verify_all()


def dvc_repository(repository, remote, content) -> None:
    """What ``dvc add data`` and ``dvc add one.csv`` with DVC 3 leave, and a stage's output."""

    def push(data, suffix="") -> str:
        md5 = hashlib.md5(data, usedforsecurity=False).hexdigest() + suffix
        put(remote / "files/md5" / md5[:2] / md5[2:], data)
        return md5

    folder = [{"md5": push(content), "relpath": "sub/ü.csv"}, {"md5": push(b"same"), "relpath": "same.bin"}]
    listing = push(json.dumps(folder).encode(), ".dir")
    put(repository / "in/data.dvc", f"outs:\n- md5: {listing}\n  hash: md5\n  path: data\n".encode())
    put(repository / "one.csv.dvc", f"outs:\n- md5: {push(b'1')}\n  size: 1\n  hash: md5\n  path: one.csv\n".encode())
    output = f"{{path: model.pkl, hash: md5, md5: {push(content)}}}"
    put(repository / "dvc.lock", f"schema: '2.0'\nstages:\n  train:\n    outs:\n    - {output}\n".encode())


@pytest.mark.full
@BOTH
def test_a_dvc_remote_becomes_artifacts_under_the_paths_of_the_repository(tmp_path, how):
    repository, remote, store = tmp_path / "repository", tmp_path / "remote", tmp_path / "store"
    dvc_repository(repository, remote, b"v1")
    assert run("dvc_remote.py", repository, remote, "--store", store, *how) == [
        "dvc/in/data@1\tin/data",
        "dvc/one.csv@1\tone.csv",
        "dvc/model.pkl@1\tmodel.pkl",
    ]
    dvc_repository(repository, remote, b"v2")
    lines = run("dvc_remote.py", repository, remote, "--store", store, *how)
    assert [line.split("\t")[0] for line in lines] == ["dvc/in/data@2", "dvc/one.csv@1", "dvc/model.pkl@2"]
    client = MetaMLFlowClient(store)
    assert client.get_artifact("dvc/in/data", 1).read_bytes("sub/ü.csv") == b"v1"
    assert client.get_artifact("dvc/in/data").read_bytes("sub/ü.csv") == b"v2"
    assert client.get_artifact("dvc/model.pkl").read_bytes("model.pkl") == b"v2"
    assert client.verify_all()
    assert bool(list(store.glob("blobs"))) == (not how)


@pytest.mark.full
@BOTH
def test_what_a_dvc_remote_has_damaged_or_lacks_is_not_imported(tmp_path, how):
    repository, remote, store = tmp_path / "repository", tmp_path / "remote", tmp_path / "store"
    dvc_repository(repository, remote, b"v1")
    md5 = hashlib.md5(b"v1", usedforsecurity=False).hexdigest()
    (remote / "files/md5" / md5[:2] / md5[2:]).write_bytes(b"vX")
    assert md5[2:] in " ".join(run("dvc_remote.py", repository, remote, "--store", store, *how, code=1))
    (remote / "files/md5" / md5[:2] / md5[2:]).unlink()
    assert md5[2:] in " ".join(run("dvc_remote.py", repository, remote, "--store", store, *how, code=1))
    assert not (store / "names").exists()
