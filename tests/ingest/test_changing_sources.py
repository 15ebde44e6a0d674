"""Sources that change while they are registered: refused, by name, and nothing of them becomes a version."""

from __future__ import annotations

import os
import shutil

import pytest

from metamlflow import MetaMLFlowClient
from metamlflow.backend import open_backend
from metamlflow.errors import InvalidPathError, MetaMLFlowError, SourceChangedError
from metamlflow.store.catalog.store import Store

SMALL, BIG = 1000, 3 << 20


class MeddlingBackend:
    """The real backend of a folder, but ``meddle`` runs once, just before the first content is put."""

    def __init__(self, inner, meddle):
        self._inner = inner
        self._meddle = meddle

    def __getattr__(self, name):
        return getattr(self._inner, name)

    def put(self, key, blob):
        meddle, self._meddle = self._meddle, None
        if meddle:
            meddle()
        return self._inner.put(key, blob)


@pytest.fixture
def meddled(store_folder):
    """A client on the store folder; ``meddle`` runs between hashing and storing."""

    def make(meddle):
        url = f"file://{store_folder}"
        return MetaMLFlowClient._on(Store(url, {}, backend=MeddlingBackend(open_backend(url, {}), meddle)))

    return make


def rewrite(path):
    path.write_bytes(b"X" + path.read_bytes()[1:])


def append(path):
    with path.open("ab") as file:
        file.write(b"more")


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def empty(path):
    path.write_bytes(b"")


def rewrite_in_secret(path):
    """Alter a byte, and leave size and times as they were."""
    before = path.stat()
    rewrite(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES = [rewrite, append, truncate, empty]


def source_in(folder, size):
    path = folder / "data.bin"
    path.write_bytes(b"-" * size)
    os.utime(path, (1, 1))
    return path


def once(condition, action):
    """A progress callback that acts at the first progress that meets the condition."""
    done = []

    def callback(progress):
        if not done and condition(progress):
            done.append(True)
            action()

    return callback


def assert_nothing_registered(raw):
    assert raw.manifests() == []
    assert raw.temp_files() == set()


@pytest.mark.parametrize("size", [SMALL, BIG])
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_a_file_that_changes_while_it_is_read_is_refused(client, raw, folder, size, change, whole_folder):
    path = source_in(folder, size)
    progress = once(lambda p: p.bytes >= min(size, 1 << 20), lambda: change(path))
    with pytest.raises(SourceChangedError, match=r"data\.bin changed(?s:.)*nothing was registered") as caught:
        client.register_artifact("a", folder if whole_folder else path, progress=progress)
    assert caught.value.source == str(path)
    assert_nothing_registered(raw)


@pytest.mark.parametrize("change", [*CHANGES, rewrite_in_secret], ids=lambda change: change.__name__)
def test_a_large_file_that_changes_between_hashing_and_storing_is_refused(meddled, raw, folder, change):
    path = source_in(folder, BIG)
    with pytest.raises(SourceChangedError, match="no longer what was hashed"):
        meddled(lambda: change(path)).register_artifact("a", path)
    assert_nothing_registered(raw)
    assert raw.blobs() == set()


def test_a_large_file_that_is_gone_before_it_is_stored_is_refused(meddled, raw, folder):
    path = source_in(folder, BIG)
    with pytest.raises(SourceChangedError, match="it is gone"):
        meddled(path.unlink).register_artifact("a", path)
    assert_nothing_registered(raw)
    assert raw.blobs() == set()


def test_a_small_file_that_changes_after_it_was_read_is_stored_as_it_was_read(meddled, folder):
    path = source_in(folder, SMALL)
    artifact = meddled(lambda: empty(path)).register_artifact("a", path)
    assert artifact.read_bytes() == b"-" * SMALL


@pytest.mark.parametrize("size", [SMALL, BIG])
def test_a_file_that_is_deleted_between_scan_and_read_is_refused(client, raw, folder, size):
    path = source_in(folder, size)
    with pytest.raises(SourceChangedError, match="it is gone"):
        client.register_artifact("a", path, progress=once(lambda _: True, path.unlink))
    assert_nothing_registered(raw)


def test_a_folder_that_is_deleted_between_scan_and_read_is_refused(client, raw, folder):
    source_in(folder, SMALL)
    with pytest.raises(SourceChangedError, match="it is gone"):
        client.register_artifact("a", folder, progress=once(lambda _: True, lambda: shutil.rmtree(folder)))
    assert_nothing_registered(raw)


def test_a_file_that_becomes_a_folder_or_a_pipe_is_refused(client, raw, folder):
    path = source_in(folder, SMALL)

    def replace(make):
        path.unlink()
        make(path)

    with pytest.raises(MetaMLFlowError, match=r"data\.bin"):
        client.register_artifact("a", path, progress=once(lambda _: True, lambda: replace(os.mkdir)))
    path.rmdir()
    source_in(folder, SMALL)
    with pytest.raises(SourceChangedError, match="no longer a file"):
        client.register_artifact("a", folder, progress=once(lambda _: True, lambda: replace(os.mkfifo)))
    assert_nothing_registered(raw)


def test_a_member_replaced_between_scan_and_read_is_stored_as_it_is_read(client, folder):
    source_in(folder, SMALL)

    def replace():
        (folder / "new").write_bytes(b"another")
        (folder / "new").replace(folder / "data.bin")

    artifact = client.register_artifact("a", folder, progress=once(lambda _: True, replace))
    assert artifact.read_bytes("data.bin") == b"another"
    assert artifact.verify()


def test_what_comes_into_a_folder_after_the_scan_is_no_part_of_it(client, folder):
    source_in(folder, SMALL)
    intrude = once(lambda _: True, lambda: (folder / "bad\nname").write_bytes(b""))
    artifact = client.register_artifact("a", folder, progress=intrude)
    assert [entry.path for entry in artifact.entries] == ["data.bin"]


def test_a_bad_name_that_comes_into_a_huge_folder_after_the_scan_is_refused(client, raw, folder, monkeypatch):
    """Of which the scan remembers nothing: it is walked again."""
    monkeypatch.setattr("metamlflow.store.ingest.sources._MOST_SCANNED", 0)
    source_in(folder, SMALL)
    intrude = once(lambda _: True, lambda: (folder / "bad\nname").write_bytes(b""))
    with pytest.raises(InvalidPathError, match="control character"):
        client.register_artifact("a", folder, progress=intrude)
    assert_nothing_registered(raw)


def test_a_log_that_grows_all_the_time_is_refused_whatever_its_moment(client, raw, folder):
    path = source_in(folder, BIG)
    with pytest.raises(SourceChangedError):
        client.register_artifact("a", path, progress=lambda _: append(path))
    assert_nothing_registered(raw)


def test_after_a_refusal_the_same_call_succeeds(client, raw, folder):
    path = source_in(folder, BIG)
    with pytest.raises(SourceChangedError):
        client.register_artifact("a", path, progress=once(lambda p: p.bytes, lambda: rewrite(path)))
    artifact = client.register_artifact("a", path)
    assert (artifact.version, artifact.read_bytes()) == (1, path.read_bytes())
