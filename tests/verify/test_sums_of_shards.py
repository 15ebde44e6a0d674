"""A manifest with shards says how much they hold: whoever reads all of them compares it."""

from __future__ import annotations

import hashlib
import json

import pytest

from metamlflow import migrate
from metamlflow.errors import StoreFormatError

FILES = 600  # more than a writer puts into a manifest


@pytest.fixture
def artifact(client, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:04d}").write_bytes(b"x")
    (folder / "empty").mkdir()
    return client.register_artifact("many", folder)


def damaged(client, raw, **fields):
    path = raw.manifest_path("many", 1)
    document = json.loads(path.read_bytes())
    assert "shards" in document
    raw.overwrite(path, json.dumps(document | fields).encode())
    return client.get_artifact("many")


DAMAGE = {
    "size": {"size": FILES + 1},
    "files": {"files": FILES - 1, "folders": 2},
    "digest": {"digest": f"sha256:{hashlib.sha256(b'other').hexdigest()}"},
}


@pytest.mark.parametrize("field", DAMAGE)
def test_a_sum_that_is_not_that_of_the_shards_is_refused_after_the_last_of_them(artifact, client, raw, field):
    wrong = damaged(client, raw, **DAMAGE[field])
    with pytest.raises(StoreFormatError) as caught:
        list(wrong.entries)
    assert caught.value.problems[0].startswith(f"{field}: expected ")


@pytest.mark.parametrize("field", DAMAGE)
def test_verifying_at_any_level_tells_it(artifact, client, raw, field):
    wrong = damaged(client, raw, **DAMAGE[field])
    for level in ("stat", "full"):
        (finding,) = wrong.verify(level).findings
        assert field in finding.actual


def test_a_download_leaves_nothing_of_it(artifact, client, raw, tmp_path):
    wrong = damaged(client, raw, **DAMAGE["digest"])
    with pytest.raises(StoreFormatError):
        wrong.download(tmp_path / "here")
    assert not (tmp_path / "here").exists()


def test_a_migration_does_not_bring_it(artifact, client, raw, tmp_path):
    damaged(client, raw, **DAMAGE["digest"])
    destination = (tmp_path / "destination").as_uri()
    assert not migrate(client.storage_uri, destination).ok
    assert not list((tmp_path / "destination").glob("artifacts/**/*.json"))
