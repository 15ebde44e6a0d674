"""Answers that break off or are altered: right after another try, or a clear error; never wrong bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from clouds import BLOBS, IMPATIENT, MANIFESTS, Cloud
from proxy_faults import AlterReply, Reset, Rule, TruncateReply

from metamlflow.errors import (
    ArtifactNotFoundError,
    IntegrityError,
    StorageError,
    StorageUnavailableError,
    StoreFormatError,
)

pytestmark = pytest.mark.emulator

SMALL = b"x,y\n1,2\n" * 100
LARGE = b"".join(hashlib.sha256(b"%d" % number).digest() * 1024 for number in range(288))  # 9 MiB
FILES = {"large.bin": LARGE, "small.csv": SMALL}
BROKEN = {"truncated": TruncateReply(), "reset": Reset("reply"), "altered": AlterReply()}
TOLD = (IntegrityError, StoreFormatError, StorageUnavailableError)


@pytest.fixture
def filled(cloud: Cloud) -> Cloud:
    """Two versions of an artifact with a small and a large file."""
    client = cloud.direct()
    client.register_artifact("model", {"old": b"old"}, metadata={"rows": 1})
    client.register_artifact("model", dict(FILES), metadata={"rows": 2})
    return cloud


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def outcome_of(cloud: Cloud, folder: Path) -> Exception | None:
    """Get and download the newest version; what arrives must be right, and after an error there must be nothing."""
    try:
        artifact = cloud.client(IMPATIENT).get_artifact("model")
        artifact.download(folder)
    except TOLD as error:
        left = files_in(folder) if folder.exists() else {}
        return error if not left else AssertionError(f"a download that failed left {list(left)} behind")
    assert (artifact.version, artifact.metadata) == (2, {"rows": 2})
    assert files_in(folder) == FILES
    return None


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("fault", BROKEN)
@pytest.mark.parametrize("key", [MANIFESTS, BLOBS], ids=["manifest", "blobs"])
def test_a_broken_answer_is_never_taken_for_the_content(filled: Cloud, key, fault, times, tmp_path):
    filled.proxy.add(Rule(BROKEN[fault], op=filled.words.get, key=key, times=times))
    error = outcome_of(filled, tmp_path / "out")
    assert not isinstance(error, AssertionError), error
    assert any(request.faults for request in filled.proxy.log)
    if times is None:
        assert error is not None
        assert error.hint
    elif fault != "altered":
        assert error is None, "a connection that broke once is no failure"


@pytest.mark.parametrize("fault", ["truncated", "reset"])
def test_a_listing_that_breaks_off_is_never_taken_for_the_whole(filled: Cloud, fault):
    filled.proxy.add(Rule(BROKEN[fault], op=filled.words.list))
    assert filled.client(IMPATIENT).get_artifact("model").version == 2
    filled.proxy.clear()
    filled.proxy.add(Rule(BROKEN[fault], op=filled.words.list, times=None))
    with pytest.raises(StorageUnavailableError):
        filled.client(IMPATIENT).list_artifacts("model")


@pytest.mark.full
def test_a_manifest_with_one_bit_altered_anywhere_is_noticed(filled: Cloud):
    """Also where it stays JSON: a metadata value, a number of the version, a digest."""
    [size] = [len(data) for key, data in filled.objects().items() if key.endswith("_v2.json")]
    client = filled.client(IMPATIENT)
    expected = client.get_artifact("model", 2)
    for at in range(0, size, 13):
        filled.proxy.clear()
        filled.proxy.add(Rule(AlterReply(at), op=filled.words.get, key=MANIFESTS))
        try:
            found = client.get_artifact("model", 2)
        except TOLD:
            continue
        assert found == expected
        assert (found.metadata, dict(found.inputs or {})) == (expected.metadata, {})
        assert [entry.sha256 for entry in found.entries] == [entry.sha256 for entry in expected.entries]


def test_an_altered_listing_gives_no_wrong_bytes_and_harms_no_version(filled: Cloud, tmp_path):
    """No listing carries a checksum, on either cloud: below TLS, an altered one may hide a version, and no more."""
    client = filled.client(IMPATIENT)
    client.create_store()
    for at in range(5, 800, 61):
        filled.proxy.clear()
        filled.proxy.add(Rule(AlterReply(at), op=filled.words.list))
        try:
            found = client.get_artifact("model")
            contents = {entry.path: found.read_bytes(entry.path) for entry in found.entries}
        except (*TOLD, StorageError, ArtifactNotFoundError):
            continue
        assert (found.version, contents) in [(1, {"old": b"old"}), (2, FILES)]
    before = filled.versions()
    filled.proxy.clear()
    filled.proxy.add(Rule(AlterReply(400), op=filled.words.list))
    registered = client.register_artifact("model", b"third")
    assert registered.version == 3
    assert {version: files for version, files in filled.versions().items() if version < 3} == before


@pytest.mark.parametrize("fault", BROKEN)
def test_open_read_bytes_and_local_path_hand_out_no_wrong_byte(filled: Cloud, fault, tmp_path):
    artifact = filled.client(cache_dir=tmp_path / "cache").get_artifact("model")
    filled.proxy.add(Rule(BROKEN[fault], op=filled.words.get, key=BLOBS, times=None))
    for path, content in FILES.items():
        with pytest.raises(TOLD):
            artifact.read_bytes(path)
        with pytest.raises(TOLD):
            artifact.local_path(path)
        given: list[bytes] = []
        with pytest.raises(TOLD), artifact.open(path) as reader:
            given.extend(iter(lambda reader=reader: reader.read(1 << 20), b""))
        assert len(b"".join(given)) < len(content)
    filled.proxy.clear()
    assert artifact.local_path("small.csv").read_bytes() == SMALL
    assert artifact.read_bytes("large.bin") == LARGE
