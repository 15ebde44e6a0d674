"""Which content fsck reads: samples, parts, the rest of an interrupted call; and who works meanwhile."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from planted import Planter, numbered, pruned

from metamlflow.errors import AccessDeniedError, InvalidInputError, StorageUnavailableError
from metamlflow.format.layout import PROTECTIONS
from metamlflow.store.catalog.clock import Clock
from metamlflow.store.retain.fsck import blobs
from metamlflow.store.retain.fsck.series import Records
from metamlflow.store.transfer.rate_limit import RateLimit
from metamlflow.testing import FaultyBackend, MemoryBackend
from metamlflow.testing.clients import client_on


def damaged(planter: Planter) -> set[str]:
    """Flip a bit in every blob of one name."""
    keys = {entry["key"] for entry in planter.manifest("bulk", 1)["entries"]}
    for key in keys:
        planter.write(key, bytes([planter.read(key)[0] ^ 1]) + planter.read(key)[1:])
    return keys


def keys(report) -> set[str]:
    return {finding.key for finding in report.findings}


def test_parts_are_repeatable_and_together_have_all(client, planter):
    bad = damaged(planter)
    parts = [client.fsck(subset=(number, 3)) for number in (1, 2, 3)]
    assert sum(part.examined for part in parts) == client.fsck().examined
    assert [keys(part) for part in parts] == [keys(client.fsck(subset=f"{number}/3")) for number in (1, 2, 3)]
    found = [keys(part) for part in parts]
    assert set().union(*found) == bad
    assert sum(map(len, found)) == len(bad)
    assert all(found)


def test_a_sample_is_repeatable_and_another_seed_makes_another(client, planter):
    damaged(planter)
    sample = client.fsck(sample="30%")
    assert keys(sample) == keys(client.fsck(sample=0.3))
    assert keys(sample) == keys(client.fsck(sample="0.3")) == keys(client.fsck(sample=" .30 "))
    assert 0 < sample.examined < client.fsck().examined
    assert any(keys(client.fsck(sample=0.3, seed=seed)) != keys(sample) for seed in (1, 2, 3))
    assert keys(client.fsck(sample=0.1)) <= keys(sample)


def test_what_is_missing_is_found_by_every_sample(client, planter):
    lost = {planter.delete(entry["key"]) for entry in planter.manifest("bulk", 1)["entries"]}
    assert keys(client.fsck(level="full", sample=0.0001)) == lost
    assert keys(client.fsck(level="stat", subset=(1, 99))) == lost


def test_a_blob_that_several_versions_share_is_read_once_and_told_once(client, planter):
    client.register_artifact("copy", {"a": b"0 of 1", "b": b"0 of 1"})
    key = planter.blob("data", 1)
    before = client.fsck().examined
    planter.write(key, b"0 of 9")
    report = client.fsck()
    assert report.examined == before
    (finding,) = (finding for finding in report.findings if finding.key == key)
    assert (finding.name, finding.version, finding.path) == ("data", 1, "0.csv")


def test_an_interrupted_call_goes_on_and_looks_again_at_what_was_wrong(client, planter, tmp_path):
    bad = damaged(planter)
    file = tmp_path / "state"
    looks = 0

    def stop_late(progress):
        nonlocal looks
        looks = progress.files
        if looks == 60:
            raise KeyboardInterrupt

    together = blobs._TOGETHER
    blobs._TOGETHER = 10
    try:
        with pytest.raises(KeyboardInterrupt):
            client.fsck(resume=file, progress=stop_late)
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert lines[0]["fsck"] == client.storage_uri
        assert len(lines) >= 5
        with pytest.raises(InvalidInputError, match="progress of an examination"):
            client.fsck(resume=file, sample=0.5)
        report = client.fsck(resume=file, progress=stop_late)
    finally:
        blobs._TOGETHER = together
    assert looks < 60
    assert keys(report) == bad
    assert not file.exists()


def test_an_interrupted_call_tells_in_the_end_of_all_that_could_not_be_verified(client, planter, tmp_path, monkeypatch):
    file = tmp_path / "state"
    monkeypatch.setattr(blobs, "_TOGETHER", 10)
    whole = client.fsck(level="checksum")
    assert whole.counts == {"blob-unverifiable": 1}

    def stop(progress):
        if progress.files == 35:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            client.fsck(level="checksum", resume=file, progress=stop)
    assert client.fsck(level="checksum", resume=file).to_json() == whole.to_json()


def test_an_interrupted_call_counts_what_it_looks_at_again_once(client, planter, tmp_path, monkeypatch):
    keys_damaged = sorted(damaged(planter))
    file = tmp_path / "state"
    monkeypatch.setattr(blobs, "_TOGETHER", 10)

    def stop(progress):
        if progress.files == 35:
            raise KeyboardInterrupt

    for key in keys_damaged[:2]:  # these are in order by the second call
        with pytest.raises(KeyboardInterrupt):
            client.fsck(resume=file, progress=stop)
        planter.write(key, bytes([planter.read(key)[0] ^ 1]) + planter.read(key)[1:])
    assert client.fsck(resume=file).to_json() == client.fsck().to_json()


def test_progress_that_cannot_be_removed_at_the_end_is_an_error_of_this_library(client, planter, tmp_path, monkeypatch):
    file = tmp_path / "state"

    def refused(self, **_):
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patched:
        patched.setattr(type(file), "unlink", refused)
        with pytest.raises(AccessDeniedError, match="state"):
            client.fsck(level="stat", resume=file)
        with pytest.raises(AccessDeniedError, match="state"):
            client.verify_all(level="stat", resume=file)


@pytest.mark.parametrize(
    "call",
    [
        lambda client, path: client.fsck(resume=path),
        lambda client, path: client.verify_all(resume=path),
        lambda client, path: client.usage().to_html(path),
    ],
    ids=["fsck", "verify", "usage"],
)
def test_a_path_that_no_file_can_have_is_a_wrong_argument(client, planter, call):
    with pytest.raises(InvalidInputError, match="NUL"):
        call(client, "a\0b")


@pytest.mark.full
@pytest.mark.parametrize(
    "line",
    [
        '{"after": "z", "examined": "x"}',
        '{"after": "z", "examined": 1e999, "bytes": 1, "again": []}',
        '{"after": "z", "examined": 1, "bytes": 1, "again": null}',
        '{"after": "z", "examined": 1, "bytes": 1, "again": [[]]}',
        '{"after": "z", "examined": 1, "bytes": 1, "again": [], "settled": {}}',
        '{"after": null, "examined": 1, "bytes": 1, "again": []}',
        "[]",
        "3",
    ],
)
def test_a_line_of_progress_that_was_not_written_by_this_library_says_nothing(client, planter, tmp_path, line):
    bad = damaged(planter)
    head = {"fsck": client.storage_uri, "level": "full", "share": 1.0, "seed": 0, "part": 1, "parts": 1}
    file = tmp_path / "state"
    file.write_text(f"{json.dumps(head)}\n{line}\n")
    report = client.fsck(resume=file)
    assert keys(report) == bad
    assert report.to_json() == client.fsck().to_json()


def test_rates_are_kept(client, planter):
    began = time.monotonic()
    client.fsck(level="stat", objects_per_second=500)
    assert time.monotonic() - began > 0.1


# --- who works meanwhile ----------------------------------------------------------------------------------------------


class Meanwhile(FaultyBackend):
    """Does something once, when a call begins."""

    def __init__(self, backend, method, prefix, act):
        super().__init__(backend)
        self._when = method, prefix
        self._act = act

    def _do(self, method, key):
        if self._act and (method, True) == (self._when[0], key.startswith(self._when[1])):
            act, self._act = self._act, None
            act()

    def list_objects(self, prefix="", **more):
        self._do("list_objects", prefix)
        return super().list_objects(prefix, **more)

    def read(self, key, *arguments):
        self._do("read", key)
        return super().read(key, *arguments)


def examined(memory, method, prefix, act):
    return client_on(Meanwhile(memory, method, prefix, act)).fsck()


@pytest.mark.parametrize(
    "when",
    [("list_objects", place) for place in ("names/", "artifacts/", "blobs/", "edges/", "runs/")]
    + [("read", "artifacts/data/_versions/")],
)
def test_a_publisher_at_work_is_no_fault(when):
    memory = MemoryBackend()
    client = client_on(memory)
    client.register_artifact("data", b"1")

    def publish():
        used = client.register_artifact("data", b"2", idempotency_key="k")
        client.register_artifact("made", b"3", inputs=[used])
        with client.run("job"):
            client.register_artifact("new/name", b"4")
        client.set_alias("data", "best", 2)

    report = examined(memory, *when, publish)
    assert report.findings == ()


def test_a_version_that_is_pruned_and_collected_meanwhile_is_no_fault(client, planter):
    lost = planter.blob("data", 1)
    state = {}

    def collect():
        state["key"] = pruned(planter, "data", 1)
        planter.delete(lost)

    busy = client_on(Meanwhile(client._store.backend, "list_objects", "blobs/", collect))
    assert busy.fsck().findings == ()
    planter.delete(state["key"])
    assert {finding.key for finding in client.fsck().findings} == {lost}


# --- a storage that refuses -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [AccessDeniedError, StorageUnavailableError])
@pytest.mark.parametrize("prefix", ["artifacts/", "blobs/", "names/", "edges/", "runs/"])
def test_a_listing_that_is_refused_is_an_error_and_no_sound_store(prefix, error):
    memory = MemoryBackend()
    client_on(memory).register_artifact("data", b"1")

    class Refusing(FaultyBackend):
        def list_objects(self, wanted="", **more):
            if wanted == prefix:
                raise error("no")
            return super().list_objects(wanted, **more)

    refused = client_on(Refusing(memory), Clock(sleep=lambda _: None))
    with pytest.raises(error):
        refused.fsck()


def test_content_that_is_not_given_out_is_told_as_unreadable_and_never_mended():
    memory = MemoryBackend()
    client_on(memory).register_artifact("data", b"1")

    class Refusing(FaultyBackend):
        def read(self, key, *arguments):
            if key.startswith("blobs/"):
                raise AccessDeniedError("no")
            return super().read(key, *arguments)

    report = client_on(Refusing(memory)).fsck()
    assert report.counts == {"blob-unreadable": 1}
    assert not report.findings[0].mendable


@pytest.mark.parametrize(
    ("prefix", "hidden"),
    [("artifacts/", "_v1.json"), ("edges/", "made@1"), ("names/", "data.json"), ("blobs/", "blobs/")],
)
def test_a_listing_in_no_order_that_misses_something_once_is_no_fault(prefix, hidden):
    memory = MemoryBackend()
    client = client_on(memory)
    client.register_artifact("data", b"1")
    client.register_artifact("made", b"3", inputs=[client.register_artifact("data", b"2")])

    class Missing(FaultyBackend):
        once = True

        def list_objects(self, wanted="", **more):
            infos = list(super().list_objects(wanted, **more))
            if wanted == prefix and self.once:
                self.once = False
                infos = [info for info in infos if hidden not in info.key or "/made/" in info.key]
            return iter(infos)

    assert client_on(Missing(memory)).fsck().findings == ()


def test_what_was_read_of_damaged_records_is_not_kept_with_their_errors(client, planter):
    for version in range(1, 13):
        planter.write(numbered(f"protections/data/_v{version}/", 1), b"{" + b" " * 4_000_000)
    tracemalloc.start()
    try:
        reads = list(Records(client._store, RateLimit()).below(PROTECTIONS))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(read.error is not None for read in reads) == 12
    assert held < 4_000_000
