"""A manifest with shards says how much they hold: whoever reads all of them compares it."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

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


@pytest.mark.full
@pytest.mark.parametrize("field", DAMAGE)
@pytest.mark.parametrize("way", ["executor", "resume", "both"])
def test_so_it_is_where_parts_are_verified_by_themselves(artifact, client, raw, field, way, tmp_path):
    wrong = damaged(client, raw, **DAMAGE[field])
    with ThreadPoolExecutor(2) as executor:
        parts = {"executor": executor} if way != "resume" else {}
        parts |= {"resume": tmp_path / "progress"} if way != "executor" else {}
        (finding,) = wrong.verify("stat", **parts).findings
    assert finding == wrong.verify("stat").findings[0]


@pytest.mark.full
@pytest.mark.parametrize("files", [2_500, 4_200], ids=["parts of items", "parts of lists"])
def test_a_resumed_verification_keeps_what_the_finished_parts_summed_up_to(client, raw, files, tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(files):
        (folder / f"{number:04d}").touch()
    client.register_artifact("many", folder)
    wrong = damaged(client, raw, digest=f"sha256:{'0' * 64}")
    progress = tmp_path / "progress"

    def cut_off(update):
        if update.files > files // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wrong.verify("stat", resume=progress, progress=cut_off)
    done = [json.loads(line) for line in progress.read_text().splitlines()[1:]]
    assert [bool(part["findings"]) for part in done] == [True, *[False] * (len(done) - 1)]
    (finding,) = wrong.verify("stat", resume=progress).findings
    assert "digest" in finding.actual


def test_a_list_that_is_damaged_is_told_once_and_its_sums_are_not(artifact, client, raw):
    shard = json.loads(raw.manifest_path("many", 1).read_bytes())["shards"][0]
    raw.overwrite(raw.root / shard["key"], b"damaged")
    wrong = damaged(client, raw, size=FILES + 1)
    with ThreadPoolExecutor(2) as executor:
        (finding,) = wrong.verify("stat", executor=executor).findings
    assert finding.key == shard["key"]


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
