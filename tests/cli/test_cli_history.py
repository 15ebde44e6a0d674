"""``verify --all`` sees what was deleted or altered behind the newest versions."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from metamlflow import MetaMLFlowClient


@pytest.fixture
def store(tmp_path):
    client = MetaMLFlowClient(tmp_path / "history")
    for number in range(3):
        client.register_artifact("a", str(number).encode(), metadata={"number": number})
    return tmp_path / "history"


def verify_all(store):
    answer = subprocess.run(
        [sys.executable, "-m", "metamlflow", "verify", "--all", "--store", store],
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.returncode, answer.stdout


def manifest(store, version):
    (path,) = (store / "artifacts/a/_versions").glob(f"*_v{version}.json")
    path.chmod(0o644)
    return path


def test_a_whole_store_is_fine(store):
    code, shown = verify_all(store)
    assert code == 0
    assert len(shown.splitlines()) == 3


@pytest.mark.full
@pytest.mark.parametrize("version", [1, 2])
def test_a_deleted_version_is_named(store, version):
    manifest(store, version).unlink()
    code, shown = verify_all(store)
    assert code == 1
    assert f"a@{version} is missing" in shown


@pytest.mark.full
def test_an_altered_record_is_named(store):
    path = manifest(store, 2)
    document = json.loads(path.read_bytes())
    document["metadata"]["number"] = 7
    path.write_text(json.dumps(document))
    code, shown = verify_all(store)
    assert code == 1
    assert "a@2 was altered" in shown


@pytest.mark.full
def test_a_lost_name_hides_nothing(store):
    (store / "names/a.json").unlink()
    manifest(store, 1).unlink()
    code, shown = verify_all(store)
    assert code == 1
    assert "a@1 is missing" in shown
