"""Progress: it only grows, it ends at the totals, and a callback that raises ends the operation cleanly."""

from __future__ import annotations

import io
import itertools
import os
import threading

import pytest

from metamlflow.errors import StorageError

SIZE = 64 * 40_000 + 5_000_000


@pytest.fixture
def source(folder):
    """A folder of 64 small files and one large one."""
    for number in range(64):
        (folder / f"{number:02}").write_bytes(os.urandom(40_000))
    (folder / "big").write_bytes(os.urandom(5_000_000))
    return folder


def assert_sound(seen, operation, files, size):
    assert {progress.operation for progress in seen} == {operation}
    assert {(progress.total_files, progress.total_bytes) for progress in seen} == {(files, size)}
    assert (seen[0].files, seen[0].bytes) == (0, 0)
    for before, after in itertools.pairwise(seen):
        assert before.files <= after.files
        assert before.bytes <= after.bytes
    assert (seen[-1].files, seen[-1].bytes) == (files, size)


def test_register_download_and_verify_tell_how_far_they_are(client, source, tmp_path):
    for operation in ("register", "download", "verify"):
        seen = []
        if operation == "register":
            artifact = client.register_artifact("a", source, progress=seen.append)
        elif operation == "download":
            artifact.download(tmp_path / "out", progress=seen.append)
        else:
            artifact.verify(progress=seen.append)
        assert_sound(seen, operation, 65, SIZE)
        assert len(seen) > 65 + 10  # the large file reports within itself


def test_registering_unchanged_files_again_ends_at_the_totals_too(client, source):
    client.register_artifact("a", source)
    seen = []
    client.register_artifact("a", source, if_unchanged="reuse", progress=seen.append)
    assert_sound(seen, "register", 65, SIZE)


def test_a_look_at_sizes_alone_has_no_bytes_to_read(client):
    seen = []
    client.register_artifact("a", {"x": b"1", "y": b"2"}).verify("stat", progress=seen.append)
    assert_sound(seen, "verify", 2, 0)


def test_one_file_of_many_has_its_own_totals(client, tmp_path):
    seen = []
    client.register_artifact("a", {"x": b"123", "y": b"2"}).download(tmp_path, path="x", progress=seen.append)
    assert_sound(seen, "download", 1, 3)


def test_the_size_of_a_stream_is_not_claimed_to_be_known(client):
    seen = []
    client.register_artifact("a", {"stream": io.BytesIO(b"x" * 10), "bytes": b"12345"}, progress=seen.append)
    assert {progress.total_bytes for progress in seen} == {None}
    assert (seen[-1].files, seen[-1].bytes) == (2, 15)


def test_the_callback_is_never_in_two_threads_at_once(client, source):
    inside = threading.Lock()
    overlaps = []

    def callback(_):
        if not inside.acquire(blocking=False):
            overlaps.append(True)
            return
        inside.release()

    client.register_artifact("a", source, progress=callback)
    assert overlaps == []


class Stop(Exception):  # noqa: N818 (a user's own, named as users do)
    """What a user's callback raises to end an operation."""


def stopping_at(condition, error=Stop):
    def callback(progress):
        if condition(progress):
            raise error

    return callback


MOMENTS = {
    "the start": lambda progress: True,
    "the first bytes": lambda progress: progress.bytes > 0,
    "the middle": lambda progress: progress.bytes > SIZE // 2,
    "the last file": lambda progress: progress.files == 65,
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_callback_that_raises_while_registering_leaves_no_version(client, raw, source, moment):
    before = threading.active_count()
    with pytest.raises(Stop):
        client.register_artifact("a", source, progress=stopping_at(moment))
    assert (raw.manifests(), raw.temp_files()) == ([], set())
    assert threading.active_count() == before
    assert client.register_artifact("a", source).version == 1


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_a_callback_that_raises_while_downloading_leaves_nothing(client, source, tmp_path, moment):
    artifact = client.register_artifact("a", source)
    with pytest.raises(Stop):
        artifact.download(tmp_path / "x/y", progress=stopping_at(moment))
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("moment", [MOMENTS["the start"], MOMENTS["the first bytes"]])
@pytest.mark.parametrize("error", [BrokenPipeError(), FileNotFoundError("mine"), StorageError("mine"), KeyError(1)])
def test_what_a_callback_raises_is_not_taken_for_a_failure_of_disk_or_source(client, source, tmp_path, error, moment):
    artifact = client.register_artifact("a", source)
    fail = stopping_at(moment, error)
    for call in (
        lambda: client.register_artifact("a", source, progress=fail),
        lambda: client.register_artifact("a", io.BytesIO(bytes(3_000_000)), progress=fail),
        lambda: artifact.download(tmp_path / "out", progress=fail),
        lambda: artifact.verify(progress=fail),
    ):
        with pytest.raises(type(error)) as caught:
            call()
        assert caught.value is error
        assert error.__cause__ is None


def test_a_callback_that_raises_ends_a_verification(client, source):
    artifact = client.register_artifact("a", source)
    with pytest.raises(Stop):
        artifact.verify(progress=stopping_at(MOMENTS["the middle"]))
