"""A size that a manifest states never passes if it is wrong, and costs nothing beyond what is there."""

from __future__ import annotations

import tracemalloc

import pytest
from clouds import Cloud
from forged import overwrite, with_size

from metamlflow import migrate
from metamlflow.errors import IntegrityError

pytestmark = [pytest.mark.emulator, pytest.mark.full]

MIB = 1024 * 1024
SMALL, LARGE = b"12345", bytes(range(256)) * (9 * 4096)
MANIFEST = "artifacts/model/_versions/9999999998_v1.json"


def forged(cloud: Cloud, content: bytes, size: int):
    cloud.direct().register_artifact("model", content)
    overwrite(cloud, MANIFEST, with_size(cloud.objects()[MANIFEST], size))
    artifact = cloud.client().get_artifact("model")
    assert artifact.size == size
    cloud.proxy.reset()
    return artifact


def content_requests(cloud: Cloud) -> list[str]:
    return [request.op for request in cloud.proxy.log if "blobs/" in request.key]


def jump(artifact, folder):
    with artifact.open() as file:
        file.seek(1)
        file.read(1)
        file.seek(0)
        file.read()


WAYS = {
    "read_bytes": lambda artifact, folder: artifact.read_bytes(),
    "open": lambda artifact, folder: artifact.open().read(),
    "jump": jump,
    "local_path": lambda artifact, folder: artifact.local_path(),
    "download": lambda artifact, folder: artifact.download(folder / "out"),
    "verify": lambda artifact, folder: artifact.verify().raise_if_failed(),
    "verify checksum": lambda artifact, folder: artifact.verify("checksum").raise_if_failed(),
    "verify stat": lambda artifact, folder: artifact.verify("stat").raise_if_failed(),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("content", "size"),
    [(SMALL, 0), (SMALL, 4), (SMALL, 6), (SMALL, 2**52), (SMALL, 2**53 - 1), (LARGE, len(LARGE) - 1), (LARGE, 2**40)],
    ids=["zero", "short", "long", "2^52", "2^53-1", "large-short", "large-2^40"],
)
def test_a_size_that_is_not_the_object_s_is_refused_after_a_few_requests(
    plain_cloud, tmp_path, monkeypatch, content, size, way
):
    monkeypatch.setenv("METAMLFLOW_CACHE_DIR", str(tmp_path / "cache"))
    artifact = forged(plain_cloud, content, size)
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError, match="bytes"):
            way(artifact, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * MIB
    assert not (tmp_path / "out").exists()
    # Twice what there is at most, since damage is asked for once more; of what is large also its size.
    assert len(content_requests(plain_cloud)) <= (3 if content == SMALL else 6)


@pytest.mark.parametrize("mode", [{}, {"server_side": True}, {"verify": "full"}], ids=str)
@pytest.mark.parametrize(("content", "size"), [(SMALL, 4), (SMALL, 2**52), (LARGE, len(LARGE) + 1)])
def test_a_wrong_size_does_not_migrate(plain_cloud, tmp_path, content, size, mode):
    forged(plain_cloud, content, size)
    client = plain_cloud.client()
    there = plain_cloud.url + "-copy"
    target = there if "server_side" in mode else str(tmp_path / "there")
    options = {"destination_options": plain_cloud.options} if "server_side" in mode else {}
    report = migrate(client, target, **options, **mode)
    assert not report
    assert len(content_requests(plain_cloud)) <= 3


def test_what_is_as_recorded_costs_what_it_did(plain_cloud, tmp_path):
    files = {"empty": b"", "a": b"1", "b/empty": b"", "b/c": b"2", "d/empty": b"", "e": b"", "f": b"x" * MIB}
    plain_cloud.direct().register_artifact("model", files)
    artifact = plain_cloud.client().get_artifact("model")
    plain_cloud.proxy.reset()
    artifact.download(tmp_path / "out")
    assert len(content_requests(plain_cloud)) == len(files)
    plain_cloud.proxy.reset()
    assert artifact.read_bytes("b/empty") == b""
    assert artifact.read_bytes("f") == files["f"]
    assert len(content_requests(plain_cloud)) == 2


def test_a_large_file_costs_one_request_for_its_size(plain_cloud, tmp_path):
    plain_cloud.direct().register_artifact("model", LARGE)
    artifact = plain_cloud.client().get_artifact("model")
    plain_cloud.proxy.reset()
    assert artifact.download(tmp_path).read_bytes() == LARGE
    assert len(content_requests(plain_cloud)) == 1 + 2
